#ifndef APQ_BASE_FILE_H
#define APQ_BASE_FILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { APQ_PATH_MAX = 4096, APQ_HASH_MAX = 17 };

/* Whole file into malloc'd memory with a terminating NUL not counted in
 * *n_bytes. "-" reads standard input. Pipes and devices give at most 1 GiB. */
APQ_NODISCARD apq_status apq_file_read(const char *path, char **bytes,
                                       size_t *n_bytes);

/* Replaces `path` with the bytes: temporary file beside it, fsync, rename,
 * fsync of the folder. On failure the old file is untouched and the temporary
 * is gone. A device or a pipe is written as it is. */
APQ_NODISCARD apq_status apq_file_write(const char *path, const void *bytes,
                                        size_t n_bytes);

/* Likewise a text; a line feed ends it in the file where it has none. */
APQ_NODISCARD apq_status apq_file_write_text(const char *path,
                                             const char *text);

/* Adds `line` and a line feed at the end of a file, made when missing, by one
 * write that is synchronised. What an earlier writer left unfinished, the rest
 * after the last line feed, is cut off first. Lines of 4095 bytes at most.
 * Errors: APQ_ERR_WRITE, APQ_ERR_IO; the file is as before. */
APQ_NODISCARD apq_status apq_file_append_line(const char *path,
                                              const char *line);

/* Can apq_file_write() make the file, as far as its folder tells? To be asked
 * before the work that fills it; NULL is fine. Errors: as apq_file_write(). */
APQ_NODISCARD apq_status apq_file_check_write(const char *path_or_null);

bool apq_file_exists(const char *path);
bool apq_dir_exists(const char *path);
/* Makes a folder and its parents; an existing one is fine. */
APQ_NODISCARD apq_status apq_dir_make(const char *path);
/* "a" + "b" -> "a/b"; fails when it does not fit in APQ_PATH_MAX. */
APQ_NODISCARD apq_status apq_path_join(char out[APQ_PATH_MAX], const char *a,
                                       const char *b);

/* XXH3-64 of bytes. */
uint64_t apq_hash64(const void *bytes, size_t n_bytes);
/* The same as 16 hexadecimal digits. */
void apq_hash_hex(const void *bytes, size_t n_bytes, char out[APQ_HASH_MAX]);
/* Of a file's content. */
APQ_NODISCARD apq_status apq_file_hash(const char *path,
                                       char out[APQ_HASH_MAX]);

#endif
