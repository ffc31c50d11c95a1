/* Writers of every layout that the data module reads. */
#include "unit/data/make.h"

#include "base/file.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <spng.h>
#include <turbojpeg.h>
#include <zlib.h>

#include <cmocka.h>

void make_temporary(char out[PATH_BYTES]) {
    const char *base = getenv("TMPDIR");
    (void)snprintf(out, PATH_BYTES, "%s/apq-data-XXXXXX",
                   base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(out));
}

static void child_of(char out[PATH_BYTES], const char *path, const char *name) {
    int n = snprintf(out, PATH_BYTES, "%s/%s", path, name);
    assert_true(n > 0 && n < PATH_BYTES);
}

void remove_tree(const char *path) {
    DIR *folder = opendir(path);
    if (folder != NULL) {
        for (struct dirent *d = readdir(folder); d != NULL;
             d = readdir(folder)) {
            if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0) {
                char child[PATH_BYTES];
                child_of(child, path, d->d_name);
                remove_tree(child);
            }
        }
        (void)closedir(folder);
    }
    assert_int_equal(remove(path), 0);
}

void path_in(char out[PATH_BYTES], const char *folder, const char *format,
             ...) {
    char name[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    child_of(out, folder, name);
    char *slash = strrchr(out, '/');
    *slash = '\0';
    assert_int_equal(apq_dir_make(out), APQ_OK);
    *slash = '/';
}

void write_bytes(const char *path, const void *bytes, size_t n_bytes) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(n_bytes == 0 || fwrite(bytes, n_bytes, 1, file) == 1);
    assert_int_equal(fclose(file), 0);
}

void write_png(const char *path, const uint8_t *rgb, int width, int height) {
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    assert_non_null(png);
    struct spng_ihdr header = {.width = (uint32_t)width,
                               .height = (uint32_t)height,
                               .bit_depth = 8,
                               .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    assert_int_equal(spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1), 0);
    assert_int_equal(spng_set_ihdr(png, &header), 0);
    assert_int_equal(spng_encode_image(png, rgb,
                                       (size_t)width * (size_t)height * 3,
                                       SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE),
                     0);
    size_t n_bytes = 0;
    int error = 0;
    void *bytes = spng_get_png_buffer(png, &n_bytes, &error);
    assert_non_null(bytes);
    write_bytes(path, bytes, n_bytes);
    free(bytes);
    spng_ctx_free(png);
}

void write_jpeg(const char *path, const uint8_t *rgb, int width, int height) {
    tjhandle jpeg = tjInitCompress();
    assert_non_null(jpeg);
    unsigned char *bytes = NULL;
    unsigned long n_bytes = 0;
    assert_int_equal(tjCompress2(jpeg, rgb, width, 0, height, TJPF_RGB, &bytes,
                                 &n_bytes, TJSAMP_444, 95, 0),
                     0);
    write_bytes(path, bytes, n_bytes);
    tjFree(bytes);
    (void)tjDestroy(jpeg);
}

static uint8_t *read_image(const apq_dataset *source, apq_split split,
                           size_t i) {
    size_t side = (size_t)apq_dataset_resolution(source);
    uint8_t *rgb = malloc(side * side * 3);
    assert_non_null(rgb);
    assert_int_equal(apq_dataset_image(source, split, i, rgb), APQ_OK);
    return rgb;
}

static const apq_split both[2] = {APQ_SPLIT_TRAIN, APQ_SPLIT_TEST};

void write_folder(const char *folder, const apq_dataset *source, bool is_png) {
    int side = apq_dataset_resolution(source);
    for (int s = 0; s < 2; s++) {
        for (size_t i = 0; i < apq_dataset_length(source, both[s]); i++) {
            int label = apq_dataset_label(source, both[s], i);
            char path[PATH_BYTES];
            path_in(path, folder, "%s/%s/%06zu.%s", s == 0 ? "train" : "test",
                    apq_dataset_class_name(source, label), i,
                    is_png ? "png" : "jpg");
            uint8_t *rgb = read_image(source, both[s], i);
            (is_png ? write_png : write_jpeg)(path, rgb, side, side);
            free(rgb);
        }
    }
}

static void archive_tree(struct archive *out, const char *path,
                         const char *name) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_perm(entry, 0755);
    bool is_folder = S_ISDIR(info.st_mode);
    archive_entry_set_filetype(entry, is_folder ? AE_IFDIR : AE_IFREG);
    archive_entry_set_size(entry, is_folder ? 0 : info.st_size);
    assert_int_equal(archive_write_header(out, entry), ARCHIVE_OK);
    archive_entry_free(entry);
    if (!is_folder) {
        char *bytes = NULL;
        size_t n_bytes = 0;
        assert_int_equal(apq_file_read(path, &bytes, &n_bytes), APQ_OK);
        assert_true(archive_write_data(out, bytes, n_bytes) ==
                    (la_ssize_t)n_bytes);
        free(bytes);
        return;
    }
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *d = readdir(folder); d != NULL; d = readdir(folder)) {
        if (d->d_name[0] != '.') {
            char child[PATH_BYTES], child_name[PATH_BYTES];
            child_of(child, path, d->d_name);
            child_of(child_name, name, d->d_name);
            archive_tree(out, child, child_name);
        }
    }
    (void)closedir(folder);
}

void write_archive(const char *path, const char *filter, const char *folder,
                   const char *prefix) {
    struct archive *out = archive_write_new();
    assert_non_null(out);
    assert_int_equal(archive_write_set_format_pax_restricted(out), ARCHIVE_OK);
    if (filter != NULL) {
        assert_int_equal(archive_write_add_filter_by_name(out, filter),
                         ARCHIVE_OK);
    }
    assert_int_equal(archive_write_open_filename(out, path), ARCHIVE_OK);
    archive_tree(out, folder, prefix);
    assert_int_equal(archive_write_close(out), ARCHIVE_OK);
    assert_int_equal(archive_write_free(out), ARCHIVE_OK);
}

void write_cifar(const char *folder, const apq_dataset *source,
                 bool is_cifar100) {
    static const char *const names[2][2] = {
        {"data_batch_1.bin", "test_batch.bin"}, {"train.bin", "test.bin"}};
    char path[PATH_BYTES];
    for (int s = 0; s < 2; s++) {
        path_in(path, folder, "%s", names[is_cifar100][s]);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        for (size_t i = 0; i < apq_dataset_length(source, both[s]); i++) {
            if (is_cifar100) {
                (void)fputc(77, file); /* the coarse label, not used */
            }
            (void)fputc(apq_dataset_label(source, both[s], i), file);
            uint8_t *rgb = read_image(source, both[s], i);
            for (size_t c = 0; c < 3; c++) {
                for (size_t k = 0; k < 1024; k++) {
                    (void)fputc(rgb[3 * k + c], file);
                }
            }
            free(rgb);
        }
        assert_int_equal(fclose(file), 0);
    }
    path_in(path, folder, "batches.meta.txt");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int c = 0; c < apq_dataset_classes(source); c++) {
        (void)fprintf(file, "%s\n", apq_dataset_class_name(source, c));
    }
    assert_int_equal(fclose(file), 0);
}

static void put_u32(gzFile file, size_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        (void)gzputc(file, (int)(value >> shift & 0xff));
    }
}

void write_idx(const char *folder, const apq_dataset *source, bool is_gzip) {
    static const char *const prefixes[2] = {"train", "t10k"};
    size_t side = (size_t)apq_dataset_resolution(source);
    for (int s = 0; s < 2; s++) {
        char path[PATH_BYTES];
        const char *end = is_gzip ? ".gz" : "";
        path_in(path, folder, "%s-images-idx3-ubyte%s", prefixes[s], end);
        gzFile images = gzopen(path, is_gzip ? "wb" : "wbT");
        path_in(path, folder, "%s-labels-idx1-ubyte%s", prefixes[s], end);
        gzFile labels = gzopen(path, is_gzip ? "wb" : "wbT");
        assert_non_null(images);
        assert_non_null(labels);
        size_t n = apq_dataset_length(source, both[s]);
        put_u32(images, 0x803);
        put_u32(images, n);
        put_u32(images, side);
        put_u32(images, side);
        put_u32(labels, 0x801);
        put_u32(labels, n);
        for (size_t i = 0; i < n; i++) {
            (void)gzputc(labels, apq_dataset_label(source, both[s], i));
            uint8_t *rgb = read_image(source, both[s], i);
            for (size_t k = 0; k < side * side; k++) {
                (void)gzputc(images, rgb[3 * k + 1]);
            }
            free(rgb);
        }
        assert_int_equal(gzclose(images), Z_OK);
        assert_int_equal(gzclose(labels), Z_OK);
    }
}

apq_dataset *must_open(const char *uri, const apq_data_options *options) {
    apq_data_options no_val = APQ_DATA_OPTIONS_INIT;
    no_val.n_val = 0;
    apq_dataset *dataset = NULL;
    if (apq_dataset_open(uri, options == NULL ? &no_val : options, &dataset) !=
        APQ_OK) {
        fail_msg("%s: %s", uri, apq_error_message());
    }
    return dataset;
}
