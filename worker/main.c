/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>
#include <linux/close_range.h>
#include <unistd.h>

#include "common/cli/cli.h"
#include "common/base/log.h"
#include "common/sys/shortage.h"
#include "worker/exec/drain.h"
#include "worker/exec/guard.h"
#include "worker/exec/plugin_host.h"
#include "worker/worker.h"

static int worker_main_run(const struct farm_options *options, const struct options *given)
{
    if (!options->plugin && !options->shell && given->word_count == 0) {
        log_line("there is no COMMAND to run; try: zfarm-worker -- echo {}");
        return 255;
    }
    if (options->pipe && given->word_count == 0) {
        log_line("with --pipe there must be a COMMAND that reads its stdin; try: --pipe -- wc -l");
        return 255;
    }
    options_clear_environment();
    return worker_run(options, given->words);
}

int main(int argc, char **argv)
{
    shortage_open_standard();
    if (argc > 1 && strcmp(argv[1], GUARD_FLAG) == 0)
        return guard_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], DRAIN_FLAG) == 0)
        return drain_main();
    if (argc > 1 && strcmp(argv[1], PLUGIN_HOST_FLAG) == 0)
        return plugin_host_main(argc, argv);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* what our parent left open is not for tasks */
    return cli_main(FARM_WORKER, argc, argv, worker_main_run);
}
