/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/cli.h"
#include "common/base/log.h"
#include "common/cli/farm_input.h"
#include "common/sys/shortage.h"
#include "ventilator/ventilator.h"

static int ventilator_main_run(const struct farm_options *options, const struct options *given)
{
    if (inputs_command_count(given->words) > 0) {
        log_line("it takes no command (here: %s); that is for zfarm-worker", given->words[0]);
        return 255;
    }
    struct inputs inputs = {0};
    farm_input_files(&inputs, options);
    inputs_add_words(&inputs, given->words);
    int status = ventilator_run(options, &inputs);
    inputs_free(&inputs);
    return status;
}

int main(int argc, char **argv)
{
    shortage_open_standard();
    return cli_main(FARM_VENTILATOR, argc, argv, ventilator_main_run);
}
