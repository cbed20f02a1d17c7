/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OPTION_RULES_H
#define ZFARM_OPTION_RULES_H

#include "common/cli/options.h"

/* Whether the rules of the program hold for what was given. ERR_INVALID: `why` is the sentence of the first that does
 * not. */
enum error option_rules_check(const struct options *options, struct why *why);

#endif
