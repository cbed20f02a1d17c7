/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_GUARD_H
#define ZFARM_GUARD_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

/* What outlives the worker for a moment, to end what the worker cannot end when it is killed.
 *
 * The guard is a small process in a session of its own whose one open descriptor is a pipe from the
 * worker. Through it the worker says which process groups its tasks are in. At the pipe's end the
 * guard kills those groups with KILL, then every process that has the worker's mark in its
 * environment: a random number that each task inherits, which finds what was started in the last
 * instant, and what left its group. A worker that ends by itself says goodbye first: then nothing
 * is killed. */
struct guard;

/* Starts one: `program` with the argument --guard, upon which its main must return guard_main.
 * ERR_IO with words when it cannot be started. */
enum error guard_new(struct guard **guard, const char *program, struct why *why);
/* What must be in the environment of every child: "ZFARM_MARK=...". Valid as long as the guard. */
const char *guard_mark(const struct guard *guard);
/* A process group that was made, or is gone. Collected in memory only. */
void guard_add(struct guard *guard, pid_t group);
void guard_remove(struct guard *guard, pid_t group);
/* Tells the guard what was collected, in one write; once a turn. Does not block: what the pipe does
 * not take is told the next time. */
void guard_flush(struct guard *guard);
/* The guard's own process, which the worker's waitpid (-1) reaps: not expected before
 * guard_destroy. */
pid_t guard_pid(const struct guard *guard);
/* Says goodbye: the guard ends and kills nothing. Takes NULL. */
void guard_destroy(struct guard **guard);

/* The guard's side: the rest of the life of a process that was started with --guard. */
int guard_main(void);

#endif
