/* The smallest space that has a block of every sort. */
#include "fuzz/micro.h"

#include "fuzz/fuzz.h"

#include <string.h>

static const char text[] = "name: micro\n"
                           "resolution: 8\n"
                           "image_channels: 3\n"
                           "classes: 3\n"
                           "stem: {channels: 4, stride: 2}\n"
                           "first_channels: 8\n"
                           "head_channels: 8\n"
                           "kernels: [3, 5]\n"
                           "bits: [4, 6, 8]\n"
                           "expand: {min: 1, max: 2}\n"
                           "stages:\n"
                           "  - {width: 8, stride: 1, depth: [1, 2]}\n"
                           "accounting: all\n";

const char *micro_space(apq_space *out) {
    const char *path = fuzz_path("micro.yaml");
    fuzz_write(path, text, strlen(text));
    if (out != NULL) {
        FUZZ_CHECK(apq_space_load(path, out) == APQ_OK);
    }
    return path;
}
