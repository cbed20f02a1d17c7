/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_HELPER_PROCESS_H
#define ZFARM_HELPER_PROCESS_H

#include <sys/types.h>

/* Starts a helper process of a worker (guard.h, drain.h): `program` with the NULL-terminated `argv`, and with `input`
 * as its descriptor 0. The helper has a session of its own and blocks all signals, so that nothing but KILL ends it,
 * from its first instant on. Its environment has ZFARM_WORKER=`role` and no mark, so that the guard does not take it
 * for a task's process. Every other descriptor of this process above 2 must be close-on-exec.
 *
 * Returns 0, or an errno of posix_spawn, and then `*pid` is not set.
 *
 * Owns nothing, decides nothing. guard.c and drain.c call it; it calls posix_spawn and environment.h. */
int helper_process_start(const char *program, char *const argv[], const char *role, int input,
                         pid_t *pid);

#endif
