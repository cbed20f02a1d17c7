/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OPTIONS_HELP_H
#define ZFARM_OPTIONS_HELP_H

#include "common/cli/options.h"

/* Appends what --help of the program prints: its usage, a line for each of its options, a paragraph that names those
 * that are brief there, and the lines of `program->more`. */
void options_help(const struct option_table *table, const struct option_program *program,
                  struct buf *to);

#endif
