#ifndef APQ_APP_SEARCH_SAVER_H
#define APQ_APP_SEARCH_SAVER_H

#include "base/file.h"
#include "search/driver.h"

/* Keeps a search in a file of a run directory. */
typedef struct apq_search_file {
    apq_search_saver base; /* for apq_driver_options */
    char dir[APQ_PATH_MAX], path[APQ_PATH_MAX];
    char key[APQ_HASH_MAX];
} apq_search_file;

/* `name` is that of the file, `key` of the search's input. Fills *out; points
 * into itself, so it must not be copied. */
APQ_NODISCARD apq_status apq_search_file_init(apq_search_file *out,
                                              const char *run_dir,
                                              const char *name, const char *key,
                                              double interval_s);
/* After the result is written. A missing file is fine. */
void apq_search_file_remove(const apq_search_file *file);

#endif
