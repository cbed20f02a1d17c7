/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FARM_INPUT_H
#define ZFARM_FARM_INPUT_H

#include "common/cli/farm_options.h"
#include "common/input/source.h"

/* Appends the files of -a, whose names must stay valid. */
void farm_input_files(struct inputs *inputs, const struct farm_options *options);

/* How the options make tasks of the inputs; both must stay valid. */
struct source_options farm_source(const struct farm_options *options, const struct inputs *inputs);

#endif
