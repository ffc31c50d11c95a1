/* What images show, by a network that `apq finetune` wrote.
 *   classify NETWORK IMAGE... */
#include <apq/apq.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    apq_classifier *classifier = NULL;
    apq_class classes[3];
    int code = EXIT_FAILURE;
    if (argc < 3) {
        fprintf(stderr, "usage: classify NETWORK IMAGE...\n");
        return code;
    }
    if (apq_classifier_create(argv[1], NULL, &classifier)) {
        goto done;
    }
    for (int i = 2; i < argc; i++) {
        if (apq_classifier_file(classifier, argv[i], 3, classes)) {
            goto done;
        }
        printf("%s:", argv[i]);
        for (int k = 0; k < 3 && classes[k].label >= 0; k++) {
            printf(" %s %.1f %%", classes[k].name,
                   100 * classes[k].probability);
        }
        printf("\n");
    }
    code = EXIT_SUCCESS;
done:
    if (code != EXIT_SUCCESS) {
        fprintf(stderr, "classify: %s\n", apq_error_message());
    }
    apq_classifier_destroy(classifier);
    return code;
}
