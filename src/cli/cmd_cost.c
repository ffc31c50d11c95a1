/* apq cost: prices policies on a target, in the order they are given. */
#include "cli/commands.h"

#include "app/lut.h"
#include "app/run_space.h"
#include "cli/cost_print.h"

#include <stdio.h>

typedef struct cost_options {
    apq_common_options common;
    const char *space, *target, *specs;
    bool range, explain, bit_pairs, all_layers;
    int batch;
} cost_options;

typedef struct cost_context {
    const cost_options *options;
    apq_space space;
    apq_target *target;
    json_t *pairs; /* with --json */
    size_t n_pairs;
} cost_context;

static apq_status show(const cost_context *self, const apq_ir_network *network,
                       size_t i) {
    apq_cost cost;
    APQ_TRY(apq_cost_network(self->target, network, &cost));
    bool is_explained = self->options->explain;
    if (!self->options->common.json) {
        if (is_explained) {
            return apq_print_explain(self->target, network, i);
        }
        apq_print_cost_row(&cost, i);
        return APQ_OK;
    }
    json_t *layers = NULL;
    if (is_explained) {
        APQ_TRY(apq_print_explain_json(self->target, network, &layers));
    }
    json_t *object = apq_print_cost_json(&cost, apq_target_batch(self->target));
    if (is_explained) {
        (void)json_object_set_new(object, "layers", layers);
    }
    apq_cli_print_json(object, true);
    return APQ_OK;
}

static apq_status price(const char *text, const char *where, size_t i,
                        void *ctx) {
    const cost_context *self = ctx;
    apq_policy policy;
    APQ_TRY(apq_cli_policy(&self->space, text, where, &policy));
    apq_ir_network network;
    APQ_TRY(apq_policy_lower(&self->space, &policy, &network));
    apq_status st = show(self, &network, i);
    /* A layer the target cannot execute is a fault of the policy. */
    return st != APQ_ERR_UNSUPPORTED
               ? st
               : APQ_ERROR(APQ_ERR_ARG, "%s: %s", where, apq_error_message());
}

static apq_status price_range(const cost_context *self) {
    apq_price_table *table = NULL;
    apq_cost low, high;
    apq_excluded excluded;
    APQ_TRY(apq_price_table_create(&self->space, self->target, &table));
    apq_status st = apq_app_range(table, &low, &high);
    apq_app_excluded(table, &excluded);
    apq_price_table_destroy(table);
    APQ_TRY(st);
    if (self->options->common.json) {
        apq_cli_print_json(apq_print_range_json(&low, &high, &excluded), false);
    } else {
        printf("space %s, target %s\n", self->space.name,
               apq_target_name(self->target));
        apq_print_range(&low, &high, &excluded);
    }
    return APQ_OK;
}

static void take_pair(const apq_bit_pair *pair, void *ctx) {
    cost_context *self = ctx;
    if (self->pairs != NULL) {
        (void)json_array_append_new(self->pairs, apq_print_bit_pair_json(pair));
    } else {
        apq_print_bit_pair(pair, self->n_pairs++ == 0);
    }
}

static apq_status compare_bits(cost_context *self) {
    apq_bit_pair_summary sum;
    self->pairs = self->options->common.json ? json_array() : NULL;
    apq_status st =
        apq_app_bit_pairs(&self->space, self->target, take_pair, self, &sum);
    if (st != APQ_OK) {
        json_decref(self->pairs);
        return st;
    }
    if (self->pairs == NULL) {
        apq_print_bit_summary(&sum);
        return APQ_OK;
    }
    json_t *object = apq_print_bit_summary_json(&sum);
    (void)json_object_set_new(object, "list", self->pairs);
    apq_cli_print_json(object, false);
    return APQ_OK;
}

#define AT(member) offsetof(cost_options, member)
static const apq_option table[] = {
    APQ_ROW_SPACE(AT(space)),
    APQ_ROW_TARGET(AT(target)),
    {.name = "specs",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "policies, one JSON a line; - is standard input",
     .offset = AT(specs)},
    {.name = "range",
     .type = APQ_OPTION_FLAG,
     .help = "smallest and largest cost over the whole space",
     .offset = AT(range)},
    {.name = "bit-pairs",
     .type = APQ_OPTION_FLAG,
     .help = "layers of the space that narrower bits make slower or dearer",
     .offset = AT(bit_pairs)},
    {.name = "explain",
     .type = APQ_OPTION_FLAG,
     .help = "with --specs: every layer, and what decides its price",
     .offset = AT(explain)},
    {.name = "all-layers",
     .type = APQ_OPTION_FLAG,
     .help = "price every layer, also those the space's accounting leaves out",
     .offset = AT(all_layers)},
    {.name = "batch",
     .type = APQ_OPTION_INT,
     .argument = "N",
     .help = "images run together; else the target's. Costs stay per image",
     .offset = AT(batch),
     .low = 1,
     .high = APQ_MAX_BATCH},
    {.name = NULL},
};

static apq_status open_all(cost_context *self) {
    const cost_options *o = self->options;
    apq_recipe recipe;
    APQ_TRY(apq_cli_run_recipe(&o->common, &recipe));
    APQ_TRY(apq_run_space_load(o->space != NULL ? o->space : recipe.space,
                               o->common.run, &self->space));
    apq_recipe_set_accounting(&recipe, &self->space);
    self->space.prices_all_layers |= o->all_layers;
    APQ_TRY(apq_target_load(o->target != NULL ? o->target : recipe.target,
                            &self->target));
    return o->batch == 0 ? APQ_OK
                         : apq_target_set_batch(self->target, o->batch);
}

static int run(const apq_command *self, int argc, char **argv) {
    cost_options options = {.space = NULL};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    if ((options.specs != NULL) + options.range + options.bit_pairs != 1) {
        (void)APQ_ERROR(APQ_ERR_ARG,
                        "one of --specs FILE, --range and --bit-pairs");
        return apq_cli_usage(self);
    }
    if (options.explain && options.specs == NULL) {
        (void)APQ_ERROR(APQ_ERR_ARG, "--explain needs --specs FILE");
        return apq_cli_usage(self);
    }
    cost_context context = {.options = &options};
    apq_status st = open_all(&context);
    if (st == APQ_OK) {
        st = apq_app_check_target(&context.space, context.target);
    }
    if (st == APQ_OK) {
        st = options.range ? price_range(&context)
             : options.bit_pairs
                 ? compare_bits(&context)
                 : apq_cli_each_spec(options.specs, price, &context);
    }
    apq_target_destroy(context.target);
    return apq_cli_exit(st);
}

const apq_command apq_command_cost = {
    .name = "cost",
    .brief = "price policies on a target",
    .usage = "apq cost --space S --target T --specs F|--range|--bit-pairs "
             "[options]",
    .summary = "Latency, energy and size of policies on a target, per image. "
               "What is not given of\n--space and --target is that of --run, "
               "else cifar10 and bitfusion.",
    .examples = "  apq cost --space imagenet-apq --target bitfusion --specs "
                "policies.jsonl --json\n"
                "  jq -c .policy best.json | apq cost --space cifar10 --target "
                "bitfusion --specs -\n"
                "  apq cost --space cifar10 --target bitfusion --range\n"
                "  apq cost --run runs/first --specs runs/first/best.json\n"
                "  apq cost --space imagenet-apq --specs best.json --explain "
                "--all-layers\n"
                "  apq cost --space cifar10 --specs policies.jsonl --batch 8\n"
                "  apq cost --space imagenet-apq --bit-pairs\n",
    .options = table,
    .run = run,
};
