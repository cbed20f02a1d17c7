/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_ENVIRONMENT_H
#define ZFARM_ENVIRONMENT_H

#include <stdint.h>

/* The environment of an executor's children: the worker's own without the variables that begin with
 * ZFARM_ (its options), with ZFARM_WORKER and the guard's mark, and with ZFARM_SEQ, ZFARM_SLOT and
 * ZFARM_ATTEMPT, which are patched in place for each task.
 *
 * Owns the vector of variables. Decides which of the worker's own a task sees. executor.c makes it for its kinds,
 * which call it at each start, and helper_process.c; it calls common/cli/task_variable.h. */
struct environment;

/* `worker` names the worker; `mark` is guard_mark's, or NULL. Both are copied; the worker's
 * environment is not and must not change. */
struct environment *environment_new(const char *worker, const char *mark);
void environment_free(struct environment **environment); /* takes NULL */

/* `slot` is from 1. Returns what to start a child with, good until the next call. */
char *const *environment_for_task(struct environment *environment, uint64_t seq, unsigned slot,
                                  uint32_t tries);
/* The same without the three variables of a task, for a child that runs many. */
char *const *environment_for_slot(struct environment *environment, unsigned slot);

#endif
