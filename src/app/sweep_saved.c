/* The points of a sweep that are done, on disk: with them and the front a
 * later point begins as it would have begun. They are few and each is a whole
 * search, so all are written whenever one is done. */
#include "app/sweep_job.h"

#include "base/memory.h"

#include <apq/apq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "APQSWEP1";

apq_status apq_sweep_keep_in(apq_sweep_job *self, const char *run_dir) {
    const apq_sweep_range *range = &self->out->range;
    char search[APQ_HASH_MAX], key[APQ_HASH_MAX], text[256];
    apq_search_job_key(self->search, search);
    int n = snprintf(text, sizeof text, "%s %d %.17g %.17g %d %s %zu %zu",
                     search, (int)range->field, range->from, range->to,
                     range->n_points, apq_version(), sizeof(apq_search_entry),
                     sizeof(apq_candidate));
    APQ_ASSERT(n > 0 && (size_t)n < sizeof text);
    apq_hash_hex(text, (size_t)n, key);
    APQ_TRY(
        apq_search_file_init(&self->file, run_dir, "sweep.checkpoint", key, 0));
    return apq_sweep_keep_search(self, 0);
}

apq_status apq_sweep_keep_search(apq_sweep_job *self, int i) {
    char key[APQ_HASH_MAX], text[64];
    if (self->file.key[0] == '\0') {
        return APQ_OK;
    }
    /* Two budgets may begin from the same bests: the point is in the key. */
    int n = snprintf(text, sizeof text, "%s %d", self->file.key, i);
    apq_hash_hex(text, (size_t)n, key);
    return apq_search_file_init(&self->search->file, self->file.dir,
                                "sweep-point.checkpoint", key,
                                self->search->recipe->checkpoint_s);
}

static uint64_t key_of(const apq_sweep_job *self) {
    return apq_hash64(self->file.key, strlen(self->file.key));
}

/* `best` is described when the sweep ends. */
static apq_status put_point(const apq_sweep_point *p, apq_bytes *out) {
    uint64_t counts[] = {p->evaluations, p->n_history};
    APQ_TRY(apq_bytes_put(out, counts, sizeof counts));
    APQ_TRY(apq_bytes_put(out, &p->seconds, sizeof p->seconds));
    APQ_TRY(apq_bytes_put(out, &p->entry, sizeof p->entry));
    APQ_TRY(apq_bytes_put(out, &p->uniform8, sizeof p->uniform8));
    APQ_TRY(apq_bytes_put(out, &p->uniform4, sizeof p->uniform4));
    return apq_bytes_put(out, p->history, p->n_history * sizeof *p->history);
}

static apq_status get_point(apq_bytes *in, apq_sweep_point *p) {
    uint64_t counts[2];
    APQ_TRY(apq_bytes_get(in, counts, sizeof counts));
    APQ_TRY(apq_bytes_get(in, &p->seconds, sizeof p->seconds));
    APQ_TRY(apq_bytes_get(in, &p->entry, sizeof p->entry));
    APQ_TRY(apq_bytes_get(in, &p->uniform8, sizeof p->uniform8));
    APQ_TRY(apq_bytes_get(in, &p->uniform4, sizeof p->uniform4));
    if (counts[1] > (in->n - in->at) / sizeof *p->history) {
        APQ_FAIL(APQ_ERR_FORMAT, "kept sweep has no %llu rows of history",
                 (unsigned long long)counts[1]);
    }
    p->evaluations = counts[0];
    p->n_history = (size_t)counts[1];
    p->history = apq_calloc(p->n_history, sizeof *p->history);
    if (p->history == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: no memory for %zu rows", p->n_history);
    }
    p->best.is_found = true;
    p->is_complete = true;
    return apq_bytes_get(in, p->history, p->n_history * sizeof *p->history);
}

static apq_status put_all(const apq_sweep_job *self, int n, double seconds,
                          apq_bytes *out) {
    const apq_front *front = &self->front;
    uint64_t counts[] = {(uint64_t)n, self->out->evaluations, front->n};
    APQ_TRY(apq_bytes_begin(out, magic, key_of(self)));
    APQ_TRY(apq_bytes_put(out, counts, sizeof counts));
    APQ_TRY(apq_bytes_put(out, &seconds, sizeof seconds));
    for (int i = 0; i < n; i++) {
        APQ_TRY(put_point(&self->out->points[i], out));
    }
    APQ_TRY(
        apq_bytes_put(out, front->entries, front->n * sizeof *front->entries));
    return apq_bytes_end(out);
}

apq_status apq_sweep_save(apq_sweep_job *self, int n, double seconds) {
    apq_bytes bytes = {0};
    if (self->file.key[0] == '\0') {
        return APQ_OK;
    }
    apq_status st = put_all(self, n, seconds, &bytes);
    if (st == APQ_OK) {
        st = self->file.base.save(&self->file, bytes.data, bytes.n);
    }
    free(bytes.data);
    APQ_TRY(st);
    self->n_kept = n;
    apq_search_file_remove(&self->search->file);
    return APQ_OK;
}

static apq_status get_all(apq_sweep_job *self, apq_bytes *in) {
    apq_front *front = &self->front;
    uint64_t counts[3];
    APQ_TRY(apq_bytes_get(in, counts, sizeof counts));
    APQ_TRY(apq_bytes_get(in, &self->seconds, sizeof self->seconds));
    if (counts[0] > (uint64_t)self->out->n_points ||
        counts[2] > 2 * front->cap) {
        APQ_FAIL(APQ_ERR_FORMAT, "kept sweep is larger than this one");
    }
    for (uint64_t i = 0; i < counts[0]; i++) {
        APQ_TRY(get_point(in, &self->out->points[i]));
    }
    APQ_TRY(
        apq_bytes_get(in, front->entries, counts[2] * sizeof *front->entries));
    front->n = (size_t)counts[2];
    self->out->evaluations = counts[1];
    self->n_kept = (int)counts[0];
    return APQ_OK;
}

apq_status apq_sweep_resume(apq_sweep_job *self) {
    const apq_progress *progress = self->search->progress;
    void *data = NULL;
    size_t n = 0;
    if (self->file.key[0] == '\0') {
        return APQ_OK;
    }
    APQ_TRY(self->file.base.load(&self->file, &data, &n));
    apq_bytes in = {.data = data, .n = n};
    apq_status st = APQ_OK;
    if (data != NULL && apq_bytes_check(&in, magic, key_of(self))) {
        st = get_all(self, &in);
        if (st == APQ_OK) {
            apq_note(progress, "search: going on after %d of %d budgets",
                     self->n_kept, self->out->n_points);
        }
    } else if (data != NULL) {
        apq_note(progress, "search: %s: of another sweep, starting anew",
                 self->file.path);
    }
    free(data);
    return st;
}

void apq_sweep_remove(const apq_sweep_job *self) {
    if (self->file.key[0] != '\0') {
        apq_search_file_remove(&self->file);
        apq_search_file_remove(&self->search->file);
    }
}
