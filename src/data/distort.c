/* One distortion of random kind and strength for an image, in bytes: moves,
 * turns and changes of colour. Source: TrivialAugment (Mueller and Hutter, ICCV
 * 2021), with its 14 kinds in the ranges of RandAugment (Cubuk et al. 2020). */
#include "data/data_internal.h"

#include <math.h>
#include <string.h>

typedef struct picture {
    const uint8_t *hwc;
    int side;
    const uint8_t *fill; /* [3] what comes in from outside */
} picture;

static uint8_t clamp(double value) {
    return (uint8_t)fmin(255.0, fmax(0.0, floor(value + 0.5)));
}

static size_t n_bytes(const picture *p) {
    return 3 * (size_t)p->side * (size_t)p->side;
}

/* ----------------------------------------------------------------- geometry */

/* Where a pixel (x, y) of the result, from the centre, lies in the image. */
typedef struct view {
    double x_by_x, x_by_y, x_off, y_by_x, y_by_y, y_off;
} view;

static void look(const picture *p, const view *v, uint8_t *out) {
    double centre = (p->side - 1) / 2.0;
    for (int i = 0; i < p->side * p->side; i++) {
        double x = i % p->side - centre, y = i / p->side - centre;
        double from_x = v->x_by_x * x + v->x_by_y * y + v->x_off + centre;
        double from_y = v->y_by_x * x + v->y_by_y * y + v->y_off + centre;
        int at_x = (int)floor(from_x + 0.5), at_y = (int)floor(from_y + 0.5);
        bool is_inside =
            at_x >= 0 && at_x < p->side && at_y >= 0 && at_y < p->side;
        const uint8_t *from =
            is_inside ? p->hwc + 3 * (at_y * p->side + at_x) : p->fill;
        memcpy(out + 3 * i, from, 3);
    }
}

static void shear_x(const picture *p, double slope, uint8_t *out) {
    look(p, &(view){.x_by_x = 1, .x_by_y = slope, .y_by_y = 1}, out);
}

static void shear_y(const picture *p, double slope, uint8_t *out) {
    look(p, &(view){.x_by_x = 1, .y_by_x = slope, .y_by_y = 1}, out);
}

static void move_x(const picture *p, double share, uint8_t *out) {
    look(p, &(view){.x_by_x = 1, .x_off = share * p->side, .y_by_y = 1}, out);
}

static void move_y(const picture *p, double share, uint8_t *out) {
    look(p, &(view){.x_by_x = 1, .y_by_y = 1, .y_off = share * p->side}, out);
}

static void turn(const picture *p, double degrees, uint8_t *out) {
    double angle = degrees * 3.14159265358979323846 / 180.0;
    double c = cos(angle), s = sin(angle);
    look(p, &(view){.x_by_x = c, .x_by_y = -s, .y_by_x = s, .y_by_y = c}, out);
}

/* ------------------------------------------------------------------- colour */

static double grey_of(const uint8_t *rgb) {
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
}

static void brighten(const picture *p, double factor, uint8_t *out) {
    for (size_t i = 0; i < n_bytes(p); i++) {
        out[i] = clamp(factor * p->hwc[i]);
    }
}

static void saturate(const picture *p, double factor, uint8_t *out) {
    for (size_t i = 0; i < n_bytes(p); i++) {
        double grey = grey_of(p->hwc + i - i % 3);
        out[i] = clamp(grey + factor * (p->hwc[i] - grey));
    }
}

static void contrast(const picture *p, double factor, uint8_t *out) {
    double grey = 0;
    for (size_t i = 0; i < n_bytes(p); i += 3) {
        grey += grey_of(p->hwc + i);
    }
    grey /= p->side * p->side;
    for (size_t i = 0; i < n_bytes(p); i++) {
        out[i] = clamp(grey + factor * (p->hwc[i] - grey));
    }
}

/* Away from the mean of its 3 x 3, in which it counts five times itself; pixels
 * of the border stay. */
static void sharpen(const picture *p, double factor, uint8_t *out) {
    memcpy(out, p->hwc, n_bytes(p));
    int row = 3 * p->side;
    for (int y = 1; y < p->side - 1; y++) {
        for (int i = y * row + 3; i < (y + 1) * row - 3; i++) {
            double sum = 4.0 * p->hwc[i];
            for (int dy = -row; dy <= row; dy += row) {
                sum += p->hwc[i + dy - 3] + p->hwc[i + dy] + p->hwc[i + dy + 3];
            }
            out[i] = clamp(sum / 13 + factor * (p->hwc[i] - sum / 13));
        }
    }
}

static void posterise(const picture *p, double bits, uint8_t *out) {
    int mask = 0xFF << (8 - (int)bits);
    for (size_t i = 0; i < n_bytes(p); i++) {
        out[i] = (uint8_t)(p->hwc[i] & mask);
    }
}

static void solarise(const picture *p, double threshold, uint8_t *out) {
    for (size_t i = 0; i < n_bytes(p); i++) {
        uint8_t v = p->hwc[i];
        out[i] = v < threshold ? v : (uint8_t)(255 - v);
    }
}

/* Each channel's histogram, added up: how many bytes are at most v. */
static void count_up_to(const picture *p, int channel, int n[256]) {
    memset(n, 0, 256 * sizeof *n);
    for (size_t i = (size_t)channel; i < n_bytes(p); i += 3) {
        n[p->hwc[i]]++;
    }
    for (int v = 1; v < 256; v++) {
        n[v] += n[v - 1];
    }
}

/* The darkest becomes 0, the brightest 255. */
static void stretch(const picture *p, double unused, uint8_t *out) {
    (void)unused;
    for (int c = 0; c < 3; c++) {
        int n[256], low = 0, high = 255;
        count_up_to(p, c, n);
        while (n[low] == 0) {
            low++;
        }
        while (high > low && n[high - 1] == n[255]) {
            high--;
        }
        double scale = high > low ? 255.0 / (high - low) : 1.0;
        int zero = high > low ? low : 0;
        for (size_t i = (size_t)c; i < n_bytes(p); i += 3) {
            out[i] = clamp(scale * (p->hwc[i] - zero));
        }
    }
}

/* A byte becomes the share of bytes up to it, the darkest 0. */
static void equalise(const picture *p, double unused, uint8_t *out) {
    (void)unused;
    for (int c = 0; c < 3; c++) {
        int n[256], low = 0;
        count_up_to(p, c, n);
        while (n[low] == 0) {
            low++;
        }
        int others = n[255] - n[low];
        for (size_t i = (size_t)c; i < n_bytes(p); i += 3) {
            uint8_t v = p->hwc[i];
            out[i] = others == 0 ? v : clamp(255.0 * (n[v] - n[low]) / others);
        }
    }
}

static void keep(const picture *p, double unused, uint8_t *out) {
    (void)unused;
    memcpy(out, p->hwc, n_bytes(p));
}

/* -------------------------------------------------------------------- table */

static const struct {
    void (*apply)(const picture *picture, double strength, uint8_t *out);
    double low, high; /* of the strength */
    bool has_sign;    /* either */
} kinds[DATA_N_DISTORTIONS] = {
    [DATA_KEEP] = {keep, 0, 0, false},
    [DATA_STRETCH] = {stretch, 0, 0, false},
    [DATA_EQUALISE] = {equalise, 0, 0, false},
    [DATA_TURN] = {turn, 0, 30, true},
    [DATA_SOLARISE] = {solarise, 0, 256, false},
    [DATA_POSTERISE] = {posterise, 4, 9, false},
    [DATA_SATURATE] = {saturate, 0.1, 1.9, false},
    [DATA_CONTRAST] = {contrast, 0.1, 1.9, false},
    [DATA_BRIGHTEN] = {brighten, 0.1, 1.9, false},
    [DATA_SHARPEN] = {sharpen, 0.1, 1.9, false},
    [DATA_SHEAR_X] = {shear_x, 0, 0.3, true},
    [DATA_SHEAR_Y] = {shear_y, 0, 0.3, true},
    [DATA_MOVE_X] = {move_x, 0, 10 / 32.0, true},
    [DATA_MOVE_Y] = {move_y, 0, 10 / 32.0, true},
};

data_distortion apq_data_distortion_draw(apq_rng *rng) {
    data_distortion d = {
        .kind = (data_distortion_kind)apq_rng_below(rng, DATA_N_DISTORTIONS)};
    double low = kinds[d.kind].low, high = kinds[d.kind].high;
    d.strength = low + (high - low) * apq_rng_uniform(rng);
    if (kinds[d.kind].has_sign && apq_rng_below(rng, 2) == 1) {
        d.strength = -d.strength;
    }
    return d;
}

void apq_data_distort(const uint8_t *hwc, int side, const uint8_t fill[3],
                      data_distortion distortion, uint8_t *out) {
    const picture p = {.hwc = hwc, .side = side, .fill = fill};
    kinds[distortion.kind].apply(&p, distortion.strength, out);
}
