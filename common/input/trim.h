/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_TRIM_H
#define ZFARM_TRIM_H

#include "common/base/bytes.h"
#include "common/base/error.h"

/* --trim, as GNU parallel has it: which blanks at the ends of an argument are not part of it. Blanks
 * are space, \t, \n, \v, \f and \r. Not given: those at both ends with --colsep, else none. */
enum trim { TRIM_NOT_GIVEN, TRIM_NONE, TRIM_LEFT, TRIM_RIGHT, TRIM_BOTH };

/* Fills `trim`, an enum trim, from n, l, r, lr or rl. ERR_INVALID and a whole sentence. For
 * OPTION_PARSED. */
enum error trim_parse(const char *text, void *trim, struct why *why);

/* The argument without them. */
struct bytes trim_take(struct bytes arg, enum trim trim);

#endif
