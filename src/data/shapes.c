/* builtin:shapes: ten classes of drawn shapes, so that everything can be
 * tried without a download. Each shape is an inside test in its own rotated
 * unit square, sampled 2 x 2 per pixel; noise, a gradient, distracting bars
 * and blobs make it a task that needs some training. Ours. */
#include "data/data_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SHAPES = 10, N_BLOBS = 3 };

static const double two_pi = 6.283185307179586;

typedef bool inside_test(double x, double y);

static bool in_circle(double x, double y) {
    return x * x + y * y < 0.72;
}

static bool in_square(double x, double y) {
    return fabs(x) < 0.74 && fabs(y) < 0.74;
}

static bool in_triangle(double x, double y) {
    return y > -0.6 && y < 0.9 - 1.73 * fabs(x);
}

static bool in_cross(double x, double y) {
    double a = fabs(x), b = fabs(y);
    return (a < 0.28 && b < 0.9) || (b < 0.28 && a < 0.9);
}

static bool in_ring(double x, double y) {
    double r = x * x + y * y;
    return r < 0.8 && r > 0.3;
}

/* Five points: the radius falls from tip to notch linearly in angle. */
static bool in_star(double x, double y) {
    double turn = atan2(y, x) / two_pi * 5.0;
    double wedge = fabs(turn - floor(turn) - 0.5) * 2.0;
    return sqrt(x * x + y * y) < 0.36 + 0.6 * wedge;
}

static bool in_stripes(double x, double y) {
    double phase = (y + 0.9) / 0.6;
    return fabs(x) < 0.85 && fabs(y) < 0.9 && phase - floor(phase) < 0.5;
}

static bool in_ellipse(double x, double y) {
    return x * x / 0.16 + y * y / 0.9 < 1.0;
}

static bool in_crescent(double x, double y) {
    double shifted = x - 0.42;
    return x * x + y * y < 0.8 && shifted * shifted + y * y > 0.5;
}

static bool in_dots(double x, double y) {
    double a = fabs(x) - 0.5, b = fabs(y) - 0.5;
    return a * a + b * b < 0.11;
}

static const struct {
    const char *name;
    inside_test *is_inside;
} shapes[N_SHAPES] = {
    {"circle", in_circle},   {"crescent", in_crescent},
    {"cross", in_cross},     {"dots", in_dots},
    {"ellipse", in_ellipse}, {"ring", in_ring},
    {"square", in_square},   {"star", in_star},
    {"stripes", in_stripes}, {"triangle", in_triangle},
};

typedef struct colour {
    double rgb[3];
} colour;

static double between(apq_rng *rng, double low, double high) {
    return low + (high - low) * apq_rng_uniform(rng);
}

static colour random_colour(apq_rng *rng) {
    colour c;
    for (int i = 0; i < 3; i++) {
        c.rgb[i] = between(rng, 20.0, 235.0);
    }
    return c;
}

static double colour_distance(const colour *a, const colour *b) {
    double sum = 0.0;
    for (int i = 0; i < 3; i++) {
        sum += fabs(a->rgb[i] - b->rgb[i]);
    }
    return sum;
}

typedef struct blob {
    double x, y, radius;
    bool is_bar; /* a thin rectangle */
    double cosine, sine;
    colour fill;
} blob;

typedef struct scene {
    colour low, high, ink; /* background gradient and shape */
    double x, y, radius;   /* of the shape; the image is 0 ... 1 */
    double cosine, sine;
    double gradient_x, gradient_y;
    double noise; /* standard deviation, bytes */
    blob blobs[N_BLOBS];
} scene;

static scene scene_draw(apq_rng *rng) {
    scene s;
    s.low = random_colour(rng);
    s.high = random_colour(rng);
    for (int i = 0; i < 3; i++) { /* a gentle gradient */
        s.high.rgb[i] = 0.65 * s.low.rgb[i] + 0.35 * s.high.rgb[i];
    }
    do { /* visible against both ends; one in a few colours is */
        s.ink = random_colour(rng);
    } while (colour_distance(&s.ink, &s.low) < 110.0 ||
             colour_distance(&s.ink, &s.high) < 110.0);
    s.radius = between(rng, 0.2, 0.42);
    s.x = between(rng, s.radius * 0.8, 1.0 - s.radius * 0.8);
    s.y = between(rng, s.radius * 0.8, 1.0 - s.radius * 0.8);
    double angle = between(rng, 0.0, two_pi);
    s.cosine = cos(angle);
    s.sine = sin(angle);
    angle = between(rng, 0.0, two_pi);
    s.gradient_x = cos(angle);
    s.gradient_y = sin(angle);
    s.noise = between(rng, 4.0, 18.0);
    for (int i = 0; i < N_BLOBS; i++) {
        blob *b = &s.blobs[i];
        b->x = apq_rng_uniform(rng);
        b->y = apq_rng_uniform(rng);
        b->radius = between(rng, 0.04, 0.11);
        b->is_bar = apq_rng_below(rng, 2) == 1;
        angle = between(rng, 0.0, two_pi);
        b->cosine = cos(angle);
        b->sine = sin(angle);
        b->fill = random_colour(rng);
    }
    return s;
}

static const colour *blob_at(const scene *s, double x, double y) {
    for (int i = 0; i < N_BLOBS; i++) {
        const blob *b = &s->blobs[i];
        double dx = x - b->x, dy = y - b->y;
        double u = b->cosine * dx + b->sine * dy;
        double v = b->cosine * dy - b->sine * dx;
        bool is_hit =
            b->is_bar ? fabs(u) < 3.0 * b->radius && fabs(v) < 0.3 * b->radius
                      : u * u + v * v < b->radius * b->radius;
        if (is_hit) {
            return &b->fill;
        }
    }
    return NULL;
}

static colour sample(const scene *s, inside_test *is_inside, double x,
                     double y) {
    double dx = (x - s->x) / s->radius, dy = (y - s->y) / s->radius;
    if (is_inside(s->cosine * dx + s->sine * dy,
                  s->cosine * dy - s->sine * dx)) {
        return s->ink;
    }
    const colour *fill = blob_at(s, x, y);
    if (fill != NULL) {
        return *fill;
    }
    double t =
        0.5 +
        0.5 * (s->gradient_x * (x - 0.5) + s->gradient_y * (y - 0.5)) * 1.4;
    colour c;
    for (int i = 0; i < 3; i++) {
        c.rgb[i] = s->low.rgb[i] + t * (s->high.rgb[i] - s->low.rgb[i]);
    }
    return c;
}

void apq_data_shapes_draw(uint64_t seed, uint64_t index, int side,
                          uint8_t *rgb) {
    apq_rng rng = apq_rng_make(seed, APQ_RNG_SHAPES, index);
    scene s = scene_draw(&rng);
    inside_test *is_inside = shapes[index % N_SHAPES].is_inside;
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            colour sum = {{0.0, 0.0, 0.0}};
            for (int k = 0; k < 4; k++) {
                colour c =
                    sample(&s, is_inside, (x + 0.25 + 0.5 * (k & 1)) / side,
                           (y + 0.25 + 0.5 * (k >> 1)) / side);
                for (int i = 0; i < 3; i++) {
                    sum.rgb[i] += 0.25 * c.rgb[i];
                }
            }
            for (int i = 0; i < 3; i++) {
                double v = sum.rgb[i] + s.noise * apq_rng_normal(&rng);
                v = v < 0.0 ? 0.0 : v > 255.0 ? 255.0 : v;
                *rgb++ = (uint8_t)lround(v);
            }
        }
    }
}

typedef struct shapes_option {
    const char *name;
    uint64_t value, low, high;
} shapes_option;

enum { OPTION_TRAIN, OPTION_TEST, OPTION_SIZE, OPTION_SEED, N_OPTIONS };

/* One NAME=NUMBER of the query; advances *at past it. */
static apq_status parse_option(const char *uri, const char **at,
                               shapes_option *options) {
    size_t n = strcspn(*at, "=&");
    for (int i = 0; i < N_OPTIONS; i++) {
        shapes_option *option = &options[i];
        if ((*at)[n] != '=' || strlen(option->name) != n ||
            memcmp(*at, option->name, n) != 0) {
            continue;
        }
        const char *digits = *at + n + 1;
        char *end = NULL;
        errno = 0;
        unsigned long long value = strtoull(digits, &end, 10);
        if (digits[0] < '0' || digits[0] > '9' || errno != 0 ||
            (*end != '\0' && *end != '&') || value < option->low ||
            value > option->high) {
            APQ_FAIL(APQ_ERR_ARG,
                     "%s: %s is \"%.*s\", not in %" PRIu64 "..%" PRIu64, uri,
                     option->name, (int)strcspn(digits, "&"), digits,
                     option->low, option->high);
        }
        option->value = value;
        *at = *end == '&' ? end + 1 : end;
        return APQ_OK;
    }
    APQ_FAIL(APQ_ERR_ARG,
             "%s: option \"%.*s\" is not one of train=, test=, size=, seed=",
             uri, (int)n, *at);
}

static apq_status add_images(const shapes_option *options, data_group group,
                             data_listing *listing) {
    bool is_test = group == DATA_GROUP_TEST;
    uint64_t n = options[is_test ? OPTION_TEST : OPTION_TRAIN].value;
    /* Test images come from their own range, whatever the counts; a multiple
     * of ten so that the class is still index % 10. */
    uint64_t first = is_test ? UINT64_C(10000000000) : 0;
    /* Class by class, the order that an image folder would give. */
    for (uint64_t k = 0; k < n * N_SHAPES; k++) {
        uint64_t label = k / n, i = k % n;
        if (i % N_SHAPES != label) {
            continue;
        }
        char path[64];
        (void)snprintf(path, sizeof path, "%s/%s/%06" PRIu64,
                       is_test ? "test" : "train", shapes[label].name, i);
        data_item *item = NULL;
        APQ_TRY(apq_data_listing_add(listing, path, &item));
        item->index = first + i;
        item->label = (int)label;
        item->width = item->height = (int)options[OPTION_SIZE].value;
        item->n_channels = 3;
        item->group = group;
        item->encoding = DATA_DRAWN;
    }
    return APQ_OK;
}

apq_status apq_data_shapes_list(const char *uri, data_listing *listing) {
    shapes_option options[N_OPTIONS] = {
        [OPTION_TRAIN] = {"train", 2000, 20, 1000000},
        [OPTION_TEST] = {"test", 500, 10, 1000000},
        [OPTION_SIZE] = {"size", 32, 8, 256},
        [OPTION_SEED] = {"seed", 1, 0, UINT64_MAX},
    };
    static const char name[] = "builtin:shapes";
    size_t n = strcspn(uri, "?");
    if (n != strlen(name) || memcmp(uri, name, n) != 0) {
        APQ_FAIL(APQ_ERR_ARG, "%s: the only built-in dataset is %s", uri, name);
    }
    const char *at = uri[n] == '?' ? uri + n + 1 : uri + n;
    while (*at != '\0') {
        APQ_TRY(parse_option(uri, &at, options));
    }
    listing->layout = "built-in shapes";
    listing->shapes_seed = options[OPTION_SEED].value;
    for (int c = 0; c < N_SHAPES; c++) {
        APQ_TRY(apq_data_listing_add_class(listing, shapes[c].name));
    }
    APQ_TRY(add_images(options, DATA_GROUP_TRAIN, listing));
    return add_images(options, DATA_GROUP_TEST, listing);
}
