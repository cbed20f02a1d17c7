/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/command.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/input/expand.h"
#include "common/base/quote.h"
#include "common/sys/shortage.h"
#include "common/sys/tempfile.h"
#include "common/base/xalloc.h"
#include "worker/exec/child.h"
#include "worker/exec/environment.h"
#include "worker/exec/executor_kind.h"
#include "worker/exec/guard.h"
#include "worker/exec/program.h"
#include "worker/exec/start_error.h"
#include "worker/exec/time_limit.h"

static char shell_path[] = "/bin/sh";

enum { STATUS_CANNOT_EXECUTE = 126, STATUS_NOT_FOUND = 127 }; /* as shells have them */
#define WRITTEN_NS NS_PER_S
enum { INPUT_CHUNK = 1 << 20 };

struct command_slot {
    bool busy;
    struct assignment assignment;
    struct child child;
    int status; /* of its process, while it lingers */
};

struct command {
    struct executor executor; /* must be first */
    const struct executor_options *options;
    struct executor_events events;
    struct expand *expand;
    char *path;          /* NULL: each task names its program */
    bool started;        /* something was: what fails later is the task's */
    uint64_t written_ns; /* since when the program is found being written; 0: it is not */
    struct environment *environment;
    struct children children;
    struct time_limit limit;
    struct buf line; /* the last command line that was wanted, or a line for stderr */
    struct command_slot *slots;
};

static const struct executor_class command_class;

static struct command *command_of(const struct executor *executor)
{
    assert(executor->class == &command_class);
    return (struct command *)executor;
}

static bool values_of(const struct assignment *assignment, struct expand_values *values)
{
    struct bytes records = assignment->records;
    *values = (struct expand_values){.seq = assignment->first, .slot = assignment->slot + 1};
    return !task_take(&records, &values->task);
}

static struct bytes command_line(struct command *command, const struct assignment *assignment)
{
    struct expand_values values;
    buf_clear(&command->line);
    if (command->options->want_command && values_of(assignment, &values))
        expand_line(command->expand, &values, &command->line);
    return buf_bytes(&command->line);
}

/* Ends a task that could not be started through its own fault. */
static void finish_unstarted(struct command *command, struct command_slot *slot,
                             enum result_status status, unsigned code, const char *reason)
{
    char *line = xasprintf("zfarm: %s\n", reason);
    struct outcome outcome = {
        .slot = slot->assignment.slot,
        .seq = slot->assignment.first,
        .status = status,
        .code = code,
        .start_us = clock_realtime_us(),
        .out = {.fd = -1},
        .err = {.bytes = bytes_of(line), .fd = -1, .size = strlen(line)},
        .command = command_line(command, &slot->assignment),
    };
    slot->busy = false;
    command->events.finished(command->events.context, &outcome);
    free(line);
}

static void command_give_back(struct command *command, struct command_slot *slot, bool passes,
                              const struct why *why)
{
    const struct executor_events *events = &command->events;
    slot->busy = false;
    events->returned(events->context, slot->assignment.slot, slot->assignment.first, 1);
    if (passes && events->held_up)
        events->held_up(events->context, why->text);
    else
        events->broken(events->context, why->text);
}

static void finish_no_program(struct command *command, struct command_slot *slot, enum error error,
                              const struct why *why)
{
    unsigned code = error == ERR_NOT_FOUND ? STATUS_NOT_FOUND : STATUS_CANNOT_EXECUTE;
    finish_unstarted(command, slot, RESULT_EXITED, code, why->text);
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

static void could_not_start(struct command *command, struct command_slot *slot, const char *program,
                            int error)
{
    struct why why;
    if (error == E2BIG) {
        finish_unstarted(command, slot, RESULT_BAD_TASK, 0,
                         "the task makes an argument list that is too long for this system; --pipe "
                         "gives a task to COMMAND on its standard input");
    } else if (shortage_cause(TRIED_START, error) == CAUSE_TASK &&
               !is_being_written(command, error) &&
               (!command->path || command->started || error == ETXTBSY)) {
        enum error kind = error == ENOENT ? ERR_NOT_FOUND : ERR_ACCESS;
        start_error_fail(&why, kind, program, error);
        finish_no_program(command, slot, kind, &why);
    } else {
        bool passes = error == ETXTBSY || shortage_cause(TRIED_START, error) == CAUSE_PASSES;
        start_error_fail(&why, ERR_IO, program, error);
        command_give_back(command, slot, passes, &why);
    }
}

static enum error command_open_file(const struct command *command, size_t size, int *fd,
                                    struct why *why)
{
    if (size > OUTPUT_MEMORY_MAX)
        return tempfile_open(command->options->tmpdir, fd, why);
    *fd = memfd_create("zfarm-block", MFD_CLOEXEC);
    if (*fd >= 0)
        return ERR_NONE;
    return fail(why, shortage_error(TRIED_FILE, errno), "cannot make a file in memory: %s%s",
                strerror(errno), shortage_advice(errno));
}

/* Makes a file that holds `input`, the task of the assignment, to be read from its start: in memory, or
 * if it is large in --tmpdir. */
static enum error file_of(const struct command *command, const struct assignment *assignment,
                          struct bytes input, int *fd, struct why *why)
{
    enum error error = command_open_file(command, input.size, fd, why);
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

static void command_start_program(struct command *command, struct command_slot *slot,
                                  const char *path, char *const *argv, struct bytes block)
{
    const struct assignment *assignment = &slot->assignment;
    struct child_spec spec = {
        .path = path,
        .argv = argv,
        .environment = environment_for_task(command->environment, assignment->first,
                                            assignment->slot + 1, assignment->tries),
        .in = -1,
        .out = -1,
        .err = -1,
        .extra = -1,
        .timeout_ns = time_limit_ns(&command->limit),
    };
    struct why why;
    enum error unwritten = ERR_NONE;
    if (command->options->pipe)
        unwritten = file_of(command, assignment, block, &spec.in, &why);
    if (unwritten) {
        command_give_back(command, slot, unwritten == ERR_DISK_FULL, &why);
        return;
    }
    int error = child_start(&slot->child, &spec);
    if (spec.in >= 0)
        close(spec.in);
    if (error) {
        could_not_start(command, slot, path, error);
        return;
    }
    command->started = true;
    command->written_ns = 0;
}

static void command_start(struct executor *executor, const struct assignment *assignment,
                          uint64_t now_ns)
{
    (void)now_ns; /* the child takes the time of its own start */
    struct command *command = command_of(executor);
    struct command_slot *slot = &command->slots[assignment->slot];
    assert(!slot->busy && assignment->count == 1);
    slot->busy = true;
    slot->assignment = *assignment;
    struct expand_values values;
    char *const *argv;
    if (!values_of(assignment, &values) || expand_argv(command->expand, &values, &argv)) {
        finish_unstarted(command, slot, RESULT_BAD_TASK, 0,
                         "no command can be made of this task: an argument cannot hold a NUL byte; "
                         "-0 ends tasks with NUL, --pipe gives them on standard input");
        return;
    }
    if (command->path) {
        command_start_program(command, slot, command->path, argv, values.task.body);
        return;
    }
    char *path;
    struct why why;
    enum error error = program_find(argv[0], &path, &why);
    if (error) {
        finish_no_program(command, slot, error, &why);
        return;
    }
    command_start_program(command, slot, path, argv, values.task.body);
    free(path);
}

static void command_cancel(struct executor *executor, unsigned slot, uint64_t seq, uint64_t now_ns)
{
    struct command_slot *at = &command_of(executor)->slots[slot];
    if (at->busy && at->assignment.first == seq)
        child_kill(&at->child, CHILD_CANCELLED, now_ns);
}

static void command_hurry(struct executor *executor)
{
    struct command *command = command_of(executor);
    for (unsigned i = 0; i < command->options->slots; i++)
        child_hurry(&command->slots[i].child);
}

static int command_fd(const struct executor *executor)
{
    return children_fd(&command_of(executor)->children);
}

static uint64_t command_deadline(const struct executor *executor)
{
    const struct command *command = command_of(executor);
    uint64_t deadline_ns = NEVER;
    for (unsigned i = 0; i < command->options->slots; i++)
        if (command->slots[i].child.deadline_ns < deadline_ns)
            deadline_ns = command->slots[i].child.deadline_ns;
    return deadline_ns;
}

static void command_set_status(struct outcome *outcome, const struct ok_exit *ok,
                               enum child_kill killed, int status)
{
    if (killed == CHILD_TIMED_OUT) {
        outcome->status = RESULT_TIMED_OUT;
    } else if (killed == CHILD_TOO_MUCH_OUTPUT) {
        outcome->status = RESULT_OUTPUT_TOO_LARGE;
    } else if (WIFSIGNALED(status)) {
        outcome->status = RESULT_SIGNALED;
        outcome->code = (unsigned)WTERMSIG(status);
    } else {
        outcome->code = (unsigned)WEXITSTATUS(status);
        outcome->status = ok_exit_has(ok, outcome->code) ? RESULT_OK : RESULT_EXITED;
    }
}

/* What runs has the new limit as well, if there is one. */
static void note_run_time(struct command *command, uint64_t duration_ns)
{
    if (!time_limit_note(&command->limit, duration_ns))
        return;
    for (unsigned i = 0; i < command->options->slots; i++)
        child_limit(&command->slots[i].child, time_limit_ns(&command->limit));
}

static void command_finish(struct command *command, struct command_slot *slot)
{
    struct child *child = &slot->child;
    struct outcome outcome = {
        .slot = slot->assignment.slot,
        .seq = slot->assignment.first,
        .start_us = child->start_us,
        .duration_ns = child->duration_ns,
        .own_end = !child->killed,
        .out = capture_take(&child->out.capture),
        .err = capture_take(&child->err.capture),
        .command = command_line(command, &slot->assignment),
        .cut = child->cut,
        .cut_by = child->holder.pid,
    };
    command_set_status(&outcome, &command->options->ok_exit, child->killed, slot->status);
    slot->busy = false;
    if (outcome.status == RESULT_OK)
        note_run_time(command, outcome.duration_ns);
    command->events.finished(command->events.context, &outcome);
}

static void command_ended(struct command *command, struct command_slot *slot)
{
    if (slot->child.killed == CHILD_CANCELLED) {
        slot->busy = false;
        command->events.cancelled(command->events.context, slot->assignment.slot,
                                  slot->assignment.first);
    } else {
        command_finish(command, slot);
    }
    child_forget(&slot->child);
}

static struct command_slot *slot_of(struct command *command, pid_t pid)
{
    for (unsigned i = 0; i < command->options->slots; i++)
        if (command->slots[i].child.pid == pid)
            return &command->slots[i];
    return NULL;
}

static void command_child_stopped(struct executor *executor, pid_t pid, bool stopped)
{
    struct command *command = command_of(executor);
    struct command_slot *slot = slot_of(command, pid);
    if (slot && child_note_stopped(&slot->child, stopped))
        executor_tell_stopped(&command->events, slot->assignment.slot, stopped);
}

static bool command_child_exited(struct executor *executor, pid_t pid, int status, uint64_t now_ns)
{
    struct command *command = command_of(executor);
    struct command_slot *slot = slot_of(command, pid);
    if (!slot)
        return false;
    slot->status = status;
    command_child_stopped(executor, pid, false);
    if (child_exited(&slot->child, now_ns))
        command_ended(command, slot);
    return true;
}

static void command_look(struct command *command, struct command_slot *slot, uint64_t now_ns)
{
    struct child *child = &slot->child;
    enum child_news news = child_turn(child, now_ns);
    if (news == CHILD_ENDED)
        command_ended(command, slot);
    else if (news == CHILD_HELD)
        executor_tell_held(&command->events, slot->assignment.slot, child->holder.pid,
                           child->holder.name);
}

static void command_turn(struct executor *executor, uint64_t now_ns)
{
    struct command *command = command_of(executor);
    children_turn(&command->children);
    for (unsigned i = 0; i < command->options->slots; i++)
        command_look(command, &command->slots[i], now_ns);
}

static void command_hold(struct executor *executor, uint64_t now_ns)
{
    children_hold(&command_of(executor)->children, now_ns);
}

static void command_go(struct executor *executor, uint64_t now_ns)
{
    children_go(&command_of(executor)->children, now_ns);
}

static uint64_t command_running(const struct executor *executor, unsigned slot, uint64_t *since_ns)
{
    const struct command_slot *at = &command_of(executor)->slots[slot];
    if (!at->busy)
        return 0;
    *since_ns = at->child.started_ns;
    return at->assignment.first;
}

static void command_destroy(struct executor **executor)
{
    struct executor *handle = *executor;
    *executor = NULL;
    if (!handle)
        return;
    struct command *command = command_of(handle);
    for (unsigned i = 0; i < command->options->slots; i++)
        child_abandon(&command->slots[i].child);
    children_close(&command->children);
    environment_free(&command->environment);
    expand_free(&command->expand);
    buf_free(&command->line);
    free(command->path);
    free(command->slots);
    free(command);
}

static const struct executor_class command_class = {
    .batch_max = 1,
    .start = command_start,
    .cancel = command_cancel,
    .hurry = command_hurry,
    .fd = command_fd,
    .turn = command_turn,
    .deadline = command_deadline,
    .child_exited = command_child_exited,
    .child_stopped = command_child_stopped,
    .hold = command_hold,
    .go = command_go,
    .running = command_running,
    .destroy = command_destroy,
};

/* A whole command line in one word is what a person means who comes from GNU parallel. */
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

static enum error open_parts(struct command *command, const struct executor_options *options,
                             struct why *why)
{
    size_t count = 0;
    while (options->words[count])
        count++;
    unsigned mode =
        (options->shell ? EXPAND_SHELL : EXPAND_DIRECT) | (options->pipe ? EXPAND_PIPE : 0U);
    enum error error = expand_new(&command->expand, mode, (const char *const *)options->words,
                                  count, options->replacement, why);
    if (!error)
        error = find_command(command, options, why);
    if (!error)
        error = children_open(&command->children, options, options->guard, why);
    return error;
}

static enum error command_make(const struct executor_options *options,
                               const struct executor_events *events, struct executor **executor,
                               struct why *why)
{
    struct command *command = xcalloc(1, sizeof *command);
    enum error error = open_parts(command, options, why);
    if (error) {
        expand_free(&command->expand);
        free(command->path);
        free(command);
        return error;
    }
    command->executor.class = &command_class;
    command->options = options;
    command->limit.timeout = options->timeout;
    command->events = *events;
    const char *mark = options->guard ? guard_mark(options->guard) : NULL;
    command->environment = environment_new(options->worker, mark);
    command->slots = xcalloc(options->slots, sizeof *command->slots);
    for (unsigned i = 0; i < options->slots; i++)
        child_init(&command->slots[i].child, &command->children);
    *executor = &command->executor;
    return ERR_NONE;
}

const struct executor_kind command_kind = {.make = command_make};
