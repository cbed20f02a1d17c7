/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/cli.h"

#include <stdio.h>

#include "common/base/log.h"

int cli_main(const struct option_table *table, void *settings, int argc, char **argv,
             cli_run_fn *run)
{
    log_init(table->program);
    struct options options;
    struct why why;
    int status = 255;
    switch (options_take(&options, table, settings, argc, argv, &why)) {
    case OPTIONS_TAKEN:
        status = run(settings, &options);
        break;
    case OPTIONS_ANSWER:
        status = fwrite(options.answer.data, 1, options.answer.size, stdout) < options.answer.size;
        break;
    case OPTIONS_WRONG:
        log_line("%s", why.text);
        break;
    }
    options_free(&options);
    return status;
}
