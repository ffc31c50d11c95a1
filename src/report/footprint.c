/* Electricity, CO2e and cloud price of computing time, by the formula of
 * Strubell, Ganesh and McCallum (ACL 2019), with processor power taken per
 * busy core, because cores are what is metered here. */
#include "report/footprint.h"

#define KG_PER_LB        0.45359237 /* exact by definition */
#define JOULES_PER_KWH   3.6e6
#define SECONDS_PER_HOUR 3600.0

apq_footprint_rates apq_footprint_defaults(void) {
    return (apq_footprint_rates){
        .pue = 1.58,
        .grid_lbs_per_kwh = 0.954,
        .core_watts = 10,
        .dram_watts = 3,
        .gpu_watts = 188.149,
        .core_hour_usd_low = 0.01,
        .core_hour_usd_high = 0.0475,
        .gpu_hour_usd_low = 0.74,
        .gpu_hour_usd_high = 2.48,
        .v100_tflops = 15.7,
    };
}

/* From the energy that the computers took, without the facility's share. */
static apq_footprint price(const apq_footprint_rates *rates,
                           const apq_footprint_use *use, double computer_kwh) {
    double kwh = rates->pue * computer_kwh;
    double lbs = rates->grid_lbs_per_kwh * kwh;
    return (apq_footprint){
        .kwh = kwh,
        .co2_lbs = lbs,
        .co2_kg = KG_PER_LB * lbs,
        .usd_low = rates->core_hour_usd_low * use->core_hours +
                   rates->gpu_hour_usd_low * use->gpu_hours,
        .usd_high = rates->core_hour_usd_high * use->core_hours +
                    rates->gpu_hour_usd_high * use->gpu_hours,
    };
}

apq_footprint apq_footprint_estimate(const apq_footprint_rates *rates,
                                     const apq_footprint_use *use) {
    double watt_hours = rates->core_watts * use->core_hours +
                        rates->dram_watts * use->wall_hours +
                        rates->gpu_watts * use->gpu_hours;
    return price(rates, use, watt_hours / 1000);
}

apq_footprint apq_footprint_measured(const apq_footprint_rates *rates,
                                     const apq_footprint_use *use,
                                     double energy_j) {
    double gpu_kwh = rates->gpu_watts * use->gpu_hours / 1000;
    return price(rates, use, energy_j / JOULES_PER_KWH + gpu_kwh);
}

double apq_footprint_v100_hours(const apq_footprint_rates *rates,
                                double core_hours, double flop_per_core_s) {
    double flop = core_hours * SECONDS_PER_HOUR * flop_per_core_s;
    return flop / (rates->v100_tflops * 1e12) / SECONDS_PER_HOUR;
}
