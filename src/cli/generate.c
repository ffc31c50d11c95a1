/* apq-generate TEMPLATES OUT: at build time writes the man pages and the
 * completions of apq below OUT, in the folders where they are installed. */
#include "cli/completion.h"
#include "cli/manual.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends writing; failures of it end the build. */
static void finish(FILE *out, const char *path) {
    bool is_written = ferror(out) == 0;
    if (fclose(out) != 0 || !is_written) {
        (void)fprintf(stderr, "apq-generate: cannot write %s\n", path);
        exit(APQ_EXIT_FAILURE);
    }
}

static void check(apq_status st) {
    if (st != APQ_OK) {
        exit(apq_cli_exit(st));
    }
}

/* Opens FOLDER/SUB/NAME for writing; `path` gets this name. */
static FILE *begin(const char *folder, const char *sub, const char *name,
                   char path[APQ_PATH_MAX]) {
    char full[APQ_PATH_MAX];
    check(apq_path_join(full, folder, sub));
    check(apq_dir_make(full));
    check(apq_path_join(path, full, name));
    FILE *out = fopen(path, "w");
    if (out == NULL) {
        (void)fprintf(stderr, "apq-generate: cannot open %s\n", path);
        exit(APQ_EXIT_FAILURE);
    }
    return out;
}

static void write_page(const char *folder, const apq_command *command,
                       const apq_command *parent) {
    char path[APQ_PATH_MAX], name[64];
    if (!apq_manual_name(command, name, sizeof name - 2)) {
        (void)fprintf(stderr, "apq-generate: long name %s\n", command->name);
        exit(APQ_EXIT_FAILURE);
    }
    (void)strcat(name, ".1");
    FILE *out = begin(folder, "man/man1", name, path);
    apq_manual_page(out, command, parent);
    finish(out, path);
    const apq_command *const *p = command->parts;
    for (; p != NULL && *p != NULL; p++) {
        write_page(folder, *p, command);
    }
}

static void write_completion(const char *templates, const char *folder,
                             apq_shell shell) {
    static const char *const rows[][3] = {
        {"bash.in", "bash-completion/completions", "apq"},
        {"zsh.in", "zsh/site-functions", "_apq"},
        {"fish.in", "fish/vendor_completions.d", "apq.fish"},
    };
    char path[APQ_PATH_MAX];
    char *text;
    size_t n;
    check(apq_path_join(path, templates, rows[shell][0]));
    check(apq_file_read(path, &text, &n));
    FILE *out = begin(folder, rows[shell][1], rows[shell][2], path);
    apq_completion_write(out, shell, text);
    free(text);
    finish(out, path);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        (void)fprintf(stderr, "usage: apq-generate TEMPLATES OUT\n");
        return APQ_EXIT_USAGE;
    }
    write_page(argv[2], &apq_program, NULL);
    write_completion(argv[1], argv[2], APQ_SHELL_BASH);
    write_completion(argv[1], argv[2], APQ_SHELL_ZSH);
    write_completion(argv[1], argv[2], APQ_SHELL_FISH);
    return APQ_EXIT_OK;
}
