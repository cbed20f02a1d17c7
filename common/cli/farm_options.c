/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/farm_options.h"

#include <stddef.h>

#include "common/input/command_line.h"

/* How to read a row: the long name; the letters; the programs that take it; its kind and the field of its value; what
 * the help calls the value; the help. Then what holds if it is not given (.default_value), the programs whose --help
 * only names it (.brief), and limits. What RUN and a program of a farm both take, run hands on to it. Two rows of one
 * name are two options, of different programs. */
enum {
    RUN = FARM_RUN,
    VENTILATOR = FARM_VENTILATOR,
    WORKER = FARM_WORKER,
    SINK = FARM_SINK,
    VERIFY = FARM_VERIFY,
    FAILED = FARM_FAILED,
    WHY = FARM_WHY,
    FARM = VENTILATOR | WORKER | SINK
};

/* A kind and a field, which does not compile if the field is of another type. */
#define FIELD(kind, type, field)                                                                   \
    kind, offsetof(struct farm_options, field) +                                                   \
              0 * sizeof(_Generic(&((struct farm_options *)0)->field, type * : 0))
#define FLAG(field) FIELD(OPTION_FLAG, bool, field), NULL
#define TEXT(field) FIELD(OPTION_TEXT, const char *, field)
#define WORDS(field) FIELD(OPTION_WORDS, struct words, field)
#define CHOICE(field) FIELD(OPTION_CHOICE, unsigned, field)
#define SET(field) FIELD(OPTION_SET, unsigned, field), NULL
#define COUNT(field) FIELD(OPTION_COUNT, uint64_t, field)
#define SIZE(field) FIELD(OPTION_SIZE, uint64_t, field)
#define LIMIT(field) FIELD(OPTION_LIMIT, uint64_t, field)
#define SECONDS(field) FIELD(OPTION_SECONDS, uint64_t, field)
#define JOBS(field) FIELD(OPTION_JOBS, struct jobs, field)
#define PARSED(type, field) FIELD(OPTION_PARSED, type, field)
#define RETIRED OPTION_RETIRED, 0, NULL, NULL

static const struct option_row rows[] = {
    /* ---- where tasks run ---- */
    {"jobs", "jP", RUN | WORKER, JOBS(jobs), "N",
     .help = "tasks at a time: 4, 50% or +1 of the cores", .default_value = "100%"},
    {"host", "S", RUN, WORDS(host), "HOST[:N]",
     .help = "work on HOST by ssh, N tasks at once; : is here"},
    {"hosts", NULL, RUN, TEXT(hosts), "FILE",
     .help = "the same for each line of FILE, and as it changes"},
    {"direct", NULL, RUN, COUNT(direct_port), "PORT",
     .help = "hosts connect to PORT and the next two, without ssh", .brief = RUN, .min = 1,
     .max = 65533},
    {"ssh", NULL, RUN, TEXT(ssh), "COMMAND", .help = "what connects to hosts", .brief = RUN,
     .default_value = "ssh"},

    /* ---- the input, and how it becomes tasks ---- */
    {"arg-file", "a", RUN | VENTILATOR | VERIFY, WORDS(arg_file), "FILE",
     .help = "read tasks from FILE, not stdin (also :::: FILE)"},
    {"null", "0", RUN | VENTILATOR | WORKER | VERIFY, FLAG(null),
     .help = "tasks end with NUL, not newline"},
    {"max-args", "n", RUN | VENTILATOR | VERIFY, COUNT(max_args), "N", .help = "N values a task",
     .default_value = "1", .min = 1},
    {"colsep", NULL, RUN | VENTILATOR | VERIFY, TEXT(colsep), "REGEX",
     .help = "split lines into {1} {2} ..."},
    {"trim", NULL, RUN | VENTILATOR | VERIFY, PARSED(enum trim, trim), "n|l|r|lr",
     .help = "ends of an argument that lose their blanks", .brief = RUN | VENTILATOR | VERIFY,
     .parse = trim_parse},
    {"pipe", NULL, RUN | VENTILATOR | WORKER | VERIFY, FLAG(pipe),
     .help = "a task is a block of lines, on the stdin of COMMAND"},
    {"block", NULL, RUN | VENTILATOR | VERIFY, SIZE(block_bytes), "BYTES",
     .help = "with --pipe: most of a block (1M)", .brief = VERIFY, .min = 1, .max = TASK_SIZE_MAX},
    {"recend", NULL, RUN | VENTILATOR | VERIFY, TEXT(recend), "STR",
     .help = "with --pipe: records end with STR (\\n)", .brief = VERIFY},
    {"recstart", NULL, RUN | VENTILATOR | VERIFY, TEXT(recstart), "STR",
     .help = "with --pipe: records begin with STR", .brief = VERIFY},
    {"task-max", NULL, RUN | VENTILATOR | VERIFY, SIZE(task_max_bytes), "BYTES",
     .help = "a task that is longer fails (1M, or --block)", .brief = RUN | VENTILATOR | VERIFY,
     .min = 1, .max = TASK_SIZE_MAX},
    {"queue-max", NULL, RUN | VENTILATOR, SIZE(queue_max_bytes), "BYTES",
     .help = "most input that waits (16M, or 4 times --task-max)", .brief = RUN | VENTILATOR,
     .min = 65536},
    {"spool", NULL, RUN, TEXT(spool), "DIR",
     .help = "with --store: keep piped input in DIR, to go on with"},
    {"missing", NULL, VERIFY, FLAG(missing), .help = "print the tasks of INPUT without a result"},

    /* ---- a task ---- */
    {"shell", NULL, RUN | WORKER, FLAG(shell),
     .help = "run by sh -c; no COMMAND: tasks are commands"},
    {"plugin", NULL, RUN | WORKER, TEXT(plugin), "FILE.so",
     .help = "call a C function instead of a command"},
    {"coprocess", NULL, RUN | WORKER, FLAG(coprocess),
     .help = "start COMMAND once a slot: a line in, a line out"},
    {"replace", "I", RUN | WORKER, TEXT(replace), "STR", .help = "what the task replaces ({})",
     .brief = RUN, .optional = "{}"},
    {"timeout", NULL, RUN | WORKER, PARSED(struct timeout, timeout), "SECS|N%",
     .help = "kill a task that runs longer; N% of the median", .parse = timeout_parse},
    {"kill-after", NULL, RUN | VENTILATOR | WORKER, SECONDS(kill_after_ns), "SECS",
     .help = "from TERM to KILL", .brief = RUN | VENTILATOR, .default_value = "10"},
    {"linger", NULL, RUN | WORKER, SECONDS(linger_ns), "SECS",
     .help = "wait for output that others hold after its end", .brief = RUN, .default_value = "10"},
    {"ok-exit", NULL, RUN | WORKER, PARSED(struct ok_exit, ok_exit), "LIST",
     .help = "exit statuses that are ok: 0,1 (0)", .parse = ok_exit_parse},
    {"output-max", NULL, RUN | WORKER, LIMIT(output_max_bytes), "BYTES",
     .help = "most output of a stream of a task", .brief = RUN, .default_value = "16M", .min = 1},
    {"dry-run", NULL, RUN, FLAG(dry_run), .help = "print the commands, run none"},

    /* ---- tasks that fail ---- */
    {"retries", NULL, RUN | VENTILATOR, COUNT(retries), "N", .help = "tries of a task that fails",
     .default_value = "1", .min = 1, .max = 1000000},
    {"retry-delay", NULL, RUN | VENTILATOR, SECONDS(retry_delay_ns), "SECS",
     .help = "wait before the 2nd, doubled before each next", .default_value = "0"},
    {"hedge", NULL, RUN | VENTILATOR, FLAG(hedge),
     .help = "at the end, run slow tasks on a second worker too", .brief = RUN},
    {"halt", NULL, RUN | SINK, PARSED(struct halt_rule, halt), "WHEN,WHY",
     .help = "end early: now,fail=1; soon,done=10%; never", .parse = halt_rule_parse},

    /* ---- what comes out ---- */
    {"keep-order", "k", RUN | SINK, FLAG(keep_order), .help = "output in the order of the input"},
    {"tag", NULL, RUN | SINK, FLAG(tag), .help = "begin each line with its task"},
    {"output", "o", RUN | SINK, TEXT(output), "FILE", .help = "write results to FILE, not stdout"},
    {"format", NULL, RUN | SINK | FAILED, CHOICE(format), "FORMAT", .help = "text or jsonl",
     .default_value = "text", .choices = "text|jsonl"},
    {"null", "0", FAILED, FLAG(null), .help = "print the tasks alone, each ended by NUL"},
    {"joblog", NULL, RUN | SINK, TEXT(joblog), "FILE",
     .help = "log each task, as GNU parallel does"},
    {"store", NULL, RUN | SINK, TEXT(store), "FILE.db",
     .help = "keep results in a SQLite database, to go on with"},
    {"retry-failed", NULL, RUN | SINK, FLAG(retry_failed),
     .help = "with --store: run again what failed"},
    {"other-command", NULL, RUN | SINK, FLAG(other_command),
     .help = "with --store: go on although COMMAND is another", .brief = SINK},
    {"durability", NULL, RUN | SINK, CHOICE(durability), "normal|full",
     .help = "full: the store survives a loss of power", .brief = RUN | SINK,
     .default_value = "normal", .choices = "normal|full"},
    {"strict-results", NULL, RUN | SINK, FLAG(strict_results),
     .help = "take no result of a task that its worker never had"},
    {"bar", NULL, RUN | SINK, SET(bar), .help = "show progress (--no-bar: never)", .brief = RUN,
     .number = BAR_SHOWN},
    {"no-bar", NULL, RUN | SINK, SET(bar), .help = "never show progress", .brief = RUN | SINK,
     .number = BAR_HIDDEN},
    {"quiet", NULL, RUN | SINK, FLAG(quiet), .help = "errors only: no summary, no hints, no bar"},
    {"spool-max", NULL, RUN | SINK, SIZE(spool_max_bytes), "BYTES",
     .help = "with -k: most output on disk that waits", .brief = RUN | SINK,
     .default_value = "10G"},
    {"tmpdir", NULL, RUN | WORKER | SINK, TEXT(tmpdir), "DIR",
     .help = "for what is too large for memory", .brief = RUN | WORKER | SINK,
     .default_value = "/tmp", .default_variable = "TMPDIR"},

    /* ---- how the programs of a farm meet ---- */
    {"connect", NULL, WORKER | SINK, TEXT(connect), "ENDPOINT", .help = "the ventilator",
     .default_value = "tcp://127.0.0.1:5556"},
    {"connect", NULL, WHY, TEXT(connect), "ENDPOINT",
     .help = "ask the ventilator there, not all on this machine"},
    {"bind", NULL, VENTILATOR, TEXT(bind), "ENDPOINT", .help = "where all connect",
     .default_value = "tcp://127.0.0.1:5556"},
    {"bind", NULL, SINK, TEXT(bind), "ENDPOINT", .help = "where results come in",
     .default_value = "tcp://127.0.0.1:5558"},
    {"lanes", NULL, VENTILATOR, TEXT(lanes), "ENDPOINT",
     .help = "where tasks leave (the next port)"},
    {"advertise", NULL, SINK, TEXT(advertise), "HOST", .help = "host that workers are told"},
    {"lanes-at", NULL, WORKER, TEXT(lanes_at), "ENDPOINT",
     .help = "take tasks there, not where the ventilator says", .brief = WORKER},
    {"results-at", NULL, WORKER, TEXT(results_at), "ENDPOINT",
     .help = "send results there, not where the ventilator says", .brief = WORKER},
    {"lanes", NULL, WORKER, RETIRED, .instead = "lanes-at"},
    {"results", NULL, WORKER, RETIRED, .instead = "results-at"},
    {"keys", NULL, FARM | WHY, TEXT(keys), "DIR",
     .help = "encrypt; DIR is one that zfarm keys has made"},
    {"insecure", NULL, FARM | WHY, FLAG(insecure), .help = "go beyond this machine, unencrypted"},
    {"name", NULL, WORKER, TEXT(name), "NAME", .help = "what it is called in results (HOST:PID)"},
    {"stay", NULL, WORKER, FLAG(stay), .help = "wait for the next job after one is over"},
    {"grace", NULL, WORKER, SECONDS(grace_ns), "SECS",
     .help = "after TERM: give back what still runs then", .min = 1},
    {"workers-max", NULL, VENTILATOR, COUNT(workers_max), "N", .help = "most workers at a time",
     .min = 1},
    {"heartbeat", NULL, VENTILATOR, SECONDS(heartbeat_ns), "SECS",
     .help = "6 without a sign is dead", .default_value = "0.5"},
    {"give-up", NULL, RUN | FARM, SECONDS(give_up_ns), "SECS",
     .help = "wait so long for a program that is not there", .brief = RUN, .default_value = "60"},
    {"trace", NULL, RUN | FARM, TEXT(trace), "FILE",
     .help = "write down each message, in FILE.worker and the like", .brief = RUN | FARM},

    /* ---- what zfarm run tells its programs ---- */
    {"ready-fd", NULL, FARM, COUNT(ready_fd), "FD", .help = "where to say that it is ready",
     .brief = FARM, .min = 3, .max = 1 << 20},
    {"parent", NULL, FARM, COUNT(parent), "PID", .help = "the process with which it ends",
     .brief = FARM, .min = 1},
    {"first-life", NULL, VENTILATOR, FLAG(first_life),
     .help = "no worker is left of an earlier ventilator", .brief = VENTILATOR},
    {"executor", NULL, SINK, TEXT(executor), "WORD", .help = "what runs the tasks", .brief = SINK},
    {"command", NULL, SINK, TEXT(command), "TEXT", .help = "the COMMAND that does", .brief = SINK},
    {"command-hash", NULL, SINK, PARSED(struct hash, command_hash), "HASH", .help = "of all of it",
     .brief = SINK, .parse = command_line_hash_parse},
    {"round", NULL, SINK, COUNT(round), "N", .help = "with --retry-failed: what was begun once",
     .brief = SINK, .min = 1, .max = INT64_MAX},
};

/* What goes together; what depends on COMMAND and INPUT too, programs check themselves. The first that does not hold
 * is told. */
static const struct option_rule rules[] = {
    {RUN | WORKER, "plugin", OPTION_EXCLUDES, "shell",
     "--plugin and --shell are two different ways to run a task; give one"},
    {RUN | WORKER, "plugin", OPTION_EXCLUDES, "coprocess",
     "--plugin and --coprocess are two different ways to run a task; give one"},
    {RUN | WORKER, "ok-exit", OPTION_EXCLUDES, "plugin|coprocess",
     "--ok-exit is for the exit status of COMMAND, and with --plugin and --coprocess no task has "
     "one"},
    {RUN, "dry-run", OPTION_EXCLUDES, "plugin", "--dry-run shows commands, and --plugin runs none"},
    {RUN, "dry-run", OPTION_EXCLUDES, "coprocess",
     "--dry-run shows the command of each task, and --coprocess has one for all"},
    {RUN, "direct", OPTION_NEEDS, "host|hosts",
     "--direct is how hosts reach this machine; give them with --host or --hosts"},
    {RUN | SINK, "retry-failed", OPTION_NEEDS, "store",
     "--retry-failed needs --store FILE.db: there it finds what failed"},
    {RUN, "spool", OPTION_NEEDS, "store",
     "--spool needs --store FILE.db: it keeps the input, and the store the results"},
    {RUN, "block|recend|recstart", OPTION_NEEDS, "pipe",
     "--block, --recend and --recstart cut the blocks of --pipe; give --pipe as well"},
    {RUN | WORKER, "pipe", OPTION_EXCLUDES, "plugin|coprocess|replace",
     "--pipe gives each block to the stdin of a COMMAND of its own; leave out --plugin, "
     "--coprocess and -I"},
    {RUN | VENTILATOR | VERIFY, "pipe", OPTION_EXCLUDES, "null|max-args|colsep|trim",
     "--pipe cuts the input into blocks, not into values; leave out -0 (give --recend '\\0'), -n, "
     "--colsep and --trim"},
    {VERIFY, "pipe", OPTION_EXCLUDES, "missing",
     "--missing prints the tasks, and with --pipe those are blocks; leave it out"},
    {RUN, "pipe", OPTION_EXCLUDES, "tag",
     "--tag begins each line with its task, and with --pipe that is a whole block; leave it out"},
    {RUN, "pipe", OPTION_EXCLUDES, "dry-run",
     "--dry-run shows the command of each task, and with --pipe all are the same"},
    {RUN, "pipe", OPTION_EXCLUDES, "spool",
     "--spool keeps lines, and --pipe takes blocks; save the input to a file and give -a FILE"},
    {FAILED, "null", OPTION_EXCLUDES, "format",
     "-0 prints the tasks alone, and --format jsonl an object for each; give one"},
};

const struct option_table farm_option_table = {.rows = rows,
                                               .count = sizeof rows / sizeof *rows,
                                               .rules = rules,
                                               .rule_count = sizeof rules / sizeof *rules};
