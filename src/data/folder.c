/* ImageFolder: SPLIT/CLASS/NAME or CLASS/NAME, the layout of torchvision;
 * a class may have subfolders. Folders and archives share the rules in
 * apq_data_folder_assign. */
#include "data/data_internal.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 6 };

apq_status apq_data_entries_add(data_entries *entries, data_entry entry) {
    if (entries->n == entries->capacity) {
        size_t capacity = entries->capacity * 2 + 64;
        data_entry *grown =
            realloc(entries->list, capacity * sizeof *entries->list);
        if (grown == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "list of files: out of memory");
        }
        entries->list = grown;
        entries->capacity = capacity;
    }
    entry.path = strdup(entry.path);
    if (entry.path == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "list of files: out of memory");
    }
    entries->list[entries->n++] = entry;
    return APQ_OK;
}

void apq_data_entries_fini(data_entries *entries) {
    for (size_t i = 0; i < entries->n; i++) {
        free(entries->list[i].path);
        free(entries->list[i].bytes);
    }
    free(entries->list);
    *entries = (data_entries){0};
}

static apq_status scan(const char *root, const char *relative, int depth,
                       data_entries *entries);

static apq_status scan_name(const char *root, const char *relative,
                            const char *name, int depth,
                            data_entries *entries) {
    char path[APQ_PATH_MAX], full[APQ_PATH_MAX];
    if (relative[0] == '\0') {
        int n = snprintf(path, sizeof path, "%s", name);
        APQ_ASSERT(n > 0 && (size_t)n < sizeof path);
    } else {
        APQ_TRY(apq_path_join(path, relative, name));
    }
    APQ_TRY(apq_path_join(full, root, path));
    struct stat info;
    if (stat(full, &info) != 0) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot read: %s", full, strerror(errno));
    }
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: neither a file nor a folder", full);
    }
    data_entry entry = {.path = path,
                        .n_bytes = (size_t)info.st_size,
                        .is_folder = S_ISDIR(info.st_mode)};
    APQ_TRY(apq_data_entries_add(entries, entry));
    if (entry.is_folder) {
        if (depth == MAX_DEPTH) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: folders nested deeper than %d", full,
                     MAX_DEPTH);
        }
        APQ_TRY(scan(root, path, depth + 1, entries));
    }
    return APQ_OK;
}

static apq_status scan(const char *root, const char *relative, int depth,
                       data_entries *entries) {
    char full[APQ_PATH_MAX];
    if (relative[0] == '\0') {
        int n = snprintf(full, sizeof full, "%s", root);
        if (n < 0 || (size_t)n >= sizeof full) {
            APQ_FAIL(APQ_ERR_ARG, "%s: path too long", root);
        }
    } else {
        APQ_TRY(apq_path_join(full, root, relative));
    }
    DIR *folder = opendir(full);
    if (folder == NULL) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot open: %s", full, strerror(errno));
    }
    apq_status st = APQ_OK;
    for (struct dirent *d = readdir(folder); d != NULL && st == APQ_OK;
         d = readdir(folder)) {
        if (d->d_name[0] != '.') {
            st = scan_name(root, relative, d->d_name, depth, entries);
        }
    }
    (void)closedir(folder);
    return st;
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const data_entry *)a)->path, ((const data_entry *)b)->path);
}

/* Length of the first component; the whole length when there is no slash. */
static size_t first_component(const char *path) {
    return strcspn(path, "/");
}

static bool is_component(const char *path, size_t n, const char *name) {
    return n == strlen(name) && memcmp(path, name, n) == 0;
}

/* The group named by the first component, or -1. */
static int group_of(const char *path) {
    static const struct {
        const char *name;
        data_group group;
    } names[] = {
        {"train", DATA_GROUP_TRAIN}, {"val", DATA_GROUP_VAL},
        {"valid", DATA_GROUP_VAL},   {"validation", DATA_GROUP_VAL},
        {"test", DATA_GROUP_TEST},
    };
    size_t n = first_component(path);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (is_component(path, n, names[i].name)) {
            return (int)names[i].group;
        }
    }
    return -1;
}

/* Drops the entries without a path: what was the wrapper's own. */
static void drop_nameless(data_entries *entries) {
    size_t n = 0;
    for (size_t i = 0; i < entries->n; i++) {
        if (entries->list[i].path[0] != '\0') {
            entries->list[n++] = entries->list[i];
        } else {
            free(entries->list[i].path);
        }
    }
    entries->n = n;
}

/* An archive often wraps everything in one folder: drops it. */
static bool strip_wrapper(data_entries *entries) {
    if (entries->n == 0 || group_of(entries->list[0].path) >= 0) {
        return false;
    }
    const char *first = entries->list[0].path;
    size_t n = first_component(first);
    bool has_deep_file = false;
    for (size_t i = 0; i < entries->n; i++) {
        const char *path = entries->list[i].path;
        bool is_same = first_component(path) == n && !memcmp(path, first, n);
        if (!is_same || (path[n] == '\0' && !entries->list[i].is_folder)) {
            return false;
        }
        const char *rest = path + n + (path[n] == '/' ? 1 : 0);
        has_deep_file |= rest[first_component(rest)] == '/';
    }
    for (size_t i = 0; has_deep_file && i < entries->n; i++) {
        char *path = entries->list[i].path;
        size_t skip = n + (path[n] == '/' ? 1 : 0);
        memmove(path, path + skip, strlen(path + skip) + 1);
    }
    drop_nameless(entries);
    return has_deep_file;
}

typedef struct class_folder {
    size_t n_images[3]; /* per group */
    bool is_present[3]; /* the folder exists */
} class_folder;

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int find_class(const data_listing *listing, const char *name) {
    char *const *hit =
        listing->n_classes == 0
            ? NULL
            : bsearch(&name, listing->class_names, (size_t)listing->n_classes,
                      sizeof name, compare_names);
    return hit == NULL ? -1 : (int)(hit - listing->class_names);
}

/* Splits "train/cat/1.jpg" into its group, class name and the rest. With no
 * train folder every first component is a class. False: not in a class. */
static bool parse_entry(const char *path, bool has_train, int *group,
                        char name[APQ_PATH_MAX], const char **rest) {
    *group = DATA_GROUP_TRAIN;
    if (has_train) {
        *group = group_of(path);
        size_t n = first_component(path);
        if (*group < 0 || path[n] == '\0') {
            return false;
        }
        path += n + 1;
    }
    size_t n = first_component(path);
    if (n == 0 || n >= APQ_PATH_MAX) {
        return false;
    }
    memcpy(name, path, n);
    name[n] = '\0';
    *rest = path[n] == '/' ? path + n + 1 : path + n;
    return true;
}

/* Entries are sorted, but classes of train/ and test/ interleave. */
static apq_status collect_classes(const data_entries *entries, bool has_train,
                                  data_listing *listing) {
    char name[APQ_PATH_MAX], previous[APQ_PATH_MAX] = "";
    for (size_t i = 0; i < entries->n; i++) {
        const data_entry *entry = &entries->list[i];
        int group = 0;
        const char *rest = NULL;
        if (!parse_entry(entry->path, has_train, &group, name, &rest) ||
            (rest[0] == '\0' && !entry->is_folder) ||
            strcmp(name, previous) == 0) {
            continue;
        }
        (void)snprintf(previous, sizeof previous, "%s", name);
        if (find_class(listing, name) < 0) {
            APQ_TRY(apq_data_listing_add_class(listing, name));
            qsort(listing->class_names, (size_t)listing->n_classes,
                  sizeof *listing->class_names, compare_names);
        }
    }
    return APQ_OK;
}

static apq_status add_item(data_entry *entry, int label, int group,
                           data_listing *listing) {
    data_item *item = NULL;
    APQ_TRY(apq_data_listing_add(listing, entry->path, &item));
    item->label = label;
    item->group = (data_group)group;
    item->encoding = entry->bytes == NULL ? DATA_FILE : DATA_ENCODED;
    item->bytes = entry->bytes;
    item->n_bytes = entry->n_bytes;
    entry->bytes = NULL;
    return APQ_OK;
}

static apq_status report_empty_classes(const class_folder *classes,
                                       bool has_train, data_listing *listing) {
    static const char *const folders[3] = {"train/", "val/", "test/"};
    for (int c = 0; c < listing->n_classes; c++) {
        for (int g = 0; g < 3; g++) {
            bool is_needed = g == DATA_GROUP_TRAIN || classes[c].is_present[g];
            if (is_needed && classes[c].n_images[g] == 0) {
                char path[APQ_PATH_MAX];
                (void)snprintf(path, sizeof path, "%s%s",
                               has_train ? folders[g] : "",
                               listing->class_names[c]);
                APQ_TRY(apq_data_listing_add_defect(listing, path,
                                                    "class with no images"));
            }
        }
    }
    return APQ_OK;
}

static apq_status assign_items(data_entries *entries, bool has_train,
                               class_folder *classes, data_listing *listing) {
    char name[APQ_PATH_MAX];
    for (size_t i = 0; i < entries->n; i++) {
        data_entry *entry = &entries->list[i];
        int group = 0;
        const char *rest = NULL;
        if (!parse_entry(entry->path, has_train, &group, name, &rest)) {
            continue;
        }
        if (rest[0] == '\0' && !entry->is_folder) {
            if (has_train) { /* beside class folders at the top: a README */
                APQ_TRY(apq_data_listing_add_defect(listing, entry->path,
                                                    "not in a class folder"));
            }
            continue;
        }
        int label = find_class(listing, name);
        APQ_ASSERT(label >= 0);
        classes[label].is_present[group] = true;
        if (!entry->is_folder) {
            classes[label].n_images[group]++;
            APQ_TRY(add_item(entry, label, group, listing));
        }
    }
    return report_empty_classes(classes, has_train, listing);
}

apq_status apq_data_folder_assign(data_entries *entries, bool is_archive,
                                  data_listing *listing) {
    /* A folder is never unwrapped: its files are opened by their path. */
    while (is_archive && strip_wrapper(entries)) {
    }
    if (entries->n > 1) {
        qsort(entries->list, entries->n, sizeof *entries->list,
              compare_entries);
    }
    bool has_train = false, has_test = false;
    for (size_t i = 0; i < entries->n; i++) {
        const char *path = entries->list[i].path;
        size_t n = first_component(path);
        bool is_folder = path[n] == '/' || entries->list[i].is_folder;
        has_train |= is_folder && is_component(path, n, "train");
        has_test |= is_folder && is_component(path, n, "test");
    }
    APQ_TRY(collect_classes(entries, has_train, listing));
    class_folder *classes =
        calloc((size_t)listing->n_classes + 1, sizeof *classes);
    if (classes == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "list of classes: out of memory");
    }
    apq_status st = assign_items(entries, has_train, classes, listing);
    free(classes);
    if (has_train && !has_test) {
        for (size_t i = 0; i < listing->n_items; i++) {
            if (listing->items[i].group == DATA_GROUP_VAL) {
                listing->items[i].group = DATA_GROUP_TEST;
                listing->val_folder_as_test = true;
            }
        }
    }
    return st;
}

apq_status apq_data_folder_list(const char *path, data_listing *listing) {
    listing->layout = "image folder";
    data_entries entries = {0};
    apq_status st = scan(listing->root, "", 0, &entries);
    if (st == APQ_OK && entries.n == 0) {
        st = APQ_ERROR(APQ_ERR_FORMAT, "%s: folder is empty", path);
    }
    if (st == APQ_OK) {
        st = apq_data_folder_assign(&entries, false, listing);
    }
    apq_data_entries_fini(&entries);
    return st;
}
