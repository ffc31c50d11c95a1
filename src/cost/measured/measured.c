/* The files of measured targets. Pricing is refused by the caller, as there is
 * nothing to compute. */
#include "cost/measured/measured.h"

#include "base/path.h"

#include <stdlib.h>
#include <string.h>

static apq_status cpu_init(void *state, const apq_yaml *yaml) {
    static const char *const legal[] = {
        "name",          "model",     "capabilities",   "arithmetic", "threads",
        "layer_seconds", "max_drift", "other_cache_kb", NULL};
    apq_measured_config *c = state;
    apq_yaml_node root = apq_yaml_root(yaml);
    APQ_TRY(apq_yaml_check_keys(yaml, root, legal));
    c->kind = APQ_MEASURED_CPU;
    const char *arithmetic;
    APQ_TRY(apq_yaml_string(yaml, root, "arithmetic", false, &arithmetic));
    bool is_int8 = strcmp(arithmetic, "int8") == 0;
    if (!is_int8 && strcmp(arithmetic, "float32") != 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: arithmetic '%s', legal: int8, float32",
                 apq_yaml_path(yaml),
                 apq_yaml_line(yaml, apq_yaml_find(yaml, root, "arithmetic")),
                 arithmetic);
    }
    c->arithmetic = is_int8 ? APQ_MEASURED_INT8 : APQ_MEASURED_FLOAT32;
    /* The integer engine runs one image on one thread. */
    int64_t threads, other_cache_kb;
    APQ_TRY(apq_yaml_int(yaml, root, "threads", false, 1, is_int8 ? 1 : 1024,
                         &threads));
    APQ_TRY(apq_yaml_int(yaml, root, "other_cache_kb", false, 0, 1 << 20,
                         &other_cache_kb));
    c->threads = (int)threads;
    c->other_cache_bytes = other_cache_kb * 1024;
    APQ_TRY(apq_yaml_double(yaml, root, "layer_seconds", false, 1e-3, 60.0,
                            &c->layer_seconds));
    return apq_yaml_double(yaml, root, "max_drift", false, 1e-3, 1.0,
                           &c->max_drift);
}

static char *copy_text(const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = malloc(n);
    if (copy != NULL) {
        memcpy(copy, text, n);
    }
    return copy;
}

static apq_status read_command(const apq_yaml *yaml, apq_measured_config *c) {
    apq_yaml_node root = apq_yaml_root(yaml);
    apq_yaml_node list = apq_yaml_find(yaml, root, "command");
    size_t n = apq_yaml_length(yaml, list);
    if (!apq_yaml_is_sequence(yaml, list) || n == 0 ||
        n > APQ_MEASURED_MAX_WORDS) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s:%d: command: expected [program, argument, ...] of 1 to %d "
                 "words",
                 apq_yaml_path(yaml),
                 apq_yaml_line(yaml, list != 0 ? list : root),
                 (int)APQ_MEASURED_MAX_WORDS);
    }
    c->command = calloc(n + 1, sizeof *c->command);
    if (c->command == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", apq_yaml_path(yaml));
    }
    for (size_t i = 0; i < n; i++) {
        apq_yaml_node item = apq_yaml_at(yaml, list, i);
        const char *text = apq_yaml_text(yaml, item);
        if (text == NULL || (i == 0 && text[0] == '\0')) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: command: word %zu is %s",
                     apq_yaml_path(yaml), apq_yaml_line(yaml, item), i + 1,
                     text == NULL ? "not a single value" : "empty");
        }
        c->command[i] = copy_text(text);
        if (c->command[i] == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", apq_yaml_path(yaml));
        }
    }
    return APQ_OK;
}

static void exec_fini(void *state) {
    apq_measured_config *c = state;
    for (size_t i = 0; c->command != NULL && c->command[i] != NULL; i++) {
        free(c->command[i]);
    }
    free(c->command);
    c->command = NULL;
}

static apq_status exec_init(void *state, const apq_yaml *yaml) {
    static const char *const legal[] = {"name",    "model",     "capabilities",
                                        "command", "timeout_s", NULL};
    apq_measured_config *c = state;
    apq_yaml_node root = apq_yaml_root(yaml);
    APQ_TRY(apq_yaml_check_keys(yaml, root, legal));
    c->kind = APQ_MEASURED_EXEC;
    apq_path_folder(apq_yaml_path(yaml), c->folder);
    APQ_TRY(apq_yaml_double(yaml, root, "timeout_s", false, 1e-3, 86400.0,
                            &c->timeout_s));
    apq_status st = read_command(yaml, c);
    if (st != APQ_OK) {
        exec_fini(c);
    }
    return st;
}

static const apq_measured_config *config_of(const void *state) {
    return state;
}

const apq_target_ops apq_target_cpu = {
    .model = "cpu",
    .summary = "our own kernels, timed on this machine",
    .state_bytes = sizeof(apq_measured_config),
    .init = cpu_init,
    .measured = config_of,
};

const apq_target_ops apq_target_exec = {
    .model = "exec",
    .summary = "a command that measures layers, on any device",
    .state_bytes = sizeof(apq_measured_config),
    .init = exec_init,
    .measured = config_of,
    .fini = exec_fini,
};
