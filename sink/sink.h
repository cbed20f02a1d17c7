/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_H
#define ZFARM_SINK_H

#include "common/cli/farm_options.h"

/* The sink's shell: sockets, clock, signals and outputs around the collector.
 *
 * Collects a job, start to end. Returns the exit status; everything that users are to know has
 * been said on stderr. Call it before any thread exists. */
int sink_run(const struct farm_options *options);

#endif
