#ifndef APQ_CLI_BENCH_PRINT_H
#define APQ_CLI_BENCH_PRINT_H

#include <jansson.h>

/* The document of `apq bench KIND` as tables on standard output: a heading of
 * what all rows share, then a table for each sort of row. `kind` is a word that
 * the command takes. */
void apq_bench_print(const char *kind, const json_t *document);

#endif
