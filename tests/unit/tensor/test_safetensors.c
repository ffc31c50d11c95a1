/* Round trip, refusal of every truncation, and of crafted bad headers. */
#include "tensor/safetensors.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct scratch {
    char folder[64], path[96];
} scratch;

static scratch make_scratch(void) {
    scratch s;
    (void)snprintf(s.folder, sizeof s.folder, "/tmp/apq-tensor-XXXXXX");
    assert_non_null(mkdtemp(s.folder));
    (void)snprintf(s.path, sizeof s.path, "%s/t.safetensors", s.folder);
    return s;
}

static void remove_scratch(const scratch *s) {
    (void)unlink(s->path);
    assert_int_equal(rmdir(s->folder), 0);
}

static void write_plain(const char *path, const char *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void save_example(const char *path) {
    apq_tensor_file *file = NULL;
    assert_int_equal(apq_tensor_file_create(&file), APQ_OK);
    const uint8_t codes[3] = {1, 2, 255};
    const float weights[6] = {1.5f, -2.0f, 0.0f, 3.25f, 1e-30f, -7.0f};
    const int64_t steps[2] = {-5, 9000000000};
    const int8_t none[1] = {0};
    assert_int_equal(
        apq_tensor_file_put(file, "codes", APQ_U8, 1, (int64_t[]){3}, codes),
        APQ_OK);
    assert_int_equal(apq_tensor_file_put(file, "w \"q\"", APQ_F32, 2,
                                         (int64_t[]){2, 3}, weights),
                     APQ_OK);
    assert_int_equal(
        apq_tensor_file_put(file, "steps", APQ_I64, 1, (int64_t[]){2}, steps),
        APQ_OK);
    assert_int_equal(
        apq_tensor_file_put(file, "none", APQ_I8, 1, (int64_t[]){0}, none),
        APQ_OK);
    assert_int_equal(apq_tensor_file_put_meta(file, "space", "x"), APQ_OK);
    assert_int_equal(apq_tensor_file_put_meta(file, "space", "tiny"), APQ_OK);
    assert_int_equal(apq_tensor_file_put_meta(file, "xxh3", "0"), APQ_ERR_ARG);
    assert_int_equal(
        apq_tensor_file_put(file, "codes", APQ_U8, 1, (int64_t[]){3}, codes),
        APQ_ERR_ARG);
    assert_int_equal(apq_tensor_file_save(file, path), APQ_OK);
    apq_tensor_file_destroy(file);
}

static void test_round_trip(void **state) {
    (void)state;
    scratch s = make_scratch();
    save_example(s.path);
    apq_tensor_file *file = NULL;
    assert_int_equal(apq_tensor_file_load(s.path, &file), APQ_OK);
    assert_int_equal(apq_tensor_file_length(file), 4);
    assert_string_equal(apq_tensor_file_meta(file, "space"), "tiny");
    assert_int_equal(strlen(apq_tensor_file_meta(file, "xxh3")), 16);
    assert_null(apq_tensor_file_meta(file, "absent"));
    /* Larger elements first, so that all are aligned in the file. */
    assert_string_equal(apq_tensor_file_at(file, 0).name, "steps");

    const void *data = NULL;
    const int64_t shape[2] = {2, 3};
    assert_int_equal(
        apq_tensor_file_get(file, "w \"q\"", APQ_F32, 2, shape, &data), APQ_OK);
    const float expected[6] = {1.5f, -2.0f, 0.0f, 3.25f, 1e-30f, -7.0f};
    assert_memory_equal(data, expected, sizeof expected);
    assert_int_equal((uintptr_t)data % 64, 0);
    assert_int_equal(
        apq_tensor_file_get(file, "steps", APQ_I64, 1, shape, &data), APQ_OK);
    const int64_t steps[2] = {-5, 9000000000};
    assert_memory_equal(data, steps, sizeof steps);

    assert_int_equal(
        apq_tensor_file_get(file, "steps", APQ_F32, 1, shape, &data),
        APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "I64 [2], expected F32 [2]"));
    assert_int_equal(
        apq_tensor_file_get(file, "codes", APQ_U8, 1, shape, &data),
        APQ_ERR_FORMAT);
    assert_int_equal(apq_tensor_file_get(file, "no", APQ_U8, 1, shape, &data),
                     APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "'no' is missing"));
    apq_tensor_file_destroy(file);
    remove_scratch(&s);
}

static void test_truncation(void **state) {
    (void)state;
    scratch s = make_scratch();
    save_example(s.path);
    char *bytes = NULL;
    size_t n_bytes = 0;
    assert_int_equal(apq_file_read(s.path, &bytes, &n_bytes), APQ_OK);
    apq_tensor_file *file = NULL;
    for (size_t n = 0; n < n_bytes; n++) {
        write_plain(s.path, bytes, n);
        assert_int_equal(apq_tensor_file_load(s.path, &file), APQ_ERR_FORMAT);
        assert_null(file);
        assert_non_null(strstr(apq_error_message(), s.path));
    }
    /* Any changed data byte is seen by the checksum. */
    for (size_t i = n_bytes - 16; i < n_bytes; i++) {
        bytes[i] ^= 16;
        write_plain(s.path, bytes, n_bytes);
        assert_int_equal(apq_tensor_file_load(s.path, &file), APQ_ERR_FORMAT);
        assert_non_null(strstr(apq_error_message(), "checksum"));
        bytes[i] ^= 16;
    }
    /* As is a byte too many. */
    bytes[n_bytes] = 'x';
    write_plain(s.path, bytes, n_bytes + 1);
    assert_int_equal(apq_tensor_file_load(s.path, &file), APQ_ERR_FORMAT);
    free(bytes);
    remove_scratch(&s);
}

static apq_status load_crafted(const scratch *s, const char *header,
                               size_t n_data, apq_tensor_file **out) {
    char bytes[1024] = {0};
    size_t n = strlen(header);
    bytes[0] = (char)(unsigned char)(n & 255);
    bytes[1] = (char)(unsigned char)(n >> 8);
    memcpy(bytes + 8, header, n);
    write_plain(s->path, bytes, 8 + n + n_data);
    return apq_tensor_file_load(s->path, out);
}

static void test_bad_headers(void **state) {
    (void)state;
    static const struct {
        const char *header, *message;
        size_t n_data;
    } cases[] = {
        {"[]", "no JSON object", 0},
        {"{\"a\":{}}", "type (none)", 0},
        {"{\"a\":3}", "type (none)", 0},
        {"{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}",
         "type F16", 2},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],"
         "\"data_offsets\":[0,4]}}",
         "shape", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
         "extent", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",
         "do not fit", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],"
         "\"data_offsets\":[0,0]}}",
         "do not fit", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         "outside", 3},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}",
         "outside", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}",
         "outside", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}",
         "data_offsets", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         "overlap", 12},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "hole", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         "follow", 5},
        {"{\"__metadata__\":{\"k\":1}}", "not a string", 0},
        {"{\"__metadata__\":3}", "not an object", 0},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", "duplicate", 0},
    };
    scratch s = make_scratch();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        apq_tensor_file *file = NULL;
        apq_status st =
            load_crafted(&s, cases[i].header, cases[i].n_data, &file);
        if (st != APQ_ERR_FORMAT ||
            strstr(apq_error_message(), cases[i].message) == NULL) {
            fail_msg("case %zu: status %d, %s", i, (int)st,
                     apq_error_message());
        }
        assert_null(file);
    }
    /* Without checksum and unaligned: another program's file is read. */
    apq_tensor_file *file = NULL;
    assert_int_equal(
        load_crafted(&s,
                     "{\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":"
                     "[0,1]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
                     "\"data_offsets\":[1,5]}}",
                     5, &file),
        APQ_OK);
    assert_int_equal(apq_tensor_file_length(file), 2);
    apq_tensor_file_destroy(file);
    remove_scratch(&s);
    assert_int_equal(apq_tensor_file_load(s.path, &file), APQ_ERR_IO);
}

/* Numbers and formats among the metadata. */
static void test_metadata(void **state) {
    (void)state;
    static const struct {
        const char *format;
        bool is_legal;
    } formats[] = {{"apq thing 1", true},   {"apq thing 2", true},
                   {"apq thing 3", false},  {"apq thing 0", false},
                   {"apq thing -1", false}, {"apq thing 1x", false},
                   {"apq thing ", false},   {"apq thing", false},
                   {"apq things 1", false}, {"", false}};
    apq_tensor_file *file = NULL;
    int value = 7;
    assert_int_equal(apq_tensor_file_create(&file), APQ_OK);
    assert_int_equal(apq_tensor_file_meta_int(file, "n", 1, 9, &value), APQ_OK);
    assert_int_equal(value, 7);
    for (const char *const *bad =
             (const char *const[]){"0", "10", "", "2x", "99999999999999999999",
                                   "-99999999999999999999", NULL};
         *bad != NULL; bad++) {
        assert_int_equal(apq_tensor_file_put_meta(file, "n", *bad), APQ_OK);
        assert_int_equal(apq_tensor_file_meta_int(file, "n", 1, 9, &value),
                         APQ_ERR_FORMAT);
        assert_non_null(strstr(apq_error_message(), "not in 1..9"));
    }
    assert_int_equal(apq_tensor_file_put_meta(file, "n", "9"), APQ_OK);
    assert_int_equal(apq_tensor_file_meta_int(file, "n", 1, 9, &value), APQ_OK);
    assert_int_equal(value, 9);
    assert_int_equal(
        apq_tensor_file_check_format(file, "apq thing", "a thing", 2),
        APQ_ERR_FORMAT);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        assert_int_equal(
            apq_tensor_file_put_meta(file, "format", formats[i].format),
            APQ_OK);
        apq_status st =
            apq_tensor_file_check_format(file, "apq thing", "a thing", 2);
        assert_int_equal(st, formats[i].is_legal ? APQ_OK : APQ_ERR_FORMAT);
        assert_true((i == 2) == (st != APQ_OK && strstr(apq_error_message(),
                                                        "newer apq") != NULL));
    }
    apq_tensor_file_destroy(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
