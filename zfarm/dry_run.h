/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_DRY_RUN_H
#define ZFARM_DRY_RUN_H

#include "common/input/expand.h"
#include "common/input/source.h"

/* Prints the command line of every task, a line each, and runs none. Returns the exit status. */
int dry_run(const struct source_options *source, enum expand_mode mode, char *const *words,
            size_t word_count, const char *replacement);

#endif
