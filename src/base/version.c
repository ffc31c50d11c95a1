/* The library's version, from the one place that states it: project() in the
 * top CMakeLists.txt. */
#include <apq/apq.h>

const char *apq_version(void) {
    return APQ_VERSION;
}
