/* SPDX-License-Identifier: MPL-2.0 */
#include <unistd.h>

#include "common/cli/cli.h"
#include "common/base/log.h"
#include "common/sys/shortage.h"
#include "sink/sink.h"

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
    return sink_run(options);
}

int main(int argc, char **argv)
{
    shortage_open_standard();
    return cli_main(FARM_SINK, argc, argv, sink_main_run);
}
