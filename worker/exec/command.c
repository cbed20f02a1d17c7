/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/input/expand.h"
#include "common/base/quote.h"
#include "common/sys/shortage.h"
#include "common/sys/tempfile.h"
#include "common/base/xalloc.h"
#include "worker/exec/environment.h"
#include "worker/exec/executor_kind.h"
#include "worker/exec/program.h"
#include "worker/exec/start_error.h"

static char shell_path[] = "/bin/sh";

enum { STATUS_CANNOT_EXECUTE = 126, STATUS_NOT_FOUND = 127 }; /* as shells have them */
#define WRITTEN_NS NS_PER_S
enum { INPUT_CHUNK = 1 << 20 };

struct command {
    struct executor base; /* first */
    struct expand *expand;
    char *path;          /* NULL: each task names its program */
    bool started;        /* something was: what fails later is the task's */
    uint64_t written_ns; /* since when the program is found being written; 0: it is not */
    struct buf line;     /* the last command line that was wanted, or a line for stderr */
};

static struct command *command_of(const struct executor_slot *slot)
{
    return (struct command *)slot->executor;
}

static bool values_of(const struct assignment *assignment, struct expand_values *values)
{
    struct bytes records = assignment->records;
    *values = (struct expand_values){.seq = assignment->first, .slot = assignment->slot + 1};
    return !task_take(&records, &values->task);
}

static struct bytes command_line(struct executor_slot *slot)
{
    struct command *command = command_of(slot);
    struct expand_values values;
    buf_clear(&command->line);
    if (command->base.options->want_command && values_of(&slot->batch.assignment, &values))
        expand_line(command->expand, &values, &command->line);
    return buf_bytes(&command->line);
}

/* Ends a task that could not be started through its own fault. */
static void refuse_task(struct executor_slot *slot, enum result_status status, unsigned code,
                        const char *reason)
{
    char *line = xasprintf("zfarm: %s\n", reason);
    executor_refuse(slot, status, code, line, command_line(slot));
    free(line);
}

static void refuse_program(struct executor_slot *slot, enum error error, const struct why *why)
{
    unsigned code = error == ERR_NOT_FOUND ? STATUS_NOT_FOUND : STATUS_CANNOT_EXECUTE;
    refuse_task(slot, RESULT_EXITED, code, why->text);
}

/* A program that is being written is tried again for a moment. */
static bool is_being_written(struct command *command, int error)
{
    uint64_t now_ns = clock_now_ns();
    if (error != ETXTBSY)
        return false;
    if (!command->written_ns)
        command->written_ns = now_ns;
    return now_ns < command->written_ns + WRITTEN_NS;
}

static void could_not_start(struct executor_slot *slot, const char *program, int error,
                            uint64_t now_ns)
{
    struct command *command = command_of(slot);
    enum cause cause = shortage_cause(TRIED_START, error);
    if (error == E2BIG) {
        refuse_task(slot, RESULT_BAD_TASK, 0,
                    "the task makes an argument list that is too long for this system; --pipe "
                    "gives a task to COMMAND on its standard input");
    } else if (cause == CAUSE_TASK && !is_being_written(command, error) &&
               (!command->path || command->started || error == ETXTBSY)) {
        struct why why;
        enum error kind = error == ENOENT ? ERR_NOT_FOUND : ERR_ACCESS;
        start_error_fail(&why, kind, program, error);
        refuse_program(slot, kind, &why);
    } else {
        start_error_fail(&slot->why, ERR_IO, program, error);
        executor_start_failed(slot, error == ETXTBSY || cause == CAUSE_PASSES, now_ns);
    }
}

static enum error command_open_file(const char *tmpdir, size_t size, int *fd, struct why *why)
{
    if (size > OUTPUT_MEMORY_MAX)
        return tempfile_open(tmpdir, fd, why);
    *fd = memfd_create("zfarm-block", MFD_CLOEXEC);
    if (*fd >= 0)
        return ERR_NONE;
    return fail(why, shortage_error(TRIED_FILE, errno), "cannot make a file in memory: %s%s",
                strerror(errno), shortage_advice(errno));
}

/* Makes a file that holds `input`, the task of the assignment, to be read from its start: in memory, or
 * if it is large in --tmpdir. */
static enum error file_of(struct executor_slot *slot, struct bytes input, int *fd)
{
    const struct assignment *assignment = &slot->batch.assignment;
    struct why *why = &slot->why;
    enum error error = command_open_file(slot->executor->options->tmpdir, input.size, fd, why);
    if (error)
        return error;
    for (size_t at = 0, size; at < input.size && !error; at += size) {
        size = input.size - at < INPUT_CHUNK ? input.size - at : INPUT_CHUNK;
        struct bytes chunk = {input.data + at, size};
        error = tempfile_write(*fd, chunk, at, why);
        if (assignment->block)
            block_cool(assignment->block, chunk);
    }
    if (error)
        close(*fd);
    return error;
}

static void command_start_program(struct executor_slot *slot, const char *path, char *const *argv,
                                  struct bytes block, uint64_t now_ns)
{
    struct command *command = command_of(slot);
    const struct assignment *assignment = &slot->batch.assignment;
    struct child_spec spec = {
        .path = path,
        .argv = argv,
        .environment = environment_for_task(command->base.environment, assignment->first,
                                            assignment->slot + 1, assignment->tries),
        .in = -1,
        .out = -1,
        .err = -1,
        .extra = -1,
    };
    enum error unwritten = ERR_NONE;
    if (command->base.options->pipe)
        unwritten = file_of(slot, block, &spec.in);
    if (unwritten) {
        executor_start_failed(slot, unwritten == ERR_DISK_FULL, now_ns);
        return;
    }
    int error = child_start(&slot->child, &spec);
    if (spec.in >= 0)
        close(spec.in);
    if (error) {
        could_not_start(slot, path, error, now_ns);
        return;
    }
    command->started = true;
    command->written_ns = 0;
    executor_started(slot, now_ns);
}

static void command_start(struct executor_slot *slot, uint64_t now_ns)
{
    struct command *command = command_of(slot);
    struct expand_values values;
    char *const *argv;
    if (!values_of(&slot->batch.assignment, &values) ||
        expand_argv(command->expand, &values, &argv)) {
        refuse_task(slot, RESULT_BAD_TASK, 0,
                    "no command can be made of this task: an argument cannot hold a NUL byte; "
                    "-0 ends tasks with NUL, --pipe gives them on standard input");
        return;
    }
    if (command->path) {
        command_start_program(slot, command->path, argv, values.task.body, now_ns);
        return;
    }
    char *path;
    struct why why;
    enum error error = program_find(argv[0], &path, &why);
    if (error) {
        refuse_program(slot, error, &why);
        return;
    }
    command_start_program(slot, path, argv, values.task.body, now_ns);
    free(path);
}

static void command_reap(struct executor_slot *slot, uint64_t now_ns)
{
    (void)now_ns;
    struct outcome outcome = executor_captured(slot);
    outcome.command = command_line(slot);
    executor_finish(slot, &outcome);
}

/* A whole command line in one word is a habit from GNU parallel. */
static enum error explain_one_word(const char *word, struct why *why)
{
    struct buf quoted = {0};
    shell_quote(&quoted, bytes_of(word));
    bool only_blanks = !word[strcspn(word, "|&;<>()$`\\\"'*?[]#~!\n")];
    enum error error =
        fail(why, ERR_INVALID, "%.*s is one word and no program; write: zfarm run --shell %.*s%s%s",
             (int)quoted.size, (char *)quoted.data, (int)quoted.size, (char *)quoted.data,
             only_blanks ? " or zfarm run " : "", only_blanks ? word : "");
    buf_free(&quoted);
    return error;
}

/* Sets `path`, unless each task is to name its program. */
static enum error find_command(struct command *command, const struct executor_options *options,
                               struct why *why)
{
    if (options->shell) {
        command->path = xstrdup(shell_path);
        return ERR_NONE;
    }
    const char *word = options->words[0];
    bool varies = expand_program_varies(command->expand);
    bool line = !options->words[1] && word[strcspn(word, " \t\n|&;<>()$`\\\"'*?[]#~!")];
    if (varies && !line)
        return ERR_NONE;
    enum error error = program_find(word, &command->path, why);
    if (error == ERR_NOT_FOUND && line)
        return explain_one_word(word, why);
    return error;
}

static enum error command_open(struct executor *executor, struct why *why)
{
    struct command *command = (struct command *)executor;
    const struct executor_options *options = executor->options;
    size_t count = 0;
    while (options->words[count])
        count++;
    unsigned mode =
        (options->shell ? EXPAND_SHELL : EXPAND_DIRECT) | (options->pipe ? EXPAND_PIPE : 0U);
    enum error error = expand_new(&command->expand, mode, (const char *const *)options->words,
                                  count, options->replacement, why);
    return error ? error : find_command(command, options, why);
}

static void command_close(struct executor *executor)
{
    struct command *command = (struct command *)executor;
    expand_free(&command->expand);
    buf_free(&command->line);
    free(command->path);
}

const struct executor_kind command_kind = {
    .size = sizeof(struct command),
    .slot_size = sizeof(struct executor_slot),
    .batch_max = 1,
    .open = command_open,
    .close = command_close,
    .start = command_start,
    .reap = command_reap,
};
