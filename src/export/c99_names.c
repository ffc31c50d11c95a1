/* The C99 export's names of classes, as string literals that are the same bytes
 * for every compiler, whatever its character sets. */
#include "export/c99_internal.h"

static void put_byte(unsigned char byte, FILE *out) {
    if (byte == '"' || byte == '\\' || byte == '?') {
        fprintf(out, "\\%c", byte); /* ?: no trigraph, such as ??/ */
    } else if (byte < ' ' || byte > '~') {
        fprintf(out, "\\%03o", byte); /* never takes in a digit that follows */
    } else {
        fputc(byte, out);
    }
}

void apq_c99_declare_names(const apq_c99_plan *p, FILE *out) {
    if (p->options->class_names != NULL) {
        fprintf(out,
                "/* Names of the classes in UTF-8, in the order of the logits. "
                "*/\n"
                "extern const char *const %s_class_names[%s_CLASSES];\n\n",
                p->options->prefix, p->upper);
    }
}

void apq_c99_define_names(const apq_c99_plan *p, FILE *out) {
    char *const *names = p->options->class_names;
    if (names == NULL) {
        return;
    }
    fprintf(out, "const char *const %s_class_names[%s_CLASSES] = {\n",
            p->options->prefix, p->upper);
    for (int i = 0; i < p->model->n_classes; i++) {
        fprintf(out, "    \"");
        for (const char *c = names[i]; *c != '\0'; c++) {
            put_byte((unsigned char)*c, out);
        }
        fprintf(out, "\",\n");
    }
    fprintf(out, "};\n\n");
}
