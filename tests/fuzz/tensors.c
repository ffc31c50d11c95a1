/* Safetensors files: whatever is taken can be written and read again. */
#include "fuzz/fuzz.h"

#include "tensor/safetensors.h"

#include <string.h>

static void check_tensor(const apq_tensor_file *file, size_t i) {
    apq_file_tensor t = apq_tensor_file_at(file, i);
    const void *data;
    FUZZ_CHECK(apq_tensor_file_get(file, t.name, t.dtype, t.rank, t.shape,
                                   &data) == APQ_OK);
    FUZZ_CHECK(data == t.data);
}

static void check_equal(const apq_tensor_file *a, const apq_tensor_file *b) {
    FUZZ_CHECK(apq_tensor_file_length(a) == apq_tensor_file_length(b));
    for (size_t i = 0; i < apq_tensor_file_length(a); i++) {
        apq_file_tensor t = apq_tensor_file_at(a, i);
        const void *data;
        FUZZ_CHECK(apq_tensor_file_get(b, t.name, t.dtype, t.rank, t.shape,
                                       &data) == APQ_OK);
        FUZZ_CHECK(memcmp(data, t.data, t.n_bytes) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    apq_tensor_file *file, *again;
    if (!fuzz_took(
            apq_tensor_file_parse("input", (const char *)data, size, &file))) {
        return 0;
    }
    for (size_t i = 0; i < apq_tensor_file_length(file); i++) {
        check_tensor(file, i);
    }
    const char *path = fuzz_path("again.safetensors");
    FUZZ_CHECK(apq_tensor_file_save(file, path) == APQ_OK);
    FUZZ_CHECK(apq_tensor_file_load(path, &again) == APQ_OK);
    check_equal(file, again);
    apq_tensor_file_destroy(again);
    apq_tensor_file_destroy(file);
    return 0;
}

void fuzz_seeds(fuzz_give *give, void *ctx) {
    static const int64_t shape[4] = {2, 1, 3, 1};
    static const unsigned char values[48] = {1, 2, 3, 250};
    static const char *const names[] = {"a", "b.weight", "c", "d", "e"};
    static const apq_dtype dtypes[] = {APQ_F32, APQ_I64, APQ_U8, APQ_I8,
                                       APQ_I32};
    const char *path = fuzz_path("seed.safetensors");
    for (int n = 0; n <= 5; n += 5) {
        apq_tensor_file *file;
        FUZZ_CHECK(apq_tensor_file_create(&file) == APQ_OK);
        FUZZ_CHECK(apq_tensor_file_put_meta(file, "key", "value") == APQ_OK);
        for (int i = 0; i < n; i++) {
            FUZZ_CHECK(apq_tensor_file_put(file, names[i], dtypes[i], i, shape,
                                           values) == APQ_OK);
        }
        FUZZ_CHECK(apq_tensor_file_save(file, path) == APQ_OK);
        apq_tensor_file_destroy(file);
        fuzz_give_tensors(path, give, ctx);
    }
}
