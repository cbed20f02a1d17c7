/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_START_ERROR_H
#define ZFARM_START_ERROR_H

#include "common/base/error.h"

/* Says why `program` (a path) could not be started: `number` is the errno of the start. ENOENT of a program
 * that is there is about what it needs, so the interpreter that its first line names is told. Fills `why`
 * and returns `error`. Reads at most the first line of the program.
 *
 * Owns nothing. Decides the words. command.c and coprocess.c call it; it calls common/sys/shortage.h. */
enum error start_error_fail(struct why *why, enum error error, const char *program, int number);

#endif
