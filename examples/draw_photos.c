/* Pictures for docs/tutorial.md where there are no photos: boats, houses, suns
 * and trees over a horizon, as JPEG files of several sizes, a folder a class.
 *   draw_photos FOLDER IMAGES_A_CLASS */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <turbojpeg.h>

enum { MAX_SIDE = 96, N_CLASSES = 4, N_BLOTS = 4, QUALITY = 90 };

typedef struct colour {
    double rgb[3];
} colour;

typedef struct blot {
    double x, y, radius;
    colour fill;
} blot;

/* The picture is 0 ... 1, y down. */
typedef struct scene {
    double x, y, size, horizon;
    colour sky, ground, first, second;
    blot blots[N_BLOTS]; /* in front of everything */
} scene;

/* What of a thing is at a place in its own units: 0 nothing, 1 the first of
 * its colours, 2 the second. */
typedef int paint(double x, double y);

static int paint_boat(double x, double y) {
    double edge = 0.9 - (y - 0.3);
    bool is_hull = y > 0.3 && y < 0.7 && x < edge && x > -edge;
    bool is_sail = y > -0.9 && y < 0.2 && x > -0.1 && x < 0.5 * (y + 0.9);
    return is_hull ? 1 : is_sail ? 2 : 0;
}

static int paint_house(double x, double y) {
    double edge = 1.4 * (y + 0.7);
    bool is_wall = y > 0 && y < 0.8 && x > -0.7 && x < 0.7;
    bool is_roof = y > -0.7 && y <= 0 && x < edge && x > -edge;
    return is_wall ? 1 : is_roof ? 2 : 0;
}

static int paint_sun(double x, double y) {
    double square = x * x + y * y;
    return square < 0.4 ? 1 : square < 0.6 ? 2 : 0;
}

static int paint_tree(double x, double y) {
    bool is_crown = x * x + (y + 0.4) * (y + 0.4) < 0.4;
    bool is_trunk = y < 0.9 && y > 0 && x > -0.15 && x < 0.15;
    return is_crown ? 1 : is_trunk ? 2 : 0;
}

static const struct {
    const char *name;
    paint *paint;
    colour first, second; /* usually */
} classes[N_CLASSES] = {
    {"boat", paint_boat, {{130, 70, 60}}, {{220, 220, 210}}},
    {"house", paint_house, {{200, 180, 150}}, {{160, 70, 60}}},
    {"sun", paint_sun, {{220, 200, 90}}, {{220, 160, 80}}},
    {"tree", paint_tree, {{70, 120, 60}}, {{110, 80, 60}}},
};

/* 0 ... 1, from a generator of 64 bits (Knuth's constants). */
static double draw(uint64_t *state) {
    *state =
        *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(*state >> 40) / (double)(1 << 24);
}

static double between(uint64_t *state, double low, double high) {
    return low + (high - low) * draw(state);
}

static colour near(uint64_t *state, colour c) {
    for (int i = 0; i < 3; i++) {
        c.rgb[i] += between(state, -90, 90);
    }
    return c;
}

static scene make_scene(uint64_t *state, int label) {
    static const colour grey = {{128, 128, 128}};
    scene s;
    s.horizon = between(state, 0.4, 0.8);
    s.x = between(state, 0.3, 0.7);
    s.y = between(state, 0.3, 0.7);
    s.size = between(state, 0.25, 0.4);
    s.sky = near(state, grey);
    s.ground = near(state, grey);
    s.first = near(state, classes[label].first);
    s.second = near(state, classes[label].second);
    for (int i = 0; i < N_BLOTS; i++) {
        blot *b = &s.blots[i];
        b->x = draw(state);
        b->y = draw(state);
        b->radius = between(state, 0.02, 0.1);
        b->fill = near(state, grey);
    }
    return s;
}

static const colour *colour_at(const scene *s, int label, double x, double y) {
    for (int i = 0; i < N_BLOTS; i++) {
        const blot *b = &s->blots[i];
        double dx = x - b->x, dy = y - b->y;
        if (dx * dx + dy * dy < b->radius * b->radius) {
            return &b->fill;
        }
    }
    int part = classes[label].paint((x - s->x) / s->size, (y - s->y) / s->size);
    if (part > 0) {
        return part == 1 ? &s->first : &s->second;
    }
    return y < s->horizon ? &s->sky : &s->ground;
}

static void paint_scene(uint64_t *state, int label, int width, int height,
                        uint8_t *rgb) {
    const scene s = make_scene(state, label);
    for (int i = 0; i < width * height; i++) {
        double x = (i % width + 0.5) / width, y = (i / width + 0.5) / height;
        const colour *c = colour_at(&s, label, x, y);
        for (int k = 0; k < 3; k++) {
            double v = c->rgb[k] + between(state, -30, 30);
            *rgb++ = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

static bool write_file(const char *path, const uint8_t *bytes, size_t n) {
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return false;
    }
    size_t n_written = fwrite(bytes, 1, n, file);
    return fclose(file) == 0 && n_written == n;
}

static bool make_folder(const char *path) {
    return mkdir(path, 0777) == 0 || errno == EEXIST;
}

/* Image i of a class; its size and everything in it follow from the two. */
static bool write_photo(tjhandle jpeg, const char *folder, int label, int i) {
    uint8_t rgb[3 * MAX_SIDE * MAX_SIDE];
    char path[4096];
    unsigned char *bytes = NULL;
    unsigned long n = 0;
    uint64_t state = (uint64_t)i * N_CLASSES + (uint64_t)label + 1;
    for (int k = 0; k < 8; k++) { /* away from the seed */
        (void)draw(&state);
    }
    int width = 64 + (int)(32 * draw(&state));
    int height = 64 + (int)(32 * draw(&state));
    paint_scene(&state, label, width, height, rgb);
    (void)snprintf(path, sizeof path, "%s/%s/%04d.jpg", folder,
                   classes[label].name, i);
    bool is_written = tjCompress2(jpeg, rgb, width, 0, height, TJPF_RGB, &bytes,
                                  &n, TJSAMP_420, QUALITY, 0) == 0 &&
                      write_file(path, bytes, n);
    tjFree(bytes);
    if (!is_written) {
        fprintf(stderr, "draw_photos: cannot write %s\n", path);
    }
    return is_written;
}

static bool write_class(tjhandle jpeg, const char *folder, int label, int n) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, classes[label].name);
    if (!make_folder(folder) || !make_folder(path)) {
        fprintf(stderr, "draw_photos: cannot make %s\n", path);
        return false;
    }
    bool is_written = true;
    for (int i = 0; i < n && is_written; i++) {
        is_written = write_photo(jpeg, folder, label, i);
    }
    return is_written;
}

int main(int argc, char **argv) {
    int n = argc == 3 ? atoi(argv[2]) : 0;
    if (n < 1 || n > 9999) {
        fprintf(stderr, "usage: draw_photos FOLDER IMAGES_A_CLASS\n");
        return EXIT_FAILURE;
    }
    tjhandle jpeg = tjInitCompress();
    bool is_written = jpeg != NULL;
    for (int label = 0; label < N_CLASSES && is_written; label++) {
        is_written = write_class(jpeg, argv[1], label, n);
    }
    if (jpeg != NULL) {
        tjDestroy(jpeg);
    }
    return is_written ? EXIT_SUCCESS : EXIT_FAILURE;
}
