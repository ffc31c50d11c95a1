/* Progressive shrinking: the largest sub-network first, then elastic kernels,
 * depths and widths, taught by the labels and a frozen copy of the largest.
 * Source: Once-for-All (ICLR 2020) section 3.3. */
#include "train/method.h"

#include "train/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEACHER_NAME_MAX = APQ_PARAM_NAME_MAX + 16 };

/* How far a gene ranges below its largest value. */
typedef enum range { FIXED, UPPER_HALF, WHOLE } range;

typedef struct phase_plan {
    const char *name;
    int n_subnets; /* of a step; OFA's code */
    range kernel, depth, width;
} phase_plan;

static const phase_plan plans[APQ_N_PHASES] = {
    {"largest", 1, FIXED, FIXED, FIXED},
    {"kernel", 1, WHOLE, FIXED, FIXED},
    {"depth 1", 2, WHOLE, UPPER_HALF, FIXED},
    {"depth 2", 2, WHOLE, WHOLE, FIXED},
    {"width 1", 4, WHOLE, WHOLE, UPPER_HALF},
    {"width 2", 4, WHOLE, WHOLE, WHOLE},
};

typedef struct progressive {
    const apq_train_env *env;
    int64_t end[APQ_N_PHASES]; /* first step after the phase */
    apq_model *teacher;        /* NULL in the first phase */
    apq_nn_net teacher_net;    /* over it */
    float *soft;               /* (batch, n_classes) the teacher's softmax */
} progressive;

static int64_t first_step(const progressive *p, int phase) {
    return phase == 0 ? 0 : p->end[phase - 1];
}

static int phase_of(const progressive *p, int64_t step) {
    int phase = 0;
    while (phase < APQ_N_PHASES - 1 && step >= p->end[phase]) {
        phase++;
    }
    return phase;
}

/* Smallest legal value; the values are `step` apart. */
static int lowest(range r, int least, int most, int step) {
    int n = (most - least) / step;
    return r == FIXED ? most : r == WHOLE ? least : most - (n + 1) / 2 * step;
}

/* Uniform and independent over what the phase leaves open. */
static void draw(const apq_space *space, const phase_plan *plan, apq_rng *rng,
                 apq_policy *out) {
    apq_policy_largest(space, 8, out);
    for (int s = 0; s < space->n_stages; s++) {
        const apq_space_stage *stage = &space->stages[s];
        int low = lowest(plan->depth, stage->min_depth, stage->max_depth, 1);
        uint32_t n = (uint32_t)(stage->max_depth - low + 1);
        out->depth[s] = (int8_t)(low + (int)apq_rng_below(rng, n));
    }
    for (int b = 0; b < space->n_blocks; b++) {
        const apq_space_block *sb = &space->blocks[b];
        int step = space->channel_step;
        int low = lowest(plan->width, sb->min_channels, sb->max_channels, step);
        uint32_t n = (uint32_t)((sb->max_channels - low) / step + 1);
        int extra = step * (int)apq_rng_below(rng, n);
        out->channels[b] = (int16_t)(low + extra);
        if (plan->kernel == WHOLE) {
            uint32_t k = apq_rng_below(rng, (uint32_t)space->n_kernels);
            out->kernel[b] = (int8_t)space->kernels[k];
        }
    }
}

static apq_status progressive_init(void *state, const apq_train_env *env) {
    progressive *p = state;
    const apq_train_phases *phases = &env->options->phases;
    int n_classes = apq_supernet_space(env->supernet)->n_classes;
    p->env = env;
    double sum = 0, upto = 0;
    for (int i = 0; i < APQ_N_PHASES; i++) {
        sum += phases->length[i];
    }
    for (int i = 0; i < APQ_N_PHASES; i++) {
        upto += phases->length[i];
        double fraction = sum > 0 ? upto / sum : 0;
        p->end[i] = (int64_t)rint(fraction * (double)env->n_steps);
    }
    if (env->n_steps > 0 && p->end[APQ_PHASE_LARGEST] == 0) {
        APQ_FAIL(APQ_ERR_ARG,
                 "progressive training: the phase of the largest network is "
                 "%g of %g, less than a step",
                 phases->length[APQ_PHASE_LARGEST], sum);
    }
    p->soft = apq_calloc((size_t)env->options->batch * (size_t)n_classes,
                         sizeof *p->soft);
    if (p->soft == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "training: out of memory");
    }
    return APQ_OK;
}

static void progressive_fini(void *state) {
    progressive *p = state;
    apq_nn_net_fini(&p->teacher_net);
    apq_model_destroy(p->teacher);
    free(p->soft);
}

static apq_status take_teacher(progressive *p) {
    const apq_train_env *env = p->env;
    apq_policy policy;
    apq_policy_largest(apq_supernet_space(env->supernet), 8, &policy);
    APQ_TRY(apq_supernet_extract(env->supernet, &policy, APQ_QUANTISER_APQ,
                                 &p->teacher));
    return apq_model_bind(p->teacher, env->options->backend, env->arena,
                          &p->teacher_net);
}

/* The most important channels first, among those that every sub-network so
 * far has shared. */
static apq_status sort_channels(progressive *p, int phase) {
    apq_supernet *supernet = p->env->supernet;
    const apq_space *space = apq_supernet_space(supernet);
    apq_params *params = apq_supernet_params(supernet);
    float *const arrays[] = {params->value, params->momentum, params->average};
    int widths[APQ_MAX_BLOCKS];
    for (int b = 0; b < space->n_blocks; b++) {
        const apq_space_block *sb = &space->blocks[b];
        widths[b] = lowest(plans[phase - 1].width, sb->min_channels,
                           sb->max_channels, space->channel_step);
    }
    return apq_supernet_sort_channels(supernet, widths, arrays,
                                      params->average == NULL ? 2 : 3);
}

/* What is done once, before the first step of a phase. A checkpoint of that
 * position was written before it, so it is done again after a resume. */
static apq_status enter(progressive *p, int phase) {
    if (phase == APQ_PHASE_KERNEL) {
        return take_teacher(p);
    }
    return phase >= APQ_PHASE_WIDTH_1 ? sort_channels(p, phase) : APQ_OK;
}

/* Batch statistics, as the largest had in its training. */
static apq_status ask_teacher(progressive *p, const apq_train_batch *batch) {
    float *logits;
    apq_arena_reset(p->env->arena);
    APQ_TRY(apq_nn_forward(&p->teacher_net, APQ_NN_TRAIN, batch->images,
                           batch->n, &logits));
    apq_softmax(logits, batch->n, p->teacher_net.n_classes, p->soft);
    return APQ_OK;
}

static apq_status progressive_gradients(void *state,
                                        const apq_train_batch *batch,
                                        apq_train_sums *sums) {
    progressive *p = state;
    const apq_train_options *o = p->env->options;
    const apq_space *space = apq_supernet_space(p->env->supernet);
    for (int i = 1; i < APQ_N_PHASES; i++) {
        if (first_step(p, i) == batch->step) {
            APQ_TRY(enter(p, i));
        }
    }
    int phase = phase_of(p, batch->step);
    apq_lesson lesson = {.label_weight = 1, .smoothing = o->label_smoothing};
    if (phase != APQ_PHASE_LARGEST) {
        APQ_TRY(ask_teacher(p, batch));
        lesson.soft = p->soft;
    }
    apq_rng rng = apq_rng_make(o->seed, APQ_RNG_SUBNET, (uint64_t)batch->step);
    for (int i = 0; i < plans[phase].n_subnets; i++) {
        apq_policy policy;
        apq_loss_sum sum;
        draw(space, &plans[phase], &rng, &policy);
        APQ_TRY(apq_train_subnet(p->env, &policy, batch, &lesson, NULL, &sum));
        if (phase == APQ_PHASE_LARGEST) {
            apq_train_sums_largest(sums, sum, batch->n);
        } else {
            apq_train_sums_others(sums, sum, batch->n);
        }
    }
    return APQ_OK;
}

static double progressive_learning_rate(const void *state, int64_t step) {
    const progressive *p = state;
    const apq_train_options *o = p->env->options;
    int phase = phase_of(p, step);
    int64_t first = first_step(p, phase);
    int64_t length = p->end[phase] - first;
    double warmup = o->warmup_epochs * (double)p->env->steps_per_epoch;
    const apq_rate_plan plan = {
        .shape = o->lr_schedule,
        .peak = o->learning_rate * o->phases.rate[phase],
        .final_fraction = o->final_rate,
        .warmup_steps = fmin(warmup, (double)length / 5),
    };
    return apq_schedule_rate(&plan, step - first, length);
}

static apq_status progressive_flop_per_image(const apq_space *space,
                                             const apq_train_options *options,
                                             double *flop) {
    enum { N_SAMPLES = 64 };
    const apq_train_phases *phases = &options->phases;
    apq_policy policy;
    double largest, sum = 0, total = 0;
    apq_policy_largest(space, 8, &policy);
    APQ_TRY(apq_train_policy_macs(space, &policy, &largest));
    for (int i = 0; i < APQ_N_PHASES; i++) {
        double mean = 0;
        for (uint64_t k = 0; k < N_SAMPLES; k++) {
            double macs;
            apq_rng rng = apq_rng_make(options->seed, APQ_RNG_POLICY, k);
            draw(space, &plans[i], &rng, &policy);
            APQ_TRY(apq_train_policy_macs(space, &policy, &macs));
            mean += macs / N_SAMPLES;
        }
        double teacher = i == APQ_PHASE_LARGEST ? 0 : 2 * largest;
        total += phases->length[i] * (teacher + 6 * plans[i].n_subnets * mean);
        sum += phases->length[i];
    }
    *flop = sum > 0 ? options->epochs * total / sum : 0;
    return APQ_OK;
}

static void teacher_name(char out[TEACHER_NAME_MAX], const apq_param *item) {
    (void)snprintf(out, TEACHER_NAME_MAX, "teacher.%s", item->name);
}

static apq_status progressive_save(const void *state, apq_tensor_file *file) {
    const progressive *p = state;
    const apq_params *params = p->teacher == NULL ? NULL : &p->teacher->params;
    for (size_t i = 0; params != NULL && i < params->n_items; i++) {
        const apq_param *item = &params->items[i];
        char name[TEACHER_NAME_MAX];
        teacher_name(name, item);
        APQ_TRY(apq_tensor_file_put(file, name, APQ_F32, item->rank,
                                    item->shape, apq_params_value(params, i)));
    }
    return APQ_OK;
}

static apq_status progressive_load(void *state, const apq_tensor_file *file,
                                   int64_t step) {
    progressive *p = state;
    if (step <= p->end[APQ_PHASE_LARGEST]) {
        return APQ_OK; /* it is still to be taken */
    }
    APQ_TRY(take_teacher(p)); /* for its shapes */
    const apq_params *params = &p->teacher->params;
    for (size_t i = 0; i < params->n_items; i++) {
        const apq_param *item = &params->items[i];
        char name[TEACHER_NAME_MAX];
        const void *data;
        teacher_name(name, item);
        APQ_TRY(apq_tensor_file_get(file, name, APQ_F32, item->rank,
                                    item->shape, &data));
        memcpy(apq_params_value(params, i), data, item->n * sizeof(float));
    }
    return APQ_OK;
}

static const char *progressive_phase(const void *state, int64_t step) {
    return plans[phase_of(state, step)].name;
}

const apq_train_method apq_train_progressive = {
    .name = "progressive",
    .state_bytes = sizeof(progressive),
    .init = progressive_init,
    .gradients = progressive_gradients,
    .learning_rate = progressive_learning_rate,
    .flop_per_image = progressive_flop_per_image,
    .fini = progressive_fini,
    .save = progressive_save,
    .load = progressive_load,
    .phase = progressive_phase,
};
