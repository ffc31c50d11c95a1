/* Distortions of training images: what changes nothing, what a few strengths
 * do to pictures that can be reckoned by hand, and what is drawn. */
#include "data/data_internal.h"

#include "unit/asserts.h"

#include <string.h>

enum { SIDE = 4, BYTES = 3 * SIDE * SIDE };
static const uint8_t fill[3] = {7, 8, 9};

/* All bytes differ. */
static void draw_ramp(uint8_t *hwc) {
    for (int i = 0; i < BYTES; i++) {
        hwc[i] = (uint8_t)(5 * i + 3);
    }
}

static void distort(data_distortion_kind kind, double strength,
                    const uint8_t *in, uint8_t *out) {
    apq_data_distort(in, SIDE, fill, (data_distortion){kind, strength}, out);
}

static void some_strengths_change_nothing(void **state) {
    (void)state;
    static const data_distortion neutral[] = {
        {DATA_KEEP, 0},      {DATA_TURN, 0},     {DATA_SOLARISE, 256},
        {DATA_POSTERISE, 8}, {DATA_SATURATE, 1}, {DATA_CONTRAST, 1},
        {DATA_BRIGHTEN, 1},  {DATA_SHARPEN, 1},  {DATA_SHEAR_X, 0},
        {DATA_SHEAR_Y, 0},   {DATA_MOVE_X, 0},   {DATA_MOVE_Y, 0},
    };
    uint8_t in[BYTES], out[BYTES];
    draw_ramp(in);
    for (size_t i = 0; i < sizeof neutral / sizeof neutral[0]; i++) {
        memset(out, 0, sizeof out);
        apq_data_distort(in, SIDE, fill, neutral[i], out);
        assert_memory_equal(in, out, sizeof out);
    }
}

/* from(x, y) is the pixel that comes to (x, y), or none. */
static void expect_moved(data_distortion_kind kind, double strength,
                         void (*from)(int *x, int *y)) {
    uint8_t in[BYTES], out[BYTES];
    draw_ramp(in);
    distort(kind, strength, in, out);
    for (int i = 0; i < SIDE * SIDE; i++) {
        int x = i % SIDE, y = i / SIDE;
        from(&x, &y);
        bool is_inside = x >= 0 && x < SIDE && y >= 0 && y < SIDE;
        assert_memory_equal(out + 3 * i,
                            is_inside ? in + 3 * (SIDE * y + x) : fill, 3);
    }
}

static void from_the_right(int *x, int *y) {
    *x += 1;
    (void)y;
}

static void from_above(int *x, int *y) {
    *y -= 2;
    (void)x;
}

static void quarter_turn(int *x, int *y) {
    int was = *x;
    *x = SIDE - 1 - *y;
    *y = was;
}

/* By one pixel two rows from the centre, which lies between pixels. */
static void slanted(int *x, int *y) {
    static const int by[SIDE] = {-1, 0, 0, 1};
    *x += by[*y];
}

static void slanted_down(int *x, int *y) {
    static const int by[SIDE] = {-1, 0, 0, 1};
    *y += by[*x];
}

static void pixels_move(void **state) {
    (void)state;
    expect_moved(DATA_MOVE_X, 1.0 / SIDE, from_the_right);
    expect_moved(DATA_MOVE_Y, -2.0 / SIDE, from_above);
    expect_moved(DATA_TURN, 90, quarter_turn);
    expect_moved(DATA_SHEAR_X, 0.5, slanted);
    expect_moved(DATA_SHEAR_Y, 0.5, slanted_down);
}

static void colours_change(void **state) {
    (void)state;
    uint8_t in[BYTES], out[BYTES];
    draw_ramp(in);
    distort(DATA_BRIGHTEN, 1.5, in, out);
    assert_int_equal(out[0], 5);
    assert_int_equal(out[1], 12);
    assert_int_equal(out[BYTES - 1], 255);
    distort(DATA_SOLARISE, 128, in, out);
    assert_int_equal(out[24], 123);
    assert_int_equal(out[25], 255 - 128);
    distort(DATA_POSTERISE, 4.7, in, out);
    assert_int_equal(out[7], 32); /* of 38 */
    /* Grey of 3, 8, 13. */
    distort(DATA_SATURATE, 0, in, out);
    for (int c = 0; c < 3; c++) {
        assert_int_equal(out[c], 7);
    }
    /* Of all pixels: the first's and 15 steps of 15, by half. */
    distort(DATA_CONTRAST, 0, in, out);
    for (int i = 0; i < BYTES; i++) {
        assert_int_equal(out[i], 120);
    }
    /* A single bright byte spreads to its neighbours, not to the border. */
    memset(in, 0, sizeof in);
    in[3 * (SIDE + 1)] = 130;
    distort(DATA_SHARPEN, 0, in, out);
    assert_int_equal(out[3 * (SIDE + 1)], 50);
    assert_int_equal(out[3 * (2 * SIDE + 2)], 10);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[3 * (SIDE + 1) + 1], 0);
}

static void histograms_stretch(void **state) {
    (void)state;
    uint8_t in[BYTES], out[BYTES];
    for (int i = 0; i < BYTES; i++) {
        static const uint8_t values[3][4] = {
            {50, 50, 50, 101}, {9, 9, 9, 9}, {0, 10, 20, 255}};
        in[i] = values[i % 3][i / 3 % 4];
    }
    distort(DATA_STRETCH, 0, in, out);
    static const uint8_t stretched[12] = {0, 9, 0,  0,   9, 10,
                                          0, 9, 20, 255, 9, 255};
    assert_memory_equal(out, stretched, sizeof stretched);
    distort(DATA_EQUALISE, 0, in, out);
    static const uint8_t equal[12] = {0, 9, 0,   0,   9, 85,
                                      0, 9, 170, 255, 9, 255};
    assert_memory_equal(out, equal, sizeof equal);
}

static void kinds_and_strengths_are_drawn_evenly(void **state) {
    (void)state;
    enum { DRAWS = 14000 };
    int n[DATA_N_DISTORTIONS] = {0};
    double low[DATA_N_DISTORTIONS], high[DATA_N_DISTORTIONS];
    apq_rng rng = apq_rng_make(1, APQ_RNG_AUGMENT, 5);
    for (int i = 0; i < DRAWS; i++) {
        data_distortion d = apq_data_distortion_draw(&rng);
        bool is_first = n[d.kind]++ == 0;
        low[d.kind] =
            is_first || d.strength < low[d.kind] ? d.strength : low[d.kind];
        high[d.kind] =
            is_first || d.strength > high[d.kind] ? d.strength : high[d.kind];
    }
    for (int k = 0; k < DATA_N_DISTORTIONS; k++) {
        assert_in_range(n[k], 850, 1150);
    }
    static const struct {
        data_distortion_kind kind;
        double low, high;
    } ranges[] = {{DATA_KEEP, 0, 0},
                  {DATA_TURN, -30, 30},
                  {DATA_SOLARISE, 0, 256},
                  {DATA_POSTERISE, 4, 9},
                  {DATA_SATURATE, 0.1, 1.9},
                  {DATA_SHEAR_Y, -0.3, 0.3},
                  {DATA_MOVE_X, -0.3125, 0.3125}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        double span = ranges[i].high - ranges[i].low;
        double l = low[ranges[i].kind], h = high[ranges[i].kind];
        assert_true(l >= ranges[i].low && l <= ranges[i].low + 0.02 * span);
        assert_true(h <= ranges[i].high && h >= ranges[i].high - 0.02 * span);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_strengths_change_nothing),
        cmocka_unit_test(pixels_move),
        cmocka_unit_test(colours_change),
        cmocka_unit_test(histograms_stretch),
        cmocka_unit_test(kinds_and_strengths_are_drawn_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
