/* Completion for bash, zsh and fish: templates filled from the command tables.
 * What a value may be follows from the option's choices, else from its
 * placeholder. */
#include "cli/completion.h"

#include "cli/command.h"

#include <string.h>

/* What a value may be; nothing at all: a number, free text. */
typedef struct value_kind {
    const char *const *words;
    const char *list; /* of `apq list` */
    bool is_file, is_folder;
} value_kind;

static value_kind kind_of(const apq_option *o) {
    static const char *const policies[] = {"largest", "smallest",
                                           "random:", NULL};
    static const struct {
        const char *argument;
        value_kind kind;
    } kinds[] = {
        {"FILE", {.is_file = true}},
        {"PATH", {.is_file = true}},
        {"LIB", {.is_file = true}},
        {"DIR", {.is_folder = true}},
        {"POLICY", {.words = policies, .is_file = true}},
        {"SPACE", {.list = "spaces", .is_file = true}},
        {"TARGET", {.list = "targets", .is_file = true}},
        {"STRATEGY", {.list = "strategies"}},
        {"BACKEND", {.list = "backends"}},
    };
    if (o->choices != NULL) {
        return (value_kind){.words = o->choices};
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (o->argument != NULL &&
            strcmp(o->argument, kinds[i].argument) == 0) {
            return kinds[i].kind;
        }
    }
    return (value_kind){.words = NULL};
}

static bool takes_value(const apq_option *o) {
    return o->type != APQ_OPTION_FLAG;
}

/* The short form of --out and --help, or NULL. */
static const char *short_name(const apq_option *o) {
    return strcmp(o->name, "out") == 0    ? "o"
           : strcmp(o->name, "help") == 0 ? "h"
                                          : NULL;
}

/* "lut build" -> "build" */
static const char *last_word(const apq_command *command) {
    const char *space = strrchr(command->name, ' ');
    return space == NULL ? command->name : space + 1;
}

static void put_words(FILE *out, const char *const *words) {
    for (size_t i = 0; words[i] != NULL; i++) {
        (void)fprintf(out, "%s%s", i == 0 ? "" : " ", words[i]);
    }
}

/* What the first argument of a command may be: parts, else words. */
static void put_first(FILE *out, const apq_command *command) {
    const apq_command *const *p = command->parts;
    for (; p != NULL && *p != NULL; p++) {
        (void)fprintf(out, "%s%s", p == command->parts ? "" : " ",
                      last_word(*p));
    }
    if (command->parts == NULL && command->words != NULL) {
        put_words(out, command->words);
    }
}

static bool has_first(const apq_command *command) {
    return command->parts != NULL || command->words != NULL;
}

static bool takes_files(const apq_command *command) {
    return command->max_words > 0 && command->words == NULL;
}

/* Text inside single quotes: `quote` for the quote itself, a backslash before
 * each of `marks`. */
static void put_quoted(FILE *out, const char *text, const char *quote,
                       const char *marks) {
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            (void)fputs(quote, out);
        } else {
            (void)fprintf(out, "%s%c", strchr(marks, *text) ? "\\" : "", *text);
        }
    }
}

/* 'lut build' | 'lut check' ... */
static void put_part_names(FILE *out, const char *between) {
    const char *before = "";
    for (const apq_command *const *c = apq_program.parts; *c != NULL; c++) {
        const apq_command *const *p = (*c)->parts;
        for (; p != NULL && *p != NULL; p++) {
            (void)fprintf(out, "%s'%s'", before, (*p)->name);
            before = between;
        }
    }
}

typedef void command_fn(FILE *out, const apq_command *command);

/* Calls `fn` for every command and every part. */
static void each_command(FILE *out, command_fn *fn) {
    for (const apq_command *const *c = apq_program.parts; *c != NULL; c++) {
        fn(out, *c);
        const apq_command *const *p = (*c)->parts;
        for (; p != NULL && *p != NULL; p++) {
            fn(out, *p);
        }
    }
}

/* bash: case rows "--name) value='KIND WORD...' ;;". */
static void bash_values(FILE *out, const apq_option *table) {
    for (const apq_option *o = table; o->name != NULL; o++) {
        if (!takes_value(o)) {
            continue;
        }
        value_kind kind = kind_of(o);
        const char *alias = short_name(o);
        (void)fprintf(out, "    --%s%s%s) value='", o->name,
                      alias != NULL ? " | -" : "", alias != NULL ? alias : "");
        if (kind.words != NULL) {
            (void)fprintf(out, "words%s ", kind.is_file ? "+files" : "");
            put_words(out, kind.words);
        } else if (kind.list != NULL) {
            (void)fprintf(out, "names%s %s", kind.is_file ? "+files" : "",
                          kind.list);
        } else {
            (void)fputs(kind.is_file     ? "files"
                        : kind.is_folder ? "folders"
                                         : "free",
                        out);
        }
        (void)fputs("' ;;\n", out);
    }
}

static void bash_options(FILE *out, const apq_option *table) {
    for (const apq_option *o = table; o->name != NULL; o++) {
        (void)fprintf(out, "%s--%s", o == table ? "" : " ", o->name);
    }
}

static void bash_command(FILE *out, const apq_command *c) {
    (void)fprintf(out, "    '%s')\n", c->name);
    if (has_first(c)) {
        (void)fputs("    words='", out);
        put_first(out, c);
        (void)fputs("'\n", out);
    }
    if (takes_files(c)) {
        (void)fputs("    files=+files\n", out);
    }
    if (c->options->name != NULL) {
        (void)fputs("    options='", out);
        bash_options(out, c->options);
        (void)fputs("'\n    case $previous in\n", out);
        bash_values(out, c->options);
        (void)fputs("    esac\n", out);
    }
    (void)fputs("    ;;\n", out);
}

static void bash_commands(FILE *out) {
    put_first(out, &apq_program);
}

static void bash_parts(FILE *out) {
    put_part_names(out, " | ");
}

static void bash_tables(FILE *out) {
    each_command(out, bash_command);
}

static void bash_common(FILE *out) {
    bash_values(out, apq_common_table);
}

static void bash_common_options(FILE *out) {
    bash_options(out, apq_common_table);
}

/* zsh: "(words)" or a call, as _arguments reads it. */
static void zsh_action(FILE *out, value_kind kind) {
    if (kind.words != NULL) {
        (void)fputs(kind.is_file ? "{_apq_words" : "(", out);
        for (size_t i = 0; kind.words[i] != NULL; i++) {
            (void)fputc(' ', out);
            put_quoted(out, kind.words[i], "", ":"); /* ":" ends an action */
        }
        (void)fputs(kind.is_file ? "}" : ")", out);
    } else if (kind.list != NULL) {
        (void)fprintf(out, "{_apq_names %s%s}", kind.list,
                      kind.is_file ? " files" : "");
    } else {
        (void)fputs(kind.is_file     ? "_files"
                    : kind.is_folder ? "_files -/"
                                     : "",
                    out);
    }
}

static void zsh_options(FILE *out, const apq_option *table, const char *end) {
    for (const apq_option *o = table; o->name != NULL; o++) {
        const char *alias = short_name(o);
        (void)fputs("    ", out);
        if (alias != NULL) {
            (void)fprintf(out, "{-%s,--%s%s}", alias, o->name,
                          takes_value(o) ? "=" : "");
        }
        (void)fputc('\'', out);
        if (alias == NULL) {
            (void)fprintf(out, "--%s%s", o->name, takes_value(o) ? "=" : "");
        }
        (void)fputc('[', out);
        put_quoted(out, o->help, "'\\''", "[]\\");
        (void)fputc(']', out);
        if (takes_value(o)) {
            (void)fprintf(out, ":%s:", o->argument);
            zsh_action(out, kind_of(o));
        }
        (void)fprintf(out, "'%s\n", end);
    }
}

static void zsh_command(FILE *out, const apq_command *c) {
    (void)fprintf(out, "    '%s')\n    _arguments -S $common \\\n", c->name);
    zsh_options(out, c->options, " \\");
    if (has_first(c)) {
        (void)fprintf(out, "    '1:argument:%s",
                      takes_files(c) ? "{_apq_words " : "(");
        put_first(out, c);
        (void)fputs(takes_files(c) ? "}' \\\n" : ")' \\\n", out);
    }
    (void)fprintf(out, "    '*:%s'\n    ;;\n",
                  takes_files(c) ? "file:_files" : "argument:");
}

static void zsh_commands(FILE *out) {
    for (const apq_command *const *c = apq_program.parts; *c != NULL; c++) {
        (void)fprintf(out, "    '%s:", (*c)->name);
        put_quoted(out, (*c)->brief, "'\\''", ":\\");
        (void)fputs("'\n", out);
    }
}

static void zsh_tables(FILE *out) {
    each_command(out, zsh_command);
}

static void zsh_common(FILE *out) {
    zsh_options(out, apq_common_table, "");
}

/* fish: one `complete` line; `condition` is the command's name or NULL. */
static void fish_begin(FILE *out, const char *function, const char *condition) {
    (void)fputs("complete -c apq", out);
    if (condition != NULL) {
        (void)fprintf(out, " -n '%s \"%s\"'", function, condition);
    }
}

static void fish_description(FILE *out, const char *text) {
    (void)fputs(" -d '", out);
    put_quoted(out, text, "\\'", "\\");
    (void)fputs("'\n", out);
}

/* Each without a description: else fish shows the option's beside all. */
static void fish_words(FILE *out, const char *const *words) {
    (void)fputs(" -a '", out);
    for (; *words != NULL; words++) {
        (void)fprintf(out, "%s\\t%s", *words, words[1] != NULL ? " " : "");
    }
    (void)fputs("'", out);
}

static void fish_options(FILE *out, const apq_option *table,
                         const char *command) {
    for (const apq_option *o = table; o->name != NULL; o++) {
        value_kind kind = kind_of(o);
        const char *alias = short_name(o);
        fish_begin(out, "__apq_is", command);
        (void)fprintf(out, "%s%s -l %s", alias != NULL ? " -s " : "",
                      alias != NULL ? alias : "", o->name);
        if (takes_value(o)) {
            (void)fputs(kind.is_file ? " -r -F" : " -x", out);
        }
        if (kind.words != NULL) {
            fish_words(out, kind.words);
        } else if (kind.list != NULL) {
            (void)fprintf(out, " -a '(__apq_names %s)'", kind.list);
        } else if (kind.is_folder) {
            (void)fputs(" -a '(__fish_complete_directories)'", out);
        }
        fish_description(out, o->help);
    }
}

static void fish_command(FILE *out, const apq_command *c) {
    fish_options(out, c->options, c->name);
    const apq_command *const *p = c->parts;
    for (; p != NULL && *p != NULL; p++) {
        fish_begin(out, "__apq_first", c->name);
        (void)fprintf(out, " -a %s", last_word(*p));
        fish_description(out, (*p)->brief);
    }
    if (c->words != NULL) {
        fish_begin(out, "__apq_first", c->name);
        (void)fputs(" -a '", out);
        put_words(out, c->words);
        (void)fputs("'\n", out);
    }
    if (takes_files(c)) {
        fish_begin(out, "__apq_is", c->name);
        (void)fputs(" -F\n", out);
    }
}

static void fish_commands(FILE *out) {
    for (const apq_command *const *c = apq_program.parts; *c != NULL; c++) {
        (void)fprintf(out, "complete -c apq -n __apq_needs_command -a %s",
                      (*c)->name);
        fish_description(out, (*c)->brief);
    }
}

static void fish_parts(FILE *out) {
    put_part_names(out, " ");
}

static void fish_tables(FILE *out) {
    each_command(out, fish_command);
}

static void fish_common(FILE *out) {
    fish_options(out, apq_common_table, NULL);
}

typedef struct marker {
    const char *name;
    void (*put)(FILE *out);
} marker;

enum { N_SHELLS = 3, MAX_MARKERS = 6 };

static const marker markers[N_SHELLS][MAX_MARKERS] = {
    [APQ_SHELL_BASH] = {{"@commands@", bash_commands},
                        {"@parts@", bash_parts},
                        {"@tables@", bash_tables},
                        {"@common@", bash_common},
                        {"@common_options@", bash_common_options}},
    [APQ_SHELL_ZSH] = {{"@commands@", zsh_commands},
                       {"@parts@", bash_parts},
                       {"@tables@", zsh_tables},
                       {"@common@", zsh_common}},
    [APQ_SHELL_FISH] = {{"@commands@", fish_commands},
                        {"@parts@", fish_parts},
                        {"@tables@", fish_tables},
                        {"@common@", fish_common}},
};

void apq_completion_write(FILE *out, apq_shell shell, const char *template) {
    for (const char *c = template; *c != '\0';) {
        const marker *m = markers[shell];
        while (m->name != NULL && strncmp(c, m->name, strlen(m->name)) != 0) {
            m++;
        }
        if (m->name != NULL) {
            m->put(out);
            c += strlen(m->name);
        } else {
            (void)fputc(*c++, out);
        }
    }
}
