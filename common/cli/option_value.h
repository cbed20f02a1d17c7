/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OPTION_VALUE_H
#define ZFARM_OPTION_VALUE_H

#include "common/cli/options.h"

/* Puts the value `text` of the option `row` into the program's struct `target`. `text` is NULL for
 * a flag without a value, and is kept as a pointer by OPTION_TEXT. ERR_INVALID: `why` has a
 * sentence without the option's name. */
enum error option_value_store(const struct option_row *row, const char *text, void *target,
                              struct why *why);

#endif
