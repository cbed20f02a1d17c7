/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_JOBLOG_H
#define ZFARM_SINK_JOBLOG_H

#include "common/wire/result.h"

/* The log of --joblog, in the format of GNU parallel's (20221122), which other programs read:
 * columns with a TAB between them.
 *
 *     Seq         the task's number
 *     Host        the worker's name as it may be shown (shown.h), ":" if no worker ran it
 *     Starttime   seconds since 1970, to the millisecond; 0.000 if no worker ran it
 *     JobRuntime  seconds, to the millisecond, right-aligned in ten places
 *     Send        bytes of the task
 *     Receive     bytes of its stdout and stderr
 *     Exitval     the exit status; -1 if it has none, because it was killed for a limit or never ran
 *     Signal      the signal that ended it, 15 after --timeout, else 0
 *     Command     the command line that was run (or the task, if that is not known), byte for byte, as
 *                 GNU parallel writes it: only a newline in it is a NUL byte. A tab in it stays, so this
 *                 last column is all that is behind the eighth tab, and can be run again.
 *
 * The results need WANT_TIMES, WANT_TASK and WANT_COMMAND. */
void joblog_put_header(struct buf *to);
void joblog_put(struct buf *to, const struct result *result);

#endif
