/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_TEXT_H
#define ZFARM_SINK_TEXT_H

#include "common/wire/result.h"

/* Results as plain text: what the task wrote, byte for byte, to stdout and stderr.
 *
 * With `tag` each line begins with the task (its arguments joined by blanks) and a TAB, as with GNU
 * parallel's --tag: a last line without newline gets the tag too and no newline. The tag needs
 * WANT_TASK. Zero-initialised is ready; set `tag`. */
struct text {
    bool tag;
    uint64_t reasons; /* failures that had a reason, described or not */
    uint64_t cuts;    /* outputs that were cut, told of or not */
};

enum { TEXT_REASONS_MAX = 100 }; /* that many failures are described, the rest is counted */

/* Appends what the task wrote to `out` and `err`, and its reason (text_put_reason) behind it. */
void text_put(struct text *text, const struct result *result, struct buf *out, struct buf *err);

/* What comes behind the bytes that the task wrote to its stderr. */
void text_put_end(struct text *text, const struct result *r, struct buf *err);
/* For a task that failed otherwise than by its own exit status, appends one line such as
 *
 *     zfarm: task 7 failed: it ran longer than --timeout and was killed
 *
 * For one whose output was cut (result.h) there is a line of the same kind, though that is no failure.
 * Of the failures after the first TEXT_REASONS_MAX one line says that they are only counted. A
 * plain exit status has no line, as with xargs and GNU parallel. For --format jsonl, which puts the
 * tasks' own output elsewhere. */
void text_put_reason(struct text *text, const struct result *result, struct buf *err);

/* How many failures were not described, for the summary. */
uint64_t text_reasons_hidden(const struct text *text);

#endif
