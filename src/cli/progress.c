/* Progress lines, the chart above them, and the stop flag. Only the signal
 * handler needs a global: sig_atomic_t is the one thing a handler may write. */
#include "cli/progress.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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
    /* What batch systems send before the time is over, and mpirun passes on. */
    (void)sigaction(SIGUSR1, &action, NULL);
    /* A reader that goes away is an error of the write, not a death: what is
     * computed is saved first. */
    (void)signal(SIGPIPE, SIG_IGN);
}

void apq_cli_end_by_pipe(void) {
    (void)signal(SIGPIPE, SIG_DFL);
    (void)raise(SIGPIPE);
}

static bool stop_requested(void *ctx) {
    (void)ctx;
    return stop_flag != 0;
}

/* The terminal's size now; it may change at any time. */
static void terminal_size(int *columns, int *rows) {
    struct winsize size;
    *columns = 80;
    *rows = 24;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        *columns = size.ws_col;
        *rows = size.ws_row;
    }
}

/* Text that is written at once, so that nothing flickers. */
typedef struct buffer {
    char text[2048];
    size_t n;
} buffer;

static void APQ_PRINTF(2, 3) put(buffer *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(b->text + b->n, sizeof b->text - b->n, format, args);
    va_end(args);
    if (n > 0) {
        b->n += (size_t)n;
        b->n = b->n < sizeof b->text ? b->n : sizeof b->text - 1;
    }
}

/* To the start of the first drawn line. Lines that have become longer than the
 * terminal is wide are wrapped by it. */
static void put_rewind(apq_cli_progress *self, int columns, buffer *b) {
    int up = 0;
    for (int i = 0; i < self->n_drawn; i++) {
        int n = self->drawn[i];
        up += n > columns ? (n + columns - 1) / columns : 1;
    }
    put(b, "\r");
    if (up > 1) {
        put(b, "\033[%dA", up - 1);
    }
    self->n_drawn = 0;
}

void apq_cli_progress_end(apq_cli_progress *self) {
    if (self->n_drawn > 0) {
        buffer b = {.n = 0};
        int columns, rows;
        terminal_size(&columns, &rows);
        put_rewind(self, columns, &b);
        put(&b, "\033[J");
        (void)fputs(b.text, stderr);
    }
}

/* Never as wide as the terminal: the cursor must not wrap. */
static void put_line(apq_cli_progress *self, const char *line, int columns,
                     bool is_last, buffer *b) {
    int n = (int)strlen(line);
    n = n < columns ? n : columns - 1;
    put(b, "%.*s\033[K%s", n, line, is_last ? "" : "\n");
    self->drawn[self->n_drawn++] = n;
}

static void draw(apq_cli_progress *self, const char *line) {
    char lines[APQ_CHART_LINES][APQ_CHART_MAX_COLUMNS + 1];
    buffer b = {.n = 0};
    int columns, rows;
    terminal_size(&columns, &rows);
    int n = rows < 2 * APQ_CHART_LINES
                ? 0
                : apq_chart_draw(&self->chart, columns - 1, lines);
    put_rewind(self, columns, &b);
    for (int i = 0; i < n; i++) {
        put_line(self, lines[i], columns, false, &b);
    }
    put_line(self, line, columns, true, &b);
    put(&b, "\033[J");
    (void)fputs(b.text, stderr);
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

/* "3.4 M/s". */
static void format_rate(double per_s, char *out, size_t size) {
    if (per_s < 1e4) {
        (void)snprintf(out, size, "%.4g/s", per_s);
    } else if (per_s < 1e6) {
        (void)snprintf(out, size, "%.1f k/s", 1e-3 * per_s);
    } else {
        (void)snprintf(out, size, "%.1f M/s", 1e-6 * per_s);
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
        self->chart = (apq_chart){0};
    }
    double interval = self->is_terminal ? 0.1 : 10;
    bool is_last = total > 0 && done >= total;
    if (now - self->last_s < interval && !(is_last && self->is_terminal)) {
        return;
    }
    self->last_s = now;
    double spent = now - self->start_s;
    double rate = spent > 0 ? (double)(done - self->first_done) / spent : 0;
    char left[32] = "?", speed[32];
    format_rate(rate, speed, sizeof speed);
    if (rate > 0 && total >= done) {
        format_seconds((double)(total - done) / rate, left, sizeof left);
    }
    char line[512];
    (void)snprintf(line, sizeof line, "%s %llu/%llu  %s  %s left%s%s", what,
                   (unsigned long long)done, (unsigned long long)total, speed,
                   left, detail != NULL ? "  " : "",
                   detail != NULL ? detail : "");
    if (self->is_terminal) {
        draw(self, line);
    } else {
        (void)fprintf(stderr, "%s\n", line);
    }
    (void)fflush(stderr);
}

static void measure(void *ctx, const char *series, double at, double value) {
    apq_cli_progress *self = ctx;
    apq_chart_add(&self->chart, series, at, value);
}

void apq_cli_progress_init(apq_cli_progress *self, bool is_quiet) {
    const char *term = getenv("TERM");
    bool is_dumb = term != NULL && strcmp(term, "dumb") == 0;
    *self = (apq_cli_progress){
        .base = {.ctx = self,
                 .note = note,
                 .update = update,
                 .measure = measure,
                 .stop_requested = stop_requested},
        .is_terminal = isatty(STDERR_FILENO) != 0 && !is_dumb,
        .is_quiet = is_quiet,
    };
}
