/* What a training may set before its first step: scales of residual blocks at
 * zero (BigNAS, ECCV 2020), learning rates of tensors. */
#include "supernet/supernet_internal.h"

void apq_supernet_zero_residuals(apq_supernet *supernet) {
    for (int b = 0; b < supernet->space.n_blocks; b++) {
        if (supernet->space.blocks[b].has_residual) {
            apq_params_init_constant(&supernet->params,
                                     supernet->blocks[b].project.gamma, 0.0F);
        }
    }
}

void apq_supernet_set_shift_rate(apq_supernet *supernet, double rate) {
    const unit *ends[] = {&supernet->stem, &supernet->first_depthwise,
                          &supernet->first_pointwise, &supernet->feature_mix};
    apq_param *items = supernet->params.items;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        items[ends[i]->beta].rate = (float)rate;
    }
    for (int b = 0; b < supernet->space.n_blocks; b++) {
        const block *blk = &supernet->blocks[b];
        items[blk->expand.beta].rate = (float)rate;
        items[blk->depthwise.beta].rate = (float)rate;
        items[blk->project.beta].rate = (float)rate;
    }
}

size_t apq_supernet_stem(const apq_supernet *supernet) {
    return supernet->stem.weight;
}
