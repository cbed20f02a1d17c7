/* SPDX-License-Identifier: MPL-2.0 */
#include <unistd.h>

#include "common/cli/cli.h"
#include "common/base/log.h"
#include "common/sys/shortage.h"
#include "sink/sink.h"

static struct outputs_options outputs_asked(const struct farm_options *o)
{
    return (struct outputs_options){
        .format = (enum output_format)o->format,
        .keep_order = o->keep_order,
        .tag = o->tag,
        .file = o->output,
        .joblog = o->joblog,
        .store = o->store,
        .durability = (enum store_durability)o->durability,
        .command = {.executor = o->executor, .text = o->command, .hash = o->command_hash},
        .other_command = o->other_command,
        .retry_failed = o->retry_failed,
        .round = o->round,
        .tmpdir = o->tmpdir,
        .spool_max = o->spool_max_bytes};
}

static int sink_main_run(const struct farm_options *options, const struct options *given)
{
    if (given->word_count) {
        log_line("it takes no words besides options (here: %s)", given->words[0]);
        return 255;
    }
    if (shortage_was_closed(STDOUT_FILENO) && !options->output) {
        log_line("standard output is closed, so results have nowhere to go; give --output FILE, or "
                 ">/dev/null");
        return 255;
    }
    struct outputs_options outputs = outputs_asked(options);
    return sink_run(options, &outputs);
}

int main(int argc, char **argv)
{
    shortage_open_standard();
    return cli_main(FARM_SINK, argc, argv, sink_main_run);
}
