/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/run/run.h"

#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cli/cli.h"
#include "common/base/clock.h"
#include "common/input/command_line.h"
#include "common/input/expand.h"
#include "common/wire/halt_rule.h"
#include "common/base/log.h"
#include "common/cli/ok_exit.h"
#include "common/base/random.h"
#include "common/sys/shortage.h"
#include "common/cli/timeout.h"
#include "common/base/xalloc.h"
#include "sink/store/store.h"
#include "zfarm/dry_run.h"
#include "zfarm/run/farm.h"

/* Who of the three takes an option as well. */
enum { VENTILATOR = 1, WORKER = 2, SINK = 4 };

/* What is only handed on: it is checked here, by its kind, and meant for the child. Each option has
 * a field of its own, since options that shared one would be taken for one another. */
struct handed_on {
    bool keep_order, hedge;
    uint64_t retries, retry_delay, kill_after, linger, queue_max, spool_max;
    bool other_command, quiet, strict_results;
    const char *output, *joblog, *tmpdir;
    struct jobs jobs;
    unsigned durability, bar;
    struct halt_rule halt;
    struct timeout timeout;
    struct ok_exit ok_exit;
};

struct run_settings {
    struct words files, hosts;
    bool null, shell, coprocess, pipe, tag, dry_run, retry_failed;
    uint64_t values, block, output_max, direct_port, task_max_bytes, give_up_ns;
    const char *colsep, *recend, *recstart, *replacement, *plugin, *store, *spool, *hosts_file,
        *ssh;
    enum trim trim;
    unsigned format;
    struct handed_on on;
};

#define AT(field) offsetof(struct run_settings, field)

static const struct option_row rows[] = {
    {"jobs", "jP", OPTION_JOBS, AT(on.jobs), "N", .help = "tasks at a time: 4, 50%, +1 (all cores)",
     .children = WORKER},
    {"host", "S", OPTION_WORDS, AT(hosts), "HOST[:N]",
     .help = "work on HOST by ssh, N tasks at once; : is here"},
    {"hosts", NULL, OPTION_TEXT, AT(hosts_file), "FILE",
     .help = "the same for each line of FILE, also while it changes"},
    {"direct", NULL, OPTION_COUNT, AT(direct_port), "PORT", .help = NULL, .min = 1, .max = 65533},
    {"ssh", NULL, OPTION_TEXT, AT(ssh), "COMMAND", .help = NULL},
    {"give-up", NULL, OPTION_SECONDS, AT(give_up_ns), "SECS", .help = NULL,
     .children = VENTILATOR | WORKER | SINK},
    {"keep-order", "k", OPTION_FLAG, AT(on.keep_order), .help = "output in the order of the input",
     .children = SINK},
    {"arg-file", "a", OPTION_WORDS, AT(files), "FILE",
     .help = "read tasks from FILE, not stdin (also :::: FILE)", .children = VENTILATOR},
    {"null", "0", OPTION_FLAG, AT(null), .help = "tasks end with NUL, not newline",
     .children = VENTILATOR | WORKER},
    {"max-args", "n", OPTION_COUNT, AT(values), "N", .help = "N values a task", .min = 1,
     .children = VENTILATOR},
    {"colsep", NULL, OPTION_TEXT, AT(colsep), "REGEX", .help = "split lines into {1} {2} ...",
     .children = VENTILATOR},
    {"trim", NULL, OPTION_PARSED, AT(trim), "n|l|r|lr", .help = NULL, .parse = trim_parse,
     .children = VENTILATOR},
    {"shell", NULL, OPTION_FLAG, AT(shell), .help = "run by sh -c; no COMMAND: tasks are commands",
     .children = WORKER},
    {"plugin", NULL, OPTION_TEXT, AT(plugin), "FILE.so",
     .help = "call a C function instead of a command", .children = WORKER},
    {"coprocess", NULL, OPTION_FLAG, AT(coprocess),
     .help = "start COMMAND once a slot: a line in, a line out", .children = WORKER},
    {"pipe", NULL, OPTION_FLAG, AT(pipe),
     .help = "a task is a block of lines, on the stdin of COMMAND",
     .children = VENTILATOR | WORKER},
    {"block", NULL, OPTION_SIZE, AT(block), "BYTES", .help = "with --pipe: most of a block (1M)",
     .min = 1, .max = TASK_SIZE_MAX, .children = VENTILATOR},
    {"recend", NULL, OPTION_TEXT, AT(recend), "STR",
     .help = "with --pipe: records end with STR (\\n)", .children = VENTILATOR},
    {"recstart", NULL, OPTION_TEXT, AT(recstart), "STR",
     .help = "with --pipe: records begin with STR", .children = VENTILATOR},
    {"tag", NULL, OPTION_FLAG, AT(tag), .help = "begin each line with its task", .children = SINK},
    {"output", "o", OPTION_TEXT, AT(on.output), "FILE", .help = "write results to FILE, not stdout",
     .children = SINK},
    {"format", NULL, OPTION_CHOICE, AT(format), "FORMAT", .help = "text or jsonl (text)",
     .choices = "text|jsonl", .children = SINK},
    {"joblog", NULL, OPTION_TEXT, AT(on.joblog), "FILE",
     .help = "log each task, as GNU parallel does", .children = SINK},
    {"store", NULL, OPTION_TEXT, AT(store), "FILE.db",
     .help = "keep results in a SQLite database, to go on with", .children = SINK},
    {"retry-failed", NULL, OPTION_FLAG, AT(retry_failed),
     .help = "with --store: run again what failed", .children = SINK},
    {"other-command", NULL, OPTION_FLAG, AT(on.other_command),
     .help = "with --store: go on although COMMAND is another", .children = SINK},
    {"spool", NULL, OPTION_TEXT, AT(spool), "DIR",
     .help = "with --store: keep piped input in DIR, to go on with"},
    {"durability", NULL, OPTION_CHOICE, AT(on.durability), "normal|full", .help = NULL,
     .choices = "normal|full", .children = SINK},
    {"retries", NULL, OPTION_COUNT, AT(on.retries), "N", .help = "tries of a task that fails (1)",
     .min = 1, .max = 1000000, .children = VENTILATOR},
    {"retry-delay", NULL, OPTION_SECONDS, AT(on.retry_delay), "SECS",
     .help = "wait before the 2nd, doubled before each next (0)", .children = VENTILATOR},
    {"hedge", NULL, OPTION_FLAG, AT(on.hedge), .help = NULL, .children = VENTILATOR},
    {"timeout", NULL, OPTION_PARSED, AT(on.timeout), "SECS|N%",
     .help = "kill a task that runs longer; N% of the median", .parse = timeout_parse,
     .children = WORKER},
    {"halt", NULL, OPTION_PARSED, AT(on.halt), "WHEN,WHY",
     .help = "end early: now,fail=1; soon,done=10%; never", .parse = halt_rule_parse,
     .children = SINK},
    {"strict-results", NULL, OPTION_FLAG, AT(on.strict_results),
     .help = "take no result of a task that its worker never had", .children = SINK},
    {"ok-exit", NULL, OPTION_PARSED, AT(on.ok_exit), "LIST",
     .help = "exit statuses that are ok: 0,1 (0)", .parse = ok_exit_parse, .children = WORKER},
    {"dry-run", NULL, OPTION_FLAG, AT(dry_run), .help = "print the commands, run none"},
    {"replace", "I", OPTION_TEXT, AT(replacement), "STR", .help = NULL, .optional = "{}",
     .children = WORKER},
    {"bar", NULL, OPTION_SET, AT(on.bar), .help = NULL, .number = 1, .children = SINK},
    {"no-bar", NULL, OPTION_SET, AT(on.bar), .help = NULL, .number = 2, .children = SINK},
    {"quiet", NULL, OPTION_FLAG, AT(on.quiet), .help = "errors only: no summary, no hints, no bar",
     .children = SINK},
    {"kill-after", NULL, OPTION_SECONDS, AT(on.kill_after), "SECS", .help = NULL,
     .children = VENTILATOR | WORKER},
    {"linger", NULL, OPTION_SECONDS, AT(on.linger), "SECS", .help = NULL, .children = WORKER},
    {"output-max", NULL, OPTION_LIMIT, AT(output_max), "BYTES", .help = NULL, .min = 1,
     .children = WORKER},
    {"task-max", NULL, OPTION_SIZE, AT(task_max_bytes), "BYTES", .help = NULL, .min = 1,
     .max = TASK_SIZE_MAX, .children = VENTILATOR},
    {"queue-max", NULL, OPTION_SIZE, AT(on.queue_max), "BYTES", .help = NULL, .min = 65536,
     .children = VENTILATOR},
    {"spool-max", NULL, OPTION_SIZE, AT(on.spool_max), "BYTES", .help = NULL, .children = SINK},
    {"tmpdir", NULL, OPTION_TEXT, AT(on.tmpdir), "DIR", .help = NULL, .children = SINK | WORKER},
};

static const struct option_table table = {
    .program = "zfarm",
    .usage = "zfarm run [OPTION]... [--] COMMAND [ARG]... [::: VALUE...] [:::: FILE...]\n"
             "Runs COMMAND for each line of stdin, on all cores; {} is the line.\n",
    .more = "Examples:\n"
            "  find . -name '*.log' | zfarm run -k -- gzip -9 {}\n"
            "  zfarm run --shell 'convert {} {.}.png' ::: *.jpg\n",
    .rows = rows,
    .count = sizeof rows / sizeof *rows,
};

static struct source_options source_options(const struct run_settings *s,
                                            const struct inputs *inputs)
{
    return (struct source_options){.inputs = inputs,
                                   .null = s->null,
                                   .values = s->values,
                                   .colsep = s->colsep,
                                   .trim = s->trim,
                                   .task_max = source_task_max(s->task_max_bytes, s->block)};
}

static int show(const struct run_settings *s, char *const *words, size_t command)
{
    struct inputs inputs = {0};
    for (size_t i = 0; i < s->files.count; i++)
        inputs_add_file(&inputs, s->files.items[i]);
    inputs_add_words(&inputs, words + command);
    struct source_options source = source_options(s, &inputs);
    int status =
        dry_run(&source, s->shell ? EXPAND_SHELL : EXPAND_DIRECT, words, command, s->replacement);
    inputs_free(&inputs);
    return status;
}

/* True if a program that begins again finds the same input: values and files, but no pipe. */
static bool can_read_again(const struct run_settings *s, char *const *words)
{
    struct inputs inputs = {0};
    struct stat st;
    for (size_t i = 0; i < s->files.count; i++)
        inputs_add_file(&inputs, s->files.items[i]);
    inputs_add_words(&inputs, words);
    bool can = inputs.count > 0;
    for (size_t i = 0; i < inputs.count; i++)
        if (inputs.list[i].path)
            can = can && stat(inputs.list[i].path, &st) == 0 && S_ISREG(st.st_mode);
    inputs_free(&inputs);
    return can;
}

/* With --spool the input goes through this process. */
static int run_spooled(const struct run_settings *s, struct farm_arguments *arguments)
{
    struct source_options source = source_options(s, NULL);
    struct why why;
    signal(SIGXFSZ, SIG_IGN);
    if (input_spool_open(&arguments->spool, s->spool, STDIN_FILENO, &source, &why)) {
        log_line("%s", why.text);
        return 255;
    }
    int status = farm_run(arguments);
    bool is_over = status != 255 && input_spool_is_whole(arguments->spool);
    input_spool_close(&arguments->spool, is_over);
    return status;
}

/* Fills in what --host and --hosts say. */
static enum error open_hosts(const struct run_settings *s, struct farm_arguments *arguments,
                             struct why *why)
{
    struct hosts_options options = {.names = &s->hosts,
                                    .file = s->hosts_file,
                                    .ssh = s->ssh,
                                    .direct_port = s->direct_port,
                                    .give_up_ns = s->give_up_ns,
                                    .worker = &arguments->host_worker};
    struct words here = {0};
    const char *slots;
    if (!s->hosts.count && !s->hosts_file)
        return ERR_NONE;
    enum error error = hosts_open(&arguments->hosts, &options, why);
    if (error)
        return error;
    arguments->no_worker = !hosts_include_this(arguments->hosts, &slots);
    arguments->host_worker = arguments->worker;
    hosts_add_worker(&arguments->host_worker, slots, &here);
    arguments->worker = here;
    return ERR_NONE;
}

static int run_farm(const struct run_settings *s, struct farm_arguments *arguments)
{
    struct why why;
    if (open_hosts(s, arguments, &why)) {
        log_line("%s", why.text);
        return 255;
    }
    int status = s->spool ? run_spooled(s, arguments) : farm_run(arguments);
    hosts_close(&arguments->hosts);
    return status;
}

/* The system takes no longer word than 128 KiB; the hash is of all of it. */
enum { COMMAND_TEXT_MAX = 65536 };

/* What the sink is to compare with what made the store. */
static void tell_command(const struct run_settings *s, char *const *words, size_t command,
                         struct words *sink)
{
    struct command_line line = {.plugin = s->plugin,
                                .shell = s->shell,
                                .coprocess = s->coprocess,
                                .pipe = s->pipe,
                                .null = s->null,
                                .replacement = s->replacement,
                                .words = words,
                                .count = command};
    struct buf text = {0};
    char hash[COMMAND_LINE_HASH_SIZE];
    command_line_put(&text, &line);
    command_line_hash_text(command_line_hash(&line), hash);
    words_take(sink, xasprintf("--executor=%s", command_line_executor(&line)));
    int size = text.size < COMMAND_TEXT_MAX ? (int)text.size : COMMAND_TEXT_MAX;
    words_take(sink, xasprintf("--command=%.*s", size, size ? (char *)text.data : ""));
    words_take(sink, xasprintf("--command-hash=%s", hash));
    buf_free(&text);
}

static int run_start_farm(const struct run_settings *s, struct options *options, size_t command)
{
    struct farm_arguments arguments = {0};
    options_pass_on(options, VENTILATOR, &arguments.ventilator);
    options_pass_on(options, WORKER, &arguments.worker);
    options_pass_on(options, SINK, &arguments.sink);
    if (s->store)
        tell_command(s, options->words, command, &arguments.sink);
    if (s->retry_failed)
        words_take(&arguments.sink, xasprintf("--round=%" PRIu64, (random_u64() >> 1) | 1));
    words_add_all(&arguments.ventilator, options->words + command);
    words_add(&arguments.worker, "--");
    for (size_t i = 0; i < command; i++)
        words_add(&arguments.worker, options->words[i]);
    arguments.has_store = s->store;
    arguments.direct_port = s->direct_port;
    arguments.can_read_again = can_read_again(s, options->words + command);
    options_clear_environment();
    int status = run_farm(s, &arguments);
    words_free(&arguments.host_worker);
    words_free(&arguments.ventilator);
    words_free(&arguments.worker);
    words_free(&arguments.sink);
    return status;
}

/* What does not go with --pipe; NULL if all is well. */
static const char *pipe_contradiction(const struct run_settings *s, size_t command)
{
    if (!s->pipe)
        return s->block || s->recend || s->recstart ? "--block, --recend and --recstart cut the "
                                                      "blocks of --pipe; give --pipe as well"
                                                    : NULL;
    if (s->plugin || s->coprocess)
        return "--pipe gives each block to a COMMAND of its own; leave out --plugin and "
               "--coprocess";
    if (command == 0)
        return "with --pipe there must be a COMMAND that reads its stdin; try: zfarm run --pipe wc "
               "-l";
    if (s->null || s->values > 1 || s->colsep || s->trim || s->replacement)
        return "--pipe cuts the input into blocks, not into values; leave out -0 (give --recend "
               "'\\0'), -n, --colsep, --trim and -I";
    if (s->tag)
        return "--tag begins each line with its task, and with --pipe that is a whole block; leave "
               "it out";
    if (s->dry_run)
        return "--dry-run shows the command of each task, and with --pipe all are the same";
    if (s->spool)
        return "--spool keeps lines, and --pipe takes blocks; save the input to a file and give -a "
               "FILE";
    return NULL;
}

/* Options that do not go together; NULL if all is well. */
static const char *contradiction(const struct run_settings *s, char *const *inputs, size_t command)
{
    if (command == 0 && !s->plugin && (s->coprocess || !s->shell))
        return "there is no COMMAND to run; try: zfarm run -- echo {} ::: a b c";
    if (s->plugin && s->shell)
        return "--plugin and --shell are two different ways to run a task; give one";
    if (s->plugin && s->coprocess)
        return "--plugin and --coprocess are two different ways to run a task; give one";
    if (s->on.ok_exit.given && (s->plugin || s->coprocess))
        return "--ok-exit is for the exit status of COMMAND, and with --plugin and --coprocess no "
               "task has one";
    if (s->dry_run && s->plugin)
        return "--dry-run shows commands, and --plugin runs none";
    if (s->dry_run && s->coprocess)
        return "--dry-run shows the command of each task, and --coprocess has one for all";
    if (s->direct_port && !s->hosts.count && !s->hosts_file)
        return "--direct is how hosts reach this machine; give them with --host or --hosts";
    if (shortage_was_closed(STDOUT_FILENO) && !s->on.output)
        return "standard output is closed, so results have nowhere to go; give -o FILE, or "
               ">/dev/null";
    if (s->retry_failed && !s->store)
        return "--retry-failed needs --store FILE.db: there it finds what failed";
    if (s->output_max > OUTPUT_IN_MEMORY_MAX && s->store)
        return "--store takes outputs of 256 MiB at most, which have to be in memory; give "
               "--output-max 256M, or leave out --store";
    if (s->output_max > OUTPUT_IN_MEMORY_MAX && s->format)
        return "--format jsonl takes outputs of 256 MiB at most, which have to be in memory; give "
               "--output-max 256M, or leave out --format";
    if (s->output_max > OUTPUT_IN_MEMORY_MAX && s->tag)
        return "--tag takes outputs of 256 MiB at most, which have to be in memory; give "
               "--output-max 256M, or leave out --tag";
    if (s->spool && !s->store)
        return "--spool needs --store FILE.db: it keeps the input, and the store the results";
    if (s->spool && (s->files.count || *inputs))
        return "--spool is for piped input; files and values (-a, ::::, :::) are there to be read "
               "again: leave it out";
    return pipe_contradiction(s, command);
}

/* What no worker could make a command of is said before anything is started. */
static enum error run_check_command(const struct run_settings *s, char *const *words, size_t count,
                                    struct why *why)
{
    struct expand *expand = NULL;
    unsigned mode = (s->shell ? EXPAND_SHELL : EXPAND_DIRECT) | (s->pipe ? EXPAND_PIPE : 0U);
    if (s->plugin || s->coprocess)
        return ERR_NONE;
    enum error error =
        expand_new(&expand, mode, (const char *const *)words, count, s->replacement, why);
    expand_free(&expand);
    return error;
}

static int run_with_settings(void *target, struct options *options)
{
    const struct run_settings *s = target;
    size_t command = inputs_command_count(options->words);
    const char *why_not = contradiction(s, options->words + command, command);
    struct why why;
    if (!why_not && run_check_command(s, options->words, command, &why))
        why_not = why.text;
    if (why_not) {
        log_line("%s", why_not);
        return 255;
    }
    return s->dry_run ? show(s, options->words, command) : run_start_farm(s, options, command);
}

int run_main(int argc, char **argv)
{
    struct run_settings settings = {.values = 1, .ssh = "ssh", .give_up_ns = 60 * NS_PER_S};
    int status = cli_main(&table, &settings, argc, argv, run_with_settings);
    words_free(&settings.files);
    words_free(&settings.hosts);
    return status;
}
