/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_EXPAND_H
#define ZFARM_EXPAND_H

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/wire/task.h"

/* COMMAND and its arguments, compiled once, and made into a command for each task.
 *
 * Replacement strings, as in GNU parallel: {} the arguments, {.} without extension, {/} without
 * directory, {//} the directory, {/.} without both, {#} the task's number, {%} the slot; {1} {2}
 * ... one argument, {-1} the last, and so {1.} {1/} {1//} {1/.}. An argument that the task does not
 * have is nothing, and a word of such alone is no word. When COMMAND holds none of them, " {}" is added to it.
 * `-I STR` puts STR in the place of {}, and then neither {} nor {1} is one.
 *
 * Several arguments are joined by a blank of the command line: without a shell they are separate
 * words, with a shell each is quoted. With a shell nothing is quoted if a replacement is in the first
 * word, as in `{}` or `{1} {2}`, with neither a blank nor = before it: then the task is a command line,
 * or names the program. */
struct expand;

enum expand_mode {
    EXPAND_DIRECT, /* each word of COMMAND is a word of the argument list */
    EXPAND_SHELL,  /* the words are joined by blanks for sh -c; without words a task is the line */
    EXPAND_PIPE =
        2, /* or'ed: the task is no part of the command; {#} and {%} alone are replacements */
};

/* `mode` is of enum expand_mode; `replacement` is -I's, NULL for {}. Nothing is kept of the arguments.
 * ERR_INVALID with words: an empty replacement, {= perl =}, no words where they are needed, or with a shell
 * a replacement within quotes of COMMAND. */
enum error expand_new(struct expand **expand, unsigned mode, const char *const *words, size_t count,
                      const char *replacement, struct why *why);
void expand_free(struct expand **expand); /* takes NULL */

/* Is there a replacement in the first word, so that each task may be another program? */
bool expand_program_varies(const struct expand *expand);

/* What one task puts in. */
struct expand_values {
    struct task task;
    uint64_t seq;
    unsigned slot; /* as {%} shows it: from 1 */
};

/* The argument list of one task, NULL-ended ("sh", "-c", line with EXPAND_SHELL). Valid until the
 * next call with this `expand`. ERR_INVALID: the task has a NUL byte, which no argument can hold.
 */
enum error expand_argv(struct expand *expand, const struct expand_values *values,
                       char *const **argv);
/* Appends the command line as a person would give it to a shell. ERR_INVALID as above; then nothing
 * is appended. */
enum error expand_line(struct expand *expand, const struct expand_values *values, struct buf *to);

#endif
