/* A search on disk: cache, best policies, front, history and the strategy's
 * own state between two batches, so that what follows is what would have
 * followed. A checksum ends it; the key says which search it is of. */
#include "search/loop.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "APQSRCH2";

/* Hash of all that decides the trace. */
static uint64_t key_of(const apq_search_loop *loop) {
    const apq_driver_options *o = loop->options;
    char space_hash[APQ_HASH_MAX], seeds[APQ_HASH_MAX], starts[APQ_HASH_MAX];
    char text[1024];
    apq_space_hash(loop->space, space_hash);
    apq_hash_hex(o->seeds, o->n_seeds * sizeof *o->seeds, seeds);
    apq_hash_hex(o->starts, o->n_starts * sizeof *o->starts, starts);
    int n =
        snprintf(text, sizeof text,
                 "%s %s %d %d %d %d %.17g %" PRIu64 " %zu %d %zu %zu %s %s %s",
                 space_hash, loop->ops->name, o->population, o->parents,
                 o->iterations, o->patience, o->mutation, o->seed, o->front_cap,
                 o->as_released, loop->ops->state_bytes,
                 sizeof(apq_search_entry), seeds, starts, o->saver->key);
    APQ_ASSERT(n > 0 && (size_t)n < sizeof text);
    return apq_hash64(text, (size_t)n);
}

static size_t counts_size(const apq_search_loop *loop) {
    return loop->diversity.n_counts * sizeof *loop->diversity.counts;
}

static apq_status put_all(const apq_search_loop *loop, apq_bytes *out) {
    const apq_search_result *result = loop->result;
    const apq_score_cache *cache = &loop->cache;
    uint64_t counts[] = {
        loop->n_done,       result->n_evaluations, result->n_cached,
        loop->row_feasible, cache->n_entries,      loop->front.n,
        result->n_history,  loop->n_idle,          loop->n_stalled,
        loop->n_asked,      loop->n_passed,        loop->diversity.n};
    APQ_TRY(apq_bytes_begin(out, magic, key_of(loop)));
    APQ_TRY(apq_bytes_put(out, counts, sizeof counts));
    APQ_TRY(apq_bytes_put(out, &loop->row_sum, sizeof loop->row_sum));
    APQ_TRY(apq_bytes_put(out, loop->diversity.counts, counts_size(loop)));
    APQ_TRY(apq_bytes_put(out, cache->hashes,
                          cache->n_entries * sizeof *cache->hashes));
    APQ_TRY(apq_bytes_put(out, cache->scores,
                          cache->n_entries * sizeof *cache->scores));
    APQ_TRY(apq_elite_save(&loop->top, out));
    APQ_TRY(apq_bytes_put(out, loop->front.entries,
                          loop->front.n * sizeof *loop->front.entries));
    APQ_TRY(apq_bytes_put(out, result->history,
                          result->n_history * sizeof *result->history));
    APQ_TRY(loop->ops->save(loop->state, out));
    return apq_bytes_end(out);
}

apq_status apq_search_save(apq_search_loop *loop) {
    const apq_search_saver *saver = loop->options->saver;
    apq_bytes bytes = {0};
    apq_status st = put_all(loop, &bytes);
    if (st == APQ_OK) {
        st = saver->save(saver->ctx, bytes.data, bytes.n);
    }
    free(bytes.data);
    loop->saved_at_s = apq_now_s();
    return st;
}

static apq_status get_cache(apq_search_loop *loop, uint64_t n, apq_bytes *in) {
    for (uint64_t i = 0; i < n; i++) {
        uint64_t hash;
        size_t entry;
        bool is_new;
        APQ_TRY(apq_bytes_get(in, &hash, sizeof hash));
        APQ_TRY(apq_score_cache_at(&loop->cache, hash, &entry, &is_new));
    }
    if (loop->cache.n_entries != n) {
        APQ_FAIL(APQ_ERR_FORMAT, "saved search has %zu scores, not %llu",
                 loop->cache.n_entries, (unsigned long long)n);
    }
    return apq_bytes_get(in, loop->cache.scores,
                         n * sizeof *loop->cache.scores);
}

static apq_status get_all(apq_search_loop *loop, apq_bytes *in) {
    apq_search_result *result = loop->result;
    uint64_t counts[12];
    APQ_TRY(apq_bytes_get(in, counts, sizeof counts));
    APQ_TRY(apq_bytes_get(in, &loop->row_sum, sizeof loop->row_sum));
    APQ_TRY(apq_bytes_get(in, loop->diversity.counts, counts_size(loop)));
    APQ_TRY(get_cache(loop, counts[4], in));
    APQ_TRY(apq_elite_load(&loop->top, in));
    if (counts[5] > 2 * loop->front.cap || counts[0] > loop->n_total) {
        APQ_FAIL(APQ_ERR_FORMAT, "saved search is larger than this one");
    }
    APQ_TRY(apq_bytes_get(in, loop->front.entries,
                          counts[5] * sizeof *loop->front.entries));
    for (uint64_t i = 0; i < counts[6]; i++) {
        APQ_TRY(apq_search_grow_history(loop));
        APQ_TRY(
            apq_bytes_get(in, &result->history[i], sizeof *result->history));
        result->n_history++;
    }
    APQ_TRY(loop->ops->load(loop->state, in));
    loop->n_done = counts[0];
    result->n_evaluations = counts[1];
    result->n_cached = counts[2];
    loop->row_feasible = counts[3];
    loop->front.n = counts[5];
    loop->n_idle = counts[7];
    loop->n_stalled = counts[8];
    loop->n_asked = counts[9];
    loop->n_passed = counts[10];
    loop->diversity.n = (uint32_t)counts[11];
    loop->has_best = loop->top.n > 0;
    loop->best = loop->has_best ? loop->top.entries[0].score.value : 0;
    return APQ_OK;
}

apq_status apq_search_resume(apq_search_loop *loop) {
    const apq_search_saver *saver = loop->options->saver;
    void *data = NULL;
    size_t n = 0;
    APQ_TRY(saver->load(saver->ctx, &data, &n));
    apq_bytes in = {.data = data, .n = n};
    apq_status st = APQ_OK;
    if (data != NULL && apq_bytes_check(&in, magic, key_of(loop))) {
        st = get_all(loop, &in);
        if (st == APQ_OK) {
            apq_note(loop->options->progress,
                     "search: going on after %llu of %llu candidates",
                     (unsigned long long)loop->n_done,
                     (unsigned long long)loop->n_total);
        }
    }
    free(data);
    return st;
}
