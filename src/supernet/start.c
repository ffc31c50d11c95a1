/* How a training may start from a fresh supernet other than usual: scales of
 * residual blocks at zero. Source: BigNAS (ECCV 2020). */
#include "supernet/supernet_internal.h"

void apq_supernet_zero_residuals(apq_supernet *supernet) {
    for (int b = 0; b < supernet->space.n_blocks; b++) {
        if (supernet->space.blocks[b].has_residual) {
            apq_params_init_constant(&supernet->params,
                                     supernet->blocks[b].project.gamma, 0.0F);
        }
    }
}
