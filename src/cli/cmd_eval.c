/* apq eval: accuracy of a sub-network of the run's or the shipped supernet. */
#include "cli/step.h"
#include "cli/commands.h"
#include "cli/team.h"

#include "app/app.h"
#include "app/json.h"

#include <stdio.h>
#include <string.h>

typedef struct eval_options {
    apq_step_options step;
    const char *split, *model, *policy, *bits, *dtype;
    int64_t limit, qat_steps;
    bool checks;
} eval_options;

#define AT(member) offsetof(eval_options, member)
static const char *const splits[] = {"val", "test", NULL};
static const char *const bit_modes[] = {"float", "policy", NULL};
static const char *const dtypes[] = {"float32", "bfloat16", NULL};
static const apq_option table[] = {
    APQ_STEP_TABLE,
    {.name = "split",
     .type = APQ_OPTION_CHOICE,
     .argument = "SPLIT",
     .help = "images; those of test, the default, are for finished networks",
     .offset = AT(split),
     .choices = splits},
    {.name = "model",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "a fine-tuned network, network.safetensors, in integers, instead "
             "of a sub-network",
     .offset = AT(model)},
    {.name = "policy",
     .type = APQ_OPTION_TEXT,
     .argument = "POLICY",
     .help = "largest (default), smallest, random:SEED or a JSON file",
     .offset = AT(policy)},
    {.name = "bits",
     .type = APQ_OPTION_CHOICE,
     .argument = "MODE",
     .help = "float (default), or the policy's bits in integers",
     .offset = AT(bits),
     .choices = bit_modes},
    {.name = "dtype",
     .type = APQ_OPTION_CHOICE,
     .argument = "TYPE",
     .help = "products of --bits float; float32 is the default",
     .offset = AT(dtype),
     .choices = dtypes},
    {.name = "qat-steps",
     .type = APQ_OPTION_COUNT,
     .argument = "N",
     .help = "first train a copy for N steps in the policy's bits "
             "(collect.quantiser, collect.distill)",
     .offset = AT(qat_steps),
     .low = 0,
     .high = 1e6},
    {.name = "check",
     .type = APQ_OPTION_FLAG,
     .help = "--bits policy: also simulate in float; accuracies may differ by "
             "0.1 point",
     .offset = AT(checks)},
    {.name = "limit",
     .type = APQ_OPTION_COUNT,
     .argument = "N",
     .help = "images used; 0 is all",
     .offset = AT(limit),
     .low = 0,
     .high = 1e9},
    {.name = NULL},
};

/* Integers may decide a tenth of a per cent of images, or one, otherwise. */
static apq_status judge(const apq_int_check *c) {
    int64_t legal = c->count / 1000 > 1 ? c->count / 1000 : 1;
    int64_t difference = c->n_correct - c->n_correct_simulated;
    if (difference > legal || difference < -legal) {
        APQ_FAIL(APQ_ERR_NUMERIC,
                 "check: %lld of %lld images correct in integers, %lld when "
                 "simulated, legal difference %lld",
                 (long long)c->n_correct, (long long)c->count,
                 (long long)c->n_correct_simulated, (long long)legal);
    }
    return APQ_OK;
}

static void print_check(const apq_int_check *c) {
    printf("simulated top-1 %.2f %%, %lld of %lld images of another class\n",
           100.0 * (double)c->n_correct_simulated / (double)c->count,
           (long long)c->n_other_class, (long long)c->count);
}

static void print_answer(const eval_options *options,
                         const apq_eval_answer *answer) {
    if (!options->step.common.json) {
        bool is_quantised = strcmp(options->bits, "policy") == 0;
        printf("top-1 %.2f %%, loss %.4f on %lld images of %s, %.1f s: %s%s in "
               "%s\n",
               100 * answer->top1, answer->loss, (long long)answer->count,
               options->split, answer->seconds,
               options->model != NULL ? "" : "sub-network ",
               options->model != NULL ? options->model : options->policy,
               is_quantised ? "integers" : options->dtype);
        if (options->checks) {
            print_check(&answer->check);
        }
        return;
    }
    json_t *root = json_pack(
        "{s:f, s:f, s:I, s:f, s:o}", "top1", answer->top1, "loss", answer->loss,
        "count", (json_int_t)answer->count, "seconds", answer->seconds,
        "policy", apq_json_policy(&answer->space, &answer->policy));
    if (options->checks) {
        const apq_int_check *c = &answer->check;
        (void)json_object_set_new(
            root, "check",
            json_pack("{s:f, s:I}", "simulated_top1",
                      (double)c->n_correct_simulated / (double)c->count,
                      "other_class", (json_int_t)c->n_other_class));
    }
    apq_cli_print_json(root, false);
}

/* A network of a file has its bits and is trained. */
static apq_status complete(eval_options *options) {
    if (options->model != NULL &&
        (options->policy != NULL || options->bits != NULL ||
         options->qat_steps > 0)) {
        APQ_FAIL(APQ_ERR_ARG, "--model has its own policy and bits: no "
                              "--policy, --bits or --qat-steps with it");
    }
    if (options->policy == NULL) {
        options->policy = "largest";
    }
    if (options->bits == NULL) {
        options->bits = options->model != NULL ? "policy" : "float";
    }
    return APQ_OK;
}

static int eval_together(const apq_command *self, int argc, char **argv,
                         apq_comm *comm) {
    eval_options options = {.split = "test", .dtype = "float32"};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    if (complete(&options) != APQ_OK) {
        return apq_cli_usage(self);
    }
    if (options.qat_steps > 0 && strcmp(options.bits, "policy") != 0) {
        (void)APQ_ERROR(APQ_ERR_ARG, "--qat-steps needs --bits policy");
        return apq_cli_usage(self);
    }
    if (options.checks && strcmp(options.bits, "policy") != 0) {
        (void)APQ_ERROR(APQ_ERR_ARG, "--check needs --bits policy");
        return apq_cli_usage(self);
    }
    bool is_bfloat16 = strcmp(options.dtype, "bfloat16") == 0;
    if (is_bfloat16 && strcmp(options.bits, "float") != 0) {
        (void)APQ_ERROR(APQ_ERR_ARG, "--dtype bfloat16 needs --bits float");
        return apq_cli_usage(self);
    }
    apq_cli_progress progress;
    apq_cli_progress_init(&progress, options.step.common.quiet);
    apq_eval_request request = {
        .model = options.model,
        .policy = options.policy,
        .split = options.split,
        .is_quantised = strcmp(options.bits, "policy") == 0,
        .is_bfloat16 = is_bfloat16,
        .checks = options.checks,
        .limit = options.limit,
        .qat_steps = (int)options.qat_steps,
        .comm = comm,
    };
    apq_recipe recipe;
    apq_eval_answer answer;
    const char *run = options.step.common.run;
    apq_status st = run != NULL ? apq_rundir_check_folder(run) : APQ_OK;
    st = st == APQ_OK ? apq_step_recipe(&options.step, 0, &recipe) : st;
    st = apq_comm_agree(comm, st);
    if (st == APQ_OK) {
        st = apq_app_eval(&recipe, run, &request, &progress.base, &answer);
    }
    apq_cli_progress_end(&progress);
    if (st == APQ_OK) {
        print_answer(&options, &answer);
    }
    if (st == APQ_OK && options.checks && judge(&answer.check) != APQ_OK) {
        (void)apq_cli_exit(APQ_ERR_NUMERIC); /* says it */
        return APQ_EXIT_VERIFICATION;
    }
    return apq_cli_exit(st);
}

static int run(const apq_command *self, int argc, char **argv) {
    apq_cli_team team;
    apq_status st = apq_cli_team_open(&team);
    if (st != APQ_OK) {
        return apq_cli_exit(st);
    }
    return apq_cli_team_close(&team,
                              eval_together(self, argc, argv, team.comm));
}

const apq_command apq_command_eval = {
    .name = "eval",
    .brief = "accuracy of a sub-network or of a fine-tuned network",
    .usage = "apq eval [RECIPE] --data D [--policy P | --model M] [options]",
    .summary = "Accuracy of a sub-network of the run's supernet, or of the "
               "shipped one; with\n--model, of a fine-tuned network, on any "
               "images of its classes.",
    .examples =
        "  apq eval --space cifar10 --data data/cifar10 --policy largest\n"
        "  apq eval --run runs/first --policy runs/first/best.json --bits "
        "policy\n"
        "  apq eval --run runs/first --policy mine.json --bits policy "
        "--qat-steps 200 collect.quantiser=lsq\n"
        "  apq eval --model runs/first/network.safetensors --data field\n"
        "  mpirun -n 4 apq eval --run runs/first --policy largest\n",
    .options = table,
    .max_words = APQ_STEP_MAX_WORDS,
    .is_parallel = true,
    .finds_run = true,
    .run = run,
};
