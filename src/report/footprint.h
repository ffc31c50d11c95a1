#ifndef APQ_REPORT_FOOTPRINT_H
#define APQ_REPORT_FOOTPRINT_H

/* What computing costs in electricity, emissions and money.
 *
 *   kWh = PUE * hours * (P_cpu + P_dram + n_gpus * P_gpu) / 1000
 *   CO2e [lb] = lb per kWh * kWh
 *
 * Source: Strubell, Ganesh, McCallum, ACL 2019, section 2; APQ's table 2
 * prices its rivals by it. */

/* Every constant can be set in the recipe section `footprint`. */
typedef struct apq_footprint_rates {
    double pue;              /* facility power / computer power, >= 1 */
    double grid_lbs_per_kwh; /* CO2e */
    double core_watts;       /* of a busy core: P_cpu = busy cores * this */
    double dram_watts;       /* of the machine's memory while a step runs */
    double gpu_watts;        /* of a GPU with its share of the host */
    double core_hour_usd_low, core_hour_usd_high;
    double gpu_hour_usd_low, gpu_hour_usd_high;
    double v100_tflops; /* training speed that one V100-hour stands for */
} apq_footprint_rates;

/* pue 1.58, grid 0.954, gpu 0.74 ... 2.48 USD: Strubell et al.
 * gpu_watts 188.149: their BERT row, 12041.51 W over 64 V100.
 * v100_tflops 15.7: float32 peak of the data sheet (SXM2).
 * core_hour 0.01 ... 0.0475 USD: a Google n1-standard processor with memory,
 * preemptible and on demand, of the same year as the GPU prices.
 * core_watts 10, dram_watts 3: ours, a server processor of 240 W and 24 cores
 * and 8 GiB of memory. */
apq_footprint_rates apq_footprint_defaults(void);

/* Time spent, all >= 0. core_hours is processor time summed over threads. */
typedef struct apq_footprint_use {
    double wall_hours, core_hours, gpu_hours;
} apq_footprint_use;

typedef struct apq_footprint {
    double kwh; /* at the facility's meter: with PUE */
    double co2_lbs, co2_kg;
    double usd_low, usd_high;
} apq_footprint;

/* Estimated from the time. */
apq_footprint apq_footprint_estimate(const apq_footprint_rates *rates,
                                     const apq_footprint_use *use);
/* The same with processor and memory energy measured instead [J]; GPUs stay
 * estimated. */
apq_footprint apq_footprint_measured(const apq_footprint_rates *rates,
                                     const apq_footprint_use *use,
                                     double energy_j);

/* Hours a V100 needs for what took `core_hours` of a processor that trains at
 * `flop_per_core_s` operations in a second of processor time. */
double apq_footprint_v100_hours(const apq_footprint_rates *rates,
                                double core_hours, double flop_per_core_s);

#endif
