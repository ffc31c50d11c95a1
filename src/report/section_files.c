/* What was made and of what: exports with their checks, hashes of the steps and
 * of the artefacts, and how to make them again. */
#include "report/document.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *object, const char *key) {
    return apq_document_number(object, key);
}

/* Whether the report's artefacts hold the network that the export is of. */
static bool is_of_present(const json_t *files, const json_t *manifest) {
    const char *hash =
        apq_document_text(json_object_get(manifest, "source"), "hash", NULL);
    bool is_known = false;
    size_t i;
    const json_t *row;
    json_array_foreach(files, i, row) {
        is_known =
            is_known || (hash != NULL &&
                         strcmp(apq_document_text(row, "hash", ""), hash) == 0);
    }
    return is_known;
}

static void put_verdict(apq_table *table, const json_t *check) {
    const char *layer = apq_document_text(check, "first_layer", NULL);
    const char *no_layer = apq_document_text(check, "no_first_layer", NULL);
    const char *difference = apq_document_text(check, "difference", NULL);
    if (json_is_true(json_object_get(check, "agrees"))) {
        bool is_changed =
            json_array_size(json_object_get(check, "changed")) > 0;
        apq_table_cell(table, "%s",
                       is_changed ? "yes, of changed files" : "yes");
    } else if (difference != NULL) {
        apq_table_cell(table, "**no**: %s", difference);
    } else if (layer != NULL) {
        apq_table_cell(table, "**no**: the first layer that differs is %s",
                       layer);
    } else if (no_layer != NULL) {
        apq_table_cell(table,
                       "**no**: the first layer that differs cannot be named: "
                       "%s",
                       no_layer);
    } else {
        apq_table_cell(table, "%s", "**no**");
    }
}

/* A row for a program that has run the export; NULL: none has. */
static void put_check(apq_table *table, const json_t *row, const json_t *files,
                      const json_t *check) {
    const json_t *manifest = json_object_get(row, "manifest");
    bool is_packed = json_is_true(json_object_get(manifest, "is_packed"));
    apq_table_cell(table, "%s", apq_document_text(row, "folder", ""));
    apq_table_cell(table, "%s%s", apq_document_text(manifest, "format", "-"),
                   is_packed ? ", packed" : "");
    apq_table_cell(
        table, "%s%s",
        apq_document_text(json_object_get(manifest, "source"), "file", "-"),
        is_of_present(files, manifest) ? "" : ", **not the present one**");
    if (check == NULL) {
        apq_table_cell(table, "%s", "**not verified**");
        apq_table_end_row(table);
        return;
    }
    apq_table_cell(table, "%s", apq_document_text(check, "runtime", "-"));
    apq_cell_fixed(table, number(check, "images"), 0, "");
    apq_table_cell(table, "%s", apq_document_text(check, "data", "-"));
    apq_cell_fixed(table, number(check, "other_class"), 0, "");
    apq_cell_number(table, check, "worst", 1);
    put_verdict(table, check);
}

/* Exports elsewhere are not seen; before the fine-tuning there are none. */
static void put_no_exports(const json_t *root, apq_page *page) {
    bool is_shipped = json_is_true(json_object_get(root, "is_shipped"));
    const json_t *result = json_object_get(root, "result");
    if (!is_shipped && json_is_object(json_object_get(result, "measured"))) {
        apq_page_heading(page, "Exports");
        apq_page_put(page, "%s",
                     "None in the directory; `apq export -o DIR/exports/NAME` "
                     "leaves one where this report looks for it.");
        apq_page_end(page);
    }
}

void apq_section_exports(const json_t *root, apq_page *page) {
    const json_t *exports = json_object_get(root, "exports");
    const json_t *files = json_object_get(root, "files");
    if (json_array_size(exports) == 0) {
        put_no_exports(root, page);
        return;
    }
    apq_page_heading(page, "Exports");
    apq_table *table =
        apq_table_create("folder|format|made from|run by|>images|data|>of "
                         "another class|>largest "
                         "difference|agrees");
    size_t i, k;
    const json_t *row, *check;
    json_array_foreach(exports, i, row) {
        const json_t *checks =
            json_object_get(json_object_get(row, "manifest"), "verification");
        if (table != NULL && json_array_size(checks) == 0) {
            put_check(table, row, files, NULL);
        }
        json_array_foreach(checks, k, check) {
            if (table != NULL) {
                put_check(table, row, files, check);
            }
        }
    }
    apq_page_table(page, table);
    apq_page_put(page, "%s",
                 "Each beside the network itself; the largest difference of a "
                 "logit in parts of the range of all logits. `apq verify "
                 "FOLDER` does it again.");
    apq_page_end(page);
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
                 " of threads weights, predictor and `finetune.json` have the"
                 " same hashes; `run.db`, `best.json` and `front.json` hold"
                 " times, too, and differ in these.");
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
