/* SPDX-License-Identifier: MPL-2.0 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <linux/close_range.h>
#include <unistd.h>

#include "common/cli/cli.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/sys/shortage.h"
#include "worker/exec/drain.h"
#include "worker/exec/guard.h"
#include "worker/exec/plugin_host.h"
#include "worker/worker.h"

struct worker_settings {
    struct worker_options worker;
    uint64_t ready_fd;
};

#define AT(field) offsetof(struct worker_settings, field)

static const struct option_row rows[] = {
    {"connect", NULL, OPTION_TEXT, AT(worker.connect), "ENDPOINT",
     .help = "the ventilator (tcp://127.0.0.1:5556)"},
    {"jobs", "jP", OPTION_JOBS, AT(worker.jobs), "N",
     .help = "tasks at a time: 4, 50%, +1 (all cores)"},
    {"shell", NULL, OPTION_FLAG, AT(worker.shell),
     .help = "run by sh -c; without COMMAND the task is the line"},
    {"plugin", NULL, OPTION_TEXT, AT(worker.plugin), "FILE.so",
     .help = "call a C function instead of a command"},
    {"coprocess", NULL, OPTION_FLAG, AT(worker.coprocess),
     .help = "start COMMAND once a slot: a line in, a line out"},
    {"pipe", NULL, OPTION_FLAG, AT(worker.pipe),
     .help = "the task is the stdin of COMMAND; {} is not replaced"},
    {"null", "0", OPTION_FLAG, AT(worker.null), .help = "with --coprocess: NUL, not newline"},
    {"replace", "I", OPTION_TEXT, AT(worker.replacement), "STR",
     .help = "what the task replaces ({})", .optional = "{}"},
    {"timeout", NULL, OPTION_PARSED, AT(worker.timeout), "SECS|N%",
     .help = "kill a task that runs longer; N% of the median", .parse = timeout_parse},
    {"ok-exit", NULL, OPTION_PARSED, AT(worker.ok_exit), "LIST",
     .help = "exit statuses that are ok: 0,1 (0)", .parse = ok_exit_parse},
    {"kill-after", NULL, OPTION_SECONDS, AT(worker.kill_after_ns), "SECS",
     .help = "from TERM to KILL (10)"},
    {"linger", NULL, OPTION_SECONDS, AT(worker.linger_ns), "SECS",
     .help = "wait for output that others hold after its end (10)"},
    {"grace", NULL, OPTION_SECONDS, AT(worker.grace_ns), "SECS",
     .help = "after TERM: give back what still runs then"},
    {"output-max", NULL, OPTION_LIMIT, AT(worker.output_max_bytes), "BYTES",
     .help = "most output of a stream of a task (16M)", .min = 1},
    {"stay", NULL, OPTION_FLAG, AT(worker.stay), .help = "wait for the next job after one is over"},
    {"name", NULL, OPTION_TEXT, AT(worker.name), "NAME",
     .help = "what it is called in results (HOST:PID)"},
    {"keys", NULL, OPTION_TEXT, AT(worker.keys), "DIR",
     .help = "encrypt; DIR is of zfarm keys: DIR/worker"},
    {"insecure", NULL, OPTION_FLAG, AT(worker.insecure),
     .help = "go beyond this machine, unencrypted"},
    {"give-up", NULL, OPTION_SECONDS, AT(worker.give_up_ns), "SECS",
     .help = "wait so long for a ventilator (60)"},
    {"lanes-at", NULL, OPTION_TEXT, AT(worker.lanes), "ENDPOINT", .help = NULL},
    {"results-at", NULL, OPTION_TEXT, AT(worker.results), "ENDPOINT", .help = NULL},
    {"lanes", NULL, OPTION_RETIRED, 0, NULL, .help = NULL, .instead = "lanes-at"},
    {"results", NULL, OPTION_RETIRED, 0, NULL, .help = NULL, .instead = "results-at"},
    {"tmpdir", NULL, OPTION_TEXT, AT(worker.tmpdir), "DIR", .help = NULL},
    {"ready-fd", NULL, OPTION_COUNT, AT(ready_fd), "FD", .help = NULL, .min = 3, .max = 1 << 20},
    {"parent", NULL, OPTION_COUNT, AT(worker.parent), "PID", .help = NULL, .min = 1},
};

static const struct option_table table = {
    .program = "zfarm-worker",
    .usage = "zfarm-worker [OPTION]... [--] COMMAND [ARG]...\n"
             "Runs COMMAND for each task that the ventilator hands it; {} is the task.\n",
    .more = "Examples:\n"
            "  zfarm-worker -- sha256sum {}\n"
            "  zfarm-worker --connect tcp://10.0.0.1:5556 --keys farm/worker -j 50% -- gzip\n",
    .rows = rows,
    .count = sizeof rows / sizeof *rows,
};

static struct worker_settings worker_defaults(void)
{
    const char *tmpdir = getenv("TMPDIR");
    return (struct worker_settings){.worker = {.connect = "tcp://127.0.0.1:5556",
                                               .jobs = jobs_default(),
                                               .kill_after_ns = 10 * NS_PER_S,
                                               .linger_ns = 10 * NS_PER_S,
                                               .output_max_bytes = 16 << 20,
                                               .give_up_ns = 60 * NS_PER_S,
                                               .grace_ns = NEVER,
                                               .tmpdir = tmpdir && *tmpdir ? tmpdir : "/tmp"}};
}

static int worker_main_run(void *target, struct options *options)
{
    struct worker_settings *settings = target;
    struct worker_options *worker = &settings->worker;
    if (!worker->plugin && !worker->shell && options->word_count == 0) {
        log_line("there is no COMMAND to run; try: zfarm-worker -- echo {}");
        return 255;
    }
    if (worker->plugin && worker->shell) {
        log_line("--plugin and --shell are two different ways to run a task; give one");
        return 255;
    }
    if (worker->plugin && worker->coprocess) {
        log_line("--plugin and --coprocess are two different ways to run a task; give one");
        return 255;
    }
    if (worker->ok_exit.given && (worker->plugin || worker->coprocess)) {
        log_line(
            "--ok-exit is for the exit status of COMMAND, and with --plugin and --coprocess no "
            "task has one");
        return 255;
    }
    if (worker->pipe && (worker->plugin || worker->coprocess || worker->replacement)) {
        log_line("--pipe gives each task to the stdin of a COMMAND of its own; leave out --plugin, "
                 "--coprocess and -I");
        return 255;
    }
    if (worker->pipe && options->word_count == 0) {
        log_line("with --pipe there must be a COMMAND that reads its stdin; try: --pipe -- wc -l");
        return 255;
    }
    worker->words = options->words;
    worker->ready_fd = settings->ready_fd ? (int)settings->ready_fd : -1;
    options_clear_environment();
    return worker_run(worker);
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
    struct worker_settings settings = worker_defaults();
    return cli_main(&table, &settings, argc, argv, worker_main_run);
}
