/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CLI_H
#define ZFARM_CLI_H

#include "common/cli/farm_options.h"

/* The main function of a program, or of a verb of zfarm: reads its options, answers --help and --version, says what is
 * wrong, or calls `run` with their values and what was on the command line. Both stay valid until `run` returns the
 * exit status. The first word of argv is skipped. */
typedef int cli_run_fn(const struct farm_options *options, const struct options *given);
int cli_main(enum farm_program program, int argc, char **argv, cli_run_fn *run);

#endif
