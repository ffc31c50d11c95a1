#ifndef APQ_APP_RAPL_H
#define APQ_APP_RAPL_H

#include "base/file.h"

#include <stddef.h>

/* Energy counters of processor packages and memory, as Linux shows them below
 * /sys/class/powercap (RAPL). They count the whole machine, other programs
 * too. Usually only root may read them. */
enum { APQ_RAPL_MAX_ZONES = 16 };

typedef struct apq_rapl {
    size_t n_zones;
    struct {
        char path[APQ_PATH_MAX];  /* of energy_uj */
        double last_uj, range_uj; /* counts modulo the range */
    } zones[APQ_RAPL_MAX_ZONES];
} apq_rapl;

/* Finds the readable counters below `root`; none is no error. */
void apq_rapl_open(apq_rapl *rapl, const char *root);
/* Joules since open or the last call; NaN when there are no counters or one
 * cannot be read. Right when called before a counter went round once: some
 * minutes at full power. */
double apq_rapl_joules(apq_rapl *rapl);

#endif
