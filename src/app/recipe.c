/* Recipes: one table of fields gives the reader, the range checks and the
 * JSON. Adding a field means a member in recipe.h and a row here. */
#include "app/recipe.h"
#include "base/words.h"

#include "search/driver.h"
#include "train/supernet_train.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum field_type {
    FIELD_TEXT,
    FIELD_INT,
    FIELD_INT64,
    FIELD_SEED, /* uint64_t in 0 ... INT64_MAX, never through a double */
    FIELD_DOUBLE,
    FIELD_BOOL,
    FIELD_CHOICE, /* int: index of the text in `choices` */
} field_type;

typedef struct recipe_field {
    const char *section; /* NULL: top level */
    const char *key;
    field_type type;
    size_t offset, size;
    double low, high;
    const char *const *choices; /* ends with NULL */
} recipe_field;

#define FIELD(section, key, member, type, low, high)                           \
    {                                                                          \
        section, key, type, offsetof(apq_recipe, member),                      \
            sizeof(((apq_recipe *)0)->member), low, high, NULL                 \
    }
#define BOOL(section, key, member) FIELD(section, key, member, FIELD_BOOL, 0, 1)
#define CHOICE(section, key, member, choices)                                  \
    {                                                                          \
        section, key, FIELD_CHOICE, offsetof(apq_recipe, member),              \
            sizeof(((apq_recipe *)0)->member), 0, 0, choices                   \
    }

/* Length and peak learning rate of a phase of the progressive schedule. */
#define PHASE(name, phase)                                                     \
    FIELD("train", "phase_" name, train.phases.length[phase], FIELD_DOUBLE, 0, \
          100000),                                                             \
        FIELD("train", "rate_" name, train.phases.rate[phase], FIELD_DOUBLE,   \
              0, 1000)

/* In the order of the enums that they are turned into. */
static const char *const bit_modes[] = {"float", "shared", NULL};
static const char *const label_modes[] = {"qat", "shared", NULL};
static const char *const distortions[] = {"none", "trivial", NULL};
static const char *const distills[] = {"soft", "alpha", NULL};
static const char *const qat_distills[] = {"none", "largest", NULL};
static const char *const quantisers[] = {"apq", "lsq", NULL};
static const char *const lr_schedules[] = {"cosine", "linear", NULL};
static const char *const stems[] = {"learned", "whitened", NULL};
static const char *const dtypes[] = {"float32", "bfloat16", NULL};
static const char *const width_codes[] = {"onehot", "ordinal", NULL};
static const char *const bit_codes[] = {"onehot", "shared", NULL};
static const char *const losses[] = {"mse", "pairwise", NULL};
static const char *const flips[] = {"random", "alternating", NULL};

static const recipe_field fields[] = {
    FIELD(NULL, "space", space, FIELD_TEXT, 0, 0),
    FIELD(NULL, "target", target, FIELD_TEXT, 0, 0),
    FIELD(NULL, "data", data, FIELD_TEXT, 0, 0),
    FIELD(NULL, "backend", backend, FIELD_TEXT, 0, 0),
    FIELD(NULL, "seed", seed, FIELD_SEED, 0, 0),
    FIELD(NULL, "threads", threads, FIELD_INT, 0, 1024),
    FIELD(NULL, "n_val", n_val, FIELD_INT64, -1, 1e9),
    FIELD(NULL, "checkpoint_s", checkpoint_s, FIELD_DOUBLE, 0, 1e6),
    FIELD("train", "epochs", train.epochs, FIELD_INT, 0, 100000),
    FIELD("train", "batch", train.batch, FIELD_INT, 1, 65536),
    FIELD("train", "learning_rate", train.learning_rate, FIELD_DOUBLE, 0, 100),
    FIELD("train", "weight_decay", train.weight_decay, FIELD_DOUBLE, 0, 1),
    FIELD("train", "label_smoothing", train.label_smoothing, FIELD_DOUBLE, 0,
          0.9),
    FIELD("train", "momentum", train.momentum, FIELD_DOUBLE, 0, 0.9999),
    FIELD("train", "warmup_epochs", train.warmup_epochs, FIELD_DOUBLE, 0,
          100000),
    FIELD("train", "random_subnets", train.random_subnets, FIELD_INT, 0, 64),
    FIELD("train", "largest_epochs", train.largest_epochs, FIELD_INT, 0,
          100000),
    FIELD("train", "schedule", train.schedule, FIELD_TEXT, 0, 0),
    FIELD("train", "policy", train.policy, FIELD_TEXT, 0, 0),
    FIELD("train", "from", train.from, FIELD_TEXT, 0, 0),
    CHOICE("train", "bits", train.bits, bit_modes),
    FIELD("train", "float_epochs", train.float_epochs, FIELD_INT, 0, 100000),
    PHASE("largest", APQ_PHASE_LARGEST),
    PHASE("kernel", APQ_PHASE_KERNEL),
    PHASE("depth_1", APQ_PHASE_DEPTH_1),
    PHASE("depth_2", APQ_PHASE_DEPTH_2),
    PHASE("width_1", APQ_PHASE_WIDTH_1),
    PHASE("width_2", APQ_PHASE_WIDTH_2),
    CHOICE("train", "dtype", train.dtype, dtypes),
    CHOICE("train", "flip", train.flip, flips),
    FIELD("train", "crop_padding", train.crop_padding, FIELD_INT, -1, 1023),
    BOOL("train", "crop_reflect", train.crop_reflect),
    FIELD("train", "cutout", train.cutout, FIELD_INT, 0, 1024),
    CHOICE("train", "distort", train.distort, distortions),
    FIELD("train", "weight_average", train.weight_average, FIELD_DOUBLE, 0,
          0.999999),
    BOOL("train", "residual_zero", train.residual_zero),
    CHOICE("train", "lr_schedule", train.lr_schedule, lr_schedules),
    FIELD("train", "final_rate", train.final_rate, FIELD_DOUBLE, 0, 1),
    CHOICE("train", "stem", train.stem, stems),
    FIELD("train", "stem_frozen_epochs", train.stem_frozen_epochs, FIELD_INT, 0,
          100000),
    CHOICE("train", "distill", train.distill, distills),
    FIELD("train", "bias_rate", train.bias_rate, FIELD_DOUBLE, 0, 1000),
    FIELD("train", "eval_epochs", train.eval_epochs, FIELD_INT, 0, 100000),
    FIELD("train", "eval_images", train.eval_images, FIELD_INT, 1, 10000000),
    FIELD("collect", "float_records", collect.float_records, FIELD_INT, 0,
          10000000),
    FIELD("collect", "quantised_records", collect.quantised_records, FIELD_INT,
          0, 10000000),
    FIELD("collect", "val_images", collect.val_images, FIELD_INT, 1, 10000000),
    FIELD("collect", "recalibrate_images", collect.recalibrate_images,
          FIELD_INT, 1, 10000000),
    FIELD("collect", "qat_steps", collect.qat_steps, FIELD_INT, 0, 1000000),
    FIELD("collect", "active_records", collect.active_records, FIELD_INT, 0,
          10000000),
    FIELD("collect", "active_rounds", collect.active_rounds, FIELD_INT, 1,
          1000),
    FIELD("collect", "policies_per_architecture",
          collect.policies_per_architecture, FIELD_INT, 1, 1000000),
    FIELD("collect", "repeats", collect.repeats, FIELD_INT, 0, 1000000),
    FIELD("collect", "lease_s", collect.lease_s, FIELD_DOUBLE, 0.1, 1e6),
    FIELD("collect", "qat_learning_rate", collect.qat_learning_rate,
          FIELD_DOUBLE, 0, 100),
    CHOICE("collect", "qat_dtype", collect.qat_dtype, dtypes),
    CHOICE("collect", "quantised", collect.quantised, label_modes),
    CHOICE("collect", "quantiser", collect.quantiser, quantisers),
    CHOICE("collect", "distill", collect.distill, qat_distills),
    FIELD("predictor", "hidden", predictor.hidden, FIELD_INT, 1, 65536),
    FIELD("predictor", "epochs", predictor.epochs, FIELD_INT, 0, 1000000),
    FIELD("predictor", "batch", predictor.batch, FIELD_INT, 1, 65536),
    FIELD("predictor", "learning_rate", predictor.learning_rate, FIELD_DOUBLE,
          0, 100),
    FIELD("predictor", "weight_decay", predictor.weight_decay, FIELD_DOUBLE, 0,
          1),
    FIELD("predictor", "held_out", predictor.held_out, FIELD_DOUBLE, 0, 0.9),
    BOOL("predictor", "transfer", predictor.transfer),
    BOOL("predictor", "frozen", predictor.frozen),
    CHOICE("predictor", "width_code", predictor.width_code, width_codes),
    CHOICE("predictor", "bit_code", predictor.bit_code, bit_codes),
    CHOICE("predictor", "loss", predictor.loss, losses),
    FIELD("predictor", "ensemble", predictor.ensemble, FIELD_INT, 1, 64),
    FIELD("search", "latency_ms", search.latency_ms, FIELD_DOUBLE, 0, 1e12),
    FIELD("search", "energy_mj", search.energy_mj, FIELD_DOUBLE, 0, 1e12),
    FIELD("search", "bitops_g", search.bitops_g, FIELD_DOUBLE, 0, 1e12),
    FIELD("search", "size_kb", search.size_kb, FIELD_DOUBLE, 0, 1e12),
    FIELD("search", "strategy", search.strategy, FIELD_TEXT, 0, 0),
    FIELD("search", "population", search.population, FIELD_INT,
          APQ_SEARCH_MIN_POPULATION, APQ_SEARCH_MAX_POPULATION),
    FIELD("search", "parents", search.parents, FIELD_INT, 1,
          APQ_SEARCH_MAX_POPULATION),
    FIELD("search", "iterations", search.iterations, FIELD_INT, 1,
          APQ_SEARCH_MAX_ITERATIONS),
    FIELD("search", "mutation", search.mutation, FIELD_DOUBLE,
          APQ_SEARCH_MIN_MUTATION, 1),
    FIELD("search", "time_limit_s", search.time_limit_s, FIELD_DOUBLE, 0, 1e9),
    FIELD("search", "remeasure", search.remeasure, FIELD_INT, 0, 32),
    FIELD("search", "remeasure_qat_steps", search.remeasure_qat_steps,
          FIELD_INT, 0, 1000000),
    BOOL("search", "as_released", search.as_released),
    BOOL("search", "sequential", search.sequential),
    BOOL("search", "all_layers", search.all_layers),
    FIELD("finetune", "epochs", finetune.epochs, FIELD_INT, 0, 100000),
    FIELD("finetune", "batch", finetune.batch, FIELD_INT, 1, 65536),
    FIELD("finetune", "learning_rate", finetune.learning_rate, FIELD_DOUBLE, 0,
          100),
    FIELD("finetune", "weight_decay", finetune.weight_decay, FIELD_DOUBLE, 0,
          1),
    FIELD("finetune", "label_smoothing", finetune.label_smoothing, FIELD_DOUBLE,
          0, 0.9),
    CHOICE("finetune", "quantiser", finetune.quantiser, quantisers),
    CHOICE("finetune", "distill", finetune.distill, qat_distills),
    CHOICE("finetune", "dtype", finetune.dtype, dtypes),
    FIELD("finetune", "policy", finetune.policy, FIELD_TEXT, 0, 0),
    FIELD("finetune", "baseline", finetune.baseline, FIELD_TEXT, 0, 0),
    FIELD("finetune", "seed", finetune.seed, FIELD_INT, -1, INT32_MAX),
    FIELD("footprint", "pue", footprint.pue, FIELD_DOUBLE, 1, 10),
    FIELD("footprint", "grid_lbs_per_kwh", footprint.grid_lbs_per_kwh,
          FIELD_DOUBLE, 0, 10),
    FIELD("footprint", "core_watts", footprint.core_watts, FIELD_DOUBLE, 0,
          1000),
    FIELD("footprint", "dram_watts", footprint.dram_watts, FIELD_DOUBLE, 0,
          10000),
    FIELD("footprint", "gpu_watts", footprint.gpu_watts, FIELD_DOUBLE, 0,
          10000),
    FIELD("footprint", "core_hour_usd_low", footprint.core_hour_usd_low,
          FIELD_DOUBLE, 0, 1000),
    FIELD("footprint", "core_hour_usd_high", footprint.core_hour_usd_high,
          FIELD_DOUBLE, 0, 1000),
    FIELD("footprint", "gpu_hour_usd_low", footprint.gpu_hour_usd_low,
          FIELD_DOUBLE, 0, 1000),
    FIELD("footprint", "gpu_hour_usd_high", footprint.gpu_hour_usd_high,
          FIELD_DOUBLE, 0, 1000),
    FIELD("footprint", "v100_tflops", footprint.v100_tflops, FIELD_DOUBLE,
          0.001, 1000),
};
enum { N_FIELDS = sizeof fields / sizeof fields[0] };

static const char *const sections[] = {
    "train", "collect", "predictor", "search", "finetune", "footprint", NULL};

void apq_recipe_default(apq_recipe *out) {
    *out = (apq_recipe){
        .space = "cifar10",
        .target = "bitfusion",
        .data = "data/cifar10",
        .backend = "auto",
        .seed = 1,
        .n_val = -1,
        .checkpoint_s = 120,
        .train = {.epochs = 30,
                  .batch = 128,
                  .learning_rate = 0.1,
                  .weight_decay = 4e-5,
                  .label_smoothing = 0.1,
                  .momentum = 0.9,
                  .warmup_epochs = 1,
                  .schedule = "sandwich",
                  .policy = "largest",
                  .random_subnets = 1,
                  .largest_epochs = 5,
                  /* Once-for-All, with lengths for CIFAR-10 and its rates of
                   * 0.96, 0.08 and 0.24 of 2.6. */
                  .phases = {.length = {0.54, 0.1, 0.03, 0.1, 0.03, 0.2},
                             .rate = {1, 0.37, 0.031, 0.092, 0.031, 0.092}},
                  .crop_padding = -1,
                  .bias_rate = 1,
                  .eval_epochs = 1,
                  .eval_images = 1000},
        .collect = {.float_records = 2000,
                    .quantised_records = 500,
                    .val_images = 2000,
                    .recalibrate_images = 1000,
                    .qat_steps = 40,
                    .qat_learning_rate = 0.02,
                    .active_rounds = 4,
                    .policies_per_architecture = 1,
                    .lease_s = 300},
        .predictor = {.hidden = 400,
                      .epochs = 150,
                      .batch = 32,
                      .learning_rate = 2e-3,
                      .weight_decay = 0.5,
                      .held_out = 0.2,
                      .transfer = true,
                      .ensemble = 1},
        /* Population, parents, iterations, mutation: APQ section 4. */
        .search = {.strategy = "evolution",
                   .population = 100,
                   .parents = 25,
                   .iterations = 500,
                   .mutation = 0.1},
        .finetune = {.epochs = 15,
                     .batch = 128,
                     .learning_rate = 0.02,
                     .weight_decay = 4e-5,
                     .label_smoothing = 0.1,
                     .policy = "found",
                     .baseline = "best_uniform4",
                     .seed = -1},
        .footprint = apq_footprint_defaults(),
    };
}

static bool same_section(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static apq_status check_section(const apq_yaml *yaml, apq_yaml_node node,
                                const char *section) {
    const char *legal[N_FIELDS + sizeof sections / sizeof sections[0] + 1];
    size_t n = 0;
    for (size_t i = 0; i < N_FIELDS; i++) {
        if (same_section(fields[i].section, section)) {
            legal[n++] = fields[i].key;
        }
    }
    for (size_t i = 0; section == NULL && sections[i] != NULL; i++) {
        legal[n++] = sections[i];
    }
    legal[n] = NULL;
    return apq_yaml_check_keys(yaml, node, legal);
}

static apq_status read_text(const apq_yaml *yaml, apq_yaml_node node,
                            const recipe_field *field, char *slot) {
    const char *text = NULL;
    APQ_TRY(apq_yaml_string(yaml, node, field->key, true, &text));
    if (text == NULL) {
        return APQ_OK;
    }
    if (strlen(text) >= field->size) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: %s is longer than %zu characters",
                 apq_yaml_path(yaml),
                 apq_yaml_line(yaml, apq_yaml_find(yaml, node, field->key)),
                 field->key, field->size - 1);
    }
    (void)strcpy(slot, text);
    return APQ_OK;
}

static apq_status no_choice(const char *where, const char *key,
                            const char *value, const char *const *choices) {
    char list[128] = "";
    for (size_t i = 0, n = 0; choices[i] != NULL && n < sizeof list; i++) {
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s",
                              i == 0 ? "" : ", ", choices[i]);
    }
    APQ_FAIL(APQ_ERR_FORMAT, "%s: %s \"%s\" is not one of %s", where, key,
             value, list);
}

/* The index of `value` in the field's choices; below 0: none. */
static int choice_of(const recipe_field *field, const char *value) {
    for (int i = 0; field->choices[i] != NULL; i++) {
        if (strcmp(field->choices[i], value) == 0) {
            return i;
        }
    }
    return -1;
}

static apq_status read_choice(const apq_yaml *yaml, apq_yaml_node node,
                              const recipe_field *field, int *slot) {
    const char *text = NULL;
    APQ_TRY(apq_yaml_string(yaml, node, field->key, true, &text));
    if (text == NULL) {
        return APQ_OK;
    }
    int index = choice_of(field, text);
    if (index < 0) {
        char where[APQ_PATH_MAX + 16];
        (void)snprintf(
            where, sizeof where, "%s:%d", apq_yaml_path(yaml),
            apq_yaml_line(yaml, apq_yaml_find(yaml, node, field->key)));
        return no_choice(where, field->key, text, field->choices);
    }
    *slot = index;
    return APQ_OK;
}

static apq_status read_field(const apq_yaml *yaml, apq_yaml_node node,
                             const recipe_field *field, apq_recipe *recipe) {
    void *slot = (char *)recipe + field->offset;
    if (field->type == FIELD_TEXT) {
        return read_text(yaml, node, field, slot);
    }
    if (field->type == FIELD_CHOICE) {
        return read_choice(yaml, node, field, slot);
    }
    if (field->type == FIELD_BOOL) {
        return apq_yaml_bool(yaml, node, field->key, true, slot);
    }
    if (field->type == FIELD_DOUBLE) {
        return apq_yaml_double(yaml, node, field->key, true, field->low,
                               field->high, slot);
    }
    if (apq_yaml_find(yaml, node, field->key) == 0) {
        return APQ_OK;
    }
    int64_t value = 0;
    int64_t high = field->type == FIELD_SEED ? INT64_MAX : (int64_t)field->high;
    APQ_TRY(apq_yaml_int(yaml, node, field->key, false, (int64_t)field->low,
                         high, &value));
    if (field->type == FIELD_INT) {
        *(int *)slot = (int)value;
    } else if (field->type == FIELD_INT64) {
        *(int64_t *)slot = value;
    } else {
        *(uint64_t *)slot = (uint64_t)value;
    }
    return APQ_OK;
}

static apq_status read_section(const apq_yaml *yaml, apq_yaml_node node,
                               const char *section, apq_recipe *recipe) {
    APQ_TRY(check_section(yaml, node, section));
    for (size_t i = 0; i < N_FIELDS; i++) {
        if (same_section(fields[i].section, section)) {
            APQ_TRY(read_field(yaml, node, &fields[i], recipe));
        }
    }
    return APQ_OK;
}

static apq_status check_choice(const char *path, const char *key,
                               const char *value, const char *const *choices) {
    for (size_t i = 0; choices[i] != NULL; i++) {
        if (strcmp(choices[i], value) == 0) {
            return APQ_OK;
        }
    }
    const char *nearest = apq_nearest_word(value, choices);
    if (nearest == NULL) {
        return no_choice(path, key, value, choices);
    }
    APQ_FAIL(APQ_ERR_FORMAT, "%s: %s \"%s\" is unknown; did you mean %s", path,
             key, value, nearest);
}

static apq_status check_choices(const char *where, const apq_recipe *recipe) {
    static const char *const baselines[] = {
        "best_uniform4",    "best_uniform8", "largest_uniform4",
        "largest_uniform8", "none",          NULL};
    static const char *const backends[] = {"auto", "cpu", "ref", NULL};
    APQ_TRY(check_choice(where, "train.schedule", recipe->train.schedule,
                         apq_train_schedule_names()));
    APQ_TRY(check_choice(where, "finetune.baseline", recipe->finetune.baseline,
                         baselines));
    return check_choice(where, "backend", recipe->backend, backends);
}

static apq_status read_recipe(const apq_yaml *yaml, apq_recipe *recipe) {
    apq_yaml_node root = apq_yaml_root(yaml);
    APQ_TRY(read_section(yaml, root, NULL, recipe));
    for (size_t i = 0; sections[i] != NULL; i++) {
        apq_yaml_node node = apq_yaml_find(yaml, root, sections[i]);
        if (node == 0) {
            continue;
        }
        if (!apq_yaml_is_mapping(yaml, node)) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: %s must be a mapping",
                     apq_yaml_path(yaml), apq_yaml_line(yaml, node),
                     sections[i]);
        }
        APQ_TRY(read_section(yaml, node, sections[i], recipe));
    }
    APQ_TRY(check_choices(apq_yaml_path(yaml), recipe));
    return apq_recipe_check_search(recipe, yaml);
}

apq_status apq_recipe_load(const char *path, apq_recipe *out) {
    apq_yaml *yaml = NULL;
    APQ_TRY(apq_yaml_load(path, &yaml));
    apq_recipe recipe;
    apq_recipe_default(&recipe);
    apq_status st = read_recipe(yaml, &recipe);
    if (st == APQ_OK) {
        *out = recipe;
    }
    apq_yaml_destroy(yaml);
    return st;
}

static apq_status unknown_path(const char *path) {
    char names[N_FIELDS][64];
    const char *list[N_FIELDS + 1];
    for (size_t i = 0; i < N_FIELDS; i++) {
        (void)snprintf(names[i], sizeof names[i], "%s%s%s",
                       fields[i].section != NULL ? fields[i].section : "",
                       fields[i].section != NULL ? "." : "", fields[i].key);
        list[i] = names[i];
    }
    list[N_FIELDS] = NULL;
    const char *nearest = apq_nearest_word(path, list);
    APQ_FAIL(APQ_ERR_ARG, "recipe has no \"%s\"%s%s", path,
             nearest != NULL ? "; did you mean " : "",
             nearest != NULL ? nearest : "");
}

static const recipe_field *find_field(const char *path) {
    for (size_t i = 0; i < N_FIELDS; i++) {
        const recipe_field *field = &fields[i];
        size_t n = field->section != NULL ? strlen(field->section) : 0;
        bool is_section =
            n == 0 || (strncmp(path, field->section, n) == 0 && path[n] == '.');
        if (is_section &&
            strcmp(path + (n == 0 ? 0 : n + 1), field->key) == 0) {
            return field;
        }
    }
    return NULL;
}

static apq_status set_bool(const char *path, const char *value, bool *slot) {
    if (!apq_yaml_bool_of(value, slot)) {
        APQ_FAIL(APQ_ERR_ARG, "%s=%s is not true or false", path, value);
    }
    return APQ_OK;
}

static apq_status set_seed(const char *path, const char *value,
                           uint64_t *slot) {
    char *end = NULL;
    errno = 0;
    unsigned long long seed = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 ||
        seed > INT64_MAX) {
        APQ_FAIL(APQ_ERR_ARG, "%s=%s is not an integer in 0 ... %" PRId64, path,
                 value, INT64_MAX);
    }
    *slot = seed;
    return APQ_OK;
}

static apq_status set_number(const recipe_field *field, const char *path,
                             const char *value, void *slot) {
    char *end = NULL;
    double number = strtod(value, &end);
    bool is_whole = field->type == FIELD_DOUBLE || number == rint(number);
    if (end == value || *end != '\0' || !(number >= field->low) ||
        !(number <= field->high) || !is_whole) {
        APQ_FAIL(APQ_ERR_ARG, "%s=%s is not %s in %g ... %g", path, value,
                 field->type == FIELD_DOUBLE ? "a number" : "an integer",
                 field->low, field->high);
    }
    if (field->type == FIELD_DOUBLE) {
        *(double *)slot = number;
    } else if (field->type == FIELD_INT) {
        *(int *)slot = (int)number;
    } else {
        *(int64_t *)slot = (int64_t)number;
    }
    return APQ_OK;
}

static apq_status set_text(const recipe_field *field, const char *path,
                           const char *value, char *slot) {
    if (strlen(value) >= field->size) {
        APQ_FAIL(APQ_ERR_ARG, "%s is longer than %zu characters", path,
                 field->size - 1);
    }
    json_t *text = json_string(value);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_ARG,
                 "%s is not UTF-8, which run.json must be; a symbolic link can "
                 "stand for such a path",
                 path);
    }
    json_decref(text);
    (void)strcpy(slot, value);
    return APQ_OK;
}

apq_status apq_recipe_set(apq_recipe *recipe, const char *path,
                          const char *value) {
    const recipe_field *field = find_field(path);
    if (field == NULL) {
        return unknown_path(path);
    }
    void *slot = (char *)recipe + field->offset;
    if (field->type == FIELD_TEXT) {
        APQ_TRY(set_text(field, path, value, slot));
        return check_choices("recipe", recipe);
    }
    if (field->type == FIELD_CHOICE) {
        int index = choice_of(field, value);
        if (index < 0) {
            return no_choice("recipe", path, value, field->choices);
        }
        *(int *)slot = index;
        return APQ_OK;
    }
    if (field->type == FIELD_SEED) {
        return set_seed(path, value, slot);
    }
    return field->type == FIELD_BOOL ? set_bool(path, value, slot)
                                     : set_number(field, path, value, slot);
}

static json_t *field_json(const recipe_field *field, const apq_recipe *recipe) {
    const void *slot = (const char *)recipe + field->offset;
    switch (field->type) {
    case FIELD_TEXT:
        return json_string(slot);
    case FIELD_INT:
        return json_integer(*(const int *)slot);
    case FIELD_INT64:
        return json_integer(*(const int64_t *)slot);
    case FIELD_SEED:
        return json_integer((json_int_t) * (const uint64_t *)slot);
    case FIELD_DOUBLE:
        return json_real(*(const double *)slot);
    case FIELD_BOOL:
        return json_boolean(*(const bool *)slot);
    case FIELD_CHOICE:
        return json_string(field->choices[*(const int *)slot]);
    }
    return NULL;
}

char *apq_recipe_to_json(const apq_recipe *recipe) {
    json_t *root = json_object();
    for (size_t i = 0; i < N_FIELDS; i++) {
        json_t *parent = root;
        if (fields[i].section != NULL) {
            parent = json_object_get(root, fields[i].section);
            if (parent == NULL) {
                parent = json_object();
                (void)json_object_set_new(root, fields[i].section, parent);
            }
        }
        if (json_object_set_new(parent, fields[i].key,
                                field_json(&fields[i], recipe)) != 0) {
            json_decref(root);
            return NULL;
        }
    }
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    json_decref(root);
    return text;
}
