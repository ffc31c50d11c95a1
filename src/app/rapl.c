/* RAPL energy counters: package zones intel-rapl:N and, inside them, the zones
 * named dram. AMD processors appear under the same names. Other inner zones
 * (core, uncore) are part of their package and left out. */
#include "app/rapl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PACKAGES = 8, MAX_INNER = 4 };

static double read_number(const char *path) {
    FILE *file = fopen(path, "r");
    double value = (double)NAN;
    if (file != NULL) {
        if (fscanf(file, "%lf", &value) != 1) {
            value = (double)NAN;
        }
        (void)fclose(file);
    }
    return value;
}

static bool is_dram(const char *zone) {
    char path[APQ_PATH_MAX], name[16] = "";
    if (apq_path_join(path, zone, "name") != APQ_OK) {
        return false;
    }
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fgets(name, sizeof name, file) == NULL) {
            name[0] = '\0';
        }
        (void)fclose(file);
    }
    return strncmp(name, "dram", 4) == 0;
}

static void add_zone(apq_rapl *rapl, const char *zone) {
    char range_path[APQ_PATH_MAX];
    if (rapl->n_zones == APQ_RAPL_MAX_ZONES ||
        apq_path_join(rapl->zones[rapl->n_zones].path, zone, "energy_uj") !=
            APQ_OK ||
        apq_path_join(range_path, zone, "max_energy_range_uj") != APQ_OK) {
        return;
    }
    double energy_uj = read_number(rapl->zones[rapl->n_zones].path);
    double range_uj = read_number(range_path);
    if (!isnan(energy_uj) && !isnan(range_uj)) {
        rapl->zones[rapl->n_zones].last_uj = energy_uj;
        rapl->zones[rapl->n_zones].range_uj = range_uj;
        rapl->n_zones++;
    }
}

void apq_rapl_open(apq_rapl *rapl, const char *root) {
    rapl->n_zones = 0;
    for (int p = 0; p < MAX_PACKAGES; p++) {
        char package[APQ_PATH_MAX], zone[APQ_PATH_MAX], name[40];
        (void)snprintf(name, sizeof name, "intel-rapl:%d", p);
        if (apq_path_join(package, root, name) != APQ_OK ||
            !apq_dir_exists(package)) {
            continue;
        }
        add_zone(rapl, package);
        for (int i = 0; i < MAX_INNER; i++) {
            (void)snprintf(name, sizeof name, "intel-rapl:%d:%d", p, i);
            if (apq_path_join(zone, package, name) == APQ_OK && is_dram(zone)) {
                add_zone(rapl, zone);
            }
        }
    }
}

double apq_rapl_joules(apq_rapl *rapl) {
    double sum_uj = rapl->n_zones == 0 ? (double)NAN : 0;
    for (size_t i = 0; i < rapl->n_zones; i++) {
        double now_uj = read_number(rapl->zones[i].path);
        double step_uj = now_uj - rapl->zones[i].last_uj;
        sum_uj += step_uj < 0 ? step_uj + rapl->zones[i].range_uj : step_uj;
        rapl->zones[i].last_uj = now_uj;
    }
    return sum_uj * 1e-6;
}
