/* The built-in spaces' names, and small operations on a loaded space. */
#include "space/space.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

const char *const *apq_space_names(void) {
    static const char *const names[] = {"imagenet-apq", "cifar10",
                                        "cifar10-small", "tiny", NULL};
    return names;
}

void apq_space_set_classes(apq_space *space, int n_classes) {
    APQ_ASSERT(n_classes >= 1);
    space->n_classes = n_classes;
}

void apq_space_hash(const apq_space *space, char out[17]) {
    /* A fixed sequence of integers: independent of the struct's layout. */
    int32_t words[16 + APQ_MAX_KERNELS + APQ_MAX_BITS + 4 * APQ_MAX_STAGES +
                  2 * APQ_MAX_BLOCKS];
    memset(words, 0, sizeof words);
    size_t n = 0;
    words[n++] = space->resolution;
    words[n++] = space->image_channels;
    words[n++] = space->own_classes;
    words[n++] = space->stem_channels;
    words[n++] = space->stem_stride;
    words[n++] = space->first_channels;
    words[n++] = space->head_channels;
    words[n++] = space->channel_step;
    words[n++] = space->forbids_k7_dw_act4;
    words[n++] = space->n_kernels;
    for (int k = 0; k < space->n_kernels; k++) {
        words[n++] = space->kernels[k];
    }
    words[n++] = space->n_bits;
    for (int k = 0; k < space->n_bits; k++) {
        words[n++] = space->bits[k];
    }
    words[n++] = space->n_stages;
    for (int s = 0; s < space->n_stages; s++) {
        words[n++] = space->stages[s].width;
        words[n++] = space->stages[s].stride;
        words[n++] = space->stages[s].min_depth;
        words[n++] = space->stages[s].max_depth;
    }
    for (int i = 0; i < space->n_blocks; i++) {
        words[n++] = space->blocks[i].min_channels;
        words[n++] = space->blocks[i].max_channels;
    }
    apq_hash_hex(words, n * sizeof words[0], out);
}

void apq_space_layers_hash(const apq_space *space, char out[17]) {
    apq_space as_built = *space;
    as_built.own_classes = space->n_classes;
    apq_space_hash(&as_built, out);
}
