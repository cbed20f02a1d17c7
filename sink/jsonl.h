/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_JSONL_H
#define ZFARM_SINK_JSONL_H

#include "common/result.h"

/* Results as JSON Lines: one object a line, in UTF-8, always with the same fields in this order:
 *
 *     seq       the task's number, its place in the input from 1
 *     task      the task: a string, or an array of strings if it has several arguments; null if it
 *               is not known
 *     status    "ok", "failed", "signaled", "timeout", "output-too-large", "lost",
 *               "task-too-large" or "bad-task"
 *     exit      the exit status, 0 to 255; null if it did not exit by itself
 *     signal    the number of the signal that ended it; null if none did
 *     attempts  which try this was, from 1
 *     final     true for the task's one result; false for a try that failed and was tried again.
 *               With -k the results are in the order of the input, and each such try stands where
 *               it happened, before its result
 *     worker    the name of the worker that ran it; null if none did
 *     start     when it began, in seconds since 1970 by the worker's clock, to the microsecond;
 *               null if no worker ran it
 *     seconds   how long it ran, to the microsecond; null likewise
 *     stdout    what it wrote there, a string
 *     stderr    what it wrote there, a string
 *
 * JSON holds text only. Where bytes are not valid UTF-8, the field has another name and holds them
 * in base64 (RFC 4648, with padding): stdout_base64, stderr_base64, worker_base64, and task_base64
 * (if one argument is not valid, then all are in base64). A NUL byte is valid UTF-8 and written
 * \u0000. Of an output above OUTPUT_IN_MEMORY_MAX there is only the number of its bytes: stdout_bytes,
 * stderr_bytes.
 *
 * To fill all fields the results need WANT_TIMES and WANT_TASK. */

/* Appends the object and a newline. */
void jsonl_put(struct buf *to, const struct result *result);

#endif
