/* What was made and of what: exports with their checks, hashes of the steps and
 * of the artefacts, and how to make them again. */
#include "report/document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *object, const char *key) {
    return apq_document_number(object, key);
}

/* Members of a manifest as "key" and value; those of an object in it as
 * "object.key". Lists are counted. */
static void put_members(apq_table *table, const char *folder,
                        const char *prefix, json_t *object) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        char name[256];
        (void)snprintf(name, sizeof name, "%s%s%s", prefix,
                       prefix[0] == '\0' ? "" : ".", key);
        if (json_is_object(value) && prefix[0] == '\0') {
            put_members(table, folder, name, value);
            continue;
        }
        apq_table_cell(table, "%s", folder);
        apq_table_cell(table, "%s", name);
        if (json_is_string(value)) {
            apq_table_cell(table, "%s", json_string_value(value));
        } else if (json_is_integer(value)) {
            apq_table_cell(table, "%" JSON_INTEGER_FORMAT,
                           json_integer_value(value));
        } else if (json_is_real(value)) {
            apq_table_cell(table, "%.6g", json_real_value(value));
        } else if (json_is_boolean(value)) {
            apq_table_cell(table, "%s", json_is_true(value) ? "yes" : "no");
        } else if (json_is_array(value)) {
            apq_table_cell(table, "%zu entries", json_array_size(value));
        } else {
            apq_table_cell(table, "%s", "-");
        }
    }
}

void apq_section_exports(const json_t *root, apq_page *page) {
    const json_t *exports = json_object_get(root, "exports");
    if (!json_is_array(exports)) {
        return;
    }
    apq_page_heading(page, "Exports");
    apq_table *table = apq_table_create("folder|member|value");
    size_t i;
    json_t *row;
    json_array_foreach(exports, i, row) {
        if (table != NULL) {
            put_members(table, apq_document_text(row, "folder", ""), "",
                        json_object_get(row, "manifest"));
        }
    }
    apq_page_table(page, table);
}

static void put_steps(json_t *steps, apq_page *page) {
    if (!json_is_object(steps) || json_object_size(steps) == 0) {
        apq_page_put(page, "Hashes of the steps: %s.", apq_not_recorded);
        apq_page_end(page);
        return;
    }
    apq_table *table = apq_table_create("finished step|input|artefact");
    const char *name;
    json_t *step;
    json_object_foreach(steps, name, step) {
        if (table != NULL) {
            apq_table_cell(table, "%s", name);
            apq_table_cell(table, "%s", apq_document_text(step, "input", ""));
            apq_table_cell(table, "%s",
                           apq_document_text(step, "artefact", ""));
        }
    }
    apq_page_table(page, table);
}

static void put_files(const json_t *files, apq_page *page) {
    if (json_array_size(files) == 0) {
        return;
    }
    apq_page_put(page, "%s", "What the directory holds:");
    apq_page_end(page);
    apq_table *table = apq_table_create("file|>bytes|hash (XXH3-64)");
    size_t i;
    const json_t *row;
    json_array_foreach(files, i, row) {
        if (table != NULL) {
            apq_table_cell(table, "%s", apq_document_text(row, "name", ""));
            apq_cell_fixed(table, number(row, "bytes"), 0, "");
            apq_table_cell(table, "%s", apq_document_text(row, "hash", ""));
        }
    }
    apq_page_table(page, table);
}

/* The recipe is long: pages have it, Markdown names the file. */
static void put_recipe(const json_t *root, apq_page *page) {
    const json_t *recipe =
        json_object_get(json_object_get(root, "asked"), "recipe");
    if (!json_is_object(recipe)) {
        return;
    }
    apq_page_put(page, "%s",
                 "The same again: save the recipe, `run.json` of the directory,"
                 " and run `apq run run.json --run OTHER`. At the same number"
                 " of threads the artefacts have the same hashes.");
    apq_page_end(page);
    char *text =
        apq_page_is_html(page)
            ? json_dumps(recipe, JSON_INDENT(2) | JSON_REAL_PRECISION(12))
            : NULL;
    if (text != NULL) {
        apq_page_code(page, text);
    }
    free(text);
}

static void put_program(json_t *program, apq_page *page) {
    apq_page_put(page, "Reported by apq %s",
                 apq_document_text(program, "apq", apq_not_recorded));
    const char *name;
    json_t *version;
    json_object_foreach(json_object_get(program, "build"), name, version) {
        if (apq_page_is_html(page) && json_is_string(version)) {
            apq_page_put(page, ", %s %s", name, json_string_value(version));
        }
    }
    apq_page_put(page, "%s", ".");
    apq_page_end(page);
}

static void put_problems(const json_t *problems, apq_page *page) {
    if (json_array_size(problems) == 0) {
        return;
    }
    apq_table *table = apq_table_create("could not be read, and is left out");
    size_t i;
    const json_t *problem;
    json_array_foreach(problems, i, problem) {
        if (table != NULL) {
            apq_table_cell(table, "%s", json_string_value(problem));
        }
    }
    apq_page_table(page, table);
}

void apq_section_provenance(const json_t *root, apq_page *page) {
    apq_page_heading(page, "Provenance");
    put_problems(json_object_get(root, "problems"), page);
    put_steps(json_object_get(json_object_get(root, "provenance"), "steps"),
              page);
    put_files(json_object_get(root, "files"), page);
    put_recipe(root, page);
    put_program(json_object_get(root, "program"), page);
}
