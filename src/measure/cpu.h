#ifndef APQ_MEASURE_CPU_H
#define APQ_MEASURE_CPU_H

#include "cost/lut/sample.h"
#include "cost/measured/measured.h"
#include "measure/timing.h"

/* Our own kernels on this machine. While it is open the calling thread is
 * pinned (one thread) and OpenMP is limited to the configured threads. */
typedef struct apq_cpu apq_cpu;

APQ_NODISCARD apq_status apq_cpu_open(const apq_measured_config *config,
                                      apq_cpu **out);
void apq_cpu_close(apq_cpu *cpu);

/* Latency fields and count of *out; equal shapes are measured once. */
APQ_NODISCARD apq_status apq_cpu_layer(apq_cpu *cpu, const apq_ir_layer *layer,
                                       apq_lut_sample *out);
APQ_NODISCARD apq_status apq_cpu_network(apq_cpu *cpu,
                                         const apq_ir_network *network,
                                         apq_lut_sample *out);
const apq_timing_clock *apq_cpu_clock(const apq_cpu *cpu);

#endif
