/* What tells the bytes of one saved search from those of another, and whole
 * ones from damaged ones. */
#include "search/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char magic[] = "TESTMAGI";
enum { KEY = 77 };

/* 300 bytes, so that they grow more than once. */
static int make(void **state) {
    static apq_bytes bytes;
    bytes = (apq_bytes){0};
    apq_status st = apq_bytes_begin(&bytes, magic, KEY);
    for (int i = 0; i < 300 && st == APQ_OK; i++) {
        unsigned char c = (unsigned char)i;
        st = apq_bytes_put(&bytes, &c, 1);
    }
    st = st == APQ_OK ? apq_bytes_end(&bytes) : st;
    *state = &bytes;
    return st == APQ_OK ? 0 : -1;
}

static int drop(void **state) {
    apq_bytes *bytes = *state;
    free(bytes->data);
    return 0;
}

static void what_was_put_is_read(void **state) {
    apq_bytes bytes = *(apq_bytes *)*state;
    assert_true(apq_bytes_check(&bytes, magic, KEY));
    for (int i = 0; i < 300; i++) {
        unsigned char c;
        assert_int_equal(apq_bytes_get(&bytes, &c, 1), APQ_OK);
        assert_int_equal(c, (unsigned char)i);
    }
    unsigned char c; /* the checksum is not theirs */
    assert_int_equal(apq_bytes_get(&bytes, &c, 1), APQ_ERR_FORMAT);
}

static void others_and_damaged_ones_are_told(void **state) {
    const apq_bytes *whole = *state;
    apq_bytes bytes = *whole;
    assert_false(apq_bytes_check(&bytes, "TESTMAGJ", KEY));
    assert_false(apq_bytes_check(&bytes, magic, KEY + 1));
    for (size_t i = 0; i < whole->n; i++) {
        whole->data[i] ^= 16;
        assert_false(apq_bytes_check(&bytes, magic, KEY));
        whole->data[i] ^= 16;
        bytes.n = i;
        assert_false(apq_bytes_check(&bytes, magic, KEY));
        bytes.n = whole->n;
    }
    assert_true(apq_bytes_check(&bytes, magic, KEY));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_put_is_read, make, drop),
        cmocka_unit_test_setup_teardown(others_and_damaged_ones_are_told, make,
                                        drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
