#ifndef APQ_BASE_WORDS_H
#define APQ_BASE_WORDS_H

/* The candidate nearest to `word` in edit distance, or NULL when none is
 * near: within 3 edits, and within a third of the letters of the longer of
 * both. Candidates end with NULL. */
const char *apq_nearest_word(const char *word, const char *const *candidates);

#endif
