#ifndef APQ_MEASURE_PIN_H
#define APQ_MEASURE_PIN_H

/* Keeps the calling thread on the processor it is on, so that its caches stay
 * its own. Where the system has no such call, or forbids it, nothing happens:
 * times are then noisier, not wrong. */
typedef struct apq_pin apq_pin;

apq_pin *apq_pin_thread(void); /* NULL: not pinned */
/* Restores what was; NULL is fine. From the pinned thread. */
void apq_pin_release(apq_pin *pin);

#endif
