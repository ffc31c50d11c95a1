#ifndef APQ_TESTS_FUZZ_MICRO_H
#define APQ_TESTS_FUZZ_MICRO_H

#include "space/space.h"

/* A space whose networks are a few kilobytes: the path of its file, which lies
 * in the scratch folder, and the space itself where `out` is not NULL. */
const char *micro_space(apq_space *out);

#endif
