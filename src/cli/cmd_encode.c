/* apq encode: the predictor's input of policies, as indices of the ones. */
#include "cli/commands.h"

#include "app/app.h"

#include <stdio.h>

typedef struct encode_options {
    apq_common_options common;
    const char *space, *specs;
    bool is_float;
} encode_options;

typedef struct encode_context {
    const encode_options *options;
    apq_space space;
} encode_context;

static apq_status encode(const char *text, const char *where, size_t i,
                         void *ctx) {
    (void)i;
    const encode_context *self = ctx;
    apq_policy policy;
    APQ_TRY(apq_cli_policy(&self->space, text, where, &policy));
    bool with_bits = !self->options->is_float;
    int active[6 * APQ_MAX_BLOCKS];
    size_t n = apq_encode(&self->space, &policy, with_bits, active);
    int dim = with_bits ? apq_encode_dim(&self->space)
                        : apq_encode_float_dim(&self->space);
    printf("{\"dim\":%d,\"active\":[", dim);
    for (size_t k = 0; k < n; k++) {
        printf("%s%d", k == 0 ? "" : ",", active[k]);
    }
    printf("]}\n");
    return APQ_OK;
}

#define AT(member) offsetof(encode_options, member)
static const apq_option table[] = {
    APQ_ROW_SPACE(AT(space)),
    APQ_ROW_SPECS(AT(specs)),
    {.name = "float",
     .type = APQ_OPTION_FLAG,
     .help = "without the bit-widths",
     .offset = AT(is_float)},
    {.name = NULL},
};

static int run(const apq_command *self, int argc, char **argv) {
    encode_options options = {.space = NULL};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    encode_context context = {.options = &options};
    apq_status st =
        apq_cli_open_space(&options.common, options.space, &context.space);
    if (st == APQ_OK) {
        st = apq_cli_each_spec(options.specs, encode, &context);
    }
    return apq_cli_exit(st);
}

const apq_command apq_command_encode = {
    .name = "encode",
    .brief = "predictor input of policies",
    .usage = "apq encode --space S --specs F [--float] [options]",
    .summary = "The predictor's input of policies, one JSON a line. Without "
               "--space, those of\nthe space of --run, else of cifar10.",
    .examples =
        "  apq encode --space imagenet-apq --specs policies.jsonl\n"
        "  apq encode --space cifar10 --specs - --float < policies.jsonl\n",
    .options = table,
    .run = run,
};
