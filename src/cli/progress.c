/* Progress lines and the stop flag. Only the signal handler needs a global:
 * sig_atomic_t is the one thing a handler may write. */
#include "cli/progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stop_flag;

static void on_signal(int number) {
    if (stop_flag) {
        _exit(128 + number);
    }
    stop_flag = 1;
}

void apq_cli_catch_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    /* A reader that goes away is an error of the write, not a death. */
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

static bool stop_requested(void *ctx) {
    (void)ctx;
    return stop_flag != 0;
}

void apq_cli_progress_end(apq_cli_progress *self) {
    if (self->has_line) {
        (void)fputs("\r\033[K", stderr);
        self->has_line = false;
    }
}

static void note(void *ctx, const char *line) {
    apq_cli_progress *self = ctx;
    if (self->is_quiet) {
        return;
    }
    apq_cli_progress_end(self);
    (void)fprintf(stderr, "%s\n", line);
}

static void format_seconds(double s, char *out, size_t size) {
    if (s < 100) {
        (void)snprintf(out, size, "%.0f s", s);
    } else if (s < 6000) {
        (void)snprintf(out, size, "%.0f min", s / 60);
    } else {
        (void)snprintf(out, size, "%.1f h", s / 3600);
    }
}

static void update(void *ctx, const char *what, uint64_t done, uint64_t total,
                   const char *detail) {
    apq_cli_progress *self = ctx;
    if (self->is_quiet) {
        return;
    }
    double now = apq_now_s();
    if (strncmp(self->what, what, sizeof self->what - 1) != 0 ||
        done < self->first_done) {
        (void)snprintf(self->what, sizeof self->what, "%s", what);
        self->first_done = done;
        self->start_s = self->last_s = now;
    }
    double interval = self->is_terminal ? 0.1 : 10;
    bool is_last = total > 0 && done >= total;
    if (now - self->last_s < interval && !(is_last && self->is_terminal)) {
        return;
    }
    self->last_s = now;
    double spent = now - self->start_s;
    double rate = spent > 0 ? (double)(done - self->first_done) / spent : 0;
    char left[32] = "?";
    if (rate > 0 && total >= done) {
        format_seconds((double)(total - done) / rate, left, sizeof left);
    }
    (void)fprintf(stderr, "%s%s %llu/%llu  %.4g/s  %s left%s%s%s",
                  self->is_terminal ? "\r\033[K" : "", what,
                  (unsigned long long)done, (unsigned long long)total, rate,
                  left, detail != NULL ? "  " : "",
                  detail != NULL ? detail : "", self->is_terminal ? "" : "\n");
    (void)fflush(stderr);
    self->has_line = self->is_terminal;
}

void apq_cli_progress_init(apq_cli_progress *self, bool is_quiet) {
    *self = (apq_cli_progress){
        .base = {.ctx = self,
                 .note = note,
                 .update = update,
                 .stop_requested = stop_requested},
        .is_terminal = isatty(STDERR_FILENO) != 0,
        .is_quiet = is_quiet,
    };
}
