/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SHORTAGE_H
#define ZFARM_SHORTAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

/* What runs out: descriptors, processes, memory. Here is decided, once for all programs, what an errno
 * means for what was tried, and whether there is enough to begin with. */

enum tried { TRIED_START, TRIED_SOCKET, TRIED_FILE };

enum cause {
    CAUSE_PASSES,  /* when something else ends: wait for that, with fewer at a time */
    CAUSE_TASK,    /* it is this task's, or this file's: the next one may do */
    CAUSE_FOR_EVER /* nobody will fare better */
};

/* `number` is an errno. */
enum cause shortage_cause(enum tried tried, int number);
/* The same as an error to return. Another try may do, here or with another task or file: ERR_DISK_FULL of a
 * file, ERR_LIMIT of all else. None will: ERR_IO. */
enum error shortage_error(enum tried tried, int number);
/* The same, with words for it and what helps against it. */
enum error shortage_fail(struct why *why, enum tried tried, int number);
/* What helps against it, for the end of a sentence, or "" if nothing is known. */
const char *shortage_advice(int number);

/* The first thing in every program: those of the descriptors 0 to 2 that are closed become /dev/null, so
 * that nothing that is opened later is taken for a standard one. */
void shortage_open_standard(void);
/* Whether the descriptor, 0 to 2, was closed then. */
bool shortage_was_closed(int descriptor);

/* Descriptors that a program needs without anything that grows. A program that has fewer says so and ends:
 * libraries that run out of them at once end it without words. */
enum { SHORTAGE_DESCRIPTORS_LEAST = 48 };
/* Whether this process may have so many descriptors, after raising its limit if need be, and can make so
 * many threads. Fails with ERR_LIMIT. */
enum error shortage_check(size_t descriptors, unsigned threads, struct why *why);

/* How many processes more this user may have, UINT32_MAX if nobody counts: every thread is one. */
uint32_t shortage_processes(void);

#endif
