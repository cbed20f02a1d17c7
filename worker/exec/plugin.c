/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/plugin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "common/sys/shortage.h"
#include "common/wire/wire.h"
#include "worker/exec/environment.h"
#include "worker/exec/executor_kind.h"
#include "worker/exec/plugin_child.h"
#include "worker/exec/plugin_host.h"

/* Design notes.
 *
 * A slot's child and a slot's assignment have lives of their own. An assignment is sent once the child waits for one.
 * The last result may be read from the area before the child's DONE has come, and then the next assignment waits for
 * that; and one that is not sent yet outlives a child that dies.
 *
 * Results lie in the area until the child has something to say, usually DONE. So that those before
 * a long task do not wait for it, a slot with a batch is looked at every LOOK_EVERY_MS; a batch is
 * meant to be a millisecond of work, so most are never looked at. What stands behind a task that
 * has run for so long is taken back, since another slot or worker may be free for it. */

enum { BATCH_MAX = 4096, LOADED_WITHIN_MS = 10000, LOOK_EVERY_MS = 50 };

struct plugin {
    struct executor base; /* first */
    char **argv;          /* plugin_host.h; the slot's number is filled in at a start */
};

struct plugin_slot {
    struct executor_slot base; /* first */
    struct plugin_child link;
    bool ready;              /* zfarm_init has returned */
    bool busy;               /* the child has a batch, and has not said DONE */
    bool stopped;            /* what stands behind the task it was at was taken back */
    uint64_t wants;          /* enum result_want: what the child puts into results */
    uint64_t wall_offset_us; /* from the monotonic clock to the time since 1970 */
    uint64_t
        put_off_for; /* the task that it was at when it was held last, and for how long in all */
    uint64_t put_off_ns;
};

static struct plugin_slot *plugin_slot_of(struct executor_slot *slot)
{
    return (struct plugin_slot *)slot;
}

static struct plugin *plugin_of(const struct plugin_slot *slot)
{
    return (struct plugin *)slot->base.executor;
}

static uint64_t plugin_running(const struct executor_slot *base, uint64_t *since_ns)
{
    const struct plugin_slot *slot = (const struct plugin_slot *)base;
    const struct slot_batch *batch = &base->batch;
    uint64_t at = plugin_child_at(&slot->link, since_ns), next = slot_batch_next(batch);
    if (at < next || at - next >= slot_batch_left(batch))
        return 0;
    *since_ns += at == slot->put_off_for ? slot->put_off_ns : 0;
    return at;
}

/* ---- starting one ---- */

static int plugin_spawn(struct plugin_slot *slot)
{
    struct plugin *plugin = plugin_of(slot);
    unsigned number = slot->base.batch.slot + 1;
    char text[16];
    int area, link;
    snprintf(text, sizeof text, "%u", number);
    plugin->argv[PLUGIN_HOST_SLOT] = text;
    int error = plugin_child_open(&slot->link, &area, &link);
    if (error)
        return error;
    struct child_spec spec = {.path = plugin->base.options->program,
                              .argv = plugin->argv,
                              .environment = environment_for_slot(plugin->base.environment, number),
                              .in = area,
                              .out = STDERR_FILENO,
                              .err = STDERR_FILENO,
                              .extra = link};
    error = child_start(&slot->base.child, &spec);
    close(link);
    close(area);
    if (error)
        plugin_child_close(&slot->link);
    return error;
}

static void plugin_start(struct executor_slot *base, uint64_t now_ns)
{
    struct plugin_slot *slot = plugin_slot_of(base);
    slot->ready = slot->busy = false;
    int error = plugin_spawn(slot);
    if (!error) {
        executor_watch(base, slot->link.link, EPOLLIN); /* it has started when it says READY */
        return;
    }
    fail(&base->why, ERR_IO, "cannot start a process for the plugin: %s%s", strerror(error),
         shortage_advice(error));
    executor_start_failed(base, shortage_cause(TRIED_START, error) == CAUSE_PASSES, now_ns);
}

/* ---- tasks in ---- */

static void send_order(struct plugin_slot *slot, const struct plugin_order *order,
                       struct bytes records)
{
    struct slot_outbox *outbox = &slot->base.outbox;
    plugin_child_prepare(&slot->link, order->kind);
    buf_put(&outbox->bytes, order, sizeof *order);
    outbox->behind = records;
    executor_send(&slot->base, slot->link.link,
                  EPOLLIN); /* the end of a child is noticed otherwise */
}

static void order_to_go_on(struct plugin_slot *slot)
{
    send_order(slot, &(struct plugin_order){.kind = PLUGIN_GO_ON}, (struct bytes){0});
}

static void plugin_feed(struct executor_slot *base, uint64_t now_ns)
{
    (void)now_ns;
    struct plugin_slot *slot = plugin_slot_of(base);
    const struct assignment *assignment = &base->batch.assignment;
    if (slot->busy || !base->batch.assigned)
        return;
    struct plugin_order order = {.kind = PLUGIN_BATCH,
                                 .count = assignment->count,
                                 .first = assignment->first,
                                 .size = assignment->records.size,
                                 .tries = assignment->tries,
                                 .last = assignment->last,
                                 .wants = assignment->wants & ~(uint64_t)WANT_COMMAND};
    order.wall_offset_us = clock_realtime_us() - clock_now_ns() / NS_PER_US;
    if (base->executor->options->timeout.percent)
        order.wants |= WANT_TIMES; /* for ourselves */
    slot->busy = true;
    slot->stopped = false;
    slot->wall_offset_us = order.wall_offset_us;
    slot->wants = order.wants;
    base->batch.given = assignment->count;
    send_order(slot, &order, assignment->records);
}

/* ---- results out ---- */

/* What a record of the child may say. */
static bool record_is_sound(const struct plugin_slot *slot, const struct result *r)
{
    bool ok = r->status == RESULT_OK;
    uint64_t most = slot->base.executor->options->output_max;
    return (ok || r->status == RESULT_EXITED || r->status == RESULT_OUTPUT_TOO_LARGE) &&
           r->final == (ok || slot->base.batch.assignment.last) && r->out.size <= most &&
           r->err.size <= most && !r->command.size;
}

static void finish_run(struct plugin_slot *slot, struct outcome_run *run)
{
    struct slot_batch *batch = &slot->base.batch;
    struct outcome outcome;
    if (!run->count)
        return;
    executor_prove(&slot->base);
    if (!batch->cancelled.members) {
        slot_batch_finish_run(batch, run);
    } else {
        run->slot = batch->slot;
        while (outcome_run_next(run, &outcome))
            slot_batch_finish(batch, &outcome);
    }
    const uint8_t *behind = run->records.data + run->records.size;
    *run = (struct outcome_run){.wants = slot->wants, .records = {behind, 0}};
}

/* Reads what the child has finished, in runs of what can be told and sent together. False when the
 * area holds nonsense. */
static bool read_area(struct plugin_slot *slot)
{
    struct slot_batch *batch = &slot->base.batch;
    struct bytes rest;
    if (!plugin_child_read(&slot->link, &rest))
        return false;
    if (!rest.size)
        return true;
    if (!slot_batch_is_running(batch) || executor_is_sending(&slot->base))
        return false;
    uint32_t left = slot_batch_left(batch);
    struct outcome_run run = {.wants = slot->wants,
                              .records = {rest.data, 0},
                              .duration_ns = plugin_child_more_busy_ns(&slot->link)};
    while (rest.size) {
        struct result r;
        if (left-- == 0 || result_take(&rest, &r) || !record_is_sound(slot, &r)) {
            finish_run(slot, &run);
            return false;
        }
        if (run.count && run.final != r.final)
            finish_run(slot, &run);
        run.final = r.final;
        run.failed += r.status != RESULT_OK;
        run.count++;
        run.records.size = (size_t)(rest.data - run.records.data);
        if (r.status == RESULT_OK)
            executor_note_time(slot->base.executor, r.duration_ns);
        if (run.records.size >= BATCH_BYTES_MAX)
            finish_run(slot, &run);
    }
    finish_run(slot, &run);
    return true;
}

static void finish_large(struct plugin_slot *slot)
{
    struct plugin_child *link = &slot->link;
    const struct plugin_result *result = &link->large;
    bool too_large = result->too_large || link->kept != CAPTURE_WHOLE;
    if (link->kept == CAPTURE_NO_ROOM) {
        struct buf line = {0};
        buf_printf(&line, "zfarm: this task's output could not be kept: %s\n", link->words.text);
        capture_note(&link->err, buf_bytes(&line));
        buf_free(&line);
    }
    struct outcome outcome = {.status = too_large      ? RESULT_OUTPUT_TOO_LARGE
                                        : result->code ? RESULT_EXITED
                                                       : RESULT_OK,
                              .code = too_large ? 0 : result->code,
                              .duration_ns = plugin_child_more_busy_ns(link),
                              .out = capture_output(&link->out),
                              .err = capture_output(&link->err)};
    if (result->start_ns) {
        outcome.start_us = result->start_ns / NS_PER_US + slot->wall_offset_us;
        outcome.duration_ns = result->duration_ns;
    }
    executor_finish(&slot->base, &outcome);
    capture_reset(&link->out);
    capture_reset(&link->err);
}

/* ---- what the child says ---- */

static void kill_for_nonsense(struct plugin_slot *slot, uint64_t now_ns)
{
    executor_kill(&slot->base, CHILD_NONSENSE, now_ns);
}

static void decode_starting(struct plugin_slot *slot, enum plugin_report_kind kind, uint64_t now_ns)
{
    struct executor_slot *base = &slot->base;
    base->hopeless = kind == PLUGIN_UNUSABLE; /* it would not become usable */
    slot->ready = kind == PLUGIN_READY;
    if (kind == PLUGIN_READY)
        executor_started(base, now_ns);
    else if (kind == PLUGIN_UNUSABLE || kind == PLUGIN_NOT_READY)
        base->why = slot->link.words; /* it ends by itself */
    else if (kind != PLUGIN_LOADED)
        kill_for_nonsense(slot, now_ns);
}

static void decode_busy(struct plugin_slot *slot, enum plugin_report_kind kind, uint64_t now_ns)
{
    struct slot_batch *batch = &slot->base.batch;
    bool sound = read_area(slot);
    if (sound && kind == PLUGIN_DONE && slot->stopped && slot_batch_is_running(batch))
        slot_batch_return(batch); /* it came to a task just before that was taken back */
    if (sound && kind == PLUGIN_DONE && !slot_batch_is_running(batch)) {
        slot->busy = false;
    } else if (sound && kind == PLUGIN_FULL && slot_batch_is_running(batch)) {
        order_to_go_on(slot);
    } else if (sound && kind == PLUGIN_LARGE && slot_batch_is_running(batch)) {
        finish_large(slot);
        order_to_go_on(slot);
    } else {
        kill_for_nonsense(slot, now_ns);
    }
}

/* Reads one report of the child. False when there is none, or no more is read. */
static bool read_report(struct plugin_slot *slot, uint64_t now_ns)
{
    enum plugin_report_kind kind = plugin_child_receive(&slot->link);
    if (kind == PLUGIN_NOTHING)
        return false;
    if (kind == PLUGIN_CLOSED) {
        /* It has ended or will never say anything again; how it ended is known when it is reaped. */
        executor_watch(&slot->base, slot->link.link, 0);
        child_kill_now(&slot->base.child, CHILD_NOT_KILLED, now_ns);
        return false;
    }
    if (slot->base.state == EXECUTOR_STARTING)
        decode_starting(slot, kind, now_ns);
    else if (slot->busy && !executor_is_sending(&slot->base))
        decode_busy(slot, kind, now_ns);
    else
        kill_for_nonsense(slot, now_ns);
    return slot->base.state != EXECUTOR_KILLED;
}

static void plugin_ready(struct executor_slot *base, uint32_t events, uint64_t now_ns)
{
    struct plugin_slot *slot = plugin_slot_of(base);
    if (events & EPOLLOUT)
        executor_send(base, slot->link.link, EPOLLIN);
    if (events & ~(uint32_t)EPOLLOUT)
        read_report(slot, now_ns);
}

/* ---- looking, and the end ---- */

/* Where the child is it does not tell, so it is looked up. */
static uint64_t plugin_due(const struct executor_slot *base, uint64_t now_ns)
{
    const struct slot_batch *batch = &base->batch;
    uint64_t since_ns;
    if (!slot_batch_is_running(batch))
        return NEVER;
    bool may_wait = slot_batch_left(batch) == 1 && !batch->cancelled.members &&
                    (!time_limit_ns(&base->executor->limit) ||
                     plugin_running(base, &since_ns) == slot_batch_next(batch));
    return may_wait ? NEVER : now_ns + LOOK_EVERY_MS * NS_PER_MS;
}

static void plugin_look(struct executor_slot *base, uint64_t now_ns)
{
    struct plugin_slot *slot = plugin_slot_of(base);
    uint64_t since_ns;
    /* First where it is and then what is finished: so all that is before `at` is there. */
    uint64_t at = plugin_child_at(&slot->link, &since_ns);
    bool sound = read_area(slot);
    if (!sound || (slot_batch_is_running(&base->batch) && at > slot_batch_next(&base->batch)))
        kill_for_nonsense(slot, now_ns);
}

/* Takes back what stands behind the task `at` that the child is at. */
static void plugin_return_behind(struct executor_slot *base, uint64_t at)
{
    struct plugin_slot *slot = plugin_slot_of(base);
    struct slot_batch *batch = &base->batch;
    if (slot_batch_left(batch) == 1)
        return;
    slot->stopped = true;
    uint64_t last = plugin_child_stop_at(&slot->link, at + 1);
    if (last >= at && last - slot_batch_next(batch) < slot_batch_left(batch))
        slot_batch_return_behind(batch, last);
}

static void plugin_kill(struct executor_slot *base, enum child_kill reason, uint64_t now_ns)
{
    executor_watch(base, plugin_slot_of(base)->link.link, 0);
    child_kill_now(&base->child, reason, now_ns);
}

static bool plugin_exited(struct executor_slot *base, uint64_t now_ns)
{
    while (base->state != EXECUTOR_KILLED && read_report(plugin_slot_of(base), now_ns))
        ;
    return true;
}

/* Ends the task that the dead child was at, if there is one and the child's death is its own. */
static void charge_plugin(struct plugin_slot *slot, bool nonsense, uint64_t now_ns)
{
    struct executor_slot *base = &slot->base;
    uint64_t next = slot_batch_next(&base->batch), since_ns = 0;
    uint64_t at = plugin_child_at(&slot->link, &since_ns);
    /* It went on to another task between our look and our signal: this one can run again. */
    if (!slot_batch_is_running(&base->batch) ||
        (!nonsense && (at != next || executor_is_overtaken(base))))
        return;
    since_ns = at == next ? clock_earlier(since_ns, now_ns) : now_ns;
    struct outcome outcome = {.start_us = since_ns / NS_PER_US + slot->wall_offset_us,
                              .duration_ns = now_ns - since_ns,
                              .out = {.fd = -1}};
    const char *words = "";
    executor_set_end(base, &outcome);
    if (nonsense) {
        outcome.status = RESULT_SIGNALED;
        outcome.code = SIGKILL;
        outcome.own_end = false;
        words = "zfarm: the plugin was killed in or after this task, because it wrote over the "
                "worker's memory or descriptors\n";
    } else if (outcome.status == RESULT_EXITED && !outcome.code) {
        outcome.code = 255;
        words = "zfarm: the plugin ended its process with status 0 in the middle of this task\n";
    }
    outcome.err = output_text(words);
    executor_finish(base, &outcome);
}

static void plugin_reap(struct executor_slot *base, uint64_t now_ns)
{
    struct plugin_slot *slot = plugin_slot_of(base);
    bool nonsense = base->child.killed == CHILD_NONSENSE || !read_area(slot);
    if (!base->why.text[0]) { /* else the child has said it */
        char *subject = xasprintf("the plugin %s", plugin_of(slot)->argv[PLUGIN_HOST_FILE]);
        executor_say_end(base, subject,
                         slot->ready ? "before it had ended a task"
                                     : "while it was loaded or in its zfarm_init");
        free(subject);
    }
    charge_plugin(slot, nonsense, now_ns);
    plugin_child_close(&slot->link);
    if (slot_batch_is_running(&base->batch))
        slot_batch_return(&base->batch);
}

/* An idle child calls zfarm_destroy when its link is closed; the others are in the plugin's hands. */
static void plugin_hang_up(struct executor_slot *base)
{
    struct plugin_slot *slot = plugin_slot_of(base);
    if (base->state == EXECUTOR_UP && !slot->busy)
        plugin_child_hang_up(&slot->link);
    else
        child_kill_now(&base->child, CHILD_CANCELLED, clock_now_ns());
}

static void plugin_put_off(struct executor_slot *base, uint64_t held_ns, uint64_t now_ns)
{
    struct plugin_slot *slot = plugin_slot_of(base);
    uint64_t since_ns = 0;
    uint64_t at = slot_batch_is_running(&base->batch) ? plugin_running(base, &since_ns) : 0;
    if (!at)
        return;
    if (at != slot->put_off_for)
        slot->put_off_ns = 0;
    slot->put_off_for = at;
    slot->put_off_ns += now_ns > since_ns ? now_ns - (since_ns > held_ns ? since_ns : held_ns) : 0;
}

/* ---- the kind ---- */

/* The command line of a child; the slot's number is filled in when it is started. */
static char **plugin_make_argv(const struct executor_options *options)
{
    size_t args = 0;
    while (options->words && options->words[args])
        args++;
    char **argv = xcalloc(PLUGIN_HOST_ARGS + args + 1, sizeof *argv);
    argv[0] = (char *)(uintptr_t)options->program;
    argv[PLUGIN_HOST_FLAG_AT] = (char *)(uintptr_t)PLUGIN_HOST_FLAG;
    argv[PLUGIN_HOST_OUTPUT_MAX] = xasprintf("%llu", (unsigned long long)options->output_max);
    argv[PLUGIN_HOST_FILE] =
        xasprintf("%s%s", strchr(options->plugin, '/') ? "" : "./", options->plugin);
    for (size_t i = 0; i < args; i++)
        argv[PLUGIN_HOST_ARGS + i] = options->words[i];
    return argv;
}

static enum error plugin_open(struct executor *executor, struct why *why)
{
    (void)why;
    ((struct plugin *)executor)->argv = plugin_make_argv(executor->options);
    for (unsigned i = 0; i < executor->options->slots; i++)
        plugin_child_init(&plugin_slot_of(executor_slot_at(executor, i))->link,
                          &executor->children.limits);
    return ERR_NONE;
}

/* Takes the reports of a child that was just started, until it has loaded the plugin. */
static enum error wait_until_loaded(struct plugin_child *child, const char *file, struct why *why)
{
    uint64_t until_ns = clock_now_ns() + LOADED_WITHIN_MS * NS_PER_MS;
    enum plugin_report_kind kind;
    while ((kind = plugin_child_receive(child)) == PLUGIN_NOTHING) {
        struct pollfd link = {.fd = child->link, .events = POLLIN};
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= until_ns)
            return fail(why, ERR_IO, "the plugin %s was not loaded within %d s", file,
                        LOADED_WITHIN_MS / 1000);
        poll(&link, 1, (int)((until_ns - now_ns) / NS_PER_MS) + 1);
    }
    if (kind == PLUGIN_LOADED)
        return ERR_NONE;
    if (kind == PLUGIN_UNUSABLE)
        return fail(why, ERR_INVALID, "%s", child->words.text);
    return fail(why, ERR_IO, "the process that was to load the plugin %s ended while it did so",
                file);
}

static enum error plugin_check(struct executor *executor, struct why *why)
{
    struct plugin_slot *first = plugin_slot_of(executor_slot_at(executor, 0));
    if (first->base.state != EXECUTOR_STARTING)
        return fail(why, ERR_IO, "%s", first->base.why.text);
    return wait_until_loaded(&first->link, plugin_of(first)->argv[PLUGIN_HOST_FILE], why);
}

static void plugin_close(struct executor *executor)
{
    char **argv = ((struct plugin *)executor)->argv;
    for (unsigned i = 0; i < executor->options->slots; i++)
        plugin_child_free(&plugin_slot_of(executor_slot_at(executor, i))->link);
    free(argv[PLUGIN_HOST_OUTPUT_MAX]);
    free(argv[PLUGIN_HOST_FILE]);
    free(argv);
}

const struct executor_kind plugin_kind = {
    .size = sizeof(struct plugin),
    .slot_size = sizeof(struct plugin_slot),
    .batch_max = BATCH_MAX,
    .stays = true,
    .open = plugin_open,
    .check = plugin_check,
    .close = plugin_close,
    .start = plugin_start,
    .feed = plugin_feed,
    .ready = plugin_ready,
    .running = plugin_running,
    .look = plugin_look,
    .due = plugin_due,
    .return_behind = plugin_return_behind,
    .kill = plugin_kill,
    .exited = plugin_exited,
    .reap = plugin_reap,
    .hang_up = plugin_hang_up,
    .put_off = plugin_put_off,
};
