/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_RUN_H
#define ZFARM_RUN_H

#include "common/cli/options.h"

/* zfarm run: a whole farm on this machine for one job. argv[0] is "run". Returns the exit status.
 */
int run_main(int argc, char **argv);

#endif
