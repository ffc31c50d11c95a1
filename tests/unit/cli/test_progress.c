/* Progress through a pseudo-terminal: what stands on its screen, also when it
 * is narrow or changes its size. A screen here knows what we use: carriage
 * return, line feed, wrapping, cursor up, erase to the end of line and of
 * screen. */
#include "cli/progress.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_COLUMNS = 120, ROWS = 60 };

typedef struct screen {
    int columns, x, y;
    char text[ROWS][MAX_COLUMNS + 1];
    bool is_wrap_due; /* the next character goes to the next line */
} screen;

static void screen_init(screen *s, int columns) {
    *s = (screen){.columns = columns};
    for (int y = 0; y < ROWS; y++) {
        memset(s->text[y], ' ', MAX_COLUMNS);
    }
}

static void erase(screen *s, char what) {
    memset(s->text[s->y] + s->x, ' ', (size_t)(MAX_COLUMNS - s->x));
    for (int y = s->y + 1; what == 'J' && y < ROWS; y++) {
        memset(s->text[y], ' ', MAX_COLUMNS);
    }
}

static const char *escape(screen *s, const char *p) {
    assert_int_equal(*p++, '[');
    char *end;
    long n = strtol(p, &end, 10);
    if (*end == 'A') {
        s->y -= (int)n;
        s->is_wrap_due = false;
        assert_true(n >= 1 && s->y >= 0);
    } else {
        assert_true(end == p && (*end == 'K' || *end == 'J'));
        erase(s, *end);
    }
    return end + 1;
}

static void show(screen *s, const char *bytes) {
    for (const char *p = bytes; *p != '\0';) {
        char c = *p++;
        if (c == '\033') {
            p = escape(s, p);
        } else if (c == '\r') {
            s->x = 0;
            s->is_wrap_due = false;
        } else if (c == '\n') {
            s->y++;
        } else {
            if (s->is_wrap_due) {
                s->x = 0;
                s->y++;
            }
            s->text[s->y][s->x] = c;
            s->is_wrap_due = s->x == s->columns - 1;
            s->x += !s->is_wrap_due;
        }
        assert_true(s->y < ROWS);
    }
}

/* The line without its blanks at the end. */
static const char *line(screen *s, int y) {
    int n = MAX_COLUMNS;
    while (n > 0 && s->text[y][n - 1] == ' ') {
        n--;
    }
    static char copy[MAX_COLUMNS + 1];
    memcpy(copy, s->text[y], (size_t)n);
    copy[n] = '\0';
    return copy;
}

/* Standard error is the terminal while one is open. */
typedef struct terminal {
    int controller, device, saved;
} terminal;

static void terminal_resize(const terminal *t, int columns, int rows) {
    struct winsize size = {.ws_col = (unsigned short)columns,
                           .ws_row = (unsigned short)rows};
    assert_int_equal(ioctl(t->device, TIOCSWINSZ, &size), 0);
}

static void terminal_open(terminal *t, int columns, int rows) {
    t->controller = posix_openpt(O_RDWR | O_NOCTTY);
    if (t->controller < 0) {
        print_message("skipped: needs pseudo-terminals (/dev/ptmx)\n");
        skip();
    }
    assert_int_equal(grantpt(t->controller), 0);
    assert_int_equal(unlockpt(t->controller), 0);
    t->device = open(ptsname(t->controller), O_RDWR | O_NOCTTY);
    assert_true(t->device >= 0);
    assert_int_equal(fcntl(t->controller, F_SETFL, O_NONBLOCK), 0);
    terminal_resize(t, columns, rows);
    t->saved = dup(STDERR_FILENO);
    assert_int_equal(setenv("TERM", "xterm", 1), 0);
    assert_true(dup2(t->device, STDERR_FILENO) >= 0);
}

static void terminal_close(terminal *t) {
    assert_true(dup2(t->saved, STDERR_FILENO) >= 0);
    (void)close(t->saved);
    (void)close(t->device);
    (void)close(t->controller);
}

/* What has been written to the terminal since the last call. */
static const char *written(const terminal *t) {
    static char bytes[1 << 16];
    size_t n = 0;
    ssize_t got;
    while (n < sizeof bytes - 1 &&
           (got = read(t->controller, bytes + n, sizeof bytes - 1 - n)) > 0) {
        n += (size_t)got;
    }
    bytes[n] = '\0';
    return bytes;
}

/* An update that is due. */
static void update(apq_cli_progress *p, uint64_t done, const char *detail) {
    p->last_s = -1;
    p->base.update(p->base.ctx, "train", done, 100, detail);
}

static void measure(apq_cli_progress *p, int epoch) {
    p->base.measure(p->base.ctx, "largest", epoch, 40 + epoch);
    p->base.measure(p->base.ctx, "smallest", epoch, 30 + epoch);
}

static void begin(apq_cli_progress *p, terminal *t, int columns, int rows) {
    terminal_open(t, columns, rows);
    apq_cli_progress_init(p, false);
    p->base.update(p->base.ctx, "train", 0, 100, "start");
}

static void the_chart_is_redrawn_in_place(void **state) {
    (void)state;
    apq_cli_progress p;
    terminal t;
    screen s;
    begin(&p, &t, 80, 24);
    screen_init(&s, 80);
    p.base.note(p.base.ctx, "a note");
    update(&p, 1, "loss 3");
    show(&s, written(&t));
    assert_string_equal(line(&s, 0), "a note");
    assert_non_null(strstr(line(&s, 1), "train 1/100"));
    for (int epoch = 1; epoch <= 5; epoch++) {
        measure(&p, epoch);
        update(&p, (uint64_t)epoch + 1, "loss 2");
        update(&p, (uint64_t)epoch + 1, "loss 1");
    }
    show(&s, written(&t));
    assert_string_equal(line(&s, 0), "a note");
    assert_non_null(strstr(line(&s, 1), "45 |"));
    assert_non_null(strstr(line(&s, 7), "1 ... 5   * largest 45.00"));
    assert_non_null(strstr(line(&s, 8), "train 6/100"));
    assert_non_null(strstr(line(&s, 8), "loss 1"));
    assert_string_equal(line(&s, 9), "");
    /* A note takes the chart's place, which is drawn anew below. */
    p.base.note(p.base.ctx, "another note");
    show(&s, written(&t));
    assert_string_equal(line(&s, 1), "another note");
    assert_string_equal(line(&s, 2), "");
    update(&p, 7, "loss 0");
    show(&s, written(&t));
    assert_non_null(strstr(line(&s, 8), "largest 45.00"));
    assert_non_null(strstr(line(&s, 9), "train 7/100"));
    apq_cli_progress_end(&p);
    show(&s, written(&t));
    assert_string_equal(line(&s, 2), "");
    assert_int_equal(s.y, 2);
    assert_int_equal(s.x, 0);
    terminal_close(&t);
}

static void rates_are_told_as_people_say_them(void **state) {
    (void)state;
    static const struct {
        uint64_t done; /* in a day, so that a slow test changes no digit */
        const char *rate;
    } cases[] = {{293760000000, "  3.4 M/s  "},
                 {2021760000, "  23.4 k/s  "},
                 {432000, "  5/s  "},
                 {8640, "  0.1/s  "}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        apq_cli_progress p;
        terminal t;
        begin(&p, &t, 80, 24);
        p.start_s = apq_now_s() - 86400;
        p.last_s = -1;
        p.base.update(p.base.ctx, "train", cases[i].done, 1 << 30, NULL);
        const char *shown = written(&t);
        if (strstr(shown, cases[i].rate) == NULL) {
            terminal_close(&t);
            fail_msg("no %s in %s", cases[i].rate, shown);
        }
        terminal_close(&t);
    }
}

/* One line that is cut off, whatever its length. */
static void narrow_terminals_get_one_line(void **state) {
    (void)state;
    static const int columns[] = {1, 2, 7, 20, 40, 48};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        apq_cli_progress p;
        terminal t;
        screen s;
        begin(&p, &t, columns[i], 24);
        screen_init(&s, columns[i]);
        measure(&p, 1);
        measure(&p, 2);
        for (uint64_t k = 1; k < 4; k++) {
            update(&p, k, "a detail that is longer than the terminal is wide");
        }
        show(&s, written(&t));
        assert_int_equal(s.y, 0);
        int n = (int)strlen(line(&s, 0)); /* may end in a blank */
        assert_true(n == columns[i] - 1 || n == columns[i] - 2);
        terminal_close(&t);
    }
}

static void low_terminals_get_one_line(void **state) {
    (void)state;
    apq_cli_progress p;
    terminal t;
    screen s;
    begin(&p, &t, 80, 10);
    screen_init(&s, 80);
    measure(&p, 1);
    measure(&p, 2);
    update(&p, 1, "x");
    show(&s, written(&t));
    assert_int_equal(s.y, 0);
    terminal_close(&t);
}

/* A wide chart on a terminal that became half as wide: it has wrapped each of
 * the 8 lines, of which 7 fill two, and is replaced by one line. */
static void shrunk_terminals_are_cleaned(void **state) {
    (void)state;
    apq_cli_progress p;
    terminal t;
    begin(&p, &t, 80, 24);
    measure(&p, 1);
    measure(&p, 2);
    update(&p, 1, "x");
    const char *first = written(&t);
    assert_non_null(strstr(first, "largest 42.00"));
    terminal_resize(&t, 41, 24);
    update(&p, 2, "x");
    int up = 0;
    for (int i = 0; i < APQ_CHART_ROWS; i++) {
        up += 2; /* the plot, 79 wide */
    }
    /* The legend is 49 wide, the last line short: from it up to the first. */
    up += 2;
    char expected[16];
    (void)snprintf(expected, sizeof expected, "\r\033[%dA", up);
    const char *second = written(&t);
    assert_ptr_equal(strstr(second, expected), second);
    assert_null(strstr(second, "largest"));
    terminal_resize(&t, 100, 24);
    update(&p, 3, "x");
    assert_non_null(strstr(written(&t), "largest 42.00"));
    terminal_close(&t);
}

/* Other work begins with an empty chart. */
static void other_work_has_no_chart(void **state) {
    (void)state;
    apq_cli_progress p;
    terminal t;
    begin(&p, &t, 80, 24);
    measure(&p, 1);
    measure(&p, 2);
    update(&p, 1, "x");
    assert_non_null(strstr(written(&t), "largest"));
    p.base.update(p.base.ctx, "collect", 0, 10, NULL);
    p.last_s = -1;
    p.base.update(p.base.ctx, "collect", 1, 10, NULL);
    const char *bytes = written(&t);
    assert_non_null(strstr(bytes, "collect 1/10"));
    assert_null(strstr(bytes, "largest"));
    terminal_close(&t);
}

static void expect_plain(bool is_terminal) {
    apq_cli_progress p;
    terminal t;
    begin(&p, &t, 80, 24);
    char *path = NULL;
    int fd = -1;
    if (is_terminal) {
        assert_int_equal(setenv("TERM", "dumb", 1), 0);
    } else {
        static char name[] = "/tmp/apq-progress-XXXXXX";
        path = name;
        fd = mkstemp(path);
        assert_true(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    }
    (void)written(&t);
    apq_cli_progress_init(&p, false);
    p.base.update(p.base.ctx, "train", 0, 100, NULL);
    measure(&p, 1);
    measure(&p, 2);
    p.base.note(p.base.ctx, "a note");
    p.last_s = -100;
    p.base.update(p.base.ctx, "train", 1, 100, "loss 1");
    apq_cli_progress_end(&p);
    char bytes[4096] = "";
    if (is_terminal) {
        (void)snprintf(bytes, sizeof bytes, "%.4000s", written(&t));
    } else {
        assert_true(pread(fd, bytes, sizeof bytes - 1, 0) > 0);
        (void)close(fd);
        (void)unlink(path);
        assert_string_equal(written(&t), "");
    }
    terminal_close(&t);
    assert_null(strchr(bytes, '\033'));
    assert_null(strstr(bytes, "largest"));
    assert_ptr_equal(strstr(bytes, "a note"), bytes);
    assert_non_null(strstr(bytes, "train 1/100"));
}

static void files_and_dumb_terminals_get_plain_lines(void **state) {
    (void)state;
    expect_plain(true);
    expect_plain(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_chart_is_redrawn_in_place),
        cmocka_unit_test(rates_are_told_as_people_say_them),
        cmocka_unit_test(narrow_terminals_get_one_line),
        cmocka_unit_test(low_terminals_get_one_line),
        cmocka_unit_test(shrunk_terminals_are_cleaned),
        cmocka_unit_test(other_work_has_no_chart),
        cmocka_unit_test(files_and_dumb_terminals_get_plain_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
