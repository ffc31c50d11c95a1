/* For tests that draw. Fontconfig keeps its configuration until the process
 * ends; the leak checker asks for this by name, other builds ignore it. */
__attribute__((visibility("default"))) const char *
__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void) {
    return "leak:libfontconfig\n";
}
