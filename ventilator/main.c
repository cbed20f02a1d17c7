/* SPDX-License-Identifier: MPL-2.0 */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "common/cli/cli.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/sys/shortage.h"
#include "ventilator/ventilator.h"

/* --queue-max: so that, if tasks are large, some can be at workers at a time */
enum { QUEUE_MAX_USUAL = 16 << 20, QUEUE_TASKS = 4 };

struct ventilator_settings {
    struct ventilator_options ventilator;
    struct words files;
    uint64_t ready_fd;
};

#define AT(field) offsetof(struct ventilator_settings, field)

static const struct option_row rows[] = {
    {"arg-file", "a", OPTION_WORDS, AT(files), "FILE", .help = "read tasks from FILE, not stdin"},
    {"null", "0", OPTION_FLAG, AT(ventilator.source.null),
     .help = "tasks end with NUL, not newline"},
    {"max-args", "n", OPTION_COUNT, AT(ventilator.source.values), "N", .help = "N values a task",
     .min = 1},
    {"colsep", NULL, OPTION_TEXT, AT(ventilator.source.colsep), "REGEX",
     .help = "split each line into arguments"},
    {"trim", NULL, OPTION_PARSED, AT(ventilator.source.trim), "n|l|r|lr", .help = NULL,
     .parse = trim_parse},
    {"pipe", NULL, OPTION_FLAG, AT(ventilator.source.pipe),
     .help = "tasks are blocks of whole lines"},
    {"block", NULL, OPTION_SIZE, AT(ventilator.source.block), "BYTES",
     .help = "with --pipe: most of a block (1M)", .min = 1, .max = TASK_SIZE_MAX},
    {"recend", NULL, OPTION_TEXT, AT(ventilator.source.recend), "STR",
     .help = "with --pipe: records end with STR (\\n)"},
    {"recstart", NULL, OPTION_TEXT, AT(ventilator.source.recstart), "STR",
     .help = "with --pipe: records begin with STR"},
    {"retries", NULL, OPTION_COUNT, AT(ventilator.retries), "N",
     .help = "tries of a task that fails (1)", .min = 1, .max = 1000000},
    {"retry-delay", NULL, OPTION_SECONDS, AT(ventilator.retry_delay_ns), "SECS",
     .help = "wait before the 2nd, doubled before each next (0)"},
    {"hedge", NULL, OPTION_FLAG, AT(ventilator.hedge),
     .help = "at the end, run slow tasks on a second worker too"},
    {"bind", NULL, OPTION_TEXT, AT(ventilator.bind), "ENDPOINT",
     .help = "where all connect (tcp://127.0.0.1:5556)"},
    {"lanes", NULL, OPTION_TEXT, AT(ventilator.lanes), "ENDPOINT",
     .help = "where tasks leave (the next port)"},
    {"keys", NULL, OPTION_TEXT, AT(ventilator.keys), "DIR",
     .help = "encrypt; DIR is of zfarm keys: DIR/ventilator"},
    {"insecure", NULL, OPTION_FLAG, AT(ventilator.insecure),
     .help = "bind beyond this machine, unencrypted"},
    {"workers-max", NULL, OPTION_COUNT, AT(ventilator.workers_max), "N",
     .help = "most workers at a time", .min = 1},
    {"heartbeat", NULL, OPTION_SECONDS, AT(ventilator.heartbeat_ns), "SECS",
     .help = "6 without a sign is dead (0.5)"},
    {"give-up", NULL, OPTION_SECONDS, AT(ventilator.give_up_ns), "SECS",
     .help = "wait so long for a sink (60)"},
    {"queue-max", NULL, OPTION_SIZE, AT(ventilator.queue_max_bytes), "BYTES", .help = NULL,
     .min = 65536},
    {"task-max", NULL, OPTION_SIZE, AT(ventilator.task_max_bytes), "BYTES", .help = NULL, .min = 1,
     .max = TASK_SIZE_MAX},
    {"kill-after", NULL, OPTION_SECONDS, AT(ventilator.kill_after_ns), "SECS", .help = NULL},
    {"ready-fd", NULL, OPTION_COUNT, AT(ready_fd), "FD", .help = NULL, .min = 3, .max = 1 << 20},
    {"first-life", NULL, OPTION_FLAG, AT(ventilator.is_first), .help = NULL},
    {"parent", NULL, OPTION_COUNT, AT(ventilator.parent), "PID", .help = NULL, .min = 1},
};

static const struct option_table table = {
    .program = "zfarm-ventilator",
    .usage = "zfarm-ventilator [OPTION]... [::: VALUE...] [:::: FILE...]\n"
             "Hands tasks, a line each, to every zfarm-worker that connects.\n",
    .more = "Examples:\n"
            "  find . -name '*.c' | zfarm-ventilator\n"
            "  zfarm-ventilator --bind tcp://10.0.0.1:5556 --keys farm/ventilator -a tasks\n",
    .rows = rows,
    .count = sizeof rows / sizeof *rows,
};

static struct ventilator_settings ventilator_defaults(void)
{
    return (struct ventilator_settings){.ventilator = {.bind = "tcp://127.0.0.1:5556",
                                                       .retries = 1,
                                                       .heartbeat_ns = 500 * NS_PER_MS,
                                                       .give_up_ns = 60 * NS_PER_S,
                                                       .kill_after_ns = 10 * NS_PER_S,
                                                       .source = {.values = 1}}};
}

static int ventilator_main_run(void *target, struct options *options)
{
    struct ventilator_settings *settings = target;
    struct inputs inputs = {0};
    size_t command = inputs_command_count(options->words);
    if (command > 0) {
        log_line("it takes no command (here: %s); that is for zfarm-worker", options->words[0]);
        return 255;
    }
    for (size_t i = 0; i < settings->files.count; i++)
        inputs_add_file(&inputs, settings->files.items[i]);
    inputs_add_words(&inputs, options->words);
    struct source_options *source = &settings->ventilator.source;
    if (source->pipe && (source->null || source->values > 1 || source->colsep || source->trim)) {
        log_line("--pipe cuts the input into blocks, not into values; leave out -0 (give --recend "
                 "'\\0'), -n, --colsep and --trim");
        return 255;
    }
    source->inputs = &inputs;
    source->task_max = source_task_max(settings->ventilator.task_max_bytes, source->block);
    if (!settings->ventilator.queue_max_bytes)
        settings->ventilator.queue_max_bytes = source->task_max > QUEUE_MAX_USUAL / QUEUE_TASKS
                                                   ? QUEUE_TASKS * source->task_max
                                                   : QUEUE_MAX_USUAL;
    settings->ventilator.ready_fd = settings->ready_fd ? (int)settings->ready_fd : -1;
    int status = ventilator_run(&settings->ventilator);
    inputs_free(&inputs);
    return status;
}

int main(int argc, char **argv)
{
    shortage_open_standard();
    struct ventilator_settings settings = ventilator_defaults();
    int status = cli_main(&table, &settings, argc, argv, ventilator_main_run);
    words_free(&settings.files);
    return status;
}
