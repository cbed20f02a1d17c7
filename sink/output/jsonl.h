/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_JSONL_H
#define ZFARM_SINK_JSONL_H

#include "common/wire/result.h"

/* Results as JSON Lines: one object a task and a line, in UTF-8, with the same fields in this order:
 *
 *     seq       the task's number, its place in the input from 1
 *     task      the task: a string; its arguments joined by blanks if it has several; empty if it is
 *               not known
 *     args      its arguments: an array of strings; empty if the task is not known
 *     status    "ok", "failed", "signaled", "timeout", "output-too-large", "lost",
 *               "task-too-large" or "bad-task"
 *     exit      the exit status, 0 to 255; null if it did not exit by itself
 *     signal    the number of the signal that ended it; null if none did
 *     attempts  how many it took: which try this result is of, from 1
 *     final     true
 *     worker    the name of the worker that ran it; null if none did
 *     start     when it began, in seconds since 1970 by the worker's clock, to the microsecond;
 *               null if no worker ran it
 *     seconds   how long it ran, to the microsecond; null likewise
 *     stdout    what it wrote there, a string
 *     stderr    what it wrote there, a string
 *     tries     only if one failed before: an array of all of them in their order, this one is the
 *               last, each an object with "attempt" (its number) and status, exit, signal, worker,
 *               start, seconds, stdout, stderr as above. A try that was lost with its worker has
 *               none, nor has one whose result comes after the task's
 *
 * JSON holds text only. Where bytes are not valid UTF-8, the field has another name and holds them
 * in base64 (RFC 4648, with padding): stdout_base64, stderr_base64, worker_base64. A task then has
 * task_base64 and args_base64 as well (all of it is in base64 there), and in task and args U+FFFD
 * stands for what is not valid. A NUL byte is valid UTF-8 and written \u0000. Of an output above
 * OUTPUT_IN_MEMORY_MAX there is only the number of its bytes: stdout_bytes, stderr_bytes.
 *
 * To fill all fields the results need WANT_TIMES and WANT_TASK. */

/* Appends the object and a newline. `failed`: what jsonl_put_try made of each try that failed, with
 * commas between; empty if there was none. */
void jsonl_put(struct buf *to, const struct result *result, struct bytes failed);
/* Appends one object of "tries". */
void jsonl_put_try(struct buf *to, const struct result *result);

#endif
