/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PROCESSES_H
#define ZFARM_PROCESSES_H

#include <stdint.h>
#include <sys/types.h>

#include "common/base/bytes.h"

/* The processes of this machine as /proc has them at one moment: who belongs to a task, who holds a
 * pipe, and how to signal them without hitting a process that has got the number since.
 *
 * A look takes some milliseconds, so one serves all that is asked in the same turn: a caller that asks
 * gives the turn's time, and a new look is taken when it is another one. What cannot be seen (another
 * user's descriptors, a /proc that hides) is not found. Nothing blocks; nothing here is part of a
 * task that ends by itself and leaves nobody behind.
 *
 * Owns the tables of the last look. Decides which processes belong to a task. child.c calls it, and guard_main.c for
 * the mark; it calls nothing but the system. */
struct process_seen {
    pid_t pid;
    pid_t parent;
    pid_t group;
    pid_t session;
    bool belongs; /* to the task that is being signalled */
};

/* That a process has a pipe open for writing. */
struct pipe_holder {
    ino_t pipe;
    pid_t pid;
};

/* Zero-initialised is ready. Fields are private. */
struct processes {
    uint64_t looked_ns; /* when `table` was read */
    uint64_t holders_ns;
    struct buf table;   /* struct process_seen */
    struct buf holders; /* struct pipe_holder */
    struct buf scratch;
};

enum { PROCESS_NAME_SIZE = 17 };

/* Who holds a task's output. */
struct output_holder {
    pid_t pid; /* 0: nobody is found */
    char name[PROCESS_NAME_SIZE];
};

void processes_free(struct processes *p);

/* Sends a signal to the process group `leader`, whose leader has not been reaped, and to whatever else
 * is in its session or descends from it: shells and `timeout` make groups of their own. */
void processes_signal(struct processes *p, pid_t leader, int number, uint64_t now_ns);

/* The same for what is left of a session whose leader has been reaped. Its number may be another's
 * by now: a process that has not `mark` in its environment is left alone. NULL: no mark is asked for. */
void processes_signal_rest(struct processes *p, pid_t leader, const char *mark, int number,
                           uint64_t now_ns);

/* Sends a signal to every other process that can write into one of the pipes; 0: no pipe. */
void processes_signal_holders(struct processes *p, const ino_t pipes[static 2], int number,
                              uint64_t now_ns);

/* One process that can write into one of the pipes, this one excepted. It is only to be told to
 * users, so what was seen within the last tenth of a second serves. */
struct output_holder processes_find_holder(struct processes *p, const ino_t pipes[static 2],
                                           uint64_t now_ns);

/* Whether `mark` is in the environment of a process. */
bool process_is_marked(pid_t pid, const char *mark, struct buf *scratch);

#endif
