/* apq export: the fine-tuned network in a format that other programs run. */
#include "cli/commands.h"
#include "cli/export_print.h"

#include <string.h>

static const char *const storages[] = {"bytes", "packed", NULL};
static const char *const quant_ops[] = {"IntQuant", "Quant", NULL};
static const apq_option table[] = {
    APQ_EXPORT_TABLE,
    {.name = "format",
     .type = APQ_OPTION_CHOICE,
     .argument = "FORMAT",
     .help = "8-bit containers (the default), true widths, C99 source or "
             "plain weights",
     .offset = APQ_EXPORT_AT(format),
     .choices = apq_export_format_names},
    {.name = "storage",
     .type = APQ_OPTION_CHOICE,
     .argument = "KIND",
     .help = "of onnx; packed stores weights of up to 4 bits in 4 (opset 21)",
     .offset = APQ_EXPORT_AT(storage),
     .choices = storages},
    {.name = "no-function",
     .type = APQ_OPTION_FLAG,
     .help = "of qonnx: without the definition of IntQuant",
     .offset = APQ_EXPORT_AT(no_function)},
    {.name = "quant-op",
     .type = APQ_OPTION_CHOICE,
     .argument = "NAME",
     .help = "of qonnx; Quant is for tools older than the name IntQuant",
     .offset = APQ_EXPORT_AT(quant_op),
     .choices = quant_ops},
    {.name = "scaled",
     .type = APQ_OPTION_FLAG,
     .help = "of qonnx: values in place of codes, as hls4ml wants; not exact",
     .offset = APQ_EXPORT_AT(scaled)},
    {.name = "prefix",
     .type = APQ_OPTION_TEXT,
     .argument = "NAME",
     .help = "of c: what its functions begin with; else network",
     .offset = APQ_EXPORT_AT(prefix)},
    {.name = "out",
     .type = APQ_OPTION_TEXT,
     .argument = "PATH",
     .help = "FILE.onnx, or a folder; manifest.json goes beside it",
     .offset = APQ_EXPORT_AT(out),
     .is_required = true},
    {.name = NULL},
};

static int run(const apq_command *self, int argc, char **argv) {
    apq_export_options options = {.format = "onnx",
                                  .storage = "bytes",
                                  .quant_op = "IntQuant",
                                  .images = 1000};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    apq_export_request request = {
        .format = options.format,
        .path = options.out,
        .is_packed = strcmp(options.storage, "packed") == 0,
        .is_function_left_out = options.no_function,
        .is_called_quant = strcmp(options.quant_op, "Quant") == 0,
        .is_scaled = options.scaled,
        .prefix = options.prefix,
    };
    if (apq_app_export_check(&request) != APQ_OK) {
        return apq_cli_usage(self);
    }
    return apq_export_command(&options, &request, 0, apq_app_export);
}

const apq_command apq_command_export = {
    .name = "export",
    .brief = "the network for other runtimes",
    .usage = "apq export [RECIPE] -o PATH [options]",
    .summary = "Writes the fine-tuned network for other runtimes and, where "
               "one is known,\nruns it there beside the network itself.",
    .examples =
        "  apq export --run runs/first -o runs/first/exports/onnx\n"
        "  apq export --space cifar10 --data data/cifar10 --runtime "
        "libonnxruntime.so \\\n"
        "    --images 1000 -o net.onnx\n"
        "  apq export --run runs/first --format qonnx --quant-op Quant \\\n"
        "    -o runs/first/exports/finn\n"
        "  apq export --run runs/first --format c --prefix shapes \\\n"
        "    -o runs/first/exports/c\n",
    .options = table,
    .max_words = APQ_STEP_MAX_WORDS,
    .is_parallel = true,
    .run = run,
};
