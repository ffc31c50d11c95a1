/* An exported C99 network compiled and run, image by image, beside the
 * reference; where they differ, once more with checksums of every layer. */
#include "export/verify_c.h"

#include "base/file.h"
#include "export/c99_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* So few that the user sees it go on. */
enum { IMAGES_A_RUN = 20 };

/* For a command that is asked to end, before it is made to. */
static const double GRACE_S = 0.5;

/* Programs ---------------------------------------------------------------- */

/* A command line in memory of its own. */
enum { MAX_WORDS = 24, WORD_BYTES = 6 * APQ_PATH_MAX };
typedef struct command {
    char *words[MAX_WORDS + 1];
    int n;
    size_t used;
    char bytes[WORD_BYTES];
} command;

static void add_word(command *c, const char *word) {
    size_t n = strlen(word) + 1;
    APQ_ASSERT(c->n < MAX_WORDS && n <= WORD_BYTES - c->used);
    c->words[c->n++] = memcpy(c->bytes + c->used, word, n);
    c->words[c->n] = NULL;
    c->used += n;
}

/* The files of one verification, all in a folder that is removed. */
typedef struct scratch {
    char dir[APQ_PATH_MAX];
    char program[APQ_PATH_MAX], pixels[APQ_PATH_MAX], answers[APQ_PATH_MAX],
        messages[APQ_PATH_MAX];
} scratch;

static apq_status make_scratch(scratch *s) {
    const char *parent = getenv("TMPDIR");
    APQ_TRY(apq_path_join(s->dir,
                          parent != NULL && parent[0] != '\0' ? parent : "/tmp",
                          "apq-verify-XXXXXX"));
    if (mkdtemp(s->dir) == NULL) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot be made: %s", s->dir, strerror(errno));
    }
    apq_status st = apq_path_join(s->program, s->dir, "main_test");
    st = st == APQ_OK ? apq_path_join(s->pixels, s->dir, "pixels") : st;
    st = st == APQ_OK ? apq_path_join(s->answers, s->dir, "answers") : st;
    return st == APQ_OK ? apq_path_join(s->messages, s->dir, "messages") : st;
}

static void remove_scratch(const scratch *s) {
    (void)unlink(s->program);
    (void)unlink(s->pixels);
    (void)unlink(s->answers);
    (void)unlink(s->messages);
    (void)rmdir(s->dir);
}

/* Fails with the first line of the messages that speaks of an error, else with
 * the first line. */
static apq_status failure(const scratch *s, const char *what) {
    char *text;
    size_t n;
    APQ_TRY(apq_file_read(s->messages, &text, &n));
    const char *at = strstr(text, "rror");
    while (at != NULL && at > text && at[-1] != '\n') {
        at--;
    }
    at = at != NULL ? at : text;
    apq_status st = APQ_ERROR(APQ_ERR_EXTERNAL, "%s: %.*s", what,
                              (int)strcspn(at, "\n"), at);
    free(text);
    return st;
}

static apq_status interrupted(void) {
    APQ_FAIL(APQ_ERR_INTERRUPTED, "verification interrupted");
}

/* Starts the command in a process group of its own, so that what it starts can
 * be ended with it. An error number; 0 is none. */
static int spawn(command *c, const posix_spawn_file_actions_t *actions,
                 pid_t *child) {
    posix_spawnattr_t attributes;
    int error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        return error;
    }
    error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    error = error != 0 ? error
                       : posix_spawnp(child, c->words[0], actions, &attributes,
                                      c->words, environ);
    (void)posix_spawnattr_destroy(&attributes);
    return error;
}

/* Whether the child, which stays a zombie, has ended within the time. A signal
 * may reach any thread, hence no wait that only a signal would end. */
static bool has_ended(pid_t child, double timeout_s,
                      const apq_progress *progress) {
    const struct timespec pause = {.tv_nsec = 5000000};
    double deadline = apq_now_s() + timeout_s;
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) !=
                0 ||
            info.si_pid == child) {
            return true; /* an error shows in the wait that follows */
        }
        if (apq_stop_requested(progress) || apq_now_s() >= deadline) {
            return false;
        }
        (void)nanosleep(&pause, NULL);
    }
}

/* The whole group; a compiler may first remove its temporary files. */
static void end_group(pid_t child) {
    (void)kill(-child, SIGTERM);
    (void)has_ended(child, GRACE_S, NULL);
    (void)kill(-child, SIGKILL);
}

/* The status that the child has ended with. */
static apq_status wait_for(pid_t child, const command *c,
                           const apq_progress *progress, int *status) {
    bool is_stopped = !has_ended(child, (double)INFINITY, progress);
    if (is_stopped) {
        end_group(child);
    }
    while (waitpid(child, status, 0) < 0) {
        if (errno != EINTR) {
            APQ_FAIL(APQ_ERR_IO, "%s: cannot be waited for: %s", c->words[0],
                     strerror(errno));
        }
    }
    if (is_stopped) {
        return interrupted();
    }
    return APQ_OK;
}

/* Waits for the command; input NULL is none. Errors: IO when it cannot be
 * started, EXTERNAL when it does not end with 0, INTERRUPTED. */
static apq_status run_command(command *c, const scratch *s, const char *input,
                              const char *what, const apq_progress *progress) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: %s", c->words[0], strerror(error));
    }
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    pid_t child = 0;
    int status = 0;
    error = posix_spawn_file_actions_addopen(
        &actions, STDIN_FILENO, input != NULL ? input : "/dev/null", O_RDONLY,
        0);
    error = error != 0 ? error
                       : posix_spawn_file_actions_addopen(
                             &actions, STDOUT_FILENO, s->answers, flags, 0600);
    error = error != 0 ? error
                       : posix_spawn_file_actions_addopen(
                             &actions, STDERR_FILENO, s->messages, flags, 0600);
    error = error != 0 ? error : spawn(c, &actions, &child);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot be run: %s", c->words[0],
                 strerror(error));
    }
    APQ_TRY(wait_for(child, c, progress, &status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? APQ_OK
                                                         : failure(s, what);
}

static apq_status compile(const char *dir, const apq_verify_c_options *o,
                          bool is_traced, const scratch *s) {
    static const char *const sources[] = {"main_test.c", "network.c",
                                          "weights.c"};
    static const char *const flags[] = {"-std=c99", "-O2",       "-Wall",
                                        "-Wextra",  "-pedantic", "-Wconversion",
                                        "-Werror",  "-o"};
    command c = {.n = 0};
    add_word(&c, o->compiler);
    if (o->is_sanitized) {
        add_word(&c, "-fsanitize=address,undefined");
        add_word(&c, "-fno-sanitize-recover=all");
    }
    if (is_traced) {
        add_word(&c, "-DNETWORK_TRACE=network_trace");
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        add_word(&c, flags[i]);
    }
    add_word(&c, s->program);
    char in_here[APQ_PATH_MAX];
    if (dir[0] == '-') { /* no option of the compiler */
        APQ_TRY(apq_path_join(in_here, ".", dir));
        dir = in_here;
    }
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        char path[APQ_PATH_MAX];
        APQ_TRY(apq_path_join(path, dir, sources[i]));
        add_word(&c, path);
    }
    return run_command(&c, s, NULL, dir, o->progress);
}

/* Leaves what the program prints of these images in *answers, the caller's. */
static apq_status run_images(const scratch *s, const uint8_t *images,
                             size_t n_bytes, const apq_progress *progress,
                             char **answers) {
    APQ_TRY(apq_file_write(s->pixels, images, n_bytes));
    command c = {.n = 0};
    add_word(&c, s->program);
    add_word(&c, "-");
    APQ_TRY(run_command(&c, s, s->pixels, "main_test", progress));
    size_t n;
    return apq_file_read(s->answers, answers, &n);
}

/* Comparison -------------------------------------------------------------- */

typedef struct checker {
    const apq_int_model *model;
    const char *dir; /* of the source */
    const apq_verify_c_options *options;
    apq_c99_plan plan;
    size_t image_bytes;
    int32_t *sums; /* (n_classes), owned */
    float *logits; /* (n_classes), owned */
    uint32_t checksums[APQ_IR_MAX_LAYERS];
} checker;

static apq_status expect(checker *k, int image) {
    return apq_c99_reference(k->model, k->options->mean, k->options->std,
                             k->options->images +
                                 (size_t)image * k->image_bytes,
                             k->sums, k->logits, k->checksums);
}

static bool read_number(const char **at, long *out) {
    char *end;
    errno = 0;
    *out = strtol(*at, &end, 10);
    bool is_number = end != *at && errno == 0;
    *at = end;
    return is_number;
}

static int largest(const checker *k) {
    int best = 0;
    for (int i = 1; i < k->model->n_classes; i++) {
        best = apq_c99_logit(&k->plan, i, k->sums[i]) >
                       apq_c99_logit(&k->plan, best, k->sums[best])
                   ? i
                   : best;
    }
    return best;
}

/* The class must be the reference's; where classes have scales of their own,
 * logits are whole multiples of a unit and those within it are equal. */
static bool is_class_right(const checker *k, int class) {
    double allowed = k->plan.has_equal_scales ? 0.0 : (double)k->plan.unit;
    for (int i = 0; i < k->model->n_classes; i++) {
        if (!((double)k->logits[i] - (double)k->logits[class] <= allowed)) {
            return false;
        }
    }
    return class == largest(k);
}

/* Reads one line of answers, compares it and leaves in `difference` what is
 * wrong; empty: nothing. */
static apq_status compare(const checker *k, int image, const char **at,
                          char difference[128]) {
    int n = k->model->n_classes;
    long class, value;
    bool is_read = read_number(at, &class) && class >= 0 && class < n;
    difference[0] = '\0';
    for (int i = 0; is_read && i < 2 * n; i++) {
        int32_t wanted =
            i < n ? k->sums[i] : apq_c99_logit(&k->plan, i - n, k->sums[i - n]);
        is_read = read_number(at, &value);
        if (is_read && value != wanted && difference[0] == '\0') {
            (void)snprintf(difference, 128, "%s of class %d is %ld, not %ld",
                           i < n ? "sum" : "logit", i % n, value, (long)wanted);
        }
    }
    if (!is_read || **at != '\n') {
        APQ_FAIL(
            APQ_ERR_FORMAT,
            "%s: main_test prints no class, %d sums and %d logits of image "
            "%d, as source of this network does: it is of another one",
            k->dir, n, n, image);
    }
    ++*at;
    if (difference[0] == '\0' && !is_class_right(k, (int)class)) {
        (void)snprintf(difference, 128, "class is %ld, not %d", class,
                       largest(k));
    }
    return APQ_OK;
}

/* The first layer whose checksum in the answers is another. */
static const char *first_layer(const checker *k, const char *answers) {
    const char *at = answers;
    for (int i = 0; i < k->model->n_convs; i++) {
        long index, checksum;
        if (strncmp(at, "layer ", 6) != 0) {
            break;
        }
        at += 6;
        if (!read_number(&at, &index) || !read_number(&at, &checksum) ||
            index != i || checksum != (long)k->checksums[i]) {
            return k->model->convs[i].ir.name;
        }
        at += strspn(at, "\n");
    }
    return "classifier";
}

/* Runs one image with layers traced; *name is borrowed from the model. */
static apq_status find_layer(const checker *k, const char *dir, int image,
                             const scratch *s, const char **name) {
    char *answers;
    APQ_TRY(compile(dir, k->options, true, s));
    APQ_TRY(run_images(s, k->options->images + (size_t)image * k->image_bytes,
                       k->image_bytes, k->options->progress, &answers));
    *name = first_layer(k, answers);
    free(answers);
    return APQ_OK;
}

/* Runs n images from `first` on and counts those that are right; what is wrong
 * with the first that is not is left in `difference`, else it is empty. */
static apq_status check_some(checker *k, const scratch *s, int first, int n,
                             int *n_equal, char difference[128]) {
    const apq_verify_c_options *o = k->options;
    char *answers = NULL;
    apq_status st =
        run_images(s, o->images + (size_t)first * k->image_bytes,
                   (size_t)n * k->image_bytes, o->progress, &answers);
    const char *at = answers;
    for (int i = first; st == APQ_OK && i < first + n; i++) {
        if (apq_stop_requested(o->progress)) {
            st = interrupted();
            break;
        }
        st = expect(k, i);
        st = st == APQ_OK ? compare(k, i, &at, difference) : st;
        if (st != APQ_OK || difference[0] != '\0') {
            break;
        }
        ++*n_equal;
        apq_progress_update(o->progress, "verify", (uint64_t)i + 1,
                            (uint64_t)o->n_images, "");
    }
    free(answers);
    return st;
}

static apq_status check_images(checker *k, const char *dir, const scratch *s,
                               apq_verify_c_result *result) {
    char difference[128] = "";
    const char *layer;
    int n_images = k->options->n_images;
    APQ_TRY(compile(dir, k->options, false, s));
    apq_progress_update(k->options->progress, "verify", 0, (uint64_t)n_images,
                        "");
    for (int i = 0; i < n_images && difference[0] == '\0'; i += IMAGES_A_RUN) {
        int left = n_images - i;
        APQ_TRY(check_some(k, s, i, left < IMAGES_A_RUN ? left : IMAGES_A_RUN,
                           &result->n_equal, difference));
    }
    if (difference[0] == '\0') {
        return APQ_OK;
    }
    APQ_TRY(find_layer(k, dir, result->n_equal, s, &layer));
    (void)snprintf(result->difference, sizeof result->difference,
                   "image %d: %s; the first layer that differs is %s",
                   result->n_equal, difference, layer);
    (void)snprintf(result->layer, sizeof result->layer, "%s", layer);
    return APQ_OK;
}

bool apq_verify_c_has(const char *compiler) {
    scratch s = {.dir = ""};
    command c = {.n = 0};
    add_word(&c, compiler);
    add_word(&c, "--version");
    /* Why there is no scratch folder is for the verification to say. */
    bool has = make_scratch(&s) != APQ_OK ||
               run_command(&c, &s, NULL, compiler, NULL) == APQ_OK;
    remove_scratch(&s);
    return has;
}

apq_status apq_verify_c(const apq_int_model *model, const char *dir,
                        const apq_verify_c_options *options,
                        apq_verify_c_result *result) {
    if (options->n_images < 1) {
        APQ_FAIL(APQ_ERR_ARG, "%d images to verify with, legal from 1 on",
                 options->n_images);
    }
    if (!apq_dir_exists(dir)) {
        APQ_FAIL(APQ_ERR_IO, "%s: no such folder", dir);
    }
    apq_c99_options format = APQ_C99_OPTIONS_INIT;
    memcpy(format.mean, options->mean, sizeof format.mean);
    memcpy(format.std, options->std, sizeof format.std);
    checker k = {.model = model,
                 .dir = dir,
                 .options = options,
                 .image_bytes =
                     3 * (size_t)model->resolution * (size_t)model->resolution};
    APQ_TRY(apq_c99_plan_make(model, &format, &k.plan));
    *result = (apq_verify_c_result){.n_equal = 0};
    scratch s = {.dir = ""};
    apq_status st = make_scratch(&s);
    k.sums = apq_calloc((size_t)model->n_classes, sizeof *k.sums);
    k.logits = apq_calloc((size_t)model->n_classes, sizeof *k.logits);
    if (st == APQ_OK && (k.sums == NULL || k.logits == NULL)) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "%s: out of memory", dir);
    }
    st = st == APQ_OK ? check_images(&k, dir, &s, result) : st;
    free(k.sums);
    free(k.logits);
    remove_scratch(&s);
    return st;
}
