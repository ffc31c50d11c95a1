/* apq lut check: asks a target again, compares beyond the spread, and looks
 * for layers that are missing or cost what nobody would expect. */
#include "app/lut.h"

#include "base/memory.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The spread is half the interquartile range, 0.67 standard deviations of a
 * normal distribution: three of both are about four of their difference. */
static const double N_SPREADS = 3.0;
static const double ROUNDING = 1e-9;

typedef struct checker {
    const apq_lut_check_options *options;
    const apq_progress *progress;
    apq_lut *lut;
    apq_lut_check_report *report;
} checker;

const char *apq_lut_finding_name(apq_lut_finding finding) {
    static const char *const names[] = {
        [APQ_LUT_DISAGREES] = "disagrees",
        [APQ_LUT_MISSING] = "missing",
        [APQ_LUT_INTERPOLATED] = "interpolated",
        [APQ_LUT_WIDER_FASTER] = "wider_faster",
        [APQ_LUT_FEWER_BITS_SLOWER] = "fewer_bits_slower",
    };
    return names[finding];
}

APQ_PRINTF(4, 5)
static void found(checker *self, apq_lut_finding finding,
                  const apq_ir_layer *layer, const char *format, ...) {
    apq_lut_check_report *report = self->report;
    size_t at = report->counts[finding]++;
    if (at >= APQ_LUT_MAX_EXAMPLES) {
        return;
    }
    char *text = report->examples[finding][at];
    int n = snprintf(text, APQ_LUT_EXAMPLE_BYTES,
                     "%s %d->%d, size %d, kernel %d, stride %d, W%dA%d",
                     apq_ir_kind_name(layer->kind), layer->in_channels,
                     layer->out_channels, layer->in_size, layer->kernel,
                     layer->stride, layer->weight_bits, layer->act_bits);
    if (n > 0 && n < APQ_LUT_EXAMPLE_BYTES) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(text + n, (size_t)(APQ_LUT_EXAMPLE_BYTES - n), format,
                        arguments);
        va_end(arguments);
    }
}

/* "0.5 ms and 2 mJ", or the latency alone when the energy is not known. */
static const char *describe_costs(const apq_lut_sample *s, char out[64]) {
    int n = snprintf(out, 64, "%.6g ms", s->latency_ms);
    if (!isnan(s->energy_mj)) {
        (void)snprintf(out + n, 64 - (size_t)n, " and %.6g mJ", s->energy_mj);
    }
    return out;
}

static double zero_if_unknown(double value) {
    return isfinite(value) ? value : 0.0;
}

/* Relative difference; *is_beyond when spread and tolerance do not cover it. */
static double compare(double old_value, double old_spread, double new_value,
                      double new_spread, double tolerance, bool *is_beyond) {
    double difference = fabs(new_value - old_value);
    double allowed = N_SPREADS * (zero_if_unknown(old_spread) +
                                  zero_if_unknown(new_spread)) +
                     (tolerance + ROUNDING) * old_value;
    if (!(difference <= allowed)) {
        *is_beyond = true;
    }
    return old_value > 0 ? difference / old_value : difference;
}

static apq_status ask_again(checker *self, const apq_lut_source *source,
                            const apq_lut_row *row) {
    apq_lut_check_report *report = self->report;
    apq_ir_layer layer;
    apq_lut_sample sample;
    apq_lut_row_layer(row, &layer);
    apq_status st = source->layer(source->ctx, &layer, &sample);
    if (st != APQ_OK && st != APQ_ERR_UNSUPPORTED) {
        return st;
    }
    report->n_asked++;
    if ((st == APQ_OK) != row->is_supported) {
        found(self, APQ_LUT_DISAGREES, &layer, ": %s, the table says %s",
              st == APQ_OK ? "executed" : "not executed",
              st == APQ_OK ? "not" : "otherwise");
    }
    if (st != APQ_OK || !row->is_supported) {
        return APQ_OK;
    }
    const apq_lut_sample *old = &row->sample;
    bool is_beyond = false;
    double latency =
        compare(old->latency_ms, old->latency_spread_ms, sample.latency_ms,
                sample.latency_spread_ms, self->options->tolerance, &is_beyond);
    double energy = (double)NAN;
    if (!isnan(old->energy_mj) && !isnan(sample.energy_mj)) {
        energy = compare(old->energy_mj, old->energy_spread_mj,
                         sample.energy_mj, sample.energy_spread_mj,
                         self->options->tolerance, &is_beyond);
    }
    /* fmax passes over NaN. */
    report->max_latency_difference =
        fmax(report->max_latency_difference, latency);
    report->max_energy_difference = fmax(report->max_energy_difference, energy);
    if (is_beyond) {
        char now[64], then[64];
        found(self, APQ_LUT_DISAGREES, &layer, ": %s, the table says %s",
              describe_costs(&sample, now), describe_costs(old, then));
    }
    return APQ_OK;
}

static apq_status ask_rows(checker *self, const apq_lut_source *source) {
    size_t n = apq_lut_n_rows(self->lut), n_asked = self->options->n_asked;
    if (n_asked == 0 || n_asked > n) {
        n_asked = n;
    }
    uint32_t *rows = apq_calloc(n, sizeof *rows);
    if (rows == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "no memory to draw from %zu rows", n);
    }
    for (size_t i = 0; i < n; i++) {
        rows[i] = (uint32_t)i;
    }
    if (n_asked < n) {
        apq_rng rng = apq_rng_make(self->options->seed, APQ_RNG_SHUFFLE, 0);
        apq_rng_shuffle(&rng, rows, n);
    }
    apq_status st = APQ_OK;
    for (size_t i = 0; st == APQ_OK && i < n_asked; i++) {
        st = ask_again(self, source, apq_lut_row_at(self->lut, rows[i]));
        apq_progress_update(self->progress, "rows", i + 1, n_asked, NULL);
        if (st == APQ_OK && apq_stop_requested(self->progress)) {
            st = APQ_ERROR(APQ_ERR_INTERRUPTED, "check stopped after %zu rows",
                           i + 1);
        }
    }
    free(rows);
    return st;
}

static apq_status check_values(checker *self) {
    apq_app_source source;
    apq_status st =
        apq_app_source_open(self->options->target, self->progress, &source);
    const apq_lut_header *h = apq_lut_header_of(self->lut);
    if (st == APQ_OK && source.target != NULL) {
        st = apq_target_check_space(source.target, h->space, h->space_hash);
    }
    if (st == APQ_OK && h->target_hash[0] != '\0' &&
        strcmp(source.hash, h->target_hash) != 0) {
        apq_note(self->progress,
                 "check: %s is not what the table was made on (%s, was %s)",
                 self->options->target, source.hash, h->target_hash);
    }
    if (st == APQ_OK) {
        st = ask_rows(self, &source.source);
    }
    apq_app_source_close(&source);
    return st;
}

static apq_status check_space(checker *self) {
    apq_space space;
    char hash[APQ_HASH_MAX];
    apq_lut_plan plan;
    APQ_TRY(apq_space_load(self->options->space, &space));
    space.prices_all_layers |= self->options->all_layers;
    apq_space_layers_hash(&space, hash);
    APQ_TRY(apq_lut_check_space(self->lut, space.name, hash));
    APQ_TRY(apq_lut_plan_make(&space, 0, &plan));
    for (size_t i = 0; i < plan.n; i++) {
        apq_lut_sample sample;
        if (apq_lut_find(self->lut, &plan.layers[i]) != NULL) {
            continue;
        }
        if (apq_lut_interpolate(self->lut, &plan.layers[i], &sample) ==
            APQ_ERR_MISMATCH) {
            found(self, APQ_LUT_MISSING, &plan.layers[i], "%s", "");
        } else {
            found(self, APQ_LUT_INTERPOLATED, &plan.layers[i], "%s", "");
        }
    }
    apq_lut_plan_fini(&plan);
    return APQ_OK;
}

/* Both executed, and `more` beyond doubt cheaper than `less`. */
static bool is_inverted(const apq_lut_row *less, const apq_lut_row *more) {
    const apq_lut_sample *a = &less->sample, *b = &more->sample;
    return less->is_supported && more->is_supported &&
           a->latency_ms - b->latency_ms > a->latency_spread_ms +
                                               b->latency_spread_ms +
                                               ROUNDING * a->latency_ms;
}

static void check_widths(checker *self) {
    for (size_t i = 0; i < 2 * apq_lut_n_rows(self->lut); i++) {
        const apq_lut_row *pair[2];
        bool along_in = i % 2 == 1;
        if (!apq_lut_width_pair(self->lut, along_in, i / 2, pair) ||
            (along_in && pair[0]->key[APQ_LUT_KIND] == APQ_IR_DEPTHWISE) ||
            !is_inverted(pair[0], pair[1])) {
            continue;
        }
        apq_ir_layer layer;
        apq_lut_row_layer(pair[1], &layer);
        found(self, APQ_LUT_WIDER_FASTER, &layer,
              ": %.6g ms, with %d->%d channels %.6g",
              pair[1]->sample.latency_ms, pair[0]->key[APQ_LUT_IN_CHANNELS],
              pair[0]->key[APQ_LUT_OUT_CHANNELS], pair[0]->sample.latency_ms);
    }
}

/* The row against the one with the next more bits of one operand. */
static void check_bits(checker *self, const apq_lut_row *row, bool is_weight) {
    apq_ir_layer layer, more;
    apq_lut_row_layer(row, &layer);
    more = layer;
    int *bits = is_weight ? &more.weight_bits : &more.act_bits;
    const apq_lut_row *other = NULL;
    while (other == NULL && ++*bits <= 8) {
        other = apq_lut_find(self->lut, &more);
    }
    if (other != NULL && is_inverted(row, other)) {
        found(self, APQ_LUT_FEWER_BITS_SLOWER, &layer,
              ": %.6g ms, with W%dA%d %.6g", row->sample.latency_ms,
              more.weight_bits, more.act_bits, other->sample.latency_ms);
    }
}

static apq_status check(checker *self) {
    const apq_lut_check_options *o = self->options;
    APQ_TRY(apq_lut_load(o->path, &self->lut));
    self->report->n_rows = apq_lut_n_rows(self->lut);
    if (o->space != NULL) {
        APQ_TRY(check_space(self));
    }
    if (o->target != NULL) {
        APQ_TRY(check_values(self));
    }
    check_widths(self);
    for (size_t i = 0; i < self->report->n_rows; i++) {
        check_bits(self, apq_lut_row_at(self->lut, i), true);
        check_bits(self, apq_lut_row_at(self->lut, i), false);
    }
    return APQ_OK;
}

apq_status apq_app_lut_check(const apq_lut_check_options *options,
                             const apq_progress *progress,
                             apq_lut_check_report *out) {
    memset(out, 0, sizeof *out);
    out->max_latency_difference = (double)NAN;
    out->max_energy_difference = (double)NAN;
    checker self = {.options = options, .progress = progress, .report = out};
    apq_status st = check(&self);
    apq_lut_destroy(self.lut);
    return st;
}
