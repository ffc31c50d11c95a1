/* Facts about this machine from /proc, sysconf and statvfs; what cannot be
 * read is left unknown. */
#include "app/machine.h"

#include "backend/backend.h"
#include "report/render.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Value of the first "key : value" line of a /proc file. */
static void proc_value(const char *path, const char *key, char *out,
                       size_t size) {
    out[0] = '\0';
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return;
    }
    char line[8192];
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            const char *value = strchr(line, ':');
            value = value == NULL ? line : value + 1;
            value += strspn(value, " \t");
            (void)snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
            break;
        }
    }
    (void)fclose(file);
}

static void probe_isa(char *out, size_t size) {
    static const char *const wanted[] = {
        "avx2",     "fma",         "f16c",     "avx512f",  "avx512_vnni",
        "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd",
        "asimddp",  "i8mm",        "bf16",     "sve"};
    char flags[8192];
    proc_value("/proc/cpuinfo", "flags", flags, sizeof flags);
    if (flags[0] == '\0') {
        proc_value("/proc/cpuinfo", "Features", flags, sizeof flags);
    }
    out[0] = '\0';
    char *rest = NULL;
    for (char *word = strtok_r(flags, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
            size_t used = strlen(out);
            if (strcmp(word, wanted[i]) == 0) {
                (void)snprintf(out + used, size - used, "%s%s",
                               used > 0 ? " " : "", word);
            }
        }
    }
}

static double memory_gib(const char *key) {
    char text[64];
    double kib = 0;
    proc_value("/proc/meminfo", key, text, sizeof text);
    return sscanf(text, "%lf", &kib) == 1 ? kib / 1048576 : 0;
}

void apq_machine_set_threads(int n_threads) {
    apq_backend_set_threads(0);
    if (n_threads > 0 && n_threads < apq_backend_threads()) {
        apq_backend_set_threads(n_threads);
    }
}

int apq_machine_share_threads(int n_processes) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    int share = (int)(n > n_processes ? n / n_processes : 1);
    apq_machine_set_threads(share);
    return share;
}

void apq_machine_probe(apq_machine *out) {
    *out = (apq_machine){.threads = 1};
    proc_value("/proc/cpuinfo", "model name", out->cpu, sizeof out->cpu);
    if (out->cpu[0] == '\0') {
        (void)strcpy(out->cpu, "unknown");
    }
    probe_isa(out->isa, sizeof out->isa);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    out->threads = n > 0 ? (int)n : 1;
    out->memory_gib = memory_gib("MemTotal");
    out->available_gib = memory_gib("MemAvailable");
    struct statvfs disk;
    if (statvfs(".", &disk) == 0) {
        out->disk_free_gib =
            (double)disk.f_bavail * (double)disk.f_frsize / 1073741824.0;
    }
}

char *apq_machine_to_json(const apq_machine *machine) {
    json_t *object = json_pack("{s:s, s:s, s:i, s:f}", "cpu", machine->cpu,
                               "isa", machine->isa, "threads", machine->threads,
                               "memory_gib", machine->memory_gib);
    char *text = json_dumps(object, JSON_REAL_PRECISION(4));
    json_decref(object);
    return text;
}

char *apq_machine_versions(void) {
    json_t *object = json_object();
#ifdef __VERSION__
    (void)json_object_set_new(object, "compiler", json_string(__VERSION__));
#endif
    /* "name version,name version", from the build. */
    char list[] = APQ_LIBRARY_VERSIONS;
    char *rest = NULL;
    for (char *item = strtok_r(list, ",", &rest); item != NULL;
         item = strtok_r(NULL, ",", &rest)) {
        char *space = strchr(item, ' ');
        if (space != NULL) {
            *space = '\0';
            (void)json_object_set_new(object, item, json_string(space + 1));
        }
    }
    const char *chart = apq_report_chart_version();
    (void)json_object_set_new(
        object, "chart.js",
        json_string(chart != NULL ? chart
                                  : "none: charts of reports stand still "
                                    "(build with libjs-chart.js)"));
    char *text = json_dumps(object, 0);
    json_decref(object);
    return text;
}
