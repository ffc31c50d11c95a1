/* Times our kernels as inference runs them: a layer's input was just written
 * by the layer before, while its weights have been displaced by the rest of a
 * network, for which a buffer is read. Buffers are planned beforehand and one
 * image needs no thread team, so there is no cost outside the layers. */
#include "measure/cpu.h"

#include "backend/backend.h"
#include "base/log.h"
#include "base/memory.h"
#include "deploy/int_kernels.h"
#include "measure/pin.h"
#include "measure/program.h"

#include <math.h>
#include <stdlib.h>

/* About 50 microseconds of products out of the first cache. */
enum { REFERENCE_LENGTH = 8192, REFERENCE_ROUNDS = 128 };

/* What decides the time of a layer. */
typedef struct shape_key {
    apq_ir_kind kind;
    int in_channels, out_channels, kernel, stride, in_size, out_size;
    bool is_act_signed, has_relu6;
} shape_key;

typedef struct known_shape {
    shape_key key;
    apq_lut_sample sample;
} known_shape;

struct apq_cpu {
    const apq_measured_config *config;
    apq_pin *pin;
    int threads_before;
    apq_timing_clock clock;
    uint8_t *reference_x;
    int8_t *reference_w;
    int32_t reference_sum; /* kept, so that the products are not left out */
    unsigned char *others;
    uint64_t others_sum;
    /* Of the running measurement. */
    const apq_ir_network *network;
    apq_program *program;
    size_t at, end;
    known_shape *known;
    size_t n_known, capacity;
};

static double now(void *ctx) {
    (void)ctx;
    return apq_now_s();
}

static void run_reference(void *ctx) {
    apq_cpu *cpu = ctx;
    for (int i = 0; i < REFERENCE_ROUNDS; i++) {
        cpu->reference_sum +=
            apq_int_dot(cpu->reference_x, cpu->reference_w, REFERENCE_LENGTH) &
            1;
    }
}

/* Every cache line of the buffer, then the layer before. */
static apq_status prepare(void *ctx) {
    apq_cpu *cpu = ctx;
    for (int64_t i = 0; i < cpu->config->other_cache_bytes; i += 64) {
        cpu->others_sum += cpu->others[i];
    }
    return cpu->at > 0 ? apq_program_run(cpu->program, cpu->at - 1, cpu->at)
                       : APQ_OK;
}

static apq_status run(void *ctx) {
    apq_cpu *cpu = ctx;
    return apq_program_run(cpu->program, cpu->at, cpu->end);
}

apq_status apq_cpu_open(const apq_measured_config *config, apq_cpu **out) {
    apq_cpu *cpu = calloc(1, sizeof *cpu);
    if (cpu == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "measurement: out of memory");
    }
    cpu->config = config;
    cpu->threads_before = apq_backend_threads();
    apq_backend_set_threads(config->threads);
    if (config->threads == 1) {
        cpu->pin = apq_pin_thread();
    }
    cpu->reference_x = apq_calloc(REFERENCE_LENGTH, 1);
    cpu->reference_w = apq_calloc(REFERENCE_LENGTH, 1);
    cpu->others = apq_calloc((size_t)config->other_cache_bytes, 1);
    if (cpu->reference_x == NULL || cpu->reference_w == NULL ||
        cpu->others == NULL) {
        apq_cpu_close(cpu);
        APQ_FAIL(APQ_ERR_NOMEM, "measurement: out of memory");
    }
    for (int i = 0; i < REFERENCE_LENGTH; i++) {
        cpu->reference_x[i] = (uint8_t)i;
        cpu->reference_w[i] = (int8_t)(i % 127);
    }
    *out = cpu;
    return APQ_OK;
}

void apq_cpu_close(apq_cpu *cpu) {
    if (cpu == NULL) {
        return;
    }
    apq_pin_release(cpu->pin);
    apq_backend_set_threads(cpu->threads_before);
    free(cpu->reference_x);
    free(cpu->reference_w);
    free(cpu->others);
    free(cpu->known);
    free(cpu);
}

const apq_timing_clock *apq_cpu_clock(const apq_cpu *cpu) {
    return &cpu->clock;
}

/* A program for the network, and the first passes, which take memory and fill
 * caches. The old one goes last, so that the new one lies elsewhere. */
static apq_status renew(void *ctx) {
    apq_cpu *cpu = ctx;
    apq_program *program;
    size_t n = cpu->network->n_layers;
    APQ_TRY(
        apq_program_create(cpu->network, cpu->config->arithmetic, &program));
    apq_program_destroy(cpu->program);
    cpu->program = program;
    APQ_TRY(apq_program_run(program, 0, n));
    return apq_program_run(program, 0, n);
}

/* Times layers begin .. end - 1 of a network. */
static apq_status measure(apq_cpu *cpu, const apq_ir_network *network,
                          size_t begin, size_t end, bool in_network,
                          apq_lut_sample *out) {
    const apq_timing_hooks hooks = {
        .now_s = now,
        .reference = run_reference,
        .prepare = in_network ? prepare : NULL,
        .run = run,
        .renew = renew,
        .ctx = cpu,
    };
    const apq_timing_options options = {cpu->config->layer_seconds,
                                        cpu->config->max_drift};
    apq_timing timing;
    cpu->network = network;
    cpu->at = begin;
    cpu->end = end;
    apq_status st = renew(cpu);
    if (st == APQ_OK) {
        st = apq_timing_run(&hooks, &options, &cpu->clock, &timing);
    }
    apq_program_destroy(cpu->program);
    cpu->program = NULL;
    if (st == APQ_OK) {
        *out = (apq_lut_sample){
            .latency_ms = timing.median_s * 1e3,
            .latency_spread_ms = timing.spread_s * 1e3,
            .energy_mj = (double)NAN,
            .energy_spread_mj = (double)NAN,
            .count = timing.count,
        };
    }
    return st;
}

static bool is_equal(const shape_key *a, const shape_key *b) {
    return a->kind == b->kind && a->in_channels == b->in_channels &&
           a->out_channels == b->out_channels && a->kernel == b->kernel &&
           a->stride == b->stride && a->in_size == b->in_size &&
           a->out_size == b->out_size && a->is_act_signed == b->is_act_signed &&
           a->has_relu6 == b->has_relu6;
}

static apq_status remember(apq_cpu *cpu, const shape_key *key,
                           const apq_lut_sample *sample) {
    if (cpu->n_known == cpu->capacity) {
        size_t capacity = cpu->capacity == 0 ? 256 : 2 * cpu->capacity;
        known_shape *grown = realloc(cpu->known, capacity * sizeof *grown);
        if (grown == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "measurement: out of memory");
        }
        cpu->known = grown;
        cpu->capacity = capacity;
    }
    cpu->known[cpu->n_known++] = (known_shape){*key, *sample};
    return APQ_OK;
}

apq_status apq_cpu_layer(apq_cpu *cpu, const apq_ir_layer *layer,
                         apq_lut_sample *out) {
    const shape_key key = {
        .kind = layer->kind,
        .in_channels = layer->in_channels,
        .out_channels = layer->out_channels,
        .kernel = layer->kernel,
        .stride = layer->stride,
        .in_size = layer->in_size,
        .out_size = layer->out_size,
        .is_act_signed = layer->is_act_signed,
        .has_relu6 = layer->has_relu6,
    };
    for (size_t i = 0; i < cpu->n_known; i++) {
        if (is_equal(&cpu->known[i].key, &key)) {
            *out = cpu->known[i].sample;
            return APQ_OK;
        }
    }
    apq_ir_network network;
    size_t at;
    apq_program_surround(layer, &network, &at);
    APQ_TRY(measure(cpu, &network, at, at + 1, true, out));
    return remember(cpu, &key, out);
}

apq_status apq_cpu_network(apq_cpu *cpu, const apq_ir_network *network,
                           apq_lut_sample *out) {
    return measure(cpu, network, 0, network->n_layers, false, out);
}
