/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WORKER_COMMAND_H
#define ZFARM_WORKER_COMMAND_H

#include "worker/exec/executor.h"

/* The executor of commands: each task is one process, which is COMMAND with the task put in
 * (common/input/expand.h), started directly or, with --shell, by sh -c. Its standard input is /dev/null,
 * or with --pipe a file in memory that holds the task, so that nothing waits for its reader;
 * its environment is worker/exec/environment.h's; how it is captured and killed is worker/exec/child.h's:
 * what it left running when it exits is left alone, unless it was timed out or cancelled.
 *
 * A task that no command can be made of (a NUL byte, an argument list too long for the system) ends
 * in RESULT_BAD_TASK with a line on its stderr. Where the program is a replacement itself and is
 * missing or cannot be executed, the task ends with exit status 127 or 126, and a line. One whose
 * output passes output_max, or does not fit into tmpdir, is killed and ends in
 * RESULT_OUTPUT_TOO_LARGE with what was captured, in the second case with a line.
 *
 * `broken` is called, after the task was returned, when the system starts no process, or COMMAND is
 * gone. Every later start tries again.
 *
 * It takes `words` (which may be empty with `shell`), `shell`, `pipe`, `replacement` and `ok_exit`. No event may
 * start a task from inside its call. executor_new finds COMMAND and starts nothing; executor_destroy kills what runs
 * and leaves it to be reaped.
 *
 * ERR_NOT_FOUND, ERR_ACCESS: there is no such program. ERR_INVALID: a command line was given as one
 * word (the sentence has the line as it should be), there is none, or -I is empty. ERR_IO: no
 * descriptors.
 *
 * Owns the making of a command line. Decides whether a start that failed is the task's fault. executor.c calls it,
 * and it calls child.h, environment.h, program.h, start_error.h and common/input/expand.h. */
extern const struct executor_kind command_kind;

#endif
