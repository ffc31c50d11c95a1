/* Declarative command line options: one table per command drives parsing,
 * range checks and help. The rows every command shares are added here. */
#include "cli/options.h"

#include "base/words.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 64 };

#define COMMON(member) offsetof(apq_common_options, member)

const apq_option apq_common_table[] = {
    {.name = "json",
     .type = APQ_OPTION_FLAG,
     .help = "print JSON on standard output",
     .offset = COMMON(json)},
    {.name = "run",
     .type = APQ_OPTION_TEXT,
     .argument = "DIR",
     .help = "run directory",
     .offset = COMMON(run)},
    {.name = "seed",
     .type = APQ_OPTION_SEED,
     .argument = "N",
     .help = "seed of every random decision, below 2^63",
     .offset = COMMON(seed)},
    {.name = "threads",
     .type = APQ_OPTION_THREADS,
     .argument = "N",
     .help = "threads, at most one a core; 0 is all cores",
     .offset = COMMON(threads),
     .low = 0,
     .high = 1024},
    {.name = "quiet",
     .type = APQ_OPTION_FLAG,
     .help = "no progress on standard error",
     .offset = COMMON(quiet)},
    {.name = "help",
     .type = APQ_OPTION_FLAG,
     .help = "this text",
     .offset = COMMON(help)},
    {.name = NULL},
};
const apq_option apq_no_options[] = {{.name = NULL}};

/* What one call parses. */
typedef struct parser {
    const apq_option *table;
    int argc;
    char **argv;
    char **words; /* within argv, behind what was read */
    int max_words;
    void *target;
} parser;

static const apq_option *find(const apq_option *table, const char *name,
                              size_t length) {
    for (; table->name != NULL; table++) {
        if (strlen(table->name) == length &&
            strncmp(table->name, name, length) == 0) {
            return table;
        }
    }
    return NULL;
}

static apq_status unknown_option(const apq_option *table, const char *name,
                                 size_t length) {
    const char *names[MAX_OPTIONS + 1];
    size_t n = 0;
    for (const apq_option *o = table; o->name != NULL && n < MAX_OPTIONS; o++) {
        names[n++] = o->name;
    }
    for (const apq_option *o = apq_common_table;
         o->name != NULL && n < MAX_OPTIONS; o++) {
        names[n++] = o->name;
    }
    names[n] = NULL;
    char word[64];
    (void)snprintf(word, sizeof word, "%.*s", (int)(length < 60 ? length : 60),
                   name);
    const char *nearest = apq_nearest_word(word, names);
    if (nearest != NULL) {
        APQ_FAIL(APQ_ERR_ARG, "unknown option --%s; did you mean --%s?", word,
                 nearest);
    }
    APQ_FAIL(APQ_ERR_ARG, "unknown option --%s", word);
}

static apq_status parse_integer(const apq_option *o, const char *text,
                                int64_t *out) {
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || (double)value < o->low ||
        (double)value > o->high) {
        APQ_FAIL(APQ_ERR_ARG, "--%s \"%s\" is not an integer in %.0f ... %.0f",
                 o->name, text, o->low, o->high);
    }
    *out = value;
    return APQ_OK;
}

static apq_status parse_seed(const apq_option *o, const char *text,
                             unsigned long long *out) {
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
        value > INT64_MAX) {
        APQ_FAIL(APQ_ERR_ARG, "--%s \"%s\" is not an integer in 0 ... %" PRId64,
                 o->name, text, INT64_MAX);
    }
    *out = value;
    return APQ_OK;
}

static apq_status parse_real(const apq_option *o, const char *text,
                             double *out) {
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < o->low ||
        value > o->high) {
        APQ_FAIL(APQ_ERR_ARG, "--%s \"%s\" is not a number in %g ... %g",
                 o->name, text, o->low, o->high);
    }
    *out = value;
    return APQ_OK;
}

static apq_status parse_choice(const apq_option *o, const char *text,
                               const char **out) {
    char legal[256] = "";
    for (size_t i = 0; o->choices[i] != NULL; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            *out = text;
            return APQ_OK;
        }
        size_t used = strlen(legal);
        (void)snprintf(legal + used, sizeof legal - used, "%s%s",
                       i == 0 ? "" : ", ", o->choices[i]);
    }
    APQ_FAIL(APQ_ERR_ARG, "--%s \"%s\" is not one of %s", o->name, text, legal);
}

static apq_status check_not_empty(const apq_option *o, const char *text) {
    if (text[0] == '\0') {
        APQ_FAIL(APQ_ERR_ARG, "--%s is empty", o->name);
    }
    return APQ_OK;
}

static apq_status add_word(const parser *p, char *word) {
    apq_common_options *common = p->target;
    if (common->n_words >= p->max_words) {
        APQ_FAIL(APQ_ERR_ARG, "unexpected argument \"%s\"", word);
    }
    p->words[common->n_words++] = word;
    return APQ_OK;
}

static apq_status store(const parser *p, const apq_option *o, char *text) {
    void *target = p->target, *slot = (char *)target + o->offset;
    int64_t integer = 0;
    switch (o->type) {
    case APQ_OPTION_FLAG:
        *(bool *)slot = true;
        return APQ_OK;
    case APQ_OPTION_TEXT:
        APQ_TRY(check_not_empty(o, text));
        *(const char **)slot = text;
        return APQ_OK;
    case APQ_OPTION_WORD:
        APQ_TRY(check_not_empty(o, text));
        return add_word(p, text);
    case APQ_OPTION_CHOICE:
        return parse_choice(o, text, slot);
    case APQ_OPTION_INT:
        APQ_TRY(parse_integer(o, text, &integer));
        *(int *)slot = (int)integer;
        return APQ_OK;
    case APQ_OPTION_COUNT:
        APQ_TRY(parse_integer(o, text, &integer));
        *(int64_t *)slot = integer;
        return APQ_OK;
    case APQ_OPTION_SEED:
        ((apq_common_options *)target)->has_seed = true;
        return parse_seed(o, text, slot);
    case APQ_OPTION_THREADS:
        ((apq_common_options *)target)->has_threads = true;
        APQ_TRY(parse_integer(o, text, &integer));
        *(int *)slot = (int)integer;
        return APQ_OK;
    case APQ_OPTION_REAL:
        return parse_real(o, text, slot);
    }
    return APQ_OK;
}

/* One "name[=value]" at argv[*i], dashes left off; leaves *i at the last word
 * it used. */
static apq_status parse_option(const parser *p, char *name, int *i) {
    size_t length = strcspn(name, "=");
    const apq_option *o = find(p->table, name, length);
    if (o == NULL) {
        o = find(apq_common_table, name, length);
    }
    if (o == NULL) {
        return unknown_option(p->table, name, length);
    }
    char *value = NULL;
    if (name[length] == '=') {
        if (o->type == APQ_OPTION_FLAG) {
            APQ_FAIL(APQ_ERR_ARG, "--%s takes no value", o->name);
        }
        value = name + length + 1;
    } else if (o->type != APQ_OPTION_FLAG) {
        if (*i + 1 >= p->argc) {
            APQ_FAIL(APQ_ERR_ARG, "--%s needs a value: --%s %s", o->name,
                     o->name, o->argument);
        }
        value = p->argv[++*i];
    }
    return store(p, o, value);
}

static apq_status check_required(const apq_option *table, const void *target) {
    for (const apq_option *o = table; o->name != NULL; o++) {
        const void *slot = (const char *)target + o->offset;
        bool is_text =
            o->type == APQ_OPTION_TEXT || o->type == APQ_OPTION_CHOICE;
        if (o->is_required && is_text && *(const char *const *)slot == NULL) {
            APQ_FAIL(APQ_ERR_ARG, "--%s %s is required", o->name, o->argument);
        }
    }
    return APQ_OK;
}

apq_status apq_options_parse(const apq_option *table, int argc, char **argv,
                             int first, int max_words, void *target) {
    apq_common_options *common = target;
    const parser p = {.table = table,
                      .argc = argc,
                      .argv = argv,
                      .words = argv + first,
                      .max_words = max_words,
                      .target = target};
    char out[] = "out";
    bool is_open = true;
    common->words = (const char *const *)argv + first;
    for (int i = first; i < argc; i++) {
        char *word = argv[i];
        if (is_open && strcmp(word, "--") == 0) {
            is_open = false;
        } else if (is_open && strcmp(word, "-h") == 0) {
            common->help = true;
        } else if (is_open && strncmp(word, "--", 2) == 0) {
            APQ_TRY(parse_option(&p, word + 2, &i));
        } else if (is_open && strcmp(word, "-o") == 0) {
            APQ_TRY(parse_option(&p, out, &i));
        } else if (is_open && word[0] == '-' && word[1] != '\0') {
            APQ_FAIL(APQ_ERR_ARG, "unknown option %s; options begin with --",
                     word);
        } else {
            APQ_TRY(add_word(&p, word));
        }
    }
    if (first + common->n_words < argc) {
        argv[first + common->n_words] = NULL;
    }
    return common->help ? APQ_OK : check_required(table, target);
}

void apq_options_print(const apq_option *table) {
    for (const apq_option *o = table; o->name != NULL; o++) {
        char left[48];
        (void)snprintf(left, sizeof left, "--%s%s%s", o->name,
                       o->argument != NULL ? " " : "",
                       o->argument != NULL ? o->argument : "");
        printf("  %-22s %s", left, o->help);
        for (size_t i = 0; o->choices != NULL && o->choices[i] != NULL; i++) {
            printf("%s%s", i == 0 ? ": " : ", ", o->choices[i]);
        }
        printf("%s\n", o->is_required ? " (required)" : "");
    }
}
