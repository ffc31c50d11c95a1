/* apq doctor: what this build and this machine can do. */
#include "cli/commands.h"

#include "app/app.h"
#include "app/export.h"
#include "app/json.h"
#include "app/machine.h"
#include "app/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct doctor_options {
    apq_common_options common;
} doctor_options;

static json_t *probe_shipped(void) {
    json_t *shipped = json_object();
    for (const char *const *name = apq_space_names(); *name != NULL; name++) {
        static const char *const files[] = {"predictor.safetensors",
                                            "supernet.safetensors",
                                            "network.safetensors"};
        char dir[APQ_PATH_MAX], path[APQ_PATH_MAX];
        bool has_dir = apq_app_shipped_dir(*name, dir) == APQ_OK;
        json_t *row = json_object();
        for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
            bool has = has_dir &&
                       apq_path_join(path, dir, files[i]) == APQ_OK &&
                       apq_file_exists(path);
            (void)json_object_set_new(row, files[i], json_boolean(has));
        }
        (void)json_object_set_new(shipped, *name, row);
    }
    return shipped;
}

static json_t *probe_backends(void) {
    json_t *backends = json_object();
    for (const apq_backend *const *b = apq_backend_list(); *b != NULL; b++) {
        (void)json_object_set_new(backends, (*b)->name,
                                  json_boolean((*b)->is_available()));
    }
    return backends;
}

static json_t *probe_exports(void) {
    char runtime[256];
    apq_app_describe_runtime(runtime);
    return json_pack("{s:b, s:o}", "onnx", apq_app_has_onnx(), "runtime",
                     apq_json_text(runtime));
}

static json_t *probe_configs(int *n_broken) {
    json_t *configs = json_object();
    apq_space space;
    for (const char *const *name = apq_space_names(); *name != NULL; name++) {
        bool is_ready = apq_space_load(*name, &space) == APQ_OK;
        *n_broken += !is_ready;
        (void)json_object_set_new(
            configs, *name,
            apq_json_text(is_ready ? "ready" : apq_error_message()));
    }
    for (const char *const *name = apq_target_names(); *name != NULL; name++) {
        apq_target *target = NULL;
        bool is_ready = apq_target_load(*name, &target) == APQ_OK;
        *n_broken += !is_ready;
        apq_target_destroy(target);
        (void)json_object_set_new(
            configs, *name,
            apq_json_text(is_ready ? "ready" : apq_error_message()));
    }
    return configs;
}

static json_t *probe(int *n_broken) {
    apq_machine machine;
    apq_machine_probe(&machine);
    json_t *versions = json_object();
    char *text = apq_machine_versions();
    if (text != NULL) {
        json_decref(versions);
        versions = json_loads(text, 0, NULL);
        free(text);
    }
    return json_pack(
        "{s:s, s:{s:s, s:s, s:s, s:i, s:f, s:f, s:f}, s:o, s:o, s:o, s:o, s:o}",
        "version", APQ_VERSION, "machine", "cpu", machine.cpu, "isa",
        machine.isa, "used_isa", apq_backend_isa(), "threads", machine.threads,
        "memory_gib", machine.memory_gib, "available_gib",
        machine.available_gib, "disk_free_gib", machine.disk_free_gib,
        "libraries", versions, "backends", probe_backends(), "export",
        probe_exports(), "configs", probe_configs(n_broken), "shipped",
        probe_shipped());
}

static void print_value(const char *key, const json_t *value, int indent) {
    if (json_is_object(value)) {
        printf("%*s%s\n", indent, "", key);
        const char *name;
        json_t *child;
        json_t *object = json_deep_copy(value);
        json_object_foreach(object, name, child) {
            print_value(name, child, indent + 2);
        }
        json_decref(object);
        return;
    }
    printf("%*s%-24s ", indent, "", key);
    if (json_is_string(value)) {
        printf("%s\n", json_string_value(value));
    } else if (json_is_boolean(value)) {
        printf("%s\n", json_is_true(value) ? "yes" : "no");
    } else {
        printf("%.4g\n", json_number_value(value));
    }
}

static int run(const apq_command *self, int argc, char **argv) {
    doctor_options options = {.common = {0}};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    int n_broken = 0;
    json_t *facts = probe(&n_broken);
    if (options.common.json) {
        apq_cli_print_json(facts, false);
    } else {
        const char *key;
        json_t *value;
        json_object_foreach(facts, key, value) {
            print_value(key, value, 0);
        }
        json_decref(facts);
    }
    if (n_broken > 0) {
        (void)fprintf(stderr, "apq: %d spaces or targets cannot be read\n",
                      n_broken);
        return APQ_EXIT_FAILURE;
    }
    return APQ_EXIT_OK;
}

const apq_command apq_command_doctor = {
    .name = "doctor",
    .brief = "what this build and this machine can do",
    .usage = "apq doctor [--json]",
    .summary = "What this build and this machine can do.",
    .examples = "  apq doctor\n  apq doctor --json\n",
    .options = apq_no_options,
    .run = run,
};
