#ifndef APQ_APP_MACHINE_H
#define APQ_APP_MACHINE_H

#include "base/status.h"

#include <stdint.h>

/* Facts about this machine, for `apq doctor` and the benches. */
typedef struct apq_machine {
    char cpu[128];     /* model name, or "unknown" */
    char isa[128];     /* vector extensions that matter here, by spaces */
    int threads;       /* processors online */
    double memory_gib; /* installed; 0 when unknown */
    double available_gib;
    double disk_free_gib; /* of the working folder */
} apq_machine;

void apq_machine_probe(apq_machine *out);
/* Threads of the work that follows; 0, or more than there are processors, is
 * one for each: threads that share a processor wait for one another. */
void apq_machine_set_threads(int n_threads);
/* An equal share of the processors online for each of n_processes, at most as
 * many as this process may run on. Returns the share wished for. */
int apq_machine_share_threads(int n_processes);

/* One-line JSON (malloc'd): cpu, isa, threads, memory_gib. */
char *apq_machine_to_json(const apq_machine *machine);
/* Compiler and libraries of this build: a JSON object of strings (malloc'd). */
char *apq_machine_versions(void);

#endif
