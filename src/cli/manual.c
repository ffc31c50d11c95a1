/* Man pages, made of the command tables in the macros of man(7). What holds
 * for every command stands here: exit codes, environment, files. */
#include "cli/manual.h"

#include <string.h>

typedef struct entry {
    const char *name, *text;
} entry;

static const entry exits[] = {
    {"0", "done"},
    {"1", "failure, such as a full disk"},
    {"2", "wrong usage"},
    {"3", "bad input or configuration"},
    {"4", "no candidate can meet the budget"},
    {"5", "verification found a difference"},
    {"6", "the run directory or the table was made from other inputs"},
    {"130", "interrupted; what was reached is saved"},
};
static const entry variables[] = {
    {"APQ_DATA_DIR", "folder with the configs, recipes and models that come "
                     "with apq; else the current folder, that above the "
                     "program's and the installed one are tried"},
    {"APQ_ORT", "ONNX Runtime's library, for apq export, apq verify and apq "
                "bench infer without --runtime"},
    {"OMP_WAIT_POLICY", "when neither this nor GOMP_SPINCOUNT is set, commands "
                        "that compute for long set it to passive, so that "
                        "waiting threads leave the cores to others"},
    {"GOMP_SPINCOUNT", "see OMP_WAIT_POLICY"},
    {"TMPDIR", "where apq bench, and apq export and apq verify of C source, "
               "make their temporary folder; else /tmp"},
    {"TERM", "dumb switches the live progress display off"},
    {"OMPI_COMM_WORLD_SIZE", "set by mpirun: train, collect and eval then join "
                             "the other processes"},
    {"PMI_SIZE", "the same, of other launchers"},
    {"PMIX_RANK", "the same, of launchers that tell no size"},
};
static const entry files[] = {
    {"PREFIX/share/apq", "spaces and targets (configs), recipes and models "
                         "that come with apq"},
    {"DIR/run.json", "recipe of a run; later commands of --run DIR read it"},
    {"DIR/space.yaml", "search space of a run, where it is a file of the "
                       "user's"},
    {"DIR/manifest.json", "what the run was made from, and the finished steps"},
    {"DIR/run.db", "records of measured networks"},
    {"DIR/supernet.safetensors", "trained supernet"},
    {"DIR/predictor.safetensors", "accuracy predictor"},
    {"DIR/best.json", "policy that was found"},
    {"DIR/network.safetensors", "fine-tuned network"},
    {"DIR/report.json", "what was asked, found and spent"},
};
#define N_ENTRIES(table) (sizeof(table) / sizeof(table)[0])

/* Characters that roff would take for its own or print as other ones. */
static const char *escape(char c, bool is_line_start) {
    switch (c) {
    case '\\':
        return "\\(rs";
    case '-':
        return "\\-";
    case '\'':
        return "\\(aq";
    case '`':
        return "\\(ga";
    case '^':
        return "\\(ha";
    case '~':
        return "\\(ti";
    case '.':
        return is_line_start ? "\\&." : NULL;
    default:
        return NULL;
    }
}

static void put_text(FILE *out, const char *text) {
    bool is_line_start = true;
    for (; *text != '\0'; text++) {
        const char *escaped = escape(*text, is_line_start);
        if (escaped != NULL) {
            (void)fputs(escaped, out);
        } else {
            (void)fputc(*text, out);
        }
        is_line_start = *text == '\n';
    }
}

static void put_font(FILE *out, char font, const char *text) {
    (void)fprintf(out, "\\f%c", font);
    put_text(out, text);
    (void)fputs("\\fR", out);
}

static void put_title(FILE *out, const char *name, const char *brief) {
    (void)fputs(".\\\" Made from the option tables of apq.\n.TH \"", out);
    put_text(out, name);
    (void)fputs("\" 1 \"\" \"apq " APQ_VERSION "\" \"User Commands\"\n"
                ".nh\n.ad l\n.SH NAME\n",
                out);
    put_text(out, name);
    (void)fputs(" \\- ", out);
    put_text(out, brief);
    (void)fputs("\n.SH SYNOPSIS\n", out);
}

/* Lines of "apq search ...", each on a line of its own. */
static void put_usage(FILE *out, const char *usage) {
    while (*usage != '\0') {
        char line[256];
        usage += strspn(usage, " ");
        size_t n = strcspn(usage, "\n");
        (void)snprintf(line, sizeof line, "%.*s", (int)n, usage);
        put_text(out, line);
        usage += n + (usage[n] == '\n');
        (void)fputs(*usage != '\0' ? "\n.br\n" : "\n", out);
    }
}

static void put_entries(FILE *out, const char *section, const entry *entries,
                        size_t n) {
    (void)fprintf(out, ".SH %s\n", section);
    for (size_t i = 0; i < n; i++) {
        (void)fputs(".TP\n", out);
        put_font(out, 'B', entries[i].name);
        (void)fputc('\n', out);
        put_text(out, entries[i].text);
        (void)fputc('\n', out);
    }
}

static void put_range(FILE *out, const apq_option *o) {
    if (o->type == APQ_OPTION_INT || o->type == APQ_OPTION_COUNT) {
        char text[64];
        (void)snprintf(text, sizeof text, " (%.0f to %.0f)", o->low, o->high);
        put_text(out, text);
    } else if (o->type == APQ_OPTION_REAL) {
        char text[64];
        (void)snprintf(text, sizeof text, " (%g to %g)", o->low, o->high);
        put_text(out, text);
    }
}

static void put_option(FILE *out, const apq_option *o) {
    char name[64];
    (void)fputs(".TP\n", out);
    if (strcmp(o->name, "out") == 0 || strcmp(o->name, "help") == 0) {
        (void)snprintf(name, sizeof name, "-%c", o->name[0]);
        put_font(out, 'B', name);
        (void)fputs(", ", out);
    }
    (void)snprintf(name, sizeof name, "--%s", o->name);
    put_font(out, 'B', name);
    if (o->argument != NULL) {
        (void)fputc(' ', out);
        put_font(out, 'I', o->argument);
    }
    (void)fputc('\n', out);
    put_text(out, o->help);
    for (size_t i = 0; o->choices != NULL && o->choices[i] != NULL; i++) {
        (void)fputs(i == 0 ? ": " : ", ", out);
        put_font(out, 'B', o->choices[i]);
    }
    put_range(out, o);
    (void)fputs(o->is_required ? " (required)\n" : "\n", out);
}

static void put_options(FILE *out, const char *section,
                        const apq_option *table) {
    if (table->name != NULL) {
        (void)fprintf(out, ".SH %s\n", section);
    }
    for (const apq_option *o = table; o->name != NULL; o++) {
        put_option(out, o);
    }
}

static void put_commands(FILE *out, const apq_command *const *commands) {
    (void)fputs(".SH COMMANDS\n", out);
    for (const apq_command *const *c = commands; *c != NULL; c++) {
        (void)fputs(".TP\n", out);
        put_font(out, 'B', (*c)->name);
        (void)fputc('\n', out);
        put_text(out, (*c)->brief);
        (void)fputc('\n', out);
    }
}

static void put_examples(FILE *out, const char *examples) {
    (void)fputs(".SH EXAMPLES\n.nf\n", out);
    put_text(out, examples);
    (void)fputs(".fi\n", out);
}

static void put_reference(FILE *out, const apq_command *command, bool is_last) {
    char name[64];
    if (apq_manual_name(command, name, sizeof name)) {
        (void)fputs(".BR ", out);
        put_text(out, name);
        (void)fputs(is_last ? " (1)\n" : " (1),\n", out);
    }
}

static void put_references(FILE *out, const apq_command *const *commands) {
    for (const apq_command *const *c = commands; *c != NULL; c++) {
        put_reference(out, *c, c[1] == NULL);
    }
}

bool apq_manual_name(const apq_command *command, char *out, size_t size) {
    int n = snprintf(out, size, "apq%s%s", command->name[0] == '\0' ? "" : "-",
                     command->name);
    for (char *c = out; *c != '\0'; c++) {
        *c = *c == ' ' ? '-' : *c;
    }
    return n > 0 && (size_t)n < size;
}

void apq_manual_page(FILE *out, const apq_command *command,
                     const apq_command *parent) {
    char name[64];
    if (!apq_manual_name(command, name, sizeof name)) {
        return;
    }
    put_title(out, name, command->brief);
    put_usage(out, command->usage);
    (void)fputs(".SH DESCRIPTION\n", out);
    put_text(out, command->summary);
    (void)fputc('\n', out);
    if (command->parts != NULL) {
        put_commands(out, command->parts);
    }
    put_options(out, "OPTIONS", command->options);
    put_options(out, "COMMON OPTIONS", apq_common_table);
    put_examples(out, command->examples);
    put_entries(out, "EXIT STATUS", exits, N_ENTRIES(exits));
    put_entries(out, "ENVIRONMENT", variables, N_ENTRIES(variables));
    put_entries(out, "FILES", files, N_ENTRIES(files));
    (void)fputs(".SH SEE ALSO\n", out);
    if (parent != NULL) {
        put_reference(out, parent, command->parts == NULL);
    }
    if (command->parts != NULL) {
        put_references(out, command->parts);
    }
}
