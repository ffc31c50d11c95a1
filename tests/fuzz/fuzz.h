#ifndef APQ_TESTS_FUZZ_FUZZ_H
#define APQ_TESTS_FUZZ_FUZZ_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One reader a file, run by libFuzzer (-DAPQ_FUZZ=ON) or by driver.c: bytes
 * that a file may hold go in, and whatever they are, the reader gives a right
 * result or one clear line. Each file defines the two functions below. */

/* Reads the bytes; aborts where the reader breaks a promise. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Hands small sound files to `give`, which copies them. */
typedef void fuzz_give(void *ctx, const void *bytes, size_t n_bytes);
void fuzz_seeds(fuzz_give *give, void *ctx);

/* Support ----------------------------------------------------------------- */

/* Ends the program, as a sanitizer does: a finding. */
#define FUZZ_CHECK(expr)                                                       \
    ((expr) ? (void)0 : fuzz_fail(#expr, __FILE__, __LINE__))
_Noreturn void fuzz_fail(const char *what, const char *file, int line);

/* Whether the reader took the bytes. A finding where it did not and says so
 * in no line or in several, or ran out of memory. */
bool fuzz_took(apq_status st);
/* How often it was true. */
size_t fuzz_n_taken(void);

/* A file of that name in the scratch folder, which goes when the program
 * ends; static storage for a few calls. */
const char *fuzz_path(const char *name);
/* Removes what is below the folder `name` of the scratch folder and makes it
 * anew, empty; its path as above. */
const char *fuzz_fresh_folder(const char *name);
void fuzz_write(const char *path, const void *bytes, size_t n_bytes);
/* NUL-terminated copy; free() it. */
char *fuzz_text(const uint8_t *data, size_t size);

/* The file as a seed. */
void fuzz_give_file(const char *path, fuzz_give *give, void *ctx);
/* A tensor file as a seed, and once more without its checksum, so that changed
 * data are read, too. */
void fuzz_give_tensors(const char *path, fuzz_give *give, void *ctx);

#endif
