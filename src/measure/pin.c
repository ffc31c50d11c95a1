/* Processor affinity. Linux keeps these calls outside POSIX, so this one file
 * asks for its extensions, before any header. */
#define _GNU_SOURCE
#include "measure/pin.h"

#include <sched.h>
#include <stdlib.h>

#ifdef __linux__

struct apq_pin {
    cpu_set_t before;
};

apq_pin *apq_pin_thread(void) {
    apq_pin *pin = malloc(sizeof *pin);
    int cpu = sched_getcpu();
    cpu_set_t one;
    CPU_ZERO(&one);
    if (pin == NULL || cpu < 0 || cpu >= CPU_SETSIZE ||
        sched_getaffinity(0, sizeof pin->before, &pin->before) != 0) {
        free(pin);
        return NULL;
    }
    CPU_SET((size_t)cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) {
        free(pin);
        return NULL;
    }
    return pin;
}

void apq_pin_release(apq_pin *pin) {
    if (pin != NULL) {
        (void)sched_setaffinity(0, sizeof pin->before, &pin->before);
        free(pin);
    }
}

#else

apq_pin *apq_pin_thread(void) {
    return NULL;
}

void apq_pin_release(apq_pin *pin) {
    (void)pin;
}

#endif
