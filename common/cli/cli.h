/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CLI_H
#define ZFARM_CLI_H

#include "common/cli/options.h"

/* The main function of a program: reads the command line into `settings`, which holds the defaults,
 * answers
 * --help and --version, says what is wrong, or calls `run`. Returns the exit status. The first word
 * of argv is skipped. */
typedef int cli_run_fn(void *settings, struct options *options);
int cli_main(const struct option_table *table, void *settings, int argc, char **argv,
             cli_run_fn *run);

#endif
