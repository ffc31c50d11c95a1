/* Records as samples, and the recipe's settings of a fit. */
#include "app/samples.h"

#include <stdio.h>
#include <stdlib.h>

/* Of one kind, with seq below n_seq. */
static apq_status add(const apq_space *space, apq_records *records,
                      apq_record_kind kind, int64_t n_seq, bool with_chosen,
                      apq_sample_set *set) {
    apq_record *rows;
    size_t n;
    APQ_TRY(apq_records_all(records, kind, &rows, &n));
    if (n == 0) {
        free(rows);
        return APQ_OK;
    }
    apq_predictor_sample *grown =
        realloc(set->samples, (set->n + n) * sizeof *grown);
    if (grown == NULL) {
        free(rows);
        APQ_FAIL(APQ_ERR_NOMEM, "records: out of memory");
    }
    set->samples = grown;
    apq_status st = APQ_OK;
    for (size_t i = 0; st == APQ_OK && i < n && rows[i].seq < n_seq; i++) {
        if (rows[i].is_chosen && !with_chosen) {
            continue;
        }
        apq_predictor_sample *s = &set->samples[set->n];
        char where[64];
        (void)snprintf(where, sizeof where, "run.db: record %lld",
                       (long long)rows[i].id);
        s->accuracy = rows[i].accuracy;
        s->count = rows[i].count;
        st = apq_policy_from_json(space, rows[i].policy, where, &s->policy);
        set->n += st == APQ_OK;
    }
    free(rows);
    return st;
}

static apq_status add_quantised(const apq_space *space, apq_records *records,
                                int64_t n_seq, bool with_chosen,
                                apq_sample_set *set) {
    APQ_TRY(add(space, records, APQ_RECORD_QUANTISED, n_seq, with_chosen, set));
    return add(space, records, APQ_RECORD_QAT, n_seq, with_chosen, set);
}

apq_status apq_samples_add_all(const apq_space *space, apq_records *records,
                               bool with_bits, int64_t n_seq,
                               apq_sample_set *set) {
    return with_bits ? add_quantised(space, records, n_seq, true, set)
                     : add(space, records, APQ_RECORD_FLOAT, n_seq, true, set);
}

apq_status apq_samples_add_planned(const apq_space *space, apq_records *records,
                                   int64_t n_seq, apq_sample_set *set) {
    return add_quantised(space, records, n_seq, false, set);
}

void apq_samples_release(apq_sample_set *set) {
    free(set->samples);
    *set = (apq_sample_set){0};
}

apq_predictor_fit_options apq_recipe_fit_options(const apq_recipe *recipe,
                                                 bool with_bits) {
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    options.epochs = recipe->predictor.epochs;
    options.batch = recipe->predictor.batch;
    options.learning_rate = recipe->predictor.learning_rate;
    options.weight_decay = recipe->predictor.weight_decay;
    options.validation_fraction = recipe->predictor.held_out / 2;
    options.test_fraction = recipe->predictor.held_out / 2;
    options.seed = recipe->seed;
    options.with_bits = with_bits;
    options.loss = (apq_predictor_loss)recipe->predictor.loss;
    options.has_width_steps = recipe->predictor.width_code == 1;
    options.bit_code = (apq_bit_code)recipe->predictor.bit_code;
    options.is_frozen = recipe->predictor.frozen;
    options.keeps_architectures = recipe->collect.policies_per_architecture > 1;
    return options;
}
