/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WORKER_H
#define ZFARM_WORKER_H

#include "common/cli/farm_options.h"

/* The worker's shell: sockets, clock, signals and children around the slots.
 *
 * Works until the job is over. `words` are COMMAND and its arguments, or the plugin's; NULL at the end.
 * Returns the exit status; everything that users are to know has been said on stderr. Call it before any thread
 * exists. */
int worker_run(const struct farm_options *options, char *const *words);

#endif
