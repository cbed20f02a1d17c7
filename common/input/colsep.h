/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_COLSEP_H
#define ZFARM_COLSEP_H

#include <regex.h>
#include <stdbool.h>

#include "common/base/bytes.h"
#include "common/base/error.h"

/* What separates the columns of a value (--colsep): a POSIX extended regular expression in which \t
 * is a tab, matched byte by byte. One that matches nothing at some place does not separate there,
 * so x* is the same as x+. Embed it by value. */
struct colsep {
    int byte; /* the one byte that it matches, the usual case, or -1: `regex` */
    regex_t regex;
};

/* ERR_INVALID: `pattern` is empty or no such expression, `why` says so; there is nothing to close.
 */
enum error colsep_open(struct colsep *colsep, const char *pattern, struct why *why);
void colsep_close(struct colsep *colsep);
/* Walks the columns of `value`, of which there is one at least: `*at` is 0 before the first and is
 * moved. Returns false after the last. */
bool colsep_next(const struct colsep *colsep, struct bytes value, size_t *at, struct bytes *column);

#endif
