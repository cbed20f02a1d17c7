/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/run/run.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cli/cli.h"
#include "common/cli/farm_input.h"
#include "common/base/clock.h"
#include "common/input/command_line.h"
#include "common/input/expand.h"
#include "common/wire/result.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/sys/shortage.h"
#include "common/base/xalloc.h"
#include "zfarm/dry_run.h"
#include "zfarm/run/farm.h"

static int show(const struct farm_options *o, char *const *words, size_t command)
{
    struct inputs inputs = {0};
    farm_input_files(&inputs, o);
    inputs_add_words(&inputs, words + command);
    struct source_options source = farm_source(o, &inputs);
    int status =
        dry_run(&source, o->shell ? EXPAND_SHELL : EXPAND_DIRECT, words, command, o->replace);
    inputs_free(&inputs);
    return status;
}

/* True if a program that begins again finds the same input: values and files, but no pipe. */
static bool can_read_again(const struct farm_options *o, char *const *words)
{
    struct inputs inputs = {0};
    struct stat st;
    farm_input_files(&inputs, o);
    inputs_add_words(&inputs, words);
    bool can = inputs.count > 0;
    for (size_t i = 0; i < inputs.count; i++)
        if (inputs.list[i].path)
            can = can && stat(inputs.list[i].path, &st) == 0 && S_ISREG(st.st_mode);
    inputs_free(&inputs);
    return can;
}

/* With --spool the input goes through this process. */
static int run_spooled(const struct farm_options *o, struct farm_arguments *arguments)
{
    struct source_options source = farm_source(o, NULL);
    struct why why;
    signal(SIGXFSZ, SIG_IGN);
    if (input_spool_open(&arguments->spool, o->spool, STDIN_FILENO, &source, &why)) {
        log_line("%s", why.text);
        return 255;
    }
    int status = farm_run(arguments);
    bool is_over = status != 255 && input_spool_is_whole(arguments->spool);
    input_spool_close(&arguments->spool, is_over);
    return status;
}

/* Fills in what --host and --hosts say. */
static enum error open_hosts(const struct farm_options *o, struct farm_arguments *arguments,
                             struct why *why)
{
    struct hosts_options options = {.names = &o->host,
                                    .file = o->hosts,
                                    .ssh = o->ssh,
                                    .direct_port = o->direct_port,
                                    .give_up_ns = o->give_up_ns,
                                    .worker = &arguments->host_worker};
    struct words here = {0};
    const char *slots;
    if (!o->host.count && !o->hosts)
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

static int run_farm(const struct farm_options *o, struct farm_arguments *arguments)
{
    struct why why;
    if (open_hosts(o, arguments, &why)) {
        log_line("%s", why.text);
        return 255;
    }
    int status = o->spool ? run_spooled(o, arguments) : farm_run(arguments);
    hosts_close(&arguments->hosts);
    return status;
}

/* The system takes no longer word than 128 KiB; the hash is of all of it. */
enum { COMMAND_TEXT_MAX = 65536 };

/* What the sink is to compare with what made the store. */
static void tell_command(const struct farm_options *o, char *const *words, size_t command,
                         struct words *sink)
{
    struct command_line line = {.plugin = o->plugin,
                                .shell = o->shell,
                                .coprocess = o->coprocess,
                                .pipe = o->pipe,
                                .null = o->null,
                                .replacement = o->replace,
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

static int run_start_farm(const struct farm_options *o, const struct options *given, size_t command)
{
    struct farm_arguments arguments = {0};
    options_pass_on(given, FARM_VENTILATOR, &arguments.ventilator);
    options_pass_on(given, FARM_WORKER, &arguments.worker);
    options_pass_on(given, FARM_SINK, &arguments.sink);
    if (o->store)
        tell_command(o, given->words, command, &arguments.sink);
    if (o->retry_failed)
        words_take(&arguments.sink, xasprintf("--round=%" PRIu64, (random_u64() >> 1) | 1));
    words_add_all(&arguments.ventilator, given->words + command);
    words_add(&arguments.worker, "--");
    for (size_t i = 0; i < command; i++)
        words_add(&arguments.worker, given->words[i]);
    arguments.has_store = o->store;
    arguments.direct_port = o->direct_port;
    arguments.can_read_again = can_read_again(o, given->words + command);
    options_clear_environment();
    int status = run_farm(o, &arguments);
    words_free(&arguments.host_worker);
    words_free(&arguments.ventilator);
    words_free(&arguments.worker);
    words_free(&arguments.sink);
    return status;
}

/* What options do not allow together with COMMAND and the inputs; NULL if all is well. */
static const char *contradiction(const struct farm_options *o, char *const *inputs, size_t command)
{
    if (command == 0 && !o->plugin && (o->coprocess || !o->shell))
        return "there is no COMMAND to run; try: zfarm run -- echo {} ::: a b c";
    if (command == 0 && o->pipe)
        return "with --pipe there must be a COMMAND that reads its stdin; try: zfarm run --pipe wc "
               "-l";
    if (shortage_was_closed(STDOUT_FILENO) && !o->output)
        return "standard output is closed, so results have nowhere to go; give -o FILE, or "
               ">/dev/null";
    if (o->output_max_bytes > OUTPUT_IN_MEMORY_MAX && o->store)
        return "--store takes outputs of 256 MiB at most, which have to be in memory; give "
               "--output-max 256M, or leave out --store";
    if (o->output_max_bytes > OUTPUT_IN_MEMORY_MAX && o->format)
        return "--format jsonl takes outputs of 256 MiB at most, which have to be in memory; give "
               "--output-max 256M, or leave out --format";
    if (o->output_max_bytes > OUTPUT_IN_MEMORY_MAX && o->tag)
        return "--tag takes outputs of 256 MiB at most, which have to be in memory; give "
               "--output-max 256M, or leave out --tag";
    if (o->spool && (o->arg_file.count || *inputs))
        return "--spool is for piped input; files and values (-a, ::::, :::) are there to be read "
               "again: leave it out";
    return NULL;
}

/* What no worker could make a command of is said before anything is started. */
static enum error run_check_command(const struct farm_options *o, char *const *words, size_t count,
                                    struct why *why)
{
    struct expand *expand = NULL;
    unsigned mode = (o->shell ? EXPAND_SHELL : EXPAND_DIRECT) | (o->pipe ? EXPAND_PIPE : 0U);
    if (o->plugin || o->coprocess)
        return ERR_NONE;
    enum error error =
        expand_new(&expand, mode, (const char *const *)words, count, o->replace, why);
    expand_free(&expand);
    return error;
}

static int run_with_options(const struct farm_options *o, const struct options *given)
{
    size_t command = inputs_command_count(given->words);
    const char *why_not = contradiction(o, given->words + command, command);
    struct why why;
    if (!why_not && run_check_command(o, given->words, command, &why))
        why_not = why.text;
    if (why_not) {
        log_line("%s", why_not);
        return 255;
    }
    return o->dry_run ? show(o, given->words, command) : run_start_farm(o, given, command);
}

int run_main(int argc, char **argv)
{
    return cli_main(FARM_RUN, argc, argv, run_with_options);
}
