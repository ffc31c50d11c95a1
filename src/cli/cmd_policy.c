/* apq policy convert: policies from either form to the one asked for. */
#include "cli/command.h"

#include "app/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct policy_options {
    apq_common_options common;
    const char *space, *specs, *to;
} policy_options;

typedef struct policy_context {
    const policy_options *options;
    apq_space space;
} policy_context;

static apq_status convert(const char *text, const char *where, size_t i,
                          void *ctx) {
    (void)i;
    const policy_context *self = ctx;
    apq_policy policy;
    APQ_TRY(apq_cli_policy(&self->space, text, where, &policy));
    char *out = strcmp(self->options->to, "apq") == 0
                    ? apq_policy_to_authors_json(&self->space, &policy)
                    : apq_policy_to_json(&self->space, &policy);
    if (out == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", where);
    }
    printf("%s\n", out);
    free(out);
    return APQ_OK;
}

static const apq_command_help help = {
    .usage = "apq policy convert --space S --specs F [--to FORM] [options]",
    .summary = "Policies in the native form or in that of the APQ authors' "
               "files, one JSON a line.",
    .examples =
        "  apq policy convert --space imagenet-apq --specs best.json --to apq\n"
        "  apq policy convert --space imagenet-apq --specs authors.jsonl\n",
};

static const char *const forms[] = {"native", "apq", NULL};

#define AT(member) offsetof(policy_options, member)
static const apq_option table[] = {
    {.name = "space",
     .type = APQ_OPTION_TEXT,
     .argument = "SPACE",
     .help = "search space: a name of apq list spaces, or a YAML file",
     .offset = AT(space)},
    {.name = "specs",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "policies, one JSON a line; - is standard input",
     .offset = AT(specs),
     .is_required = true},
    {.name = "to",
     .type = APQ_OPTION_CHOICE,
     .argument = "FORM",
     .help = "native or apq",
     .offset = AT(to),
     .choices = forms},
    {.name = NULL},
};

int apq_cmd_policy(int argc, char **argv) {
    policy_options options = {.space = "cifar10", .to = forms[0]};
    int code = apq_cli_parse(&help, table, argc, argv, 1, &options);
    if (code >= 0) {
        return code;
    }
    if (options.common.n_words != 1 ||
        strcmp(options.common.words[0], "convert") != 0) {
        (void)APQ_ERROR(APQ_ERR_ARG, "policy what? only convert is known");
        return apq_cli_usage("policy");
    }
    policy_context self = {.options = &options};
    apq_status st = apq_space_load(options.space, &self.space);
    if (st == APQ_OK) {
        st = apq_cli_each_spec(options.specs, convert, &self);
    }
    return apq_cli_exit(st);
}
