/* The word that a mistyped one was meant to be, by edit distance
 * (Levenshtein). */
#include "base/words.h"

#include <string.h>

enum { MAX_EDITS = 3 };

static size_t edit_distance(const char *a, const char *b) {
    size_t row[64];
    size_t n = strlen(b);
    if (n >= sizeof row / sizeof row[0]) {
        return n;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t shorter = row[j] < row[j - 1] ? row[j] : row[j - 1];
            row[j] = change < shorter + 1 ? change : shorter + 1;
        }
    }
    return row[n];
}

/* A third of the longer word, rounded up: of "nope" and "cpu" more would be
 * allowed than they have in common. */
static size_t most_edits(const char *a, const char *b) {
    size_t n_a = strlen(a), n_b = strlen(b);
    size_t n = ((n_a > n_b ? n_a : n_b) + 2) / 3;
    return n < MAX_EDITS ? n : MAX_EDITS;
}

const char *apq_nearest_word(const char *word, const char *const *candidates) {
    const char *best = NULL;
    size_t best_distance = MAX_EDITS + 1;
    for (; *candidates != NULL; candidates++) {
        size_t d = edit_distance(word, *candidates);
        if (d < best_distance && d <= most_edits(word, *candidates)) {
            best_distance = d;
            best = *candidates;
        }
    }
    return best;
}
