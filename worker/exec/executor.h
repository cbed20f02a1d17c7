/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_EXECUTOR_H
#define ZFARM_EXECUTOR_H

#include <sys/types.h>

#include "common/base/block.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/cli/ok_exit.h"
#include "common/cli/timeout.h"
#include "common/wire/result.h"

/* What runs tasks: the one interface that the worker's shell knows of the command, the coprocess and
 * the plugin executor. An executor owns the children of `slots` slots and lives in the worker's one thread.
 *
 * The life of a slot: it is free; `start` gives it an assignment of one or more tasks; each task of
 * the assignment then ends in exactly one of finished, returned or cancelled, in order; when all
 * have, the slot is free again. A task whose process has ended goes on while its output is held (child.h). Nothing
 * blocks. The calling loop, once a turn:
 *
 *     poll (..., executor_fd (executor), until executor_deadline (executor))
 *     executor_turn (executor, now_ns);
 *     for each child reaped by waitpid (-1, ..., WNOHANG): executor_child_exited (executor, pid, status)
 *
 * executor.c owns the slots. What it decides, what it calls and what a kind decides is in executor_kind.h. worker.c
 * calls these functions, for the actions of the worker's core (slots.h), which uses the structs. */
struct executor;
struct executor_kind; /* executor_kind.h; the kinds are command_kind, coprocess_kind, plugin_kind */
struct guard;

/* Tasks for one slot: `count` of them, numbered from `first` on. */
struct assignment {
    unsigned slot; /* from 0 */
    uint64_t first;
    uint32_t count; /* 1 .. executor_batch_max */
    struct attempt attempt;
    uint32_t tries;       /* which try this is, from 1 (ZFARM_ATTEMPT) */
    bool last;            /* no try is left after it: a result that is not ok is final */
    uint64_t wants;       /* enum result_want: what the records of an outcome_run carry at least */
    struct bytes records; /* task.h; the caller keeps them until the slot is free again */
    const struct block *block; /* in which they are; NULL: not known */
};

/* What a task wrote: in memory, or in an unlinked temporary file when it was much. */
struct output {
    struct bytes bytes; /* when fd is -1; valid during the call that hands it over */
    int fd;             /* -1, or a file of `size` bytes that the receiver now owns and closes */
    uint64_t size;
};

/* Some words for a user; the text needs no owner. */
static inline struct output output_text(const char *text)
{
    struct bytes bytes = bytes_of(text);
    return (struct output){.bytes = bytes, .fd = -1, .size = bytes.size};
}

struct outcome {
    unsigned slot;
    uint64_t seq;
    enum result_status status;
    unsigned code; /* exit status or signal */
    bool own_end;  /* status and code are how a process of the task ended, and we did not end it */
    uint64_t start_us; /* since 1970 */
    uint64_t duration_ns;
    struct output out;
    struct output err;
    struct bytes
        command;  /* the command line as a shell would take it; empty if none was asked for */
    bool cut;     /* its output was still held when the linger ended: what came later is lost */
    pid_t cut_by; /* by that process; 0: not known */
};

/* The results of tasks that ended one behind the other, as the records that are sent (result.h): what
 * an executor of very short tasks tells instead of an outcome for each. They are small and have no
 * command. */
struct outcome_run {
    unsigned slot;
    uint64_t first;
    uint32_t count;
    uint32_t failed;      /* not ok */
    bool final;           /* all of them, or none */
    uint64_t wants;       /* what the records carry */
    uint64_t duration_ns; /* of all */
    struct bytes records; /* valid during the call that hands them over */
};

/* Takes the first result off `run`; false when there is none left. Its bytes are the run's. */
static inline bool outcome_run_next(struct outcome_run *run, struct outcome *outcome)
{
    struct result r;
    if (!run->count || result_take(&run->records, &r))
        return false;
    *outcome = (struct outcome){.slot = run->slot,
                                .seq = run->first++,
                                .status = r.status,
                                .code = r.code,
                                .start_us = r.start_us,
                                .duration_ns = r.duration_ns,
                                .out = {.bytes = r.out, .fd = -1, .size = r.out.size},
                                .err = {.bytes = r.err, .fd = -1, .size = r.err.size}};
    run->count--;
    return true;
}

/* Called by the executor, from inside start, turn, child_exited and cancel. */
struct executor_events {
    void *context;
    void (*finished)(void *context, const struct outcome *outcome);
    void (*finished_run)(void *context, const struct outcome_run *run); /* only of plugins */
    /* Tasks first .. first + count - 1 were not begun and can be run again, here or elsewhere. */
    void (*returned)(void *context, unsigned slot, uint64_t first, uint32_t count);
    void (*cancelled)(void *context, unsigned slot,
                      uint64_t seq); /* killed on request: no result */
    /* Nothing can be started any more (program gone, no processes to be had): the worker stops
     * taking work and says `why`. What was assigned has been returned before. */
    void (*broken)(void *context, const char *why);
    /* What was just returned could not be started, for a reason that passes: it is given again when
     * something else has ended, or a while later. NULL: broken is told instead. */
    void (*held_up)(void *context, const char *why);
    /* The process of the slot is stopped, or goes on (NULL: nobody wants to know). */
    void (*stopped)(void *context, unsigned slot, bool stopped);
    /* The process of the task that the slot is at has ended, and its output is still held by `pid`, whose
     * command is `name`; 0: by nobody that can be seen (NULL as above). */
    void (*held)(void *context, unsigned slot, pid_t pid, const char *name);
};

/* What every executor is made with. What it points to, and the struct itself, must stay valid. */
struct executor_options {
    unsigned slots;
    struct timeout timeout; /* --timeout */
    uint64_t kill_after_ns; /* --kill-after: from TERM to KILL */
    uint64_t linger_ns;     /* --linger: for output that is held after the process has ended */
    uint64_t output_max;    /* --output-max: bytes a stream */
    uint64_t patience_ns;   /* what stands behind a task that runs for longer is returned */
    const char *tmpdir;     /* where outputs above OUTPUT_MEMORY_MAX go */
    const char *worker;     /* ZFARM_WORKER */
    struct guard *guard;    /* guard.h; NULL: none. Must outlive the executor */
    const char *program;    /* what has plugin_host_main in it: /proc/self/exe */
    bool want_command;      /* fill outcome.command; may be changed between tasks */
    /* What runs the tasks, and how. Each kind says which of these it takes. */
    char *const *words; /* COMMAND and its arguments, or the plugin's; NULL at the end */
    const char *plugin; /* the file */
    bool shell;
    bool pipe;
    bool null;
    const char *replacement; /* -I; NULL: {} */
    struct ok_exit ok_exit;
};

/* On success the caller owns `*executor`. The errors are the kind's; then nothing runs and `*executor` is
 * unchanged. */
enum error executor_new(const struct executor_kind *kind, const struct executor_options *options,
                        const struct executor_events *events, struct executor **executor,
                        struct why *why);
/* Kills all that runs, without events; takes NULL. */
void executor_destroy(struct executor **executor);

uint32_t executor_batch_max(const struct executor *executor); /* most tasks in an assignment */
/* The slot must be free. */
void executor_start(struct executor *executor, const struct assignment *assignment,
                    uint64_t now_ns);
/* Kills the task if the slot is at it (TERM to its group, KILL after --kill-after), or takes it
 * out of the assignment. Ends in cancelled, perhaps later; a task that has just finished may
 * still end in finished. Unknown: nothing happens. */
void executor_cancel(struct executor *executor, unsigned slot, uint64_t seq, uint64_t now_ns);
/* What is being killed has had its time: KILL in the next turn. */
void executor_hurry(struct executor *executor);
int executor_fd(const struct executor *executor); /* to be polled for reading; the same for ever */
void executor_turn(struct executor *executor, uint64_t now_ns);
/* When executor_turn is due at the latest, or NEVER. */
uint64_t executor_deadline(const struct executor *executor);
/* Returns false when the child is none of its own. */
bool executor_child_exited(struct executor *executor, pid_t pid, int status, uint64_t now_ns);
/* A child was stopped, or goes on, as waitpid tells it. None of its own: nothing happens. */
void executor_child_stopped(struct executor *executor, pid_t pid, bool stopped);
/* Stops all processes of what runs (STOP) until executor_go (CONT). The time between counts for no timeout.
 * Nothing should be started meanwhile: it would run. */
void executor_hold(struct executor *executor, uint64_t now_ns);
void executor_go(struct executor *executor, uint64_t now_ns);
/* The number of the task that the slot is at and since when (monotonic); 0 if it is at none. */
uint64_t executor_running(const struct executor *executor, unsigned slot, uint64_t *since_ns);

enum { OUTPUT_MEMORY_MAX = 1 << 20 };
/* A task that runs for so long has what stands behind it in its slot given back. */
#define PATIENCE_NS (50 * NS_PER_MS)

#endif
