/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/coprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/words.h"
#include "common/base/xalloc.h"
#include "common/sys/fd.h"
#include "common/sys/shortage.h"
#include "worker/exec/environment.h"
#include "worker/exec/executor_kind.h"
#include "worker/exec/program.h"
#include "worker/exec/start_error.h"

enum {
    COPROCESS_BATCH_MAX = 4096,
    COPROCESS_LINES_MAX = 1 << 16 /* bytes: when so many wait to be written no more are made */
};

static const uint64_t ahead_ns = 2 * NS_PER_MS; /* so much work is written ahead */
static const uint64_t hint_ns = 5 * NS_PER_S;
static const uint64_t ending_ns = 100 * NS_PER_MS;
static const uint64_t linger_look_ns = 500 * NS_PER_MS;

struct coprocess {
    struct executor base; /* first */
    struct words argv;
    char *path;  /* of COMMAND */
    uint8_t end; /* what ends a line */
};

struct coprocess_slot {
    struct executor_slot base; /* first */
    int in, out;               /* our ends of the child's pipes; -1: none */
    bool wrote;                /* it has got something of the tasks that it has */
    bool lingers;          /* it was reaped, and others still hold its output: they may answer */
    bool hinted;           /* users were told why there may be no answer */
    uint64_t closed_ns;    /* when it closed its input or output: as a rule it is ending; NEVER */
    uint64_t until_ns;     /* when its linger ends */
    struct bytes rest;     /* the records of the tasks whose lines were not made */
    struct capture answer; /* the beginning of one that has not ended */
    uint64_t since_ns;     /* when it began with the task that it is at */
    uint64_t mean_ns;      /* what a task took, of late */
};

static struct coprocess_slot *coprocess_slot_of(struct executor_slot *slot)
{
    return (struct coprocess_slot *)slot;
}

static struct coprocess *coprocess_of(const struct coprocess_slot *slot)
{
    return (struct coprocess *)slot->base.executor;
}

static uint64_t coprocess_running(const struct executor_slot *slot, uint64_t *since_ns)
{
    *since_ns = ((const struct coprocess_slot *)slot)->since_ns;
    return slot_batch_next(&slot->batch);
}

/* ---- starting one ---- */

/* Our end does not block, the child's does. */
static int open_pipe(int ends[static 2], int ours)
{
    if (pipe2(ends, O_CLOEXEC))
        return errno;
    return fcntl(ends[ours], F_SETFL, O_NONBLOCK) ? errno : 0;
}

static int coprocess_spawn(struct coprocess_slot *slot)
{
    struct coprocess *coprocess = coprocess_of(slot);
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    int error = open_pipe(in, 1);
    error = error ? error : open_pipe(out, 0);
    struct child_spec spec = {
        .path = coprocess->path,
        .argv = coprocess->argv.items,
        .environment = environment_for_slot(coprocess->base.environment, slot->base.batch.slot + 1),
        .in = in[0],
        .out = out[1],
        .err = STDERR_FILENO,
        .extra = -1,
    };
    error = error ? error : child_start(&slot->base.child, &spec);
    fd_close(&in[0]);
    fd_close(&out[1]);
    slot->in = in[1];
    slot->out = out[0];
    return error;
}

static void coprocess_start(struct executor_slot *base, uint64_t now_ns)
{
    struct coprocess_slot *slot = coprocess_slot_of(base);
    slot->lingers = false;
    slot->closed_ns = NEVER;
    slot->mean_ns = ahead_ns;
    int error = coprocess_spawn(slot);
    if (!error) {
        executor_watch(base, slot->out, EPOLLIN);
        executor_started(base, now_ns);
        return;
    }
    start_error_fail(&base->why, ERR_IO, coprocess_of(slot)->path, error);
    fd_close(&slot->in);
    fd_close(&slot->out);
    executor_start_failed(base, shortage_cause(TRIED_START, error) == CAUSE_PASSES, now_ns);
}

/* ---- tasks in ---- */

/* Makes the line of the next task that has none. Returns false when there can be none: it would be more than one, or
 * the task is cancelled. */
static bool put_line(struct coprocess_slot *slot)
{
    struct task task;
    const struct slot_batch *batch = &slot->base.batch;
    uint8_t end = coprocess_of(slot)->end;
    struct buf *lines = &slot->base.outbox.bytes;
    size_t at = lines->size;
    if (!batch->given)
        slot->rest = batch->assignment.records;
    bool good = !task_take(&slot->rest, &task);
    if (good)
        task_join(task, lines);
    size_t size = lines->size - at;
    good = good && !(size && memchr(lines->data + at, end, size)) &&
           !slot_batch_is_cancelled(batch, batch->assignment.first + batch->given);
    if (good)
        buf_put_byte(lines, end);
    else
        lines->size = at;
    return good;
}

static void refuse_line(struct coprocess_slot *slot)
{
    executor_refuse(&slot->base, RESULT_BAD_TASK, 0,
                    coprocess_of(slot)->end
                        ? "zfarm: a line for the coprocess cannot be made of this task: it has "
                          "more than one; see -0\n"
                        : "zfarm: a record for the coprocess cannot be made of this task: it "
                          "holds a NUL byte\n",
                    (struct bytes){0});
}

/* One that closes its input or output is ending, as a rule, and tells how when it is reaped. */
static void note_closed(struct coprocess_slot *slot, uint64_t now_ns)
{
    if (slot->base.state != EXECUTOR_UP || slot->closed_ns != NEVER)
        return;
    slot->closed_ns = now_ns;
    executor_watch(&slot->base, slot->out, 0);
    if (slot->base.outbox.waits)
        executor_watch(&slot->base, slot->in, 0);
    slot->base.outbox.waits = false;
}

/* How many may be with the child at once: what it does in ahead_ns. */
static uint64_t window(const struct coprocess_slot *slot)
{
    uint64_t most = ahead_ns / (slot->mean_ns ? slot->mean_ns : 1);
    return most ? most : 1;
}

static void write_lines(struct coprocess_slot *slot, uint64_t now_ns)
{
    struct executor_slot *base = &slot->base;
    size_t before = base->outbox.bytes.size - base->outbox.sent;
    int error = executor_send(base, slot->in, 0);
    if (base->outbox.bytes.size - base->outbox.sent < before)
        slot->wrote = true;
    if (!error)
        return;
    executor_drop_outbox(base); /* it reads no more, and may yet answer what it has read */
    if (!slot->wrote)
        base->batch.given = base->batch.done;
    note_closed(slot, now_ns);
}

static bool may_have_more(const struct coprocess_slot *slot)
{
    const struct slot_batch *batch = &slot->base.batch;
    return slot->closed_ns == NEVER && batch->assigned && batch->given < batch->assignment.count &&
           batch->given - batch->done < window(slot) &&
           slot->base.outbox.bytes.size - slot->base.outbox.sent < COPROCESS_LINES_MAX;
}

/* Gives the child as many lines as it may have. One that cannot be given ends when its turn comes. */
static void coprocess_feed(struct executor_slot *base, uint64_t now_ns)
{
    struct coprocess_slot *slot = coprocess_slot_of(base);
    if (slot->lingers)
        return;
    while (may_have_more(slot)) {
        struct bytes before = slot->rest;
        bool idle = !slot_batch_is_running(&base->batch);
        bool good = put_line(slot);
        if (!good && !idle) {
            slot->rest = before;
            break;
        }
        base->batch.given++;
        if (!good)
            refuse_line(slot);
        if (good && idle) {
            slot->since_ns = now_ns;
            slot->wrote = false;
        }
    }
    write_lines(slot, now_ns);
}

/* ---- answers out ---- */

static bool is_nonsense(const struct coprocess_slot *slot)
{
    enum child_kill killed = slot->base.child.killed;
    return killed == CHILD_NONSENSE || killed == CHILD_TOO_MUCH_OUTPUT;
}

/* A child that has ended is not killed for what it left. */
static void stop_child(struct coprocess_slot *slot, enum child_kill reason, uint64_t now_ns)
{
    if (!slot->lingers)
        executor_kill(&slot->base, reason, now_ns);
}

static void refuse_unasked(struct coprocess_slot *slot, uint64_t now_ns)
{
    if (slot->base.state != EXECUTOR_UP || slot->lingers)
        return;
    slot->base.hopeless = true;
    fail(&slot->base.why, ERR_INVALID,
         "%s wrote a line that nobody had asked for: it has to write exactly one for each that "
         "it reads; answers of the tasks before may be those of others",
         coprocess_of(slot)->path);
    executor_kill(&slot->base, CHILD_NONSENSE, now_ns);
}

/* When a task began, and how long it took. */
struct took {
    uint64_t start_us, duration_ns;
};

static void finish_answer(struct coprocess_slot *slot, struct output out, struct took took)
{
    executor_finish(&slot->base, &(struct outcome){.status = RESULT_OK,
                                                   .start_us = took.start_us,
                                                   .duration_ns = took.duration_ns,
                                                   .out = out,
                                                   .err = {.fd = -1}});
}

static void keep_part(struct coprocess_slot *slot, struct bytes bytes, uint64_t now_ns)
{
    struct why why;
    enum capture_state state = CAPTURE_WHOLE;
    if (bytes.size)
        state = capture_add(&slot->answer, &slot->base.executor->children.limits, bytes, &why);
    if (state == CAPTURE_NO_ROOM)
        log_line("the answer of task %llu cannot be kept: %s",
                 (unsigned long long)slot_batch_next(&slot->base.batch), why.text);
    if (state != CAPTURE_WHOLE)
        stop_child(slot, CHILD_TOO_MUCH_OUTPUT, now_ns);
}

/* One answer has come whole: this is its last part, with what ended it. */
static void read_answer(struct coprocess_slot *slot, struct bytes part, struct took took,
                        uint64_t now_ns)
{
    if (slot->answer.size || part.size > slot->base.executor->options->output_max) {
        keep_part(slot, part, now_ns);
        if (slot->base.child.killed == CHILD_TOO_MUCH_OUTPUT)
            return;
        finish_answer(slot, capture_output(&slot->answer), took);
        capture_reset(&slot->answer);
        return;
    }
    finish_answer(slot, (struct output){.bytes = part, .fd = -1, .size = part.size}, took);
}

static size_t count_lines(struct bytes bytes, uint8_t end)
{
    size_t count = 0;
    const uint8_t *at = bytes.data, *last = bytes.data + bytes.size;
    while (at < last && (at = memchr(at, end, (size_t)(last - at)))) {
        count++;
        at++;
    }
    return count;
}

/* The time since the last answer is shared by those that came together. */
static void read_lines(struct coprocess_slot *slot, size_t size, uint64_t now_ns)
{
    uint8_t *at = slot->base.executor->children.chunk, *last = at + size;
    uint8_t line_end = coprocess_of(slot)->end;
    size_t count = count_lines((struct bytes){at, size}, line_end);
    uint64_t each_ns = count ? (now_ns - slot->since_ns) / count : 0;
    struct took took = {clock_realtime_us() - each_ns / NS_PER_US, each_ns};
    for (uint8_t *end; at < last && (end = memchr(at, line_end, (size_t)(last - at)));) {
        if (!slot_batch_is_running(&slot->base.batch)) {
            refuse_unasked(slot, now_ns);
            return;
        }
        *end = '\n';
        read_answer(slot, (struct bytes){at, (size_t)(end + 1 - at)}, took, now_ns);
        at = end + 1;
    }
    keep_part(slot, (struct bytes){at, (size_t)(last - at)}, now_ns);
    if (!count)
        return;
    slot->mean_ns = (3 * slot->mean_ns + each_ns) / 4;
    slot->since_ns = now_ns;
}

/* Reads what the child has written, until less than a chunk comes or, if `all`, nothing; returns false at the end of
 * it. */
static bool read_output(struct coprocess_slot *slot, bool all, uint64_t now_ns)
{
    ssize_t size;
    do {
        size = read(slot->out, slot->base.executor->children.chunk, CHILD_CHUNK);
        if (size > 0)
            read_lines(slot, (size_t)size, now_ns);
    } while ((all ? size > 0 : size == CHILD_CHUNK) && !is_nonsense(slot));
    return size != 0;
}

/* Reads what an ended child and those that hold its output have written so far; returns false at the end of it. */
static bool read_rest(struct coprocess_slot *slot, uint64_t now_ns)
{
    bool goes_on = read_output(slot, true, now_ns);
    if (!goes_on)
        fd_close(&slot->out);
    return goes_on;
}

static void coprocess_ready(struct executor_slot *base, uint32_t events, uint64_t now_ns)
{
    (void)events;
    struct coprocess_slot *slot = coprocess_slot_of(base);
    if (base->state != EXECUTOR_UP)
        return;
    if (!slot->lingers) {
        if (!read_output(slot, false, now_ns))
            note_closed(slot, now_ns);
    } else if (!read_rest(slot, now_ns) || !slot_batch_is_running(&base->batch)) {
        executor_reap(base, now_ns);
    }
}

/* ---- looking, and the end ---- */

static bool may_need_hint(const struct coprocess_slot *slot)
{
    return slot_batch_is_running(&slot->base.batch) && !slot->base.executor->proven &&
           !slot->hinted;
}

static uint64_t coprocess_due(const struct executor_slot *base, uint64_t now_ns)
{
    const struct coprocess_slot *slot = (const struct coprocess_slot *)base;
    if (slot->lingers)
        return clock_earlier(slot->until_ns, now_ns + linger_look_ns);
    uint64_t due_ns = slot->closed_ns == NEVER ? NEVER : slot->closed_ns + ending_ns;
    return may_need_hint(slot) ? clock_earlier(due_ns, slot->since_ns + hint_ns) : due_ns;
}

static void look_at_lingering(struct coprocess_slot *slot, uint64_t now_ns)
{
    if (now_ns >= slot->until_ns)
        executor_reap(&slot->base, now_ns);
    else
        executor_tell_held(&slot->base, child_find_holder(&slot->base.child, slot->out, now_ns));
}

static void coprocess_look(struct executor_slot *base, uint64_t now_ns)
{
    struct coprocess_slot *slot = coprocess_slot_of(base);
    if (slot->lingers) {
        look_at_lingering(slot, now_ns);
    } else if (slot->closed_ns != NEVER && now_ns >= slot->closed_ns + ending_ns) {
        executor_kill(base, CHILD_CLOSED, now_ns);
    } else if (may_need_hint(slot) && now_ns >= slot->since_ns + hint_ns) {
        slot->hinted = true;
        log_line("%s has not answered its first line for %d s: it has to write one line for each "
                 "that it reads, and to flush it (python3 -u, sed -u, stdbuf -oL, gawk and fflush "
                 "(), mawk -W interactive)",
                 coprocess_of(slot)->path, (int)(hint_ns / NS_PER_S));
    }
}

static void coprocess_kill(struct executor_slot *base, enum child_kill reason, uint64_t now_ns)
{
    struct coprocess_slot *slot = coprocess_slot_of(base);
    if (slot->lingers) {
        child_kill_left(&base->child, slot->out, reason, now_ns);
        executor_reap(base, now_ns);
        return;
    }
    executor_watch(base, slot->out, 0);
    fd_close(&slot->in);
    child_kill(&base->child, reason, now_ns);
}

/* What lingers is only of use to a task that it may answer. */
static bool coprocess_exited(struct executor_slot *base, uint64_t now_ns)
{
    struct coprocess_slot *slot = coprocess_slot_of(base);
    uint64_t linger_ns = base->executor->options->linger_ns;
    bool watched = base->state == EXECUTOR_UP && slot->closed_ns == NEVER;
    fd_close(&slot->in);
    executor_drop_outbox(base);
    base->outbox.waits = false;
    slot->lingers = true;
    slot->until_ns = now_ns + linger_ns;
    bool goes_on = !is_nonsense(slot) && read_rest(slot, now_ns);
    return !goes_on || !watched || !slot_batch_is_running(&base->batch) || !linger_ns;
}

/* Ends the task that the dead child was at, if there is one and the death is about it. */
static void charge_task(struct coprocess_slot *slot, uint64_t now_ns)
{
    struct executor_slot *base = &slot->base;
    uint64_t ran_ns = now_ns - slot->since_ns;
    const char *words = "";
    if (!slot_batch_is_running(&base->batch) || executor_is_overtaken(base))
        return;
    struct outcome outcome = {.start_us = clock_realtime_us() - ran_ns / NS_PER_US,
                              .duration_ns = ran_ns,
                              .out = {.fd = -1}};
    executor_set_end(base, &outcome);
    if (outcome.status == RESULT_OUTPUT_TOO_LARGE)
        outcome.out = capture_output(&slot->answer);
    if (base->child.killed == CHILD_CLOSED) {
        outcome.status = RESULT_EXITED;
        outcome.code = 255;
        words = "zfarm: the coprocess closed its output in the middle of this task\n";
    } else if (outcome.status == RESULT_EXITED && !outcome.code) {
        outcome.code = 255;
        words = "zfarm: the coprocess ended with status 0 before it had answered this task\n";
    }
    outcome.err = output_text(words);
    slot_batch_finish(&base->batch, &outcome);
}

/* All that the child said was read. */
static void coprocess_reap(struct executor_slot *base, uint64_t now_ns)
{
    struct coprocess_slot *slot = coprocess_slot_of(base);
    if (slot->out >= 0) {
        executor_watch(base, slot->out, 0);
        child_let_go(&base->child, slot->out);
        slot->out = -1;
    }
    slot->lingers = false;
    if (!base->why.text[0])
        executor_say_end(base, coprocess_of(slot)->path,
                         "before it had answered a task; it has to write one line for each that it "
                         "reads, and to flush it");
    charge_task(slot, now_ns);
    capture_reset(&slot->answer);
    slot_batch_return(&base->batch);
}

static void coprocess_hang_up(struct executor_slot *base)
{
    fd_close(&coprocess_slot_of(base)->in);
}

static void coprocess_put_off(struct executor_slot *base, uint64_t held_ns, uint64_t now_ns)
{
    struct coprocess_slot *slot = coprocess_slot_of(base);
    uint64_t from_ns = slot->since_ns > held_ns ? slot->since_ns : held_ns;
    uint64_t by_ns = now_ns > from_ns ? now_ns - from_ns : 0;
    slot->since_ns += by_ns;
    slot->until_ns += by_ns;
    slot->closed_ns += slot->closed_ns == NEVER ? 0 : by_ns;
}

/* ---- the kind ---- */

/* COMMAND as it is, or sh -c and its words with blanks between. */
static enum error coprocess_make_argv(struct coprocess *coprocess, struct why *why)
{
    const struct executor_options *options = coprocess->base.options;
    if (!options->words || !options->words[0])
        return fail(why, ERR_INVALID,
                    "--coprocess needs a COMMAND, which reads tasks line by line");
    if (!options->shell) {
        words_add_all(&coprocess->argv, options->words);
        return program_find(options->words[0], &coprocess->path, why);
    }
    struct buf line = {0};
    for (char *const *word = options->words; *word; word++) {
        buf_put_text(&line, word == options->words ? "" : " ");
        buf_put_text(&line, *word);
    }
    buf_put_byte(&line, '\0');
    coprocess->path = xstrdup("/bin/sh");
    words_add(&coprocess->argv, "/bin/sh");
    words_add(&coprocess->argv, "-c");
    words_take(&coprocess->argv, (char *)line.data);
    return ERR_NONE;
}

static enum error coprocess_open(struct executor *executor, struct why *why)
{
    struct coprocess *coprocess = (struct coprocess *)executor;
    coprocess->end = executor->options->null ? '\0' : '\n';
    for (unsigned i = 0; i < executor->options->slots; i++) {
        struct coprocess_slot *slot = coprocess_slot_of(executor_slot_at(executor, i));
        slot->in = slot->out = -1;
        capture_init(&slot->answer);
    }
    return coprocess_make_argv(coprocess, why);
}

static void coprocess_close(struct executor *executor)
{
    struct coprocess *coprocess = (struct coprocess *)executor;
    for (unsigned i = 0; i < executor->options->slots; i++) {
        struct coprocess_slot *slot = coprocess_slot_of(executor_slot_at(executor, i));
        fd_close(&slot->out);
        capture_free(&slot->answer);
    }
    words_free(&coprocess->argv);
    free(coprocess->path);
}

const struct executor_kind coprocess_kind = {
    .size = sizeof(struct coprocess),
    .slot_size = sizeof(struct coprocess_slot),
    .batch_max = COPROCESS_BATCH_MAX,
    .stays = true,
    .keeps_trying = true,
    .open = coprocess_open,
    .close = coprocess_close,
    .start = coprocess_start,
    .feed = coprocess_feed,
    .ready = coprocess_ready,
    .running = coprocess_running,
    .look = coprocess_look,
    .due = coprocess_due,
    .kill = coprocess_kill,
    .exited = coprocess_exited,
    .reap = coprocess_reap,
    .hang_up = coprocess_hang_up,
    .put_off = coprocess_put_off,
};
