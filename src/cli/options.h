#ifndef APQ_CLI_OPTIONS_H
#define APQ_CLI_OPTIONS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum apq_option_type {
    APQ_OPTION_FLAG,    /* bool; takes no value */
    APQ_OPTION_TEXT,    /* const char *, borrowed from argv */
    APQ_OPTION_WORD,    /* text taken as an argument that is no option, each
                         * time that it is given; no target */
    APQ_OPTION_CHOICE,  /* const char *, one of `choices` */
    APQ_OPTION_INT,     /* int in [low, high] */
    APQ_OPTION_COUNT,   /* int64_t in [low, high] */
    APQ_OPTION_SEED,    /* uint64_t */
    APQ_OPTION_THREADS, /* int in [low, high] */
    APQ_OPTION_REAL,    /* double in [low, high] */
} apq_option_type;

/* One row of a command's table; the last row has a NULL name. */
typedef struct apq_option {
    const char *name; /* without the leading "--" */
    apq_option_type type;
    const char *argument; /* placeholder in the help, e.g. "FILE" */
    const char *help;
    size_t offset; /* of the target in the command's struct */
    double low, high;
    const char *const *choices; /* NULL-terminated; of a TEXT what it may be
                                 * among others */
    bool is_required;
} apq_option;

/* Rows that several commands have; `at` is the offset of their target. */
#define APQ_ROW_SPACE(at)                                                      \
    {                                                                          \
        .name = "space", .type = APQ_OPTION_TEXT, .argument = "SPACE",         \
        .help = "search space: a name of apq list spaces, or a YAML file",     \
        .offset = (at)                                                         \
    }
#define APQ_ROW_TARGET(at)                                                     \
    {                                                                          \
        .name = "target", .type = APQ_OPTION_TEXT, .argument = "TARGET",       \
        .help = "hardware: a name of apq list targets, or a .yaml or .jsonl "  \
                "file",                                                        \
        .offset = (at)                                                         \
    }
#define APQ_ROW_SPECS(at)                                                      \
    {                                                                          \
        .name = "specs", .type = APQ_OPTION_TEXT, .argument = "FILE",          \
        .help = "policies, one JSON a line; - is standard input",              \
        .offset = (at), .is_required = true                                    \
    }

/* Options of every command; every command's struct begins with them. */
typedef struct apq_common_options {
    bool json, quiet, help;
    bool has_seed;    /* --seed was given */
    bool has_threads; /* --threads was given */
    unsigned long long seed;
    int threads;              /* 0 = all cores */
    const char *run;          /* run directory, or NULL */
    int n_words;              /* arguments that are not options */
    const char *const *words; /* (n_words), then NULL; in the parsed argv */
} apq_common_options;

/* Parses argv[first..argc) into `target`, a struct that begins with
 * apq_common_options and holds its defaults. At most `max_words` arguments
 * that are not options are taken. APQ_ERR_ARG with one line for an unknown
 * option (and its nearest match), a missing or illegal value. "--name=value"
 * is read as well, and -o for --out; "--" ends options. argv is put in another
 * order: arguments that are not options come first, then NULL. */
APQ_NODISCARD apq_status apq_options_parse(const apq_option *table, int argc,
                                           char **argv, int first,
                                           int max_words, void *target);
/* Prints a table's rows to standard output. */
void apq_options_print(const apq_option *table);

/* The rows that every command has besides its own, and an empty table. */
extern const apq_option apq_common_table[], apq_no_options[];

#endif
