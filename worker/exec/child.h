/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CHILD_H
#define ZFARM_CHILD_H

#include <sys/types.h>

#include "worker/exec/capture.h"
#include "worker/exec/processes.h"
#include "worker/exec/spawner.h"

/* Starting, capturing and killing child processes: what every executor does the same way.
 *
 * A child is started (spawner.h) in a session of its own, without a terminal, with no signal blocked
 * or ignored and no descriptor but 0, 1 and 2 (and 3, if asked for).
 *
 * A child has ended when its process has ended and what it wrote into is at its end: what it left
 * running may hold that open and write on. It is waited for during --linger, and the child LINGERS:
 *
 *     idle --start--> RUNS --reaped, pipes at their end------------------------------> idle
 *                       \--reaped, held by others--> LINGERS --at their end------------^
 *                                                       |--linger is over: cut----------|
 *                                                       '--time is up, cancelled, much--'
 *
 * Our own copy of each writing end is kept until the process is reaped, so that its end does not wake
 * us before. It is closed then, and one read says whether the pipe is at its end: a child that leaves
 * nobody behind costs no call for it. Where the linger ends first, the reading ends are given to the
 * drain (drain.h).
 *
 * Descriptors 0, 1 and 2 of this process must be open, SIGPIPE ignored, and every other descriptor
 * close-on-exec. Nothing blocks, but that a start takes until the new program is loaded, and a look
 * at all processes (processes.h) some milliseconds.
 *
 * Owns a process, its pipes and what they brought. Decides when a child has ended, and when KILL follows TERM; not
 * why one is killed, but for too much output. executor.c and its kinds call it; it calls spawner.h, capture.h,
 * processes.h, guard.h and drain.h. */

struct guard;

/* What is watched for the children of one executor: a stream of a child's here, what else a kind of executor has to
 * its child there. The first member of what it stands for. */
struct child_watch {
    void (*ready)(struct child_watch *watch, uint32_t events, uint64_t now_ns);
};

enum { CHILD_CHUNK = 64 << 10 }; /* a pipe's capacity */

/* What the children of one executor share. Fields are private but for `limits`, `chunk`, `held_ns`. */
struct children {
    int epoll; /* its data are of struct child_watch */
    int null;  /* /dev/null */
    struct spawner spawner;
    struct capture_limits limits;
    uint64_t kill_after_ns;
    uint64_t linger_ns;
    struct guard *guard;
    struct child *first; /* of all, by `next` */
    struct processes processes;
    uint64_t held_ns; /* since when all are stopped by children_hold; 0: they are not */
    bool told;        /* users know that the drain has no room */
    uint8_t *chunk;   /* CHILD_CHUNK bytes: what one read takes */
};

/* What `options` points to must outlive `children`. On failure (ERR_IO, with words) nothing is to be closed. */
enum error children_open(struct children *children, const struct executor_options *options,
                         struct why *why);
/* All children must have ended or been abandoned. */
void children_close(struct children *children);
/* To be polled for reading: readable when children_turn has something to do. More can be watched with it (epoll). */
int children_fd(const struct children *children);
/* Serves what is ready: of what the children wrote, a pipe full of each at most. */
void children_turn(struct children *children, uint64_t now_ns);
/* Stops all processes of the children (STOP), and lets them go on (CONT): the time between does not
 * count for timeouts, and nothing that is due is done. A child that is started meanwhile runs. */
void children_hold(struct children *children, uint64_t now_ns);
void children_go(struct children *children, uint64_t now_ns);

/* Why a child was killed: the first reason counts. */
enum child_kill {
    CHILD_NOT_KILLED,
    CHILD_TIMED_OUT,
    CHILD_CANCELLED,
    CHILD_TOO_MUCH_OUTPUT, /* more than output_max, or more than the temporary directory took */
    CHILD_CLOSED,          /* it closed its output and did not end */
    CHILD_NONSENSE,        /* it said what is against the rules */
};

/* One of a child's two output streams. Private. */
struct child_stream {
    struct child_watch watch; /* first */
    struct child *child;
    int reader; /* -1: not captured, or closed */
    int writer; /* our copy of the child's end: keeps the end of the stream from waking us */
    ino_t pipe; /* while it lingers */
    struct capture capture;
    bool full; /* what comes is read and thrown away */
};

/* What child_turn has to tell. */
enum child_news {
    CHILD_NO_NEWS,
    CHILD_HELD, /* `holder` is another one than before */
    CHILD_ENDED /* a child that lingered has ended: the captures are its output */
};

/* One place for a child, used again for the next. Embed it by value where it does not move. Read
 * all but what is private.
 */
struct child {
    pid_t pid;                   /* also its process group and session; 0: no process runs */
    enum child_kill killed;      /* stays after the end */
    bool lingers;                /* its process has ended, and its output is still held */
    bool stopped;                /* its process is (the executor notes it) */
    bool cut;                    /* it has ended, and its output was still held, by: */
    struct output_holder holder; /* while it lingers; pid 0: not known */
    uint64_t start_us;           /* since 1970 */
    uint64_t started_ns;         /* monotonic; later by as long as it was held by children_hold */
    uint64_t duration_ns;        /* until its process ended */
    uint64_t deadline_ns;        /* when child_turn is due, or NEVER */
    /* Private: */
    struct children *children;
    struct child *next;
    pid_t leader;      /* what pid was, until the next start */
    uint64_t kill_ns;  /* when KILL is due; NEVER */
    uint64_t look_ns;  /* when it is next looked for who holds the output */
    uint64_t until_ns; /* when the linger ends */
    struct child_stream out;
    struct child_stream err;
};

/* What to start. Nothing is kept after the call. */
struct child_spec {
    const char *path; /* not searched on PATH; a script without #! is run by /bin/sh */
    char *const *argv;
    char *const *environment;
    int in;    /* -1: /dev/null */
    int out;   /* -1: captured */
    int err;   /* -1: captured */
    int extra; /* becomes descriptor 3; -1: none */
};

void child_init(struct child *child, struct children *children);
/* Starts a child; none may be running in `child`. What the last one wrote is forgotten. Returns 0,
 * or the errno of what failed; then nothing runs. ENOENT, EACCES: the program; E2BIG: its
 * arguments; EAGAIN, ENOMEM, EMFILE, ENFILE: the machine. The descriptors in `spec` stay the
 * caller's, which closes its copies of a child's end afterwards. */
int child_start(struct child *child, const struct child_spec *spec);
/* Sends TERM and CONT to all processes of the session and what descends from them, and KILL after
 * kill_after_ns; of a child that lingers to those that hold its output as well, and one that is
 * cancelled then ends with the next turn. `reason` is not CHILD_NOT_KILLED. A child that is already
 * being killed, or none: nothing happens. */
void child_kill(struct child *child, enum child_kill reason, uint64_t now_ns);
/* If it is being killed, KILL is due now. */
void child_hurry(struct child *child);
/* The same with KILL and at once, for a process that was promised nothing else. CHILD_NOT_KILLED: it is taken to end by
 * itself. */
void child_kill_now(struct child *child, enum child_kill reason, uint64_t now_ns);
/* Does what is due: KILL when it did not heed TERM, the end of the linger. */
enum child_news child_turn(struct child *child, uint64_t now_ns);
/* To be called when `child->pid` was reaped. True: it has ended, and the captures are its output.
 * False: it lingers, and child_turn will say CHILD_ENDED. If it was killed, what is left of its
 * session is killed too, and it does not linger. */
bool child_exited(struct child *child, uint64_t now_ns);
/* Gives a reading end of the caller's own, that others may hold open, to the drain, or closes it. */
void child_let_go(struct child *child, int reader);
/* Of a child whose process was reaped: who else holds the other end of the caller's `reader`. */
struct output_holder child_find_holder(struct child *child, int reader, uint64_t now_ns);
/* The same one: kills what is left of its session, and who holds `reader`, with KILL. */
void child_kill_left(struct child *child, int reader, enum child_kill reason, uint64_t now_ns);
/* The process was stopped, or goes on: true if that is news. */
bool child_note_stopped(struct child *child, bool stopped);
/* Gives large captures back, and closes a file that nobody took, before the next start does. */
void child_forget(struct child *child);
/* Kills all processes with KILL, closes everything and frees the captures; the process remains to be
 * reaped. For the end of an executor; `child` may be idle. */
void child_abandon(struct child *child);
/* Waits until the process has ended, which is then to be reaped, or the time is up. */
void child_await_end(pid_t pid, uint64_t until_ns);

#endif
