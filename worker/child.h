/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CHILD_H
#define ZFARM_CHILD_H

#include <sys/types.h>

#include "worker/capture.h"
#include "worker/spawner.h"

/* Starting, capturing and killing child processes: what every executor does the same way.
 *
 * A child is started (spawner.h) in a process group of its own, with no signal blocked or
 * ignored and no descriptor but 0, 1 and 2 (and 3, if asked for). What it writes is captured until
 * its process exits, with what is readable at that moment: a grandchild that still holds the pipe
 * is not waited for, and is left alone unless the child was being killed.
 *
 * Descriptors 0, 1 and 2 of this process must be open, SIGPIPE ignored, and every other descriptor
 * close-on-exec. Nothing blocks, but that a start takes until the new program is loaded. */

struct guard;

/* What the children of one executor share. Fields are private. */
struct children {
    int epoll;
    int null; /* /dev/null */
    struct spawner spawner;
    struct capture_limits limits;
    uint64_t kill_after_ns;
    struct guard *guard;
    uint8_t *chunk; /* what one read takes */
};

/* `options->tmpdir` must stay valid; `guard` (guard.h) may be NULL and must outlive `children`. On
 * failure (ERR_IO, with words) nothing is to be closed. */
enum error children_open(struct children *children, const struct executor_options *options,
                         struct guard *guard, struct why *why);
/* All children must have ended or been abandoned. */
void children_close(struct children *children);
/* To be polled for reading: readable when children_turn has something to do. */
int children_fd(const struct children *children);
/* Reads what the children wrote, a pipe full of each at most. */
void children_turn(struct children *children);

/* Why a child was killed: the first reason counts. */
enum child_kill {
    CHILD_NOT_KILLED,
    CHILD_TIMED_OUT,
    CHILD_CANCELLED,
    CHILD_TOO_MUCH_OUTPUT, /* more than output_max, or more than the temporary directory took */
};

/* One of a child's two output streams. Private. */
struct child_stream {
    struct child *child;
    int reader; /* -1: not captured, or closed */
    int writer; /* our copy of the child's end: keeps the end of the stream from waking us */
    struct capture capture;
    bool full; /* what comes is read and thrown away */
};

/* One place for a child, used again for the next. Embed it by value where it does not move. Read
 * `pid`, `killed`, `start_us`, `started_ns`, `duration_ns` and `deadline_ns`; the rest is private.
 */
struct child {
    pid_t pid;              /* also its process group; 0: none runs */
    enum child_kill killed; /* stays after the exit */
    uint64_t start_us;      /* since 1970 */
    uint64_t started_ns;    /* monotonic */
    uint64_t duration_ns;   /* after the exit */
    uint64_t deadline_ns;   /* when child_turn is due: its time is up, or KILL is due; else NEVER */
    struct children *children;
    struct child_stream out;
    struct child_stream err;
};

/* What to start. Nothing is kept after the call. */
struct child_spec {
    const char *path; /* not searched on PATH; a script without #! is run by /bin/sh */
    char *const *argv;
    char *const *environment;
    int in;              /* -1: /dev/null */
    int out;             /* -1: captured */
    int err;             /* -1: captured */
    int extra;           /* becomes descriptor 3; -1: none */
    uint64_t timeout_ns; /* 0: none */
};

void child_init(struct child *child, struct children *children);
/* Starts a child; none may be running in `child`. What the last one wrote is forgotten. Returns 0,
 * or the errno of what failed; then nothing runs. ENOENT, EACCES: the program; E2BIG: its
 * arguments; EAGAIN, ENOMEM, EMFILE, ENFILE: the machine. The descriptors in `spec` stay the
 * caller's, who closes his copies of a child's end afterwards. */
int child_start(struct child *child, const struct child_spec *spec);
/* From now on it may run so long in all, unless it is being killed already. */
void child_limit(struct child *child, uint64_t timeout_ns);
/* Sends TERM to the group, and KILL after kill_after_ns. `reason` is not CHILD_NOT_KILLED. A child
 * that is already being killed, or none: nothing happens. */
void child_kill(struct child *child, enum child_kill reason, uint64_t now_ns);
/* Does what is due: TERM when its time is up, KILL when it did not heed TERM. */
void child_turn(struct child *child, uint64_t now_ns);
/* To be called when `child->pid` was reaped: takes what is still readable and closes the pipes. If
 * it was killed, what is left of its group is killed too. The captures are then the child's output.
 */
void child_exited(struct child *child);
/* Gives large captures back, and closes a file that nobody took, before the next start does. */
void child_forget(struct child *child);
/* Kills the group with KILL, closes everything and frees the captures; the process remains to be
 * reaped. For the end of an executor; `child` may be idle. */
void child_abandon(struct child *child);
/* Waits until the process has ended, which is then to be reaped, or the time is up. */
void child_await_end(pid_t pid, uint64_t until_ns);

#endif
