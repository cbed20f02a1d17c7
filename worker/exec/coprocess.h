/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WORKER_COPROCESS_H
#define ZFARM_WORKER_COPROCESS_H

#include "worker/exec/executor.h"

/* The executor of --coprocess: COMMAND is started once for each slot and stays. A task is a line on its
 * standard input, and the line that it then writes to its standard output, in the same order, is the
 * result; with `null` both end with NUL. What it writes to its standard error goes to the worker's.
 *
 * Lines are written ahead of the answers, but no more of them than about two milliseconds of work by the
 * time that the last ones took; what a task makes wait for longer is given back (executor.h, returned).
 *
 * A COMMAND that ends, is timed out or cancelled costs the task that it was at, which ends with its exit
 * status or signal (255 for an exit status of 0); the others are given back, and it is started anew: at
 * once, or with a growing delay while it answers nothing. One that has never answered a task when it
 * ends for the third time makes the executor `broken`, and so does one that writes a line that nobody
 * asked for, or a system that starts no process.
 *
 * A task that holds what ends a line ends in RESULT_BAD_TASK with a line on its stderr, an answer of
 * more than output_max bytes in RESULT_OUTPUT_TOO_LARGE.
 *
 * It takes `words`, `shell` (they are a command line for sh -c) and `null`. executor_new finds COMMAND and starts it in
 * each slot; executor_destroy closes the inputs and kills what has not ended a second later.
 *
 * ERR_NOT_FOUND, ERR_ACCESS: there is no such program. ERR_INVALID: there is no COMMAND. ERR_IO: no
 * descriptors.
 *
 * Owns the two pipes of each child and the lines on their way. Decides how many lines are written ahead, and whether
 * what an ended child left running may still answer. executor.c calls it; it calls child.h, program.h and
 * start_error.h. */
extern const struct executor_kind coprocess_kind;

#endif
