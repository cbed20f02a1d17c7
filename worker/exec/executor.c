/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/executor.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "common/base/xalloc.h"
#include "worker/exec/environment.h"
#include "worker/exec/executor_kind.h"
#include "worker/exec/guard.h"

enum {
    START_TRIES = 3,
    DOUBLINGS_MAX = 8,
    END_WITHIN_MS = 1000,
    OUTBOX_KEPT_MAX = 128 << 10 /* what an empty outbox holds on to */
};

static const uint64_t restart_first_ns = 100 * NS_PER_MS, restart_max_ns = 5 * NS_PER_S;
static const uint64_t room_again_ns = NS_PER_S;

/* ---- starting a child, or not ---- */

static void executor_give_up(struct executor_slot *slot)
{
    struct executor *executor = slot->executor;
    slot->state = EXECUTOR_BROKEN;
    slot->look_ns = NEVER;
    slot_batch_return(&slot->batch);
    if (executor->broken)
        return;
    executor->broken = true;
    executor->events.broken(executor->events.context, slot->why.text);
}

static void start_child(struct executor_slot *slot, uint64_t now_ns)
{
    slot->state = EXECUTOR_STARTING;
    slot->look_ns = NEVER;
    slot->proven = slot->hopeless = slot->short_of = false;
    slot->why.text[0] = '\0';
    slot->outbox.waits = false;
    executor_drop_outbox(slot);
    slot->executor->kind->start(slot, now_ns);
}

static void start_later(struct executor_slot *slot, uint64_t now_ns)
{
    const struct executor *executor = slot->executor;
    unsigned doublings = slot->failures < DOUBLINGS_MAX ? slot->failures : DOUBLINGS_MAX;
    slot->look_ns = now_ns + clock_earlier(restart_first_ns << doublings, restart_max_ns);
    if (++slot->failures >= START_TRIES && !(executor->kind->keeps_trying && executor->proven))
        executor_give_up(slot);
}

/* What was not begun is to be tried again if that may help, here or elsewhere. */
static void executor_give_back(struct executor_slot *slot, bool passes)
{
    const struct executor_events *events = &slot->executor->events;
    if (!slot->batch.assigned)
        return;
    slot_batch_return(&slot->batch);
    if (passes && events->held_up)
        events->held_up(events->context, slot->why.text);
    else
        events->broken(events->context, slot->why.text);
}

void executor_start_failed(struct executor_slot *slot, bool passes, uint64_t now_ns)
{
    bool stays = slot->executor->kind->stays;
    slot->state = EXECUTOR_DOWN;
    slot->short_of = stays && passes;
    if (slot->short_of)
        slot->look_ns = now_ns + room_again_ns; /* others may run meanwhile: it is no failure */
    if (!stays || passes)
        executor_give_back(slot, passes);
    else
        start_later(slot, now_ns);
}

/* ---- what a task is at ---- */

/* A time that is not yet to come is a lie of the child's. */
static uint64_t running_since(const struct executor_slot *slot, uint64_t now_ns, uint64_t *since_ns)
{
    const struct executor_kind *kind = slot->executor->kind;
    *since_ns = slot->child.started_ns;
    uint64_t seq = 0;
    if (slot_batch_is_running(&slot->batch))
        seq = kind->running ? kind->running(slot, since_ns) : slot_batch_next(&slot->batch);
    *since_ns = clock_earlier(*since_ns, now_ns);
    return seq;
}

static bool next_is_cancelled(const struct executor_slot *slot)
{
    return slot_batch_is_cancelled(&slot->batch, slot_batch_next(&slot->batch));
}

/* When a child that is up is to be looked at. */
static void plan_look(struct executor_slot *slot, uint64_t now_ns)
{
    const struct executor *executor = slot->executor;
    const struct slot_batch *batch = &slot->batch;
    uint64_t limit_ns = time_limit_ns(&executor->limit), since_ns;
    uint64_t patience_ns = executor->options->patience_ns;
    if (slot->state != EXECUTOR_UP)
        return;
    slot->look_ns = executor->kind->due ? executor->kind->due(slot, now_ns) : NEVER;
    if (running_since(slot, now_ns, &since_ns) != slot_batch_next(batch))
        return;
    if (limit_ns)
        slot->look_ns = clock_earlier(slot->look_ns, since_ns + limit_ns);
    if (batch->given < batch->assignment.count && patience_ns != NEVER)
        slot->look_ns = clock_earlier(slot->look_ns, since_ns + patience_ns);
    if (next_is_cancelled(slot))
        slot->look_ns = 0;
}

static void feed_child(struct executor_slot *slot, uint64_t now_ns)
{
    const struct executor_kind *kind = slot->executor->kind;
    if (slot->state == EXECUTOR_UP && kind->feed)
        kind->feed(slot, now_ns);
    plan_look(slot, now_ns);
}

void executor_started(struct executor_slot *slot, uint64_t now_ns)
{
    slot->state = EXECUTOR_UP;
    if (!slot->executor->kind->stays)
        slot->batch.given = slot->batch.assignment.count;
    feed_child(slot, now_ns);
}

static void return_behind(struct executor_slot *slot, uint64_t seq)
{
    struct slot_batch *batch = &slot->batch;
    if (slot->executor->kind->return_behind)
        slot->executor->kind->return_behind(slot, seq);
    else if (batch->given < batch->assignment.count)
        slot_batch_return_behind(batch, batch->assignment.first + batch->given - 1);
}

/* The task that a child is at has been cancelled, has had its time, or keeps others waiting. */
static void look_at_child(struct executor_slot *slot, uint64_t now_ns)
{
    const struct executor *executor = slot->executor;
    uint64_t limit_ns = time_limit_ns(&executor->limit), since_ns;
    if (executor->kind->look)
        executor->kind->look(slot, now_ns);
    if (slot->state != EXECUTOR_UP)
        return;
    uint64_t seq = running_since(slot, now_ns, &since_ns), ran_ns = now_ns - since_ns;
    bool at_next = seq && seq == slot_batch_next(&slot->batch);
    if (at_next && next_is_cancelled(slot))
        executor_kill(slot, CHILD_CANCELLED, now_ns);
    else if (at_next && limit_ns && ran_ns >= limit_ns)
        executor_kill(slot, CHILD_TIMED_OUT, now_ns);
    else if (at_next && ran_ns >= executor->options->patience_ns)
        return_behind(slot, seq);
    plan_look(slot, now_ns);
}

void executor_note_time(struct executor *executor, uint64_t duration_ns)
{
    executor->limit_changed |= time_limit_note(&executor->limit, duration_ns);
}

void executor_prove(struct executor_slot *slot)
{
    slot->proven = slot->executor->proven = true;
    slot->failures = 0;
}

void executor_finish(struct executor_slot *slot, struct outcome *outcome)
{
    executor_prove(slot);
    if (outcome->status == RESULT_OK && !slot->child.killed)
        executor_note_time(slot->executor, outcome->duration_ns);
    slot_batch_finish(&slot->batch, outcome);
}

void executor_refuse(struct executor_slot *slot, enum result_status status, unsigned code,
                     const char *words, struct bytes command)
{
    struct outcome outcome = {.status = status,
                              .code = code,
                              .start_us = clock_realtime_us(),
                              .out = {.fd = -1},
                              .err = output_text(words),
                              .command = command};
    if (slot->state == EXECUTOR_STARTING)
        slot->state = EXECUTOR_DOWN;
    slot_batch_finish(&slot->batch, &outcome);
}

/* ---- the end of a child ---- */

void executor_kill(struct executor_slot *slot, enum child_kill reason, uint64_t now_ns)
{
    const struct executor_kind *kind = slot->executor->kind;
    if (slot->state != EXECUTOR_STARTING && slot->state != EXECUTOR_UP)
        return;
    slot->state = EXECUTOR_KILLED;
    slot->look_ns = NEVER;
    slot->killed_for = slot_batch_next(&slot->batch);
    if (kind->kill)
        kind->kill(slot, reason, now_ns);
    else
        child_kill(&slot->child, reason, now_ns);
}

bool executor_is_overtaken(const struct executor_slot *slot)
{
    return slot->child.killed && slot->killed_for != slot_batch_next(&slot->batch);
}

void executor_set_end(const struct executor_slot *slot, struct outcome *outcome)
{
    enum child_kill killed = slot->child.killed;
    outcome->own_end = !killed;
    if (killed == CHILD_TIMED_OUT) {
        outcome->status = RESULT_TIMED_OUT;
    } else if (killed == CHILD_TOO_MUCH_OUTPUT) {
        outcome->status = RESULT_OUTPUT_TOO_LARGE;
    } else if (WIFSIGNALED(slot->status)) {
        outcome->status = RESULT_SIGNALED;
        outcome->code = (unsigned)WTERMSIG(slot->status);
    } else {
        outcome->status = RESULT_EXITED;
        outcome->code = (unsigned)WEXITSTATUS(slot->status);
    }
}

struct outcome executor_captured(struct executor_slot *slot)
{
    struct child *child = &slot->child;
    struct outcome outcome = {
        .start_us = child->start_us,
        .duration_ns = child->duration_ns,
        .out = capture_output(&child->out.capture),
        .err = capture_output(&child->err.capture),
        .cut = child->cut,
        .cut_by = child->holder.pid,
    };
    executor_set_end(slot, &outcome);
    if (outcome.status == RESULT_EXITED &&
        ok_exit_has(&slot->executor->options->ok_exit, outcome.code))
        outcome.status = RESULT_OK;
    return outcome;
}

void executor_say_end(struct executor_slot *slot, const char *subject, const char *when)
{
    int number = WTERMSIG(slot->status);
    if (WIFSIGNALED(slot->status))
        fail(&slot->why, ERR_IO, "%s was ended by signal %d (%s) %s", subject, number,
             strsignal(number), when);
    else
        fail(&slot->why, ERR_IO, "%s ended with status %d %s", subject, WEXITSTATUS(slot->status),
             when);
}

void executor_reap(struct executor_slot *slot, uint64_t now_ns)
{
    enum child_kill killed = slot->child.killed;
    slot->state = EXECUTOR_DOWN;
    slot->look_ns = NEVER;
    slot->executor->kind->reap(slot, now_ns);
    child_forget(&slot->child);
    if (!slot->executor->kind->stays)
        return;
    bool for_task =
        killed == CHILD_CANCELLED || killed == CHILD_TIMED_OUT || killed == CHILD_TOO_MUCH_OUTPUT;
    if (slot->hopeless) {
        executor_give_up(slot);
    } else if (slot->proven || for_task) {
        slot->failures = 0;
        start_child(slot, now_ns);
    } else {
        start_later(slot, now_ns);
    }
}

static struct executor_slot *slot_of(const struct executor *executor, pid_t pid)
{
    for (unsigned i = 0; i < executor->options->slots; i++)
        if (executor_slot_at(executor, i)->child.pid == pid)
            return executor_slot_at(executor, i);
    return NULL;
}

void executor_child_stopped(struct executor *executor, pid_t pid, bool stopped)
{
    const struct executor_events *events = &executor->events;
    struct executor_slot *slot = slot_of(executor, pid);
    if (slot && child_note_stopped(&slot->child, stopped) && events->stopped)
        events->stopped(events->context, slot->batch.slot, stopped);
}

bool executor_child_exited(struct executor *executor, pid_t pid, int status, uint64_t now_ns)
{
    struct executor_slot *slot = slot_of(executor, pid);
    if (!slot)
        return false;
    executor_child_stopped(executor, pid, false);
    slot->status = status;
    bool over = !executor->kind->exited || executor->kind->exited(slot, now_ns);
    over = child_exited(&slot->child, now_ns) && over;
    if (over)
        executor_reap(slot, now_ns);
    else
        plan_look(slot, now_ns);
    return true;
}

/* ---- what the worker asks for ---- */

uint32_t executor_batch_max(const struct executor *executor)
{
    return executor->kind->batch_max;
}

void executor_start(struct executor *executor, const struct assignment *assignment, uint64_t now_ns)
{
    struct executor_slot *slot = executor_slot_at(executor, assignment->slot);
    assert(assignment->slot < executor->options->slots &&
           assignment->count <= executor->kind->batch_max);
    slot_batch_assign(&slot->batch, assignment);
    if (slot->state == EXECUTOR_UP)
        feed_child(slot, now_ns);
    else if (slot->state == EXECUTOR_BROKEN)
        slot_batch_return(&slot->batch);
    else if (slot->short_of)
        executor_give_back(slot, true);
    else if (!executor->kind->stays)
        start_child(slot, now_ns);
}

void executor_cancel(struct executor *executor, unsigned number, uint64_t seq, uint64_t now_ns)
{
    struct executor_slot *slot = executor_slot_at(executor, number);
    struct slot_batch *batch = &slot->batch;
    if (!slot_batch_cancel(batch, seq))
        return;
    if (!executor->kind->stays && slot->state == EXECUTOR_UP)
        executor_kill(slot, CHILD_CANCELLED, now_ns);
    else if (!executor->kind->stays || slot_batch_is_running(batch))
        slot->look_ns = now_ns; /* kills the child if this is the task that it is at */
    else if (batch->cancelled.members == slot_batch_left(batch))
        slot_batch_return(batch);
}

void executor_hurry(struct executor *executor)
{
    for (unsigned i = 0; i < executor->options->slots; i++)
        child_hurry(&executor_slot_at(executor, i)->child);
}

int executor_fd(const struct executor *executor)
{
    return children_fd(&executor->children);
}

void executor_tell_held(const struct executor_slot *slot, struct output_holder holder)
{
    const struct executor_events *events = &slot->executor->events;
    if (events->held)
        events->held(events->context, slot->batch.slot, holder.pid, holder.name);
}

static void turn_child(struct executor_slot *slot, uint64_t now_ns)
{
    enum child_news news = child_turn(&slot->child, now_ns);
    if (news == CHILD_ENDED)
        executor_reap(slot, now_ns);
    else if (news == CHILD_HELD)
        executor_tell_held(slot, slot->child.holder);
}

static void turn_slot(struct executor_slot *slot, uint64_t now_ns)
{
    if (slot->child.deadline_ns <= now_ns)
        turn_child(slot, now_ns);
    if (slot->look_ns > now_ns || slot->executor->children.held_ns)
        return;
    slot->look_ns = NEVER;
    if (slot->state == EXECUTOR_UP)
        look_at_child(slot, now_ns);
    else if (slot->state == EXECUTOR_DOWN && slot->executor->kind->stays)
        start_child(slot, now_ns);
}

void executor_turn(struct executor *executor, uint64_t now_ns)
{
    unsigned slots = executor->options->slots;
    children_turn(&executor->children, now_ns);
    for (unsigned i = 0; executor->limit_changed && i < slots; i++)
        plan_look(executor_slot_at(executor, i), now_ns);
    executor->limit_changed = false;
    for (unsigned i = 0; i < slots; i++)
        turn_slot(executor_slot_at(executor, i), now_ns);
}

uint64_t executor_deadline(const struct executor *executor)
{
    uint64_t first_ns = NEVER;
    if (executor->children.held_ns)
        return NEVER;
    for (unsigned i = 0; i < executor->options->slots; i++) {
        const struct executor_slot *slot = executor_slot_at(executor, i);
        first_ns = clock_earlier(first_ns, clock_earlier(slot->look_ns, slot->child.deadline_ns));
    }
    return first_ns;
}

void executor_hold(struct executor *executor, uint64_t now_ns)
{
    children_hold(&executor->children, now_ns);
}

void executor_go(struct executor *executor, uint64_t now_ns)
{
    uint64_t held_ns = executor->children.held_ns;
    children_go(&executor->children, now_ns);
    for (unsigned i = 0; held_ns && i < executor->options->slots; i++) {
        struct executor_slot *slot = executor_slot_at(executor, i);
        if (executor->kind->put_off)
            executor->kind->put_off(slot, held_ns, now_ns);
        if (slot->state == EXECUTOR_UP && slot->look_ns != NEVER)
            slot->look_ns = now_ns;
    }
}

uint64_t executor_running(const struct executor *executor, unsigned slot, uint64_t *since_ns)
{
    return running_since(executor_slot_at(executor, slot), NEVER, since_ns);
}

/* ---- what is watched ---- */

void executor_watch(struct executor_slot *slot, int fd, uint32_t events)
{
    int epoll = children_fd(&slot->executor->children);
    struct epoll_event event = {.events = events, .data = {.ptr = &slot->watch}};
    if (!events)
        epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
    else if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) && errno == EEXIST)
        epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
}

bool executor_is_sending(const struct executor_slot *slot)
{
    return slot->outbox.sent < slot->outbox.bytes.size + slot->outbox.behind.size;
}

void executor_drop_outbox(struct executor_slot *slot)
{
    struct slot_outbox *outbox = &slot->outbox;
    outbox->behind = (struct bytes){0};
    outbox->sent = 0;
    if (outbox->bytes.capacity > OUTBOX_KEPT_MAX)
        buf_free(&outbox->bytes);
    else
        buf_clear(&outbox->bytes);
}

static ssize_t write_outbox(const struct slot_outbox *outbox, int fd)
{
    struct bytes own = buf_bytes(&outbox->bytes), behind = outbox->behind;
    size_t of_own = outbox->sent < own.size ? outbox->sent : own.size;
    size_t of_behind = outbox->sent - of_own;
    struct iovec parts[2];
    int count = 0;
    if (of_own < own.size)
        parts[count++] = (struct iovec){outbox->bytes.data + of_own, own.size - of_own};
    if (of_behind < behind.size)
        parts[count++] =
            (struct iovec){(uint8_t *)(uintptr_t)behind.data + of_behind, behind.size - of_behind};
    return writev(fd, parts, count);
}

int executor_send(struct executor_slot *slot, int fd, uint32_t others)
{
    struct slot_outbox *outbox = &slot->outbox;
    ssize_t written = executor_is_sending(slot) ? write_outbox(outbox, fd) : 0;
    int error = written < 0 && errno != EAGAIN && errno != EINTR ? errno : 0;
    outbox->sent += written > 0 ? (size_t)written : 0;
    if (!executor_is_sending(slot)) {
        executor_drop_outbox(slot);
    } else if (!outbox->behind.size && outbox->sent > outbox->bytes.size / 2) {
        buf_drop_front(&outbox->bytes, outbox->sent); /* each byte is moved once, as a rule */
        outbox->sent = 0;
    }
    bool waits = !error && executor_is_sending(slot);
    if (waits != outbox->waits)
        executor_watch(slot, fd, others | (waits ? EPOLLOUT : 0));
    outbox->waits = waits;
    return error;
}

static void slot_ready(struct child_watch *watch, uint32_t events, uint64_t now_ns)
{
    struct executor_slot *slot = (struct executor_slot *)watch;
    slot->executor->kind->ready(slot, events, now_ns);
    feed_child(slot, now_ns);
}

/* ---- the beginning and the end ---- */

static void init_slot(struct executor *executor, unsigned number)
{
    struct executor_slot *slot = executor_slot_at(executor, number);
    slot->watch.ready = slot_ready;
    slot->executor = executor;
    slot->look_ns = NEVER;
    slot->batch = (struct slot_batch){.slot = number, .events = &executor->events};
    child_init(&slot->child, &executor->children);
}

enum error executor_new(const struct executor_kind *kind, const struct executor_options *options,
                        const struct executor_events *events, struct executor **result,
                        struct why *why)
{
    assert(options->slots);
    struct executor *executor = xcalloc(1, kind->size);
    enum error error = children_open(&executor->children, options, why);
    if (error) {
        free(executor);
        return error;
    }
    executor->kind = kind;
    executor->options = options;
    executor->events = *events;
    executor->limit.timeout = options->timeout;
    executor->environment =
        environment_new(options->worker, options->guard ? guard_mark(options->guard) : NULL);
    executor->slots = xcalloc(options->slots, kind->slot_size);
    for (unsigned i = 0; i < options->slots; i++)
        init_slot(executor, i);
    error = kind->open(executor, why);
    for (unsigned i = 0; !error && kind->stays && i < options->slots; i++)
        start_child(executor_slot_at(executor, i), clock_now_ns());
    if (!error && kind->check)
        error = kind->check(executor, why);
    if (error)
        executor_destroy(&executor);
    else
        *result = executor;
    return error;
}

/* Children that stay end by themselves when they are idle and nothing can come any more. */
static void end_children(struct executor *executor)
{
    const struct executor_kind *kind = executor->kind;
    uint64_t until_ns = clock_now_ns() + END_WITHIN_MS * NS_PER_MS;
    for (unsigned i = 0; kind->hang_up && i < executor->options->slots; i++)
        kind->hang_up(executor_slot_at(executor, i));
    for (unsigned i = 0; i < executor->options->slots; i++) {
        struct executor_slot *slot = executor_slot_at(executor, i);
        pid_t pid = kind->hang_up ? slot->child.pid : 0;
        if (pid)
            child_await_end(pid, until_ns);
        child_abandon(&slot->child);
        if (pid)
            waitpid(pid, NULL, 0);
        slot_batch_free(&slot->batch);
        buf_free(&slot->outbox.bytes);
    }
}

void executor_destroy(struct executor **handle)
{
    struct executor *executor = *handle;
    *handle = NULL;
    if (!executor)
        return;
    end_children(executor);
    executor->kind->close(executor);
    children_close(&executor->children);
    environment_free(&executor->environment);
    free(executor->slots);
    free(executor);
}
