/* The most accurate network under a latency budget, and what it costs.
 *   search [SPACE TARGET LATENCY_MS [PREDICTOR]] */
#include <apq/apq.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    apq_space *space = NULL;
    apq_target *target = NULL;
    apq_predictor *predictor = NULL;
    apq_search *search = NULL;
    char *policy = NULL;
    apq_search_options options = APQ_SEARCH_OPTIONS_INIT;
    options.latency_ms = argc > 3 ? strtod(argv[3], NULL) : 0.5;
    int code = EXIT_FAILURE;
    if (apq_space_create(argc > 1 ? argv[1] : "cifar10", &space) ||
        apq_target_create(argc > 2 ? argv[2] : "bitfusion", &target) ||
        apq_predictor_create(space, argc > 4 ? argv[4] : NULL, &predictor) ||
        apq_search_create(space, target, predictor, &options, &search) ||
        apq_policy_json(space, apq_search_policy(search), &policy)) {
        fprintf(stderr, "search: %s\n", apq_error_message());
    } else {
        const apq_cost *cost = apq_search_cost(search);
        printf("%s\n%.2f %% predicted, %.4f ms, %.4f mJ, %.1f KB\n", policy,
               100 * apq_search_accuracy(search), cost->latency_ms,
               cost->energy_mj, cost->weight_bytes / 1e3);
        code = EXIT_SUCCESS;
    }
    free(policy);
    apq_search_destroy(search);
    apq_predictor_destroy(predictor);
    apq_target_destroy(target);
    apq_space_destroy(space);
    return code;
}
