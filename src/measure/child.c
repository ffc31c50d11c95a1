/* A child process and two pipes. Both ends of ours are non-blocking, so that
 * one deadline covers writing and reading; SIGPIPE is blocked around writes
 * and taken off again, as a library must not change handlers. */
#include "measure/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

enum { MAX_LINE = 1 << 20, FIRST_BUFFER = 4096, STOP_MS = 100 };

static const double GRACE_S = 0.5;

/* Of one question. */
typedef struct limits {
    double timeout_s, deadline;
    const apq_progress *progress;
} limits;

struct apq_child {
    const char *program;
    pid_t pid;
    int to, from; /* -1: closed */
    char *buffer; /* bytes read and not yet answered */
    size_t n_bytes, capacity, n_answered;
    bool is_broken;
};

static void close_fd(int *fd) {
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

/* In the child: only calls that are safe after fork. An error number goes to
 * the parent through `report`, which a successful exec closes. */
static _Noreturn void start_program(char *const *command, const char *folder,
                                    int in, int out, int report, pid_t parent) {
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127);
    }
#else
    (void)parent;
#endif
    (void)setpgid(0, 0);
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        chdir(folder) == 0) {
        (void)execvp(command[0], command);
    }
    int error = errno;
    ssize_t ignored = write(report, &error, sizeof error);
    (void)ignored;
    _exit(127);
}

/* A pipe whose ends are closed by exec and lie above the standard ones, so
 * that dup2 in the child cannot hit them. */
static bool open_pipe(int ends[2]) {
    int low[2];
    ends[0] = ends[1] = -1;
    if (pipe(low) != 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        (void)close(low[i]);
    }
    return ends[0] >= 0 && ends[1] >= 0;
}

static bool set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* 0, or why the program could not be started. */
static int fork_program(apq_child *child, char *const *command,
                        const char *folder) {
    int in[2] = {-1, -1}, out[2] = {-1, -1}, report[2] = {-1, -1};
    int error = 0;
    bool is_open = open_pipe(in) && open_pipe(out) && open_pipe(report) &&
                   set_nonblocking(in[1]) && set_nonblocking(out[0]);
    pid_t parent = getpid();
    pid_t pid = is_open ? fork() : -1;
    if (pid == 0) {
        start_program(command, folder, in[0], out[1], report[1], parent);
    }
    if (pid < 0) {
        error = errno;
        close_fd(&in[1]);
        close_fd(&out[0]);
    } else {
        (void)setpgid(pid, pid); /* here too: whoever is first */
        child->pid = pid;
    }
    child->to = in[1];
    child->from = out[0];
    close_fd(&in[0]);
    close_fd(&out[1]);
    close_fd(&report[1]);
    if (error == 0) {
        ssize_t n;
        do {
            n = read(report[0], &error, sizeof error);
        } while (n < 0 && errno == EINTR);
        error = n == (ssize_t)sizeof error ? error : 0;
    }
    close_fd(&report[0]);
    return error;
}

apq_status apq_child_open(char *const *command, const char *folder,
                          apq_child **out) {
    apq_child *child = calloc(1, sizeof *child);
    if (child == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", command[0]);
    }
    child->program = command[0];
    child->pid = -1;
    int error = fork_program(child, command, folder);
    if (error != 0) {
        apq_child_close(child);
        if (error == ENOENT) {
            APQ_FAIL(APQ_ERR_IO, "%s: command not found, from folder %s",
                     command[0], folder);
        }
        APQ_FAIL(APQ_ERR_IO, "%s: cannot be started: %s", command[0],
                 strerror(error));
    }
    *out = child;
    return APQ_OK;
}

static void sleep_ms(long ms) {
    const struct timespec pause = {.tv_nsec = ms * 1000000L};
    (void)nanosleep(&pause, NULL);
}

void apq_child_close(apq_child *child) {
    if (child == NULL) {
        return;
    }
    close_fd(&child->to);
    close_fd(&child->from);
    if (child->pid > 0) {
        double deadline = apq_now_s() + (child->is_broken ? 0.0 : GRACE_S);
        pid_t done = waitpid(child->pid, NULL, WNOHANG);
        while (done == 0 && apq_now_s() < deadline) {
            sleep_ms(5);
            done = waitpid(child->pid, NULL, WNOHANG);
        }
        /* The whole group: what the program started goes with it. */
        (void)kill(-child->pid, SIGKILL);
        while (done == 0 || (done < 0 && errno == EINTR)) {
            done = waitpid(child->pid, NULL, 0);
        }
    }
    free(child->buffer);
    free(child);
}

/* write() that turns a broken pipe into EPIPE and nothing else. */
static ssize_t write_quietly(int fd, const char *bytes, size_t n) {
    sigset_t pipe_only, before, pending;
    (void)sigemptyset(&pipe_only);
    (void)sigaddset(&pipe_only, SIGPIPE);
    (void)sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    (void)pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t written = write(fd, bytes, n);
    int error = errno;
    if (written < 0 && error == EPIPE && !was_pending) {
        const struct timespec now = {0};
        (void)sigtimedwait(&pipe_only, NULL, &now);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}

/* Waits until the pipe is ready: EXTERNAL when the deadline passes first. A
 * device may take minutes, so a wish to stop is asked for meanwhile. */
static apq_status wait_for(const apq_child *child, int fd, short events,
                           const limits *l) {
    for (;;) {
        if (apq_stop_requested(l->progress)) {
            APQ_FAIL(APQ_ERR_INTERRUPTED, "%s: stopped before its answer",
                     child->program);
        }
        double left_ms = (l->deadline - apq_now_s()) * 1e3;
        if (left_ms <= 0.0) {
            APQ_FAIL(APQ_ERR_EXTERNAL, "%s: no answer within timeout_s %g",
                     child->program, l->timeout_s);
        }
        struct pollfd one = {.fd = fd, .events = events};
        int ready =
            poll(&one, 1, left_ms < STOP_MS ? (int)left_ms + 1 : STOP_MS);
        if (ready > 0 || (ready < 0 && errno != EINTR)) {
            return APQ_OK; /* a real error shows in the call that follows */
        }
    }
}

static apq_status fail_died(const apq_child *child) {
    int state = 0;
    /* Its pipe may close a moment before it is gone. */
    for (int i = 0; i < 50; i++) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)child->pid, &info,
                   WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid == child->pid) {
            state = info.si_status;
            if (info.si_code != CLD_EXITED) {
                APQ_FAIL(APQ_ERR_EXTERNAL,
                         "%s: died of signal %d without an answer",
                         child->program, state);
            }
            APQ_FAIL(APQ_ERR_EXTERNAL,
                     "%s: ended with exit code %d without an answer",
                     child->program, state);
        }
        sleep_ms(2);
    }
    APQ_FAIL(APQ_ERR_EXTERNAL, "%s: closed its output without an answer",
             child->program);
}

static apq_status send_line(const apq_child *child, const char *bytes, size_t n,
                            const limits *l) {
    for (size_t sent = 0; sent < n;) {
        APQ_TRY(wait_for(child, child->to, POLLOUT, l));
        ssize_t written = write_quietly(child->to, bytes + sent, n - sent);
        if (written > 0) {
            sent += (size_t)written;
        } else if (errno != EAGAIN && errno != EINTR) {
            return fail_died(child);
        }
    }
    return APQ_OK;
}

static apq_status make_room(apq_child *child) {
    if (child->n_bytes + 1 < child->capacity) {
        return APQ_OK;
    }
    if (child->n_bytes >= MAX_LINE) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: answer above %d bytes", child->program,
                 (int)MAX_LINE);
    }
    size_t capacity = child->capacity == 0 ? FIRST_BUFFER : 2 * child->capacity;
    char *grown = realloc(child->buffer, capacity);
    if (grown == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", child->program);
    }
    child->buffer = grown;
    child->capacity = capacity;
    return APQ_OK;
}

/* Until the buffer holds a newline, which becomes the end of the answer. */
static apq_status receive_line(apq_child *child, const limits *l) {
    for (;;) {
        char *newline = child->n_bytes > 0
                            ? memchr(child->buffer, '\n', child->n_bytes)
                            : NULL;
        if (newline != NULL) {
            *newline = '\0';
            child->n_answered = (size_t)(newline - child->buffer) + 1;
            if (strlen(child->buffer) + 1 != child->n_answered) {
                APQ_FAIL(APQ_ERR_FORMAT, "%s: answer with a zero byte",
                         child->program);
            }
            return APQ_OK;
        }
        APQ_TRY(make_room(child));
        APQ_TRY(wait_for(child, child->from, POLLIN, l));
        ssize_t n = read(child->from, child->buffer + child->n_bytes,
                         child->capacity - child->n_bytes);
        if (n > 0) {
            child->n_bytes += (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            return fail_died(child);
        }
    }
}

/* Forgets the last answer. Anything behind it would be taken for the next
 * one, and every number of the table for that of another layer. */
static apq_status start_over(apq_child *child) {
    char extra;
    bool has_extra =
        child->n_bytes > child->n_answered || read(child->from, &extra, 1) > 0;
    child->n_bytes = child->n_answered = 0;
    if (has_extra) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: more than one line for a question",
                 child->program);
    }
    return APQ_OK;
}

apq_status apq_child_ask(apq_child *child, const char *line, double timeout_s,
                         const apq_progress *progress, const char **answer) {
    if (child->is_broken) {
        APQ_FAIL(APQ_ERR_EXTERNAL, "%s: failed before", child->program);
    }
    const limits l = {.timeout_s = timeout_s,
                      .deadline = apq_now_s() + timeout_s,
                      .progress = progress};
    apq_status st = start_over(child);
    if (st == APQ_OK) {
        st = send_line(child, line, strlen(line), &l);
    }
    if (st == APQ_OK) {
        st = send_line(child, "\n", 1, &l);
    }
    if (st == APQ_OK) {
        st = receive_line(child, &l);
    }
    child->is_broken = st != APQ_OK;
    *answer = child->buffer;
    return st;
}
