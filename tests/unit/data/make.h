#ifndef APQ_TESTS_UNIT_DATA_MAKE_H
#define APQ_TESTS_UNIT_DATA_MAKE_H

#include "data/data.h"

/* Datasets written to a temporary folder. Failures end the test. */
enum { PATH_BYTES = 512 };

void make_temporary(char out[PATH_BYTES]);
void remove_tree(const char *path);
/* out = folder/name (printf-style); its parents are made. */
void path_in(char out[PATH_BYTES], const char *folder, const char *format, ...)
    APQ_PRINTF(3, 4);
void write_bytes(const char *path, const void *bytes, size_t n_bytes);
void write_png(const char *path, const uint8_t *rgb, int width, int height);
void write_jpeg(const char *path, const uint8_t *rgb, int width, int height);

/* SPLIT/CLASS/NNNNNN.png or .jpg of the training and test images. */
void write_folder(const char *folder, const apq_dataset *source, bool is_png);
/* Every file and folder below `folder`, named `prefix` + its path. */
void write_archive(const char *path, const char *filter, const char *folder,
                   const char *prefix);
void write_cifar(const char *folder, const apq_dataset *source,
                 bool is_cifar100);
/* The green channel. */
void write_idx(const char *folder, const apq_dataset *source, bool is_gzip);

/* Opens with n_val = 0 unless options are given. */
apq_dataset *must_open(const char *uri, const apq_data_options *options);

#endif
