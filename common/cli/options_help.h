/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OPTIONS_HELP_H
#define ZFARM_OPTIONS_HELP_H

#include "common/cli/options.h"

/* Appends what --help prints: usage, a line for each option that has a help text, a paragraph that
 * names the others, and the lines of `table->more`. */
void options_help(const struct option_table *table, struct buf *to);

#endif
