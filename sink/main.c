/* SPDX-License-Identifier: MPL-2.0 */
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cli/cli.h"
#include "common/base/clock.h"
#include "common/input/command_line.h"
#include "common/base/log.h"
#include "common/sys/shortage.h"
#include "sink/sink.h"

struct sink_settings {
    struct sink_options sink;
    unsigned format, durability;
    uint64_t ready_fd;
};

#define AT(field) offsetof(struct sink_settings, field)

static const struct option_row rows[] = {
    {"connect", NULL, OPTION_TEXT, AT(sink.connect), "ENDPOINT",
     .help = "the ventilator (tcp://127.0.0.1:5556)"},
    {"bind", NULL, OPTION_TEXT, AT(sink.bind), "ENDPOINT",
     .help = "where results come in (tcp://127.0.0.1:5558)"},
    {"advertise", NULL, OPTION_TEXT, AT(sink.advertise), "HOST",
     .help = "host that workers are told"},
    {"keep-order", "k", OPTION_FLAG, AT(sink.outputs.keep_order),
     .help = "output in the order of the input"},
    {"tag", NULL, OPTION_FLAG, AT(sink.outputs.tag), .help = "begin each line with its task"},
    {"output", "o", OPTION_TEXT, AT(sink.outputs.file), "FILE",
     .help = "write results to FILE, not stdout"},
    {"format", NULL, OPTION_CHOICE, AT(format), "FORMAT", .help = "text or jsonl (text)",
     .choices = "text|jsonl"},
    {"joblog", NULL, OPTION_TEXT, AT(sink.outputs.joblog), "FILE",
     .help = "log each task, as GNU parallel does"},
    {"store", NULL, OPTION_TEXT, AT(sink.outputs.store), "FILE.db",
     .help = "keep results in a SQLite database, to go on with"},
    {"retry-failed", NULL, OPTION_FLAG, AT(sink.outputs.retry_failed),
     .help = "with --store: run again what failed"},
    {"other-command", NULL, OPTION_FLAG, AT(sink.outputs.other_command), .help = NULL},
    {"executor", NULL, OPTION_TEXT, AT(sink.outputs.command.executor), "WORD", .help = NULL},
    {"command", NULL, OPTION_TEXT, AT(sink.outputs.command.text), "TEXT", .help = NULL},
    {"command-hash", NULL, OPTION_PARSED, AT(sink.outputs.command.hash), "HASH", .help = NULL,
     .parse = command_line_hash_parse},
    {"round", NULL, OPTION_COUNT, AT(sink.outputs.round), "N", .help = NULL, .min = 1,
     .max = INT64_MAX},
    {"durability", NULL, OPTION_CHOICE, AT(durability), "normal|full", .help = NULL,
     .choices = "normal|full"},
    {"strict-results", NULL, OPTION_FLAG, AT(sink.strict_results),
     .help = "take no result of a task that its worker never had"},
    {"halt", NULL, OPTION_PARSED, AT(sink.halt), "WHEN,WHY",
     .help = "end early: now,fail=1; soon,done=10%; never", .parse = halt_rule_parse},
    {"bar", NULL, OPTION_SET, AT(sink.bar), .help = "show progress (--no-bar: never)", .number = 1},
    {"no-bar", NULL, OPTION_SET, AT(sink.bar), .help = NULL, .number = 2},
    {"quiet", NULL, OPTION_FLAG, AT(sink.quiet), .help = "no summary, no hints, no bar"},
    {"keys", NULL, OPTION_TEXT, AT(sink.keys), "DIR",
     .help = "encrypt; DIR is of zfarm keys: DIR/sink"},
    {"insecure", NULL, OPTION_FLAG, AT(sink.insecure),
     .help = "go beyond this machine, unencrypted"},
    {"give-up", NULL, OPTION_SECONDS, AT(sink.give_up_ns), "SECS",
     .help = "wait so long for a ventilator (60)"},
    {"tmpdir", NULL, OPTION_TEXT, AT(sink.outputs.tmpdir), "DIR", .help = NULL},
    {"spool-max", NULL, OPTION_SIZE, AT(sink.outputs.spool_max), "BYTES", .help = NULL},
    {"ready-fd", NULL, OPTION_COUNT, AT(ready_fd), "FD", .help = NULL, .min = 3, .max = 1 << 20},
    {"parent", NULL, OPTION_COUNT, AT(sink.parent), "PID", .help = NULL, .min = 1},
};

static const struct option_table table = {
    .program = "zfarm-sink",
    .usage = "zfarm-sink [OPTION]...\n"
             "Collects the results of all workers, each once, and says how the job ended.\n",
    .more = "Examples:\n"
            "  zfarm-sink -k > results.txt\n"
            "  zfarm-sink --connect tcp://10.0.0.1:5556 --bind 'tcp://*:5558' --keys sink\n",
    .rows = rows,
    .count = sizeof rows / sizeof *rows,
};

static struct sink_settings sink_defaults(void)
{
    const char *tmpdir = getenv("TMPDIR");
    return (struct sink_settings){
        .sink = {.connect = "tcp://127.0.0.1:5556",
                 .bind = "tcp://127.0.0.1:5558",
                 .give_up_ns = 60 * NS_PER_S,
                 .outputs = {.tmpdir = tmpdir && *tmpdir ? tmpdir : "/tmp",
                             .spool_max = UINT64_C(10) << 30}}};
}

static int sink_main_run(void *target, struct options *options)
{
    struct sink_settings *settings = target;
    if (options->word_count) {
        log_line("it takes no words besides options (here: %s)", options->words[0]);
        return 255;
    }
    if (shortage_was_closed(STDOUT_FILENO) && !settings->sink.outputs.file) {
        log_line("standard output is closed, so results have nowhere to go; give --output FILE, or "
                 ">/dev/null");
        return 255;
    }
    if (settings->sink.outputs.retry_failed && !settings->sink.outputs.store) {
        log_line("--retry-failed needs --store FILE.db: there it finds what failed");
        return 255;
    }
    settings->sink.outputs.format = (enum output_format)settings->format;
    settings->sink.outputs.durability = (enum store_durability)settings->durability;
    settings->sink.ready_fd = settings->ready_fd ? (int)settings->ready_fd : -1;
    return sink_run(&settings->sink);
}

int main(int argc, char **argv)
{
    shortage_open_standard();
    struct sink_settings settings = sink_defaults();
    return cli_main(&table, &settings, argc, argv, sink_main_run);
}
