/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_GUARD_H
#define ZFARM_GUARD_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/error.h"

/* What outlives the worker for a moment, to end what the worker cannot end when it is killed.
 *
 * The guard is a small process in a session of its own whose one open descriptor is a pipe from the
 * worker. Through it the worker says which process groups its tasks are in. At the pipe's end the
 * guard kills those groups with KILL, then every process that has the worker's mark in its
 * environment: a random number that each task inherits, which finds what was started in the last
 * instant, and what left its group (and so also what earlier tasks left running). A worker that
 * ends by itself says goodbye first: then nothing is killed.
 *
 * SIGPIPE must be ignored, and every descriptor of this process above 2 be close-on-exec.
 *
 * Owns the guard's process, the mark and the drain. Decides nothing while the worker lives; then that all of its
 * tasks' processes are killed. worker.c makes it and flushes it, child.c tells it groups; it calls helper_process.h
 * and processes.h. */
struct guard;

#define GUARD_FLAG "--guard"

/* Starts one: `program` with the argument GUARD_FLAG, upon which its main must return guard_main,
 * as it must return drain_main for DRAIN_FLAG. A
 * worker passes "/proc/self/exe". ERR_IO with words when it cannot be started. */
enum error guard_new(struct guard **guard, const char *program, struct why *why);
/* What must be in the environment of every child: "ZFARM_MARK=...". Valid as long as the guard. */
const char *guard_mark(const struct guard *guard);
/* A process group that was made, or is gone. Collected in memory only. */
void guard_add(struct guard *guard, pid_t group);
void guard_remove(struct guard *guard, pid_t group);
/* Tells the guard what was collected, in one write; once a turn. Does not block: what the pipe does
 * not take is told the next time. */
void guard_flush(struct guard *guard);
/* The guard's own process, which the worker's waitpid (-1) may reap: not expected before
 * guard_destroy; a worker goes on without it, and says so. */
pid_t guard_pid(const struct guard *guard);
/* What takes the pipes that outlive their tasks (drain.h): of the same program, and as long-lived. */
struct drain;
struct drain *guard_drain(const struct guard *guard);
/* Says goodbye: the guard ends and kills nothing; waits for its end, some milliseconds. Takes NULL.
 */
void guard_destroy(struct guard **guard);

/* The guard's side: the rest of the life of a process whose first argument is GUARD_FLAG. Returns
 * its exit status. */
int guard_main(int argc, char **argv);

#endif
