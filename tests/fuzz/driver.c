/* Runs a target without libFuzzer: files that are named, or its seeds and
 * mutations of them drawn by number, the same every time. A finding ends the
 * program; with --keep the file then holds the bytes that did it. */
#include "fuzz/fuzz.h"

#include "base/file.h"
#include "base/rng.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SEEDS = 256, MAX_BYTES = 1 << 20, MAX_CHANGES = 6 };

typedef struct input {
    uint8_t *bytes;
    size_t n;
} input;

typedef struct seed_list {
    input list[MAX_SEEDS];
    size_t n;
} seed_list;

static void add_seed(void *ctx, const void *bytes, size_t n_bytes) {
    seed_list *seeds = ctx;
    FUZZ_CHECK(seeds->n < MAX_SEEDS && n_bytes <= MAX_BYTES);
    seeds->list[seeds->n++] =
        (input){(uint8_t *)fuzz_text(bytes, n_bytes), n_bytes};
}

/* Mutations --------------------------------------------------------------- */

static size_t below(apq_rng *rng, size_t n) {
    return n == 0 ? 0 : apq_rng_below(rng, (uint32_t)n);
}

/* Replaces `gone` bytes at `at` by `n` others, which may be of `x`; as many as
 * there is room for. */
static void splice(input *x, size_t at, size_t gone, const uint8_t *bytes,
                   size_t n) {
    uint8_t copy[256];
    n = n < sizeof copy ? n : sizeof copy;
    gone = gone < x->n - at ? gone : x->n - at;
    if (x->n - gone + n > MAX_BYTES) {
        return;
    }
    if (n > 0) {
        memcpy(copy, bytes, n);
    }
    memmove(x->bytes + at + n, x->bytes + at + gone, x->n - at - gone);
    memcpy(x->bytes + at, copy, n);
    x->n = x->n - gone + n;
}

/* Length of the number that stands at or after *at; *at is moved to it. */
static size_t find_number(const input *x, size_t *at) {
    static const char digits[] = "0123456789.+-eE";
    while (*at < x->n && (x->bytes[*at] < '0' || x->bytes[*at] > '9')) {
        ++*at;
    }
    size_t n = 0;
    while (*at + n < x->n && x->bytes[*at + n] != '\0' &&
           strchr(digits, x->bytes[*at + n]) != NULL) {
        n++;
    }
    return n;
}

static void change_number(input *x, size_t at, apq_rng *rng) {
    static const char *const numbers[] = {
        "0",          "-1",    "1",          "2",
        "255",        "256",   "65536",      "2147483647",
        "2147483648", "1e30",  "-0.0",       "9223372036854775807",
        "1e-30",      "1e308", "4294967295", "18446744073709551616",
        "0.5",        "7",     "32768",      "null",
    };
    const char *text = numbers[below(rng, sizeof numbers / sizeof numbers[0])];
    size_t n = find_number(x, &at);
    splice(x, at, n, (const uint8_t *)text, strlen(text));
}

static void change(input *x, const seed_list *seeds, apq_rng *rng) {
    static const uint8_t extremes[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff, '"', '\n'};
    size_t at = below(rng, x->n);
    const input *other = &seeds->list[below(rng, seeds->n)];
    size_t from = below(rng, other->n);
    uint8_t some[4];
    for (size_t i = 0; i < sizeof some; i++) {
        some[i] = (uint8_t)apq_rng_below(rng, 256);
    }
    switch (apq_rng_below(rng, 10)) {
    case 0:
    case 1: /* one bit */
        if (x->n > 0) {
            x->bytes[at] ^= (uint8_t)(1U << apq_rng_below(rng, 8));
        }
        return;
    case 2:
        splice(x, at, 1, &extremes[below(rng, sizeof extremes)], 1);
        return;
    case 3: /* cut short */
        x->n = at;
        return;
    case 4: /* a hole */
        splice(x, at, 1 + below(rng, 64), NULL, 0);
        return;
    case 5: /* once more */
        splice(x, at, 0, x->bytes + at, below(rng, x->n - at));
        return;
    case 6: /* a part of another */
        splice(x, at, below(rng, 64), other->bytes + from,
               below(rng, other->n - from));
        return;
    case 7:
        splice(x, at, below(rng, 2) * sizeof some, some, sizeof some);
        return;
    default:
        change_number(x, at, rng);
    }
}

/* Runs -------------------------------------------------------------------- */

static void run(const input *x, const char *keep) {
    if (keep != NULL) {
        fuzz_write(keep, x->bytes, x->n);
    }
    /* A copy of its own size, so that reading beyond it is seen. */
    uint8_t *exact = malloc(x->n > 0 ? x->n : 1);
    FUZZ_CHECK(exact != NULL);
    memcpy(exact, x->bytes, x->n);
    (void)LLVMFuzzerTestOneInput(exact, x->n);
    free(exact);
}

/* Seeds that are mostly refused would test little. */
static void run_seeds(const seed_list *seeds, const char *keep) {
    for (size_t i = 0; i < seeds->n; i++) {
        run(&seeds->list[i], keep);
    }
    FUZZ_CHECK(2 * fuzz_n_taken() >= seeds->n);
}

static void run_mutations(const seed_list *seeds, uint64_t n_runs,
                          const char *keep) {
    input x = {.bytes = malloc(MAX_BYTES)};
    FUZZ_CHECK(x.bytes != NULL);
    for (uint64_t i = 0; i < n_runs; i++) {
        apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, i);
        const input *seed = &seeds->list[i % seeds->n];
        memcpy(x.bytes, seed->bytes, seed->n);
        x.n = seed->n;
        /* Mostly few: what differs much is refused at once. */
        uint32_t most = apq_rng_below(&rng, MAX_CHANGES) + 1;
        for (uint32_t k = apq_rng_below(&rng, most) + 1; k > 0; k--) {
            change(&x, seeds, &rng);
        }
        run(&x, keep);
    }
    free(x.bytes);
}

static void run_file(const char *path) {
    char *bytes = NULL;
    input x = {.n = 0};
    FUZZ_CHECK(apq_file_read(path, &bytes, &x.n) == APQ_OK);
    x.bytes = (uint8_t *)bytes;
    run(&x, NULL);
    free(bytes);
}

/* A file, or all files of a folder. */
static void run_path(const char *path) {
    DIR *folder = opendir(path);
    if (folder == NULL) {
        run_file(path);
        return;
    }
    for (struct dirent *d = readdir(folder); d != NULL; d = readdir(folder)) {
        char file[APQ_PATH_MAX];
        if (d->d_name[0] != '.' &&
            apq_path_join(file, path, d->d_name) == APQ_OK) {
            run_file(file);
        }
    }
    (void)closedir(folder);
}

static void write_seeds(const seed_list *seeds, const char *folder) {
    FUZZ_CHECK(apq_dir_make(folder) == APQ_OK);
    for (size_t i = 0; i < seeds->n; i++) {
        char path[APQ_PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/seed-%zu", folder, i);
        fuzz_write(path, seeds->list[i].bytes, seeds->list[i].n);
    }
}

int main(int argc, char **argv) {
    uint64_t n_runs = FUZZ_RUNS;
    const char *keep = NULL, *folder = NULL;
    int first = 1;
    for (; first + 1 < argc && strncmp(argv[first], "--", 2) == 0; first += 2) {
        const char *value = argv[first + 1];
        if (strcmp(argv[first], "--runs") == 0) {
            n_runs = strtoull(value, NULL, 10);
        } else if (strcmp(argv[first], "--keep") == 0) {
            keep = value;
        } else if (strcmp(argv[first], "--seeds") == 0) {
            folder = value;
        }
    }
    if (first < argc && argv[first][0] == '-') {
        (void)fprintf(stderr,
                      "usage: %s [--runs N] [--keep FILE] [--seeds FOLDER] "
                      "[FILE or FOLDER ...]\n",
                      argv[0]);
        return 2;
    }
    for (int i = first; i < argc; i++) {
        run_path(argv[i]);
    }
    if (first < argc) {
        return 0;
    }
    seed_list *seeds = calloc(1, sizeof *seeds);
    FUZZ_CHECK(seeds != NULL);
    fuzz_seeds(add_seed, seeds);
    FUZZ_CHECK(seeds->n > 0);
    if (folder != NULL) {
        write_seeds(seeds, folder);
    } else {
        run_seeds(seeds, keep);
        run_mutations(seeds, n_runs, keep);
        (void)printf("%zu seeds, %llu mutations, %zu readings succeeded\n",
                     seeds->n, (unsigned long long)n_runs, fuzz_n_taken());
    }
    for (size_t i = 0; i < seeds->n; i++) {
        free(seeds->list[i].bytes);
    }
    free(seeds);
    return 0;
}
