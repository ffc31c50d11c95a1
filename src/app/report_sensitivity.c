/* What the predictor says of one step fewer in each of the network's bits: the
 * question that HAQ asks layer by layer, of APQ's predictor instead of images.
 */
#include "app/report.h"

#include "app/json.h"
#include "predictor/predictor.h"

#include <string.h>

/* The network itself, then a variant for each bit gene that has one. */
typedef struct variants {
    apq_policy policies[1 + APQ_N_BIT_GENES * APQ_MAX_BLOCKS];
    double accuracy[1 + APQ_N_BIT_GENES * APQ_MAX_BLOCKS];
    size_t n;
    size_t at[APQ_N_BIT_GENES][APQ_MAX_BLOCKS]; /* 0: no variant */
} variants;

/* The next smaller bit-width of the space; 0: none. */
static int fewer_bits(const apq_space *space, int bits) {
    int fewer = 0;
    for (int i = 0; i < space->n_bits && space->bits[i] < bits; i++) {
        fewer = space->bits[i];
    }
    return fewer;
}

static void make_variants(const apq_space *space, const apq_policy *policy,
                          variants *v) {
    memset(v->at, 0, sizeof v->at);
    v->policies[0] = *policy;
    v->n = 1;
    for (int b = 0; b < space->n_blocks; b++) {
        for (int g = 0; g < APQ_N_BIT_GENES; g++) {
            apq_policy *next = &v->policies[v->n];
            *next = *policy;
            next->bits[g][b] = (int8_t)fewer_bits(space, policy->bits[g][b]);
            if (next->bits[g][b] != 0 &&
                apq_space_block_active(space, policy, b) &&
                apq_policy_check(space, next) == APQ_OK) {
                v->at[g][b] = v->n++;
            }
        }
    }
}

static json_t *change_json(const variants *v, int gene, int block) {
    size_t at = v->at[gene][block];
    return at == 0 ? json_null()
                   : apq_json_number(v->accuracy[at] - v->accuracy[0]);
}

static void put_changes(const variants *v, json_t *layers) {
    size_t i;
    json_t *row;
    json_array_foreach(layers, i, row) {
        const json_t *block = json_object_get(row, "block");
        if (!json_is_integer(block)) {
            continue; /* its bits are fixed */
        }
        int b = (int)json_integer_value(block);
        bool is_depthwise =
            strcmp(json_string_value(json_object_get(row, "kind")),
                   apq_ir_kind_name(APQ_IR_DEPTHWISE)) == 0;
        (void)json_object_set_new(
            row, "weight_sensitivity",
            change_json(v, is_depthwise ? APQ_DW_WEIGHT : APQ_PW_WEIGHT, b));
        (void)json_object_set_new(
            row, "act_sensitivity",
            change_json(v, is_depthwise ? APQ_DW_ACT : APQ_PW_ACT, b));
    }
}

/* The directory's predictor, if the search used that very file. */
static apq_status is_searched_with(const apq_report_source *source,
                                   const char *path, bool *is_same) {
    const char *used =
        json_string_value(json_object_get(source->best, "predictor_hash"));
    char hash[APQ_HASH_MAX];
    *is_same = false;
    if (used == NULL || !apq_file_exists(path)) {
        return APQ_OK;
    }
    APQ_TRY(apq_file_hash(path, hash));
    *is_same = strcmp(hash, used) == 0;
    return APQ_OK;
}

apq_status apq_report_add_sensitivity(const apq_report_source *source,
                                      const apq_policy *policy,
                                      json_t *layers) {
    char path[APQ_PATH_MAX];
    bool is_same;
    APQ_TRY(apq_path_join(path, source->dir, "predictor.safetensors"));
    APQ_TRY(is_searched_with(source, path, &is_same));
    if (!is_same) {
        return APQ_OK;
    }
    variants v;
    apq_predictor *predictor = NULL;
    make_variants(&source->space, policy, &v);
    apq_status st = apq_predictor_load(path, &source->space, &predictor);
    if (st != APQ_OK) {
        return apq_report_leave_out(source, st);
    }
    st = apq_predictor_predict(predictor, v.policies, v.n, true, v.accuracy);
    apq_predictor_destroy(predictor);
    if (st == APQ_OK) {
        put_changes(&v, layers);
    }
    return st;
}
