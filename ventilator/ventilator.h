/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_VENTILATOR_H
#define ZFARM_VENTILATOR_H

#include "common/cli/farm_options.h"
#include "common/input/inputs.h"

/* The ventilator's shell: sockets, clock, signals and the input around the dispatcher.
 *
 * Runs a job, start to end. Returns the exit status; everything that users are to know has been
 * said on stderr. Call it before any thread exists. */
int ventilator_run(const struct farm_options *options, const struct inputs *inputs);

#endif
