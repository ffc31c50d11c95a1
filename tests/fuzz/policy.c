/* Policies as JSON, native and in the authors' form: what is taken is legal,
 * becomes a network, and comes back from either form as it was. */
#include "fuzz/fuzz.h"

#include "base/rng.h"
#include "space/space.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SPACES = 2 };
static const char *const names[N_SPACES] = {"tiny", "imagenet-apq"};

/* Read once: the same for every input. */
static const apq_space *spaces(void) {
    static apq_space all[N_SPACES];
    for (int i = 0; all[i % N_SPACES].n_blocks == 0 && i < N_SPACES; i++) {
        FUZZ_CHECK(apq_space_load(names[i], &all[i]) == APQ_OK);
    }
    return all;
}

static void check_form(const apq_space *space, const apq_policy *policy,
                       char *text) {
    apq_policy back;
    FUZZ_CHECK(text != NULL);
    FUZZ_CHECK(apq_policy_from_json(space, text, "again", &back) == APQ_OK);
    FUZZ_CHECK(memcmp(&back, policy, sizeof back) == 0);
    free(text);
}

static void check(const apq_space *space, const apq_policy *policy) {
    apq_ir_network network;
    int active[6 * APQ_MAX_BLOCKS];
    FUZZ_CHECK(apq_policy_check(space, policy) == APQ_OK);
    FUZZ_CHECK(apq_policy_lower(space, policy, &network) == APQ_OK);
    FUZZ_CHECK(apq_encode(space, policy, true, active) > 0);
    check_form(space, policy, apq_policy_to_json(space, policy));
    check_form(space, policy, apq_policy_to_authors_json(space, policy));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size);
    for (int i = 0; i < N_SPACES; i++) {
        const apq_space *space = &spaces()[i];
        apq_policy policy;
        if (fuzz_took(apq_policy_from_json(space, text, "input", &policy))) {
            check(space, &policy);
        }
    }
    free(text);
    return 0;
}

static void give_text(char *text, fuzz_give *give, void *ctx) {
    FUZZ_CHECK(text != NULL);
    give(ctx, text, strlen(text));
    free(text);
}

/* As an element of the two that the authors' files hold. */
static void give_pair(const char *policy, fuzz_give *give, void *ctx) {
    char text[4096];
    int n = snprintf(text, sizeof text, "[{\"acc\": 70.5}, %s]", policy);
    FUZZ_CHECK(n > 0 && (size_t)n < sizeof text);
    give(ctx, text, (size_t)n);
}

void fuzz_seeds(fuzz_give *give, void *ctx) {
    for (int i = 0; i < N_SPACES; i++) {
        const apq_space *space = &spaces()[i];
        apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, (uint64_t)i);
        apq_policy policy;
        apq_policy_random(space, &rng, &policy);
        give_text(apq_policy_to_json(space, &policy), give, ctx);
        char *authors = apq_policy_to_authors_json(space, &policy);
        give_pair(authors, give, ctx);
        give_text(authors, give, ctx);
    }
}
