/* Preprocessing and classes as JSON: the rule of the data module
 * (apq_data_fit), for programs that feed an export with images of their own. */
#include "export/describe.h"

#include "data/data.h"

#include <stddef.h>

static json_t *channels(const float values[3]) {
    return json_pack("[f,f,f]", (double)values[0], (double)values[1],
                     (double)values[2]);
}

json_t *apq_describe_preprocessing(int resolution, const float *mean,
                                   const float *std) {
    json_t *root = json_pack("{s:i,s:s,s:s,s:{s:[i,i],s:s},s:s}", "resolution",
                             resolution, "colours", "RGB", "orientation",
                             "EXIF", "resize", "shorter_side", resolution,
                             apq_image_largest_side(resolution), "filter",
                             "triangle", "crop", "centre");
    if (mean != NULL && (json_object_set_new(root, "mean", channels(mean)) ||
                         json_object_set_new(root, "std", channels(std)))) {
        json_decref(root);
        root = NULL;
    }
    return root;
}

json_t *apq_describe_classes(char *const *names, int n) {
    if (names == NULL) {
        return json_null();
    }
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        if (json_array_append_new(list, json_string(names[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
