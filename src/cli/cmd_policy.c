/* apq policy convert|show: policies from either form to the one asked for, and
 * policies that have a name. */
#include "cli/commands.h"

#include "app/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "show" and names; as many as apq_common_options holds. */
enum { MAX_WORDS = 16 };

typedef struct policy_options {
    apq_common_options common;
    const char *space, *specs, *to;
} policy_options;

typedef struct policy_context {
    const policy_options *options;
    apq_space space;
} policy_context;

static apq_status print(const policy_context *self, const apq_policy *policy,
                        const char *where) {
    char *out = strcmp(self->options->to, "apq") == 0
                    ? apq_policy_to_authors_json(&self->space, policy)
                    : apq_policy_to_json(&self->space, policy);
    if (out == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", where);
    }
    printf("%s\n", out);
    free(out);
    return APQ_OK;
}

static apq_status convert(const char *text, const char *where, size_t i,
                          void *ctx) {
    (void)i;
    const policy_context *self = ctx;
    apq_policy policy;
    APQ_TRY(apq_cli_policy(&self->space, text, where, &policy));
    return print(self, &policy, where);
}

static apq_status show(const policy_context *self) {
    const apq_common_options *common = &self->options->common;
    for (int i = 1; i < common->n_words; i++) {
        const char *name = common->words[i];
        apq_policy policy;
        bool is_name;
        APQ_TRY(apq_policy_named(&self->space, name, &is_name, &policy));
        if (!is_name) {
            APQ_FAIL(APQ_ERR_ARG,
                     "policy %s: expected largest, smallest or random:SEED",
                     name);
        }
        APQ_TRY(print(self, &policy, name));
    }
    return APQ_OK;
}

static const char *const forms[] = {"native", "apq", NULL};

#define AT(member) offsetof(policy_options, member)
static const apq_option table[] = {
    APQ_ROW_SPACE(AT(space)),
    {.name = "specs",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "convert: policies, one JSON a line; - is standard input",
     .offset = AT(specs)},
    {.name = "to",
     .type = APQ_OPTION_CHOICE,
     .argument = "FORM",
     .help = "native or apq",
     .offset = AT(to),
     .choices = forms},
    {.name = NULL},
};

static apq_status check_usage(const policy_options *options) {
    int n_words = options->common.n_words;
    const char *what = n_words > 0 ? options->common.words[0] : "";
    if (strcmp(what, "show") == 0) {
        if (n_words < 2 || options->specs != NULL) {
            APQ_FAIL(APQ_ERR_ARG, "policy show takes names and no --specs: "
                                  "largest, smallest, random:SEED");
        }
        return APQ_OK;
    }
    if (strcmp(what, "convert") != 0 || n_words != 1) {
        APQ_FAIL(APQ_ERR_ARG, "policy what? convert, or show with names");
    }
    if (options->specs == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "policy convert needs --specs FILE");
    }
    return APQ_OK;
}

static int run(const apq_command *self, int argc, char **argv) {
    policy_options options = {.to = forms[0]};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    if (check_usage(&options) != APQ_OK) {
        return apq_cli_usage(self);
    }
    policy_context context = {.options = &options};
    apq_status st =
        apq_cli_open_space(&options.common, options.space, &context.space);
    if (st == APQ_OK) {
        st = options.specs == NULL
                 ? show(&context)
                 : apq_cli_each_spec(options.specs, convert, &context);
    }
    return apq_cli_exit(st);
}

static const char *const verbs[] = {"convert", "show", NULL};

const apq_command apq_command_policy = {
    .name = "policy",
    .brief = "policies by name or in another form",
    .usage = "apq policy convert --specs F | show NAME... [--space S] "
             "[--to FORM] [options]",
    .summary = "Policies in the native form or in that of the APQ authors' "
               "files, one JSON a line:\nthose of a file, or by name. Without "
               "--space, of the space of --run, else of cifar10.",
    .examples =
        "  apq policy convert --space imagenet-apq --specs best.json --to apq\n"
        "  apq policy convert --space imagenet-apq --specs authors.jsonl\n"
        "  apq policy show largest random:1 smallest --space cifar10\n",
    .options = table,
    .max_words = MAX_WORDS,
    .words = verbs,
    .run = run,
};
