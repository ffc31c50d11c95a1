/* apq lut build: asks a target for every layer of a space, keeps what is known
 * on disk while it works, and says how well the table interpolates. */
#include "app/lut.h"

#include "app/run_space.h"
#include "base/memory.h"
#include "base/sort.h"

#include <apq/apq.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct builder {
    const apq_lut_build_options *options;
    const apq_progress *progress;
    apq_space space;
    apq_app_source source;
    apq_lut_plan plan;
    apq_lut_header header;
    apq_lut *lut;
    char part[APQ_PATH_MAX];
    apq_lut_build_report *report;
} builder;

static bool is_same_build(const apq_lut_header *a, const apq_lut_header *b) {
    return strcmp(a->target, b->target) == 0 &&
           strcmp(a->target_hash, b->target_hash) == 0 &&
           strcmp(a->space, b->space) == 0 &&
           strcmp(a->space_hash, b->space_hash) == 0 && a->batch == b->batch &&
           a->width_step == b->width_step && a->has_flags == b->has_flags;
}

/* The header of the table. It needs the target's file alone: no device is
 * started for a table that is there. */
static apq_status make_header(builder *self) {
    const apq_lut_build_options *o = self->options;
    apq_lut_header *h = &self->header;
    apq_target *target = NULL;
    APQ_TRY(apq_target_load(o->target, &target));
    *h = (apq_lut_header){
        .batch = apq_target_batch(target),
        .width_step =
            o->width_step == 0 ? self->space.channel_step : o->width_step,
        .has_flags = true,
    };
    (void)snprintf(h->target, sizeof h->target, "%s", apq_target_name(target));
    (void)snprintf(h->target_hash, sizeof h->target_hash, "%s",
                   apq_target_hash(target));
    (void)snprintf(h->space, sizeof h->space, "%s", self->space.name);
    apq_space_layers_hash(&self->space, h->space_hash);
    (void)snprintf(h->date, sizeof h->date, "%s", o->date);
    (void)snprintf(h->tool_version, sizeof h->tool_version, "%s",
                   apq_version());
    apq_status st = apq_app_check_target(&self->space, target);
    apq_target_destroy(target);
    return st;
}

static apq_status check_same_build(const builder *self, const char *path,
                                   const apq_lut *lut) {
    const apq_lut_header *old = apq_lut_header_of(lut);
    if (!is_same_build(old, &self->header)) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s is of target %s (%s), space %s (%s), width step %d; "
                 "remove it to build another table",
                 path, old->target, old->target_hash, old->space,
                 old->space_hash, old->width_step);
    }
    return APQ_OK;
}

/* A finished table of the plan's layers, no others. */
static bool is_whole(const apq_lut *lut, const apq_lut_plan *plan) {
    bool is =
        apq_lut_header_of(lut)->is_complete && apq_lut_n_rows(lut) == plan->n;
    for (size_t i = 0; is && i < plan->n; i++) {
        is = apq_lut_find(lut, &plan->layers[i]) != NULL;
    }
    return is;
}

static apq_status check_built(const builder *self, const apq_lut *lut) {
    const char *path = self->options->path;
    APQ_TRY(check_same_build(self, path, lut));
    if (!is_whole(lut, &self->plan)) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s has %zu layers, not the %zu asked for; remove it to build "
                 "another table",
                 path, apq_lut_n_rows(lut), self->plan.n);
    }
    return APQ_OK;
}

/* What stands where the table is to be written: nothing, or this very table.
 * All else may have cost hours and is refused. */
static apq_status find_built(builder *self) {
    const char *path = self->options->path;
    apq_lut *lut = NULL;
    if (!apq_file_exists(path)) {
        return APQ_OK;
    }
    apq_status st = apq_lut_load(path, &lut);
    if (st != APQ_OK) {
        APQ_FAIL(st, "%s; remove it to build a table in its place",
                 apq_error_message());
    }
    st = check_built(self, lut);
    if (st != APQ_OK) {
        apq_lut_destroy(lut);
        return st;
    }
    self->lut = lut; /* ownership moves */
    self->report->is_built_before = true;
    return APQ_OK;
}

/* An empty table, or what an interrupted build has left. */
static apq_status start_table(builder *self) {
    if (!apq_file_exists(self->part)) {
        return apq_lut_create(&self->header, &self->lut);
    }
    APQ_TRY(apq_lut_load(self->part, &self->lut));
    APQ_TRY(check_same_build(self, self->part, self->lut));
    self->report->n_resumed = apq_lut_n_rows(self->lut);
    apq_note(self->progress, "table: going on after %zu rows of %s",
             self->report->n_resumed, self->part);
    return APQ_OK;
}

static apq_status ask(builder *self, const apq_ir_layer *layer) {
    apq_lut_sample sample;
    const apq_lut_source *source = &self->source.source;
    apq_status st = source->layer(source->ctx, layer, &sample);
    if (st == APQ_ERR_UNSUPPORTED) {
        return apq_lut_add(self->lut, layer, NULL);
    }
    APQ_TRY(st);
    return apq_lut_add(self->lut, layer, &sample);
}

static apq_status ask_all(builder *self) {
    double saved_s = apq_now_s();
    apq_status st = APQ_OK;
    for (size_t i = 0; st == APQ_OK && i < self->plan.n; i++) {
        const apq_ir_layer *layer = &self->plan.layers[i];
        if (apq_lut_find(self->lut, layer) == NULL) {
            st = ask(self, layer);
        }
        if (st == APQ_OK) {
            apq_progress_update(self->progress, "layers", i + 1, self->plan.n,
                                layer->name);
        }
        if (st == APQ_ERR_INTERRUPTED ||
            (st == APQ_OK && apq_stop_requested(self->progress))) {
            st = APQ_ERROR(APQ_ERR_INTERRUPTED,
                           "table stopped at layer %zu of %zu, kept in %s",
                           i + 1, self->plan.n, self->part);
        }
        if (st != APQ_OK || apq_now_s() - saved_s > self->options->save_s) {
            APQ_TRY(apq_lut_save(self->lut, self->part));
            saved_s = apq_now_s();
        }
    }
    return st;
}

/* Relative errors of a field, gathered and then summed up. */
typedef struct errors {
    double *values;
    size_t n;
} errors;

static void add_error(errors *e, double guess, double truth) {
    double error = fabs(guess - truth) / truth;
    if (isfinite(error)) { /* not: no energy known */
        e->values[e->n++] = error;
    }
}

static apq_lut_error sum_up(errors *e) {
    apq_lut_error out = {.n = e->n,
                         .median = (double)NAN,
                         .p95 = (double)NAN,
                         .max = (double)NAN};
    if (e->n > 0) {
        apq_sort_doubles(e->values, e->n);
        out.median = e->values[e->n / 2];
        out.p95 = e->values[e->n * 95 / 100];
        out.max = e->values[e->n - 1];
    }
    return out;
}

/* Truth of one layer: its row where there is one, else the target asked. NaN
 * when there is nothing to compare with. */
static apq_status truth(builder *self, const apq_ir_layer *layer,
                        apq_lut_sample *out) {
    const apq_lut_row *row = apq_lut_find(self->lut, layer);
    *out =
        (apq_lut_sample){.latency_ms = (double)NAN, .energy_mj = (double)NAN};
    if (row != NULL) {
        if (self->source.is_measured && row->is_supported) {
            *out = row->sample;
        }
        return APQ_OK;
    }
    const apq_lut_source *source = &self->source.source;
    if (!self->source.is_measured) {
        apq_status st = source->layer(source->ctx, layer, out);
        return st == APQ_ERR_UNSUPPORTED ? APQ_OK : st;
    }
    return APQ_OK;
}

static apq_status try_layers(builder *self, const apq_lut_plan *layers,
                             errors *latency, errors *energy) {
    for (size_t i = 0; i < layers->n; i++) {
        apq_lut_sample known, guess;
        self->report->n_interpolated +=
            apq_lut_find(self->lut, &layers->layers[i]) == NULL;
        APQ_TRY(truth(self, &layers->layers[i], &known));
        if (isfinite(known.latency_ms) &&
            apq_lut_interpolate(self->lut, &layers->layers[i], &guess) ==
                APQ_OK) {
            add_error(latency, guess.latency_ms, known.latency_ms);
            add_error(energy, guess.energy_mj, known.energy_mj);
        }
    }
    return APQ_OK;
}

static apq_status measure_interpolation(builder *self) {
    apq_lut_plan all;
    APQ_TRY(apq_lut_plan_make(&self->space, 0, &all));
    self->report->is_measured = self->source.is_measured;
    errors latency = {.values = apq_calloc(all.n, sizeof(double))};
    errors energy = {.values = apq_calloc(all.n, sizeof(double))};
    apq_status st = APQ_OK;
    if (latency.values == NULL || energy.values == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "no memory for %zu errors", all.n);
    } else {
        st = try_layers(self, &all, &latency, &energy);
        self->report->latency_error = sum_up(&latency);
        self->report->energy_error = sum_up(&energy);
    }
    free(latency.values);
    free(energy.values);
    apq_lut_plan_fini(&all);
    return st;
}

static apq_status prepare(builder *self) {
    const apq_lut_build_options *o = self->options;
    int n = snprintf(self->part, sizeof self->part, "%s.part", o->path);
    if (n < 0 || (size_t)n >= sizeof self->part) {
        APQ_FAIL(APQ_ERR_ARG, "%s: path too long", o->path);
    }
    APQ_TRY(apq_run_space_load(o->space, o->run_dir, &self->space));
    self->space.prices_all_layers |= o->all_layers;
    APQ_TRY(apq_lut_plan_make(&self->space, o->width_step, &self->plan));
    return make_header(self);
}

static apq_status ask_and_save(builder *self) {
    const apq_lut_build_options *o = self->options;
    APQ_TRY(apq_app_source_open(o->target, self->progress, &self->source));
    APQ_TRY(start_table(self));
    /* Where it cannot be written, better known before than after. */
    APQ_TRY(apq_lut_save(self->lut, self->part));
    APQ_TRY(ask_all(self));
    apq_app_source_note(&self->source, self->progress);
    APQ_TRY(apq_lut_index(self->lut));
    APQ_TRY(measure_interpolation(self));
    apq_lut_set_complete(self->lut);
    APQ_TRY(apq_lut_save(self->lut, o->path));
    (void)unlink(self->part); /* need not exist */
    return APQ_OK;
}

static apq_status build(builder *self) {
    APQ_TRY(prepare(self));
    APQ_TRY(find_built(self));
    if (!self->report->is_built_before) {
        APQ_TRY(ask_and_save(self));
    }
    self->report->n_rows = apq_lut_n_rows(self->lut);
    for (size_t i = 0; i < self->report->n_rows; i++) {
        self->report->n_unsupported +=
            !apq_lut_row_at(self->lut, i)->is_supported;
    }
    return APQ_OK;
}

apq_status apq_app_lut_build(const apq_lut_build_options *options,
                             const apq_progress *progress,
                             apq_lut_build_report *out) {
    double start_s = apq_now_s();
    *out = (apq_lut_build_report){.n_rows = 0};
    builder self = {.options = options, .progress = progress, .report = out};
    apq_status st = build(&self);
    if (st != APQ_OK && self.lut != NULL && apq_lut_n_rows(self.lut) == 0) {
        (void)unlink(self.part); /* nothing is known that could be kept */
    }
    apq_lut_plan_fini(&self.plan);
    apq_app_source_close(&self.source);
    apq_lut_destroy(self.lut);
    out->seconds = apq_now_s() - start_s;
    return st;
}
