/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/cli.h"

#include <assert.h>
#include <stdio.h>

#include "common/base/log.h"

static const struct option_program *find_program(enum farm_program program)
{
    for (size_t i = 0; i < FARM_PROGRAMS; i++)
        if (farm_programs[i].bit == program)
            return &farm_programs[i];
    assert(!"each program has a row");
    return NULL;
}

int cli_main(enum farm_program program, int argc, char **argv, cli_run_fn *run)
{
    const struct option_program *row = find_program(program);
    struct farm_options values = {0};
    struct options given;
    struct why why;
    int status = 255;
    log_init(row->name);
    switch (options_take(&given, &farm_option_table, row, &values, argc, argv, &why)) {
    case OPTIONS_TAKEN:
        status = run(&values, &given);
        break;
    case OPTIONS_ANSWER:
        status = fwrite(given.answer.data, 1, given.answer.size, stdout) < given.answer.size;
        break;
    case OPTIONS_WRONG:
        log_line("%s", why.text);
        break;
    }
    options_free(&given);
    return status;
}
