/* Middle channels sorted by importance, so that a narrower sub-network, a
 * prefix of them, keeps the best. Source: Once-for-All (ICLR 2020) section 3.3.
 */
#include "supernet/supernet_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct channel {
    double importance;
    int index;
} channel;

/* Descending; equal ones keep their order. */
static int compare(const void *a, const void *b) {
    const channel *x = a, *y = b;
    if (x->importance != y->importance) {
        return x->importance > y->importance ? -1 : 1;
    }
    return x->index - y->index;
}

/* order[j] is the channel that moves to place j, for j < width. */
static void sort_block(const apq_supernet *s, int b, int width,
                       channel *order) {
    const apq_space_block *sb = &s->space.blocks[b];
    const float *w = apq_params_value(&s->params, s->blocks[b].project.weight);
    for (int c = 0; c < width; c++) {
        order[c] = (channel){.index = c};
        for (int k = 0; k < sb->out_channels; k++) {
            order[c].importance +=
                fabs((double)w[(int64_t)k * sb->max_channels + c]);
        }
    }
    qsort(order, (size_t)width, sizeof *order, compare);
}

/* x (n_outer, n_channels, n_inner): the first `width` channels by `order`. */
static void permute(float *x, int64_t n_outer, int64_t n_channels,
                    int64_t n_inner, const channel *order, int width,
                    float *scratch) {
    size_t bytes = (size_t)n_inner * sizeof *x;
    for (int64_t i = 0; i < n_outer; i++) {
        float *row = x + i * n_channels * n_inner;
        memcpy(scratch, row, (size_t)width * bytes);
        for (int c = 0; c < width; c++) {
            memcpy(row + c * n_inner, scratch + order[c].index * n_inner,
                   bytes);
        }
    }
}

static void permute_norm(const apq_params *p, const unit *u, float *array,
                         const channel *order, int width, float *scratch) {
    permute(array + p->items[u->gamma].offset, 1, width, 1, order, width,
            scratch);
    permute(array + p->items[u->beta].offset, 1, width, 1, order, width,
            scratch);
}

static void permute_block(const apq_supernet *s, int b, float *array,
                          const channel *order, int width, float *scratch) {
    const apq_params *p = &s->params;
    const block *blk = &s->blocks[b];
    const int64_t *expand = p->items[blk->expand.weight].shape;
    const int64_t *depthwise = p->items[blk->depthwise.weight].shape;
    const int64_t *project = p->items[blk->project.weight].shape;
    permute(array + p->items[blk->expand.weight].offset, 1, expand[0],
            expand[1], order, width, scratch);
    permute_norm(p, &blk->expand, array, order, width, scratch);
    permute(array + p->items[blk->depthwise.weight].offset, depthwise[0],
            depthwise[1], 1, order, width, scratch);
    permute_norm(p, &blk->depthwise, array, order, width, scratch);
    permute(array + p->items[blk->project.weight].offset, project[0],
            project[1], 1, order, width, scratch);
}

apq_status apq_supernet_sort_channels(apq_supernet *supernet, const int *widths,
                                      float *const *arrays, size_t n_arrays) {
    const apq_space *space = &supernet->space;
    APQ_ASSERT(!supernet->has_steps); /* they would have to follow */
    size_t most = 0, n_scratch = 0;
    for (int b = 0; b < space->n_blocks; b++) {
        const apq_space_block *sb = &space->blocks[b];
        APQ_ASSERT(widths[b] >= 0 && widths[b] <= sb->max_channels);
        size_t n = (size_t)sb->max_channels;
        most = n > most ? n : most;
        n *= (size_t)sb->in_channels;
        n_scratch = n > n_scratch ? n : n_scratch;
    }
    channel *order = malloc((most + 1) * sizeof *order);
    float *scratch = malloc((n_scratch + 1) * sizeof *scratch);
    apq_status st = APQ_OK;
    if (order == NULL || scratch == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "supernet: out of memory for sorting");
        goto done;
    }
    for (int b = 0; b < space->n_blocks; b++) {
        sort_block(supernet, b, widths[b], order);
        for (size_t i = 0; i < n_arrays; i++) {
            permute_block(supernet, b, arrays[i], order, widths[b], scratch);
        }
    }
done:
    free(order);
    free(scratch);
    return st;
}
