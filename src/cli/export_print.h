#ifndef APQ_CLI_EXPORT_PRINT_H
#define APQ_CLI_EXPORT_PRINT_H

#include "app/export.h"
#include "cli/step.h"

/* What `apq export` and `apq verify` have in common. */
typedef struct apq_export_options {
    apq_step_options step;
    const char *format, *storage, *out, *model, *runtime, *prefix, *quant_op;
    bool no_function, scaled;
    int64_t images;
} apq_export_options;

#define APQ_EXPORT_AT(member) offsetof(apq_export_options, member)
#define APQ_EXPORT_TABLE                                                       \
    APQ_STEP_TABLE,                                                            \
        {.name = "model",                                                      \
         .type = APQ_OPTION_TEXT,                                              \
         .argument = "FILE",                                                   \
         .help = "network.safetensors; else the run's, else the shipped one",  \
         .offset = APQ_EXPORT_AT(model)},                                      \
        {.name = "runtime",                                                    \
         .type = APQ_OPTION_TEXT,                                              \
         .argument = "LIB",                                                    \
         .help = "libonnxruntime.so that verifies; else $APQ_ORT",             \
         .offset = APQ_EXPORT_AT(runtime)},                                    \
    {                                                                          \
        .name = "images", .type = APQ_OPTION_COUNT, .argument = "N",           \
        .help =                                                                \
            "test images compared, of --data or drawn; 0 is all; else 1000",   \
        .offset = APQ_EXPORT_AT(images), .low = 0, .high = 1e9                 \
    }

typedef apq_status apq_export_fn(const apq_recipe *recipe,
                                 const char *run_dir_or_null,
                                 const apq_export_request *request,
                                 const apq_progress *progress,
                                 apq_export_answer *out);
/* Calls `fn`, prints the answer and gives the exit code: 5 where a verification
 * does not agree. Words from first_word on are of the recipe. */
int apq_export_command(const apq_export_options *options,
                       const apq_export_request *request, int first_word,
                       apq_export_fn *fn);

#endif
