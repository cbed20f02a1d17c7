/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_DRAIN_H
#define ZFARM_DRAIN_H

#include <stdbool.h>
#include <sys/types.h>

/* Where the reading ends of pipes go whose task is over while a process still holds the writing end.
 *
 * The drain is a small process in a session of its own that reads them to nowhere until their end, so
 * that no process that writes there is killed by SIGPIPE or stands still. It outlives the worker, and ends
 * when it holds no pipe any more and the worker is gone. It is started when it is first needed, so a
 * worker whose tasks leave nobody behind has none.
 *
 * SIGPIPE must be ignored, and every descriptor of this process above 2 be close-on-exec.
 *
 * Owns the pipes that it was given, in a process of its own. Decides how many those may be. guard.c makes it,
 * child.c gives it pipes, worker.c says when it has died; it calls helper_process.h. */
struct drain;

#define DRAIN_FLAG "--drain"

/* At most so many pipes, and at most a quarter of RLIMIT_NOFILE. */
enum { DRAIN_PIPES_MAX = 1024 };

/* `program` with the argument DRAIN_FLAG must return drain_main from its main. Starts nothing yet. */
struct drain *drain_new(const char *program);
/* Gives the drain a copy of `reader`, which does not block; the caller closes its own. False: it has as
 * many as it may, or cannot be started; ask again later. Does not block, but that the first call starts
 * a process. */
bool drain_add(struct drain *drain, int reader);
/* The process, which the worker's waitpid (-1) may reap: then drain_ended. 0: none. */
pid_t drain_pid(const struct drain *drain);
/* It has died: its pipes are closed, and the next call of drain_add starts another one. */
void drain_ended(struct drain *drain);
/* Leaves it to itself. Takes NULL. */
void drain_destroy(struct drain **drain);

/* The drain's side: the rest of the life of a process whose first argument is DRAIN_FLAG. Returns its
 * exit status. */
int drain_main(void);

#endif
