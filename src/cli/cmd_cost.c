/* apq cost: prices policies on a target, in the order they are given. */
#include "cli/command.h"

#include "app/app.h"
#include "app/lut.h"
#include "app/range.h"

#include <stdio.h>

typedef struct cost_options {
    apq_common_options common;
    const char *space, *target, *specs;
    bool range;
} cost_options;

typedef struct cost_context {
    const cost_options *options;
    apq_space space;
    apq_target *target;
} cost_context;

static json_t *cost_json(const apq_cost *cost) {
    json_t *object = json_object();
    for (int i = 0; i < APQ_COST_N_FIELDS; i++) {
        apq_cost_field field = (apq_cost_field)i;
        (void)json_object_set_new(object, apq_cost_field_name(field),
                                  apq_cli_number(apq_cost_get(cost, field)));
    }
    return object;
}

static void print_row(const apq_cost *cost, size_t i) {
    if (i == 0) {
        printf("%6s %12s %12s %9s %9s %9s %9s %9s\n", "policy", "latency_ms",
               "energy_mj", "GBitOps", "M MACs", "K params", "weight KB",
               "peak KB");
    }
    printf("%6zu %12.6g %12.6g %9.4g %9.4g %9.4g %9.4g %9.4g\n", i + 1,
           cost->latency_ms, cost->energy_mj, cost->bitops / 1e9,
           cost->macs / 1e6, cost->params / 1e3, cost->weight_bytes / 1e3,
           cost->peak_activation_bytes / 1e3);
}

static apq_status price(const char *text, const char *where, size_t i,
                        void *ctx) {
    cost_context *self = ctx;
    apq_policy policy;
    APQ_TRY(apq_policy_from_json(&self->space, text, where, &policy));
    apq_ir_network network;
    APQ_TRY(apq_policy_lower(&self->space, &policy, &network));
    apq_cost cost;
    APQ_TRY(apq_cost_network(self->target, &network, &cost));
    if (self->options->common.json) {
        apq_cli_print_json(cost_json(&cost), true);
    } else {
        print_row(&cost, i);
    }
    return APQ_OK;
}

static apq_status price_range(cost_context *self) {
    apq_cost low, high;
    APQ_TRY(apq_app_range(&self->space, self->target, &low, &high));
    if (self->options->common.json) {
        apq_cli_print_json(json_pack("{s:o, s:o}", "low", cost_json(&low),
                                     "high", cost_json(&high)),
                           false);
        return APQ_OK;
    }
    printf("%-24s %14s %14s\n", "", "smallest", "largest");
    for (int i = 0; i < APQ_COST_PEAK_ACTIVATION_BYTES; i++) {
        apq_cost_field field = (apq_cost_field)i;
        printf("%-24s %14.6g %14.6g\n", apq_cost_field_name(field),
               apq_cost_get(&low, field), apq_cost_get(&high, field));
    }
    return APQ_OK;
}

static const apq_command_help help = {
    .usage = "apq cost --space S --target T --specs F|--range [options]",
    .summary = "Latency, energy and size of policies on a target.",
    .examples = "  apq cost --space imagenet-apq --target bitfusion --specs "
                "policies.jsonl --json\n"
                "  jq -c .policy best.json | apq cost --space cifar10 --target "
                "bitfusion --specs -\n"
                "  apq cost --space cifar10 --target bitfusion --range\n",
};

#define AT(member) offsetof(cost_options, member)
static const apq_option table[] = {
    {.name = "space",
     .type = APQ_OPTION_TEXT,
     .argument = "SPACE",
     .help = "search space: a name of apq list spaces, or a YAML file",
     .offset = AT(space)},
    {.name = "target",
     .type = APQ_OPTION_TEXT,
     .argument = "TARGET",
     .help = "hardware: a name of apq list targets, or a .yaml or .jsonl file",
     .offset = AT(target)},
    {.name = "specs",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "policies, one JSON a line; - is standard input",
     .offset = AT(specs)},
    {.name = "range",
     .type = APQ_OPTION_FLAG,
     .help = "smallest and largest cost over the whole space",
     .offset = AT(range)},
    {.name = NULL},
};

int apq_cmd_cost(int argc, char **argv) {
    cost_options options = {.space = "cifar10", .target = "bitfusion"};
    int code = apq_cli_parse(&help, table, argc, argv, 0, &options);
    if (code >= 0) {
        return code;
    }
    if ((options.specs == NULL) != options.range) {
        (void)APQ_ERROR(APQ_ERR_ARG, "either --specs FILE or --range");
        return apq_cli_usage("cost");
    }
    cost_context self = {.options = &options};
    apq_status st = apq_space_load(options.space, &self.space);
    if (st == APQ_OK) {
        st = apq_target_load(options.target, &self.target);
    }
    if (st == APQ_OK) {
        st = apq_app_check_target(&self.space, self.target);
    }
    if (st == APQ_OK) {
        st = options.range ? price_range(&self)
                           : apq_cli_each_spec(options.specs, price, &self);
    }
    apq_target_destroy(self.target);
    code = apq_cli_exit(st);
    /* A layer the target cannot execute is a fault of the policy. */
    return st == APQ_ERR_UNSUPPORTED ? APQ_EXIT_INPUT : code;
}
