/* An ImageFolder in a tar, tar.gz or tar.zst, streamed once by libarchive.
 * The encoded files stay in memory, so an archive has a size limit. */
#include "data/data_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

static const size_t max_file_bytes = (size_t)1 << 28;
static const size_t max_total_bytes = (size_t)4 << 30;

/* Any part that starts with a dot hides the entry, as in a folder. */
static bool is_hidden(const char *path) {
    for (const char *p = path; p != NULL; p = strchr(p, '/')) {
        p += *p == '/' ? 1 : 0;
        if (*p == '.') {
            return true;
        }
    }
    return false;
}

static apq_status read_content(struct archive *in, const char *archive,
                               data_entry *entry) {
    if (entry->n_bytes > max_file_bytes) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "%s/%s: %zu bytes, not in 0..%zu",
                 archive, entry->path, entry->n_bytes, max_file_bytes);
    }
    entry->bytes = malloc(entry->n_bytes + 1);
    if (entry->bytes == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", archive);
    }
    la_ssize_t n = archive_read_data(in, entry->bytes, entry->n_bytes);
    if (n < 0 || (size_t)n != entry->n_bytes) {
        const char *why = archive_error_string(in);
        APQ_FAIL(APQ_ERR_FORMAT, "%s/%s: archive is damaged: %s", archive,
                 entry->path, why == NULL ? "entry ends early" : why);
    }
    return APQ_OK;
}

static apq_status add_entry(struct archive *in, const char *archive,
                            struct archive_entry *header, size_t *n_total,
                            data_entries *entries) {
    const char *name = archive_entry_pathname(header);
    if (name == NULL) {
        return APQ_OK;
    }
    while (strncmp(name, "./", 2) == 0 || name[0] == '/') {
        name += name[0] == '/' ? 1 : 2;
    }
    unsigned type = archive_entry_filetype(header);
    if (name[0] == '\0' || is_hidden(name) ||
        (type != AE_IFREG && type != AE_IFDIR)) {
        return APQ_OK;
    }
    char *path = strdup(name);
    if (path == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", archive);
    }
    size_t length = strlen(path);
    if (path[length - 1] == '/') {
        path[length - 1] = '\0';
    }
    data_entry entry = {.path = path, .is_folder = type == AE_IFDIR};
    apq_status st = APQ_OK;
    if (!entry.is_folder) {
        entry.n_bytes = (size_t)archive_entry_size(header);
        st = read_content(in, archive, &entry);
        *n_total += entry.n_bytes;
    }
    if (st == APQ_OK && *n_total > max_total_bytes) {
        st = APQ_ERROR(APQ_ERR_UNSUPPORTED,
                       "%s: holds more than 4 GiB of images, extract it and "
                       "give the folder",
                       archive);
    }
    if (st == APQ_OK) {
        st = apq_data_entries_add(entries, entry);
    }
    if (st != APQ_OK) {
        free(entry.bytes);
    }
    free(path);
    return st;
}

static apq_status read_archive(struct archive *in, const char *path,
                               data_entries *entries) {
    /* Not all that libarchive has: some run a program on the file. */
    if (archive_read_support_filter_gzip(in) < ARCHIVE_WARN ||
        archive_read_support_filter_bzip2(in) < ARCHIVE_WARN ||
        archive_read_support_filter_xz(in) < ARCHIVE_WARN ||
        archive_read_support_filter_zstd(in) < ARCHIVE_WARN ||
        archive_read_support_format_tar(in) != ARCHIVE_OK) {
        APQ_FAIL(APQ_ERR_EXTERNAL, "%s: libarchive: %s", path,
                 archive_error_string(in));
    }
    if (archive_read_open_filename(in, path, (size_t)1 << 18) != ARCHIVE_OK) {
        int code = archive_errno(in);
        bool is_io = code == EACCES || code == ENOENT || code == EIO;
        APQ_FAIL(is_io ? APQ_ERR_IO : APQ_ERR_FORMAT,
                 "%s: cannot open as an archive: %s", path,
                 archive_error_string(in));
    }
    size_t n_total = 0;
    for (;;) {
        struct archive_entry *header = NULL;
        int code = archive_read_next_header(in, &header);
        if (code == ARCHIVE_EOF) {
            return APQ_OK;
        }
        if (code != ARCHIVE_OK) {
            const char *why = archive_error_string(in);
            APQ_FAIL(APQ_ERR_FORMAT,
                     "%s: not a sound tar, tar.gz or tar.zst archive: %s", path,
                     why == NULL ? "damaged entry" : why);
        }
        APQ_TRY(add_entry(in, path, header, &n_total, entries));
    }
}

apq_status apq_data_archive_list(const char *path, data_listing *listing) {
    listing->layout = "archive of an image folder";
    struct archive *in = archive_read_new();
    if (in == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
    }
    data_entries entries = {0};
    apq_status st = read_archive(in, path, &entries);
    (void)archive_read_free(in);
    if (st == APQ_OK && entries.n == 0) {
        st = APQ_ERROR(APQ_ERR_FORMAT, "%s: archive is empty", path);
    }
    if (st == APQ_OK) {
        st = apq_data_folder_assign(&entries, true, listing);
    }
    apq_data_entries_fini(&entries);
    return st;
}
