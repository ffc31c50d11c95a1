/* ONNX Runtime by its C interface: one exported function gives a table of
 * functions whose order never changes. Source: the interface's documentation;
 * its own build checks that version 1 of the table ends at place 101. */
#include "export/ort.h"

#include "export/onnx_graph.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    API_VERSION = 1,
    LOG_ERRORS = 3,
    ARENA_ALLOCATOR = 1,
    MAX_OUTPUTS = 256,
};

/* Places of version 1 of the table. */
enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION_FROM_ARRAY = 8,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_OPTIMIZATION_LEVEL = 23,
    SET_INTRA_OP_THREADS = 24,
    CREATE_TENSOR_WITH_DATA = 49,
    GET_TENSOR_DATA = 51,
    GET_ELEMENT_TYPE = 60,
    GET_ELEMENT_COUNT = 64,
    GET_TYPE_AND_SHAPE = 65,
    CREATE_CPU_MEMORY_INFO = 69,
    RELEASE_ENV = 92,
    RELEASE_STATUS = 93,
    RELEASE_MEMORY_INFO = 94,
    RELEASE_SESSION = 95,
    RELEASE_VALUE = 96,
    RELEASE_TYPE_AND_SHAPE = 99,
    RELEASE_SESSION_OPTIONS = 100,
};

typedef void any_function(void);

typedef struct api_base {
    any_function *const *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} api_base;

/* Handles are opaque; a status of NULL is success. */
typedef void *get_error_message(void *);
typedef void *create_env(int log_level, const char *name, void **out);
typedef void *create_session(void *env, const void *bytes, size_t n_bytes,
                             void *options, void **out);
typedef void *run_session(void *session, const void *run_options,
                          const char *const *input_names,
                          const void *const *inputs, size_t n_inputs,
                          const char *const *output_names, size_t n_outputs,
                          void **outputs);
typedef void *create_handle(void **out);
typedef void *set_int(void *handle, int value);
typedef void *create_tensor(void *memory, void *data, size_t n_bytes,
                            const int64_t *dims, size_t n_dims, int type,
                            void **out);
typedef void *get_pointer(void *handle, void **out);
typedef void *get_type(void *handle, int *out);
typedef void *get_count(void *handle, size_t *out);
typedef void *create_memory_info(int allocator, int memory, void **out);
typedef void release_handle(void *);

struct apq_ort {
    any_function *const *table;
    const char *version;
    void *env, *memory;
};

struct apq_ort_session {
    apq_ort *ort;
    void *handle;
};

#define CALL(ort, type, place) ((type *)(ort)->table[place])

static void release(const apq_ort *ort, int place, void *handle) {
    if (handle != NULL) {
        CALL(ort, release_handle, place)(handle);
    }
}

/* A message of several lines as one: what matters may be in any of them. */
static void join_lines(const char *text, char *out, size_t size) {
    size_t n = 0;
    text += strspn(text, " \r\n");
    while (*text != '\0' && n + 1 < size) {
        size_t breaks = strspn(text, " \r\n");
        text += breaks;
        if (*text != '\0') {
            out[n++] = breaks > 0 ? ' ' : *text++;
        }
    }
    out[n] = '\0';
}

/* Of the result of a call: NULL, or what went wrong, released here. */
static apq_status check(const apq_ort *ort, void *status, apq_status st) {
    if (status == NULL) {
        return APQ_OK;
    }
    const char *text = CALL(ort, get_error_message, GET_ERROR_MESSAGE)(status);
    char line[512];
    join_lines(text, line, sizeof line);
    release(ort, RELEASE_STATUS, status);
    APQ_FAIL(st, "ONNX Runtime: %s", line);
}

/* ---------------------------------------------------------------- sessions */

apq_status apq_ort_session_create(apq_ort *ort, const char *bytes,
                                  size_t n_bytes, apq_ort_level level,
                                  int n_threads, apq_ort_session **out) {
    apq_ort_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "ONNX Runtime: out of memory");
    }
    session->ort = ort;
    void *options = NULL;
    apq_status st =
        check(ort, CALL(ort, create_handle, CREATE_SESSION_OPTIONS)(&options),
              APQ_ERR_EXTERNAL);
    if (st == APQ_OK) {
        st = check(
            ort,
            CALL(ort, set_int, SET_OPTIMIZATION_LEVEL)(options, (int)level),
            APQ_ERR_EXTERNAL);
    }
    if (st == APQ_OK) {
        st = check(ort,
                   CALL(ort, set_int, SET_INTRA_OP_THREADS)(options, n_threads),
                   APQ_ERR_EXTERNAL);
    }
    if (st == APQ_OK) {
        st = check(ort,
                   CALL(ort, create_session, CREATE_SESSION_FROM_ARRAY)(
                       ort->env, bytes, n_bytes, options, &session->handle),
                   APQ_ERR_FORMAT);
    }
    release(ort, RELEASE_SESSION_OPTIONS, options);
    if (st != APQ_OK) {
        free(session);
        return st;
    }
    *out = session;
    return APQ_OK;
}

void apq_ort_session_destroy(apq_ort_session *session) {
    if (session != NULL) {
        release(session->ort, RELEASE_SESSION, session->handle);
        free(session);
    }
}

static apq_status copy_output(const apq_ort *ort, void *value,
                              const apq_ort_output *to) {
    void *shape = NULL, *data = NULL;
    int type = 0;
    size_t n = 0;
    apq_status st =
        check(ort, CALL(ort, get_pointer, GET_TYPE_AND_SHAPE)(value, &shape),
              APQ_ERR_EXTERNAL);
    if (st == APQ_OK) {
        st = check(ort, CALL(ort, get_type, GET_ELEMENT_TYPE)(shape, &type),
                   APQ_ERR_EXTERNAL);
    }
    if (st == APQ_OK) {
        st = check(ort, CALL(ort, get_count, GET_ELEMENT_COUNT)(shape, &n),
                   APQ_ERR_EXTERNAL);
    }
    if (st == APQ_OK && (type != ONNX_FLOAT || n != to->n)) {
        st = APQ_ERROR(APQ_ERR_FORMAT,
                       "output %s: %zu elements of type %d, expected %zu of "
                       "type %d",
                       to->name, n, type, to->n, (int)ONNX_FLOAT);
    }
    if (st == APQ_OK) {
        st = check(ort, CALL(ort, get_pointer, GET_TENSOR_DATA)(value, &data),
                   APQ_ERR_EXTERNAL);
    }
    if (st == APQ_OK) {
        memcpy(to->values, data, n * sizeof *to->values);
    }
    release(ort, RELEASE_TYPE_AND_SHAPE, shape);
    return st;
}

apq_status apq_ort_run(apq_ort_session *session, float *image,
                       const int64_t dims[4], const apq_ort_output *outputs,
                       size_t n_outputs) {
    const apq_ort *ort = session->ort;
    static const char *const input_name = "image";
    const char *names[MAX_OUTPUTS];
    void *values[MAX_OUTPUTS] = {NULL};
    APQ_ASSERT(n_outputs <= MAX_OUTPUTS);
    size_t n = (size_t)(dims[0] * dims[1] * dims[2] * dims[3]);
    for (size_t i = 0; i < n_outputs; i++) {
        names[i] = outputs[i].name;
    }
    void *input = NULL;
    apq_status st = check(
        ort,
        CALL(ort, create_tensor, CREATE_TENSOR_WITH_DATA)(
            ort->memory, image, n * sizeof *image, dims, 4, ONNX_FLOAT, &input),
        APQ_ERR_EXTERNAL);
    if (st == APQ_OK) {
        const void *inputs[] = {input};
        st = check(ort,
                   CALL(ort, run_session, RUN)(session->handle, NULL,
                                               &input_name, inputs, 1, names,
                                               n_outputs, values),
                   APQ_ERR_EXTERNAL);
    }
    for (size_t i = 0; i < n_outputs; i++) {
        if (st == APQ_OK) {
            st = copy_output(ort, values[i], &outputs[i]);
        }
        release(ort, RELEASE_VALUE, values[i]);
    }
    release(ort, RELEASE_VALUE, input);
    return st;
}

/* ------------------------------------------------------------------ opening */

/* A model whose logits are twice the image. */
static apq_status make_trial(char **bytes, size_t *n_bytes) {
    onnx_graph g = {.arena = NULL};
    APQ_TRY(apq_arena_create(&g.arena));
    const int64_t dims[] = {1, 1, 2};
    onnx_value(&g, &g.inputs, "image", ONNX_FLOAT, dims, 3);
    onnx_value(&g, &g.outputs, "logits", ONNX_FLOAT, dims, 3);
    onnx_opset(&g, "", 13);
    (void)onnx_node(&g, &g.nodes, "Add", "logits",
                    (const char *const[]){"image", "image", NULL});
    apq_status st = onnx_graph_pack(&g, "trial", 8, "1", bytes, n_bytes);
    apq_arena_destroy(g.arena);
    return st;
}

static apq_status try_out(apq_ort *ort, const char *library) {
    char *bytes;
    size_t n_bytes;
    APQ_TRY(make_trial(&bytes, &n_bytes));
    float image[] = {1.5F, -3.0F}, result[2] = {0};
    apq_ort_session *session = NULL;
    apq_status st =
        apq_ort_session_create(ort, bytes, n_bytes, APQ_ORT_ALL, 1, &session);
    if (st == APQ_OK) {
        st = apq_ort_run(session, image, (const int64_t[]){1, 1, 1, 2},
                         &(apq_ort_output){"logits", result, 2}, 1);
    }
    if (st == APQ_OK && !(result[0] == 3.0F && result[1] == -6.0F)) {
        st = APQ_ERROR(APQ_ERR_EXTERNAL,
                       "%s: computes 1.5 + 1.5 = %g, so it is of an unknown "
                       "kind",
                       library, (double)result[0]);
    }
    apq_ort_session_destroy(session);
    free(bytes);
    return st;
}

/* Functions come out of dlsym as data pointers, which C cannot cast. */
static apq_status load_table(const char *library, apq_ort *ort) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        APQ_FAIL(APQ_ERR_EXTERNAL, "ONNX Runtime: %s", dlerror());
    }
    void *symbol = dlsym(handle, "OrtGetApiBase");
    if (symbol == NULL) {
        (void)dlclose(handle);
        APQ_FAIL(APQ_ERR_EXTERNAL, "%s: not ONNX Runtime: no OrtGetApiBase",
                 library);
    }
    const api_base *(*get_base)(void);
    memcpy(&get_base, &symbol, sizeof get_base);
    const api_base *base = get_base();
    ort->version = base->get_version();
    ort->table = base->get_api(API_VERSION);
    if (ort->table == NULL || strncmp(ort->version, "1.", 2) != 0) {
        APQ_FAIL(APQ_ERR_EXTERNAL, "%s: ONNX Runtime %s, expected 1.x", library,
                 ort->version);
    }
    return APQ_OK;
}

apq_status apq_ort_open(const char *library, apq_ort **out) {
    apq_ort *ort = calloc(1, sizeof *ort);
    if (ort == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "ONNX Runtime: out of memory");
    }
    apq_status st = load_table(library, ort);
    if (st == APQ_OK) {
        st = check(
            ort,
            CALL(ort, create_env, CREATE_ENV)(LOG_ERRORS, "apq", &ort->env),
            APQ_ERR_EXTERNAL);
    }
    if (st == APQ_OK) {
        st = check(ort,
                   CALL(ort, create_memory_info, CREATE_CPU_MEMORY_INFO)(
                       ARENA_ALLOCATOR, 0, &ort->memory),
                   APQ_ERR_EXTERNAL);
    }
    if (st == APQ_OK) {
        st = try_out(ort, library);
    }
    if (st != APQ_OK) {
        apq_ort_close(ort);
        return st;
    }
    *out = ort;
    return APQ_OK;
}

void apq_ort_close(apq_ort *ort) {
    if (ort == NULL) {
        return;
    }
    if (ort->table != NULL) {
        release(ort, RELEASE_MEMORY_INFO, ort->memory);
        release(ort, RELEASE_ENV, ort->env);
    }
    free(ort);
}

const char *apq_ort_version(const apq_ort *ort) {
    return ort->version;
}
