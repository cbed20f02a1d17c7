/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/farm_input.h"

void farm_input_files(struct inputs *inputs, const struct farm_options *options)
{
    for (size_t i = 0; i < options->arg_file.count; i++)
        inputs_add_file(inputs, options->arg_file.items[i]);
}

struct source_options farm_source(const struct farm_options *options, const struct inputs *inputs)
{
    return (struct source_options){
        .inputs = inputs,
        .null = options->null,
        .values = options->max_args,
        .colsep = options->colsep,
        .trim = options->trim,
        .pipe = options->pipe,
        .block = options->block_bytes,
        .recend = options->recend,
        .recstart = options->recstart,
        .task_max = source_task_max(options->task_max_bytes, options->block_bytes)};
}
