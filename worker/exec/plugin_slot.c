/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/plugin_slot.h"

#include <stdio.h>
#include <sys/epoll.h>

#include "common/base/clock.h"
#include "common/sys/shortage.h"
#include "common/wire/wire.h"
#include "worker/exec/environment.h"
#include "worker/exec/plugin_death.h"
#include "worker/exec/plugin_host.h"

enum {
    LOOK_EVERY_MS = 50,
    START_TRIES = 3,
    RESTART_AFTER_MS = 100, /* doubled each time */
    ROOM_AGAIN_MS = 1000
};

void plugin_slot_init(struct plugin_shared *shared, struct plugin_slot *slot, unsigned number)
{
    *slot = (struct plugin_slot){.batch = {.slot = number, .events = &shared->events}};
    plugin_child_init(&slot->child, &shared->children, &shared->limits);
}

/* What the slot's child is watched for; it may be closed already. */
static void watch_link(struct plugin_shared *shared, struct plugin_slot *slot, int operation)
{
    uint32_t out = plugin_child_sending(&slot->child) ? EPOLLOUT : 0;
    struct epoll_event event = {.events = EPOLLIN | out, .data = {.ptr = slot}};
    epoll_ctl(shared->epoll, operation, slot->child.link, &event);
}

/* Gives the slot up for good. */
static void plugin_slot_give_up(struct plugin_shared *shared, struct plugin_slot *slot)
{
    slot->state = SLOT_BROKEN;
    slot->look_ns = NEVER;
    slot_batch_return(&slot->batch);
    if (shared->broken)
        return;
    shared->broken = true;
    shared->events.broken(shared->events.context, slot->why.text);
}

static void count_failure(struct plugin_shared *shared, struct plugin_slot *slot, uint64_t now_ns)
{
    slot->state = SLOT_DOWN;
    slot->look_ns = now_ns + (RESTART_AFTER_MS * NS_PER_MS << slot->failures);
    if (++slot->failures >= START_TRIES)
        plugin_slot_give_up(shared, slot);
}

static void plugin_slot_give_back_for_now(struct plugin_shared *shared, struct plugin_slot *slot)
{
    if (!slot->batch.assigned)
        return;
    slot_batch_return(&slot->batch);
    if (shared->events.held_up)
        shared->events.held_up(shared->events.context, slot->why.text);
}

/* Others may run meanwhile: it is no failure of the plugin. */
static void plugin_slot_wait_for_room(struct plugin_shared *shared, struct plugin_slot *slot,
                                      uint64_t now_ns)
{
    slot->state = SLOT_DOWN;
    slot->look_ns = now_ns + ROOM_AGAIN_MS * NS_PER_MS;
    plugin_slot_give_back_for_now(shared, slot);
}

void plugin_slot_start_child(struct plugin_shared *shared, struct plugin_slot *slot,
                             uint64_t now_ns)
{
    char number[16];
    snprintf(number, sizeof number, "%u", slot->batch.slot + 1);
    shared->argv[PLUGIN_HOST_SLOT] = number;
    slot->killed = KILL_NONE;
    slot->ended_any = false;
    slot->why.text[0] = 0;
    int error = plugin_child_start(&slot->child, shared->program, shared->argv,
                                   environment_for_slot(shared->environment, slot->batch.slot + 1),
                                   &slot->why);
    slot->short_of = shortage_cause(TRIED_START, error) == CAUSE_PASSES;
    if (slot->short_of) {
        plugin_slot_wait_for_room(shared, slot, now_ns);
        return;
    }
    if (error) {
        count_failure(shared, slot, now_ns);
        return;
    }
    slot->state = SLOT_STARTING;
    slot->look_ns = NEVER;
    watch_link(shared, slot, EPOLL_CTL_ADD);
}

static void kill_slot(struct plugin_shared *shared, struct plugin_slot *slot,
                      enum plugin_kill reason)
{
    slot->killed = reason;
    slot->killed_for = slot_batch_next(&slot->batch);
    slot->state = SLOT_KILLED;
    slot->look_ns = NEVER;
    watch_link(shared, slot, EPOLL_CTL_DEL);
    plugin_child_kill(&slot->child);
}

static void send_order(struct plugin_shared *shared, struct plugin_slot *slot,
                       const struct plugin_order *order, struct bytes records)
{
    plugin_child_send(&slot->child, order, records);
    if (plugin_child_sending(&slot->child))
        watch_link(shared, slot, EPOLL_CTL_MOD);
}

/* Plans the next look at a busy child that began with `at` at `since_ns`. */
static void plugin_slot_plan_look(struct plugin_shared *shared, struct plugin_slot *slot,
                                  uint64_t at, uint64_t since_ns, uint64_t now_ns)
{
    const struct slot_batch *batch = &slot->batch;
    uint64_t timeout_ns = time_limit_ns(&shared->limit);
    uint64_t soon_ns = now_ns + LOOK_EVERY_MS * NS_PER_MS, due_ns = NEVER;
    if (batch->sent && timeout_ns)
        due_ns = at == slot_batch_next(batch) ? since_ns + timeout_ns : soon_ns;
    bool may_change = shared->limit.timeout.percent; /* by what other slots finish */
    if (batch->sent && (may_change || slot_batch_left(batch) > 1 || batch->cancelled.members))
        due_ns = due_ns < soon_ns ? due_ns : soon_ns;
    slot->look_ns = due_ns;
}

static void send_batch(struct plugin_shared *shared, struct plugin_slot *slot, uint64_t now_ns)
{
    const struct assignment *assignment = &slot->batch.assignment;
    struct plugin_order order = {.kind = PLUGIN_BATCH,
                                 .count = assignment->count,
                                 .first = assignment->first,
                                 .size = assignment->records.size,
                                 .tries = assignment->tries,
                                 .last = assignment->last};
    slot->state = SLOT_BUSY;
    slot->batch.sent = true;
    slot->stopped = false;
    order.wall_offset_us = clock_realtime_us() - clock_now_ns() / NS_PER_US;
    order.wants = assignment->wants & ~(uint64_t)WANT_COMMAND;
    if (shared->limit.timeout.percent)
        order.wants |= WANT_TIMES; /* for ourselves */
    slot->wall_offset_us = order.wall_offset_us;
    slot->wants = order.wants;
    send_order(shared, slot, &order, assignment->records);
    plugin_slot_plan_look(shared, slot, 0, 0, now_ns);
}

static void become_idle(struct plugin_shared *shared, struct plugin_slot *slot, uint64_t now_ns)
{
    slot->state = SLOT_IDLE;
    slot->look_ns = NEVER;
    if (slot->batch.assigned)
        send_batch(shared, slot, now_ns);
}

/* What a record of the child may say. */
static bool record_is_sound(const struct plugin_shared *shared, const struct plugin_slot *slot,
                            const struct result *r)
{
    bool ok = r->status == RESULT_OK;
    uint64_t most = shared->limits.output_max;
    return (ok || r->status == RESULT_EXITED || r->status == RESULT_OUTPUT_TOO_LARGE) &&
           r->final == (ok || slot->batch.assignment.last) && r->out.size <= most &&
           r->err.size <= most && !r->command.size;
}

static void plugin_slot_end_run(struct plugin_slot *slot, struct outcome_run *run)
{
    struct outcome outcome;
    if (!run->count)
        return;
    slot->ended_any = true;
    if (!slot->batch.cancelled.members) {
        slot_batch_finish_run(&slot->batch, run);
    } else {
        run->slot = slot->batch.slot;
        while (outcome_run_next(run, &outcome))
            slot_batch_finish(&slot->batch, &outcome);
    }
    const uint8_t *behind = run->records.data + run->records.size;
    *run = (struct outcome_run){.wants = slot->wants, .records = {behind, 0}};
}

/* Takes what the child has finished, in runs of what can be told and sent together. False when the
 * area holds nonsense. */
static bool harvest(struct plugin_shared *shared, struct plugin_slot *slot)
{
    struct bytes rest;
    if (!plugin_child_take(&slot->child, &rest))
        return false;
    if (!rest.size)
        return true;
    if (!slot->batch.sent || plugin_child_sending(&slot->child))
        return false;
    uint32_t left = slot_batch_left(&slot->batch);
    struct outcome_run run = {.wants = slot->wants,
                              .records = {rest.data, 0},
                              .duration_ns = plugin_child_take_busy_ns(&slot->child)};
    while (rest.size) {
        struct result r;
        if (left-- == 0 || result_take(&rest, &r) || !record_is_sound(shared, slot, &r)) {
            plugin_slot_end_run(slot, &run);
            return false;
        }
        if (run.count && run.final != r.final)
            plugin_slot_end_run(slot, &run);
        run.final = r.final;
        run.failed += r.status != RESULT_OK;
        run.count++;
        run.records.size = (size_t)(rest.data - run.records.data);
        if (r.status == RESULT_OK)
            time_limit_note(&shared->limit, r.duration_ns);
        if (run.records.size >= BATCH_BYTES_MAX)
            plugin_slot_end_run(slot, &run);
    }
    plugin_slot_end_run(slot, &run);
    return true;
}

static void plugin_slot_finish(struct plugin_shared *shared, struct plugin_slot *slot,
                               const struct plugin_result *result, struct output out,
                               struct output err)
{
    bool too_large = result->too_large;
    struct outcome outcome = {.status = too_large      ? RESULT_OUTPUT_TOO_LARGE
                                        : result->code ? RESULT_EXITED
                                                       : RESULT_OK,
                              .code = too_large ? 0 : result->code,
                              .duration_ns = plugin_child_take_busy_ns(&slot->child),
                              .out = out,
                              .err = err};
    if (result->start_ns) {
        outcome.start_us = result->start_ns / NS_PER_US + slot->wall_offset_us;
        outcome.duration_ns = result->duration_ns;
    }
    slot->ended_any = true;
    if (outcome.status == RESULT_OK)
        time_limit_note(&shared->limit, outcome.duration_ns);
    slot_batch_finish(&slot->batch, &outcome);
}

static void finish_large(struct plugin_shared *shared, struct plugin_slot *slot)
{
    struct plugin_child *child = &slot->child;
    if (child->kept != CAPTURE_WHOLE)
        child->large.too_large = 1;
    if (child->kept == CAPTURE_NO_ROOM) {
        struct buf line = {0};
        buf_printf(&line, "zfarm: this task's output could not be kept: %s\n", child->words.text);
        capture_note(&child->err, buf_bytes(&line));
        buf_free(&line);
    }
    struct output out = capture_take(&child->out), err = capture_take(&child->err);
    plugin_slot_finish(shared, slot, &child->large, out, err);
    capture_reset(&child->out);
    capture_reset(&child->err);
}

/* Takes back what stands behind the task `at` that the child is at. */
static void plugin_slot_take_back(struct plugin_slot *slot, uint64_t at)
{
    struct slot_batch *batch = &slot->batch;
    if (slot_batch_left(batch) == 1)
        return;
    slot->stopped = true;
    uint64_t last = plugin_child_stop_at(&slot->child, at + 1);
    if (last >= at && last - slot_batch_next(batch) < slot_batch_left(batch))
        slot_batch_return_behind(batch, last);
}

/* Looks what a busy child has done, and whether it must be killed. */
static void plugin_slot_look(struct plugin_shared *shared, struct plugin_slot *slot,
                             uint64_t now_ns)
{
    uint64_t timeout_ns = time_limit_ns(&shared->limit), since_ns = 0;
    /* First where it is and then what is finished: so all that is before `at` is there. */
    uint64_t at = plugin_child_at(&slot->child, &since_ns);
    bool sound = harvest(shared, slot);
    uint64_t next = slot_batch_next(&slot->batch);
    since_ns += at == slot->put_off_for ? slot->put_off_ns : 0;
    bool is_at_next = slot->batch.sent && at == next;
    since_ns = since_ns < now_ns ? since_ns : now_ns;
    if (!sound || (slot->batch.sent && at > next))
        kill_slot(shared, slot, KILL_NONSENSE);
    else if (is_at_next && slot_batch_is_cancelled(&slot->batch, next))
        kill_slot(shared, slot, KILL_CANCEL);
    else if (is_at_next && timeout_ns && now_ns - since_ns >= timeout_ns)
        kill_slot(shared, slot, KILL_TIMEOUT);
    else {
        if (is_at_next && now_ns - since_ns >= shared->patience_ns)
            plugin_slot_take_back(slot, at);
        plugin_slot_plan_look(shared, slot, at, since_ns, now_ns);
    }
}

static void hear_starting(struct plugin_shared *shared, struct plugin_slot *slot,
                          enum plugin_report_kind kind, uint64_t now_ns)
{
    if (kind == PLUGIN_READY)
        become_idle(shared, slot, now_ns);
    else if (kind == PLUGIN_UNUSABLE || kind == PLUGIN_NOT_READY)
        slot->why = slot->child.words; /* it ends by itself */
    else if (kind != PLUGIN_LOADED)
        kill_slot(shared, slot, KILL_NONSENSE);
    if (kind == PLUGIN_UNUSABLE)
        slot->failures = START_TRIES - 1; /* it would not become usable */
}

static void hear_busy(struct plugin_shared *shared, struct plugin_slot *slot,
                      enum plugin_report_kind kind, uint64_t now_ns)
{
    bool sound = harvest(shared, slot);
    if (sound && kind == PLUGIN_DONE && slot->batch.sent && slot->stopped)
        slot_batch_return(&slot->batch); /* it came to a task just before that was taken back */
    if (sound && kind == PLUGIN_DONE && !slot->batch.sent) {
        become_idle(shared, slot, now_ns);
    } else if (sound && kind == PLUGIN_FULL && slot->batch.sent) {
        send_order(shared, slot, &(struct plugin_order){.kind = PLUGIN_GO_ON}, (struct bytes){0});
    } else if (sound && kind == PLUGIN_LARGE && slot->batch.sent) {
        finish_large(shared, slot);
        send_order(shared, slot, &(struct plugin_order){.kind = PLUGIN_GO_ON}, (struct bytes){0});
    } else {
        kill_slot(shared, slot, KILL_NONSENSE);
    }
}

bool plugin_slot_hear(struct plugin_shared *shared, struct plugin_slot *slot, uint64_t now_ns)
{
    enum plugin_report_kind kind = plugin_child_receive(&slot->child);
    if (kind == PLUGIN_NOTHING)
        return false;
    if (kind == PLUGIN_CLOSED) {
        /* It has ended or will never say anything again; how it ended is known when it is reaped.
         */
        watch_link(shared, slot, EPOLL_CTL_DEL);
        plugin_child_kill(&slot->child);
        return false;
    }
    if (slot->state == SLOT_STARTING)
        hear_starting(shared, slot, kind, now_ns);
    else if (slot->state == SLOT_BUSY && !plugin_child_sending(&slot->child))
        hear_busy(shared, slot, kind, now_ns);
    else
        kill_slot(shared, slot, KILL_NONSENSE);
    return slot->state != SLOT_KILLED;
}

/* Ends the task that the dead child was at, if there is one and the child's death is its own. */
static void plugin_slot_charge(struct plugin_slot *slot, int status, uint64_t at, uint64_t since_ns,
                               uint64_t now_ns)
{
    uint64_t next = slot_batch_next(&slot->batch);
    /* It went on to another task between our look and our signal: this one can run again. */
    bool overtaken = slot->killed && slot->killed_for != next;
    if (!slot->batch.sent || overtaken || (at != next && slot->killed != KILL_NONSENSE))
        return;
    if (at != next || since_ns > now_ns)
        since_ns = now_ns;
    struct outcome outcome = {.start_us = since_ns / NS_PER_US + slot->wall_offset_us,
                              .duration_ns = now_ns - since_ns};
    if (slot->killed == KILL_NONSENSE)
        plugin_death_for_nonsense(&outcome);
    else if (slot->killed)
        plugin_death_for_time(&outcome);
    else
        plugin_death_by_itself(&outcome, status);
    slot->ended_any = true;
    slot_batch_finish(&slot->batch, &outcome);
}

/* Sorts out what a dead child has done, and starts the next. */
static void plugin_slot_bury(struct plugin_shared *shared, struct plugin_slot *slot, int status,
                             uint64_t now_ns)
{
    if (slot->killed != KILL_NONSENSE && !harvest(shared, slot)) {
        slot->killed = KILL_NONSENSE;
        slot->killed_for = slot_batch_next(&slot->batch);
    }
    if (!slot->why.text[0]) /* else the child has said it */
        plugin_death_in_words(&slot->why, shared->argv[PLUGIN_HOST_FILE], status,
                              slot->state == SLOT_STARTING);
    uint64_t since_ns = 0, at = plugin_child_at(&slot->child, &since_ns);
    plugin_child_exited(&slot->child);
    slot->state = SLOT_DOWN;
    slot->look_ns = now_ns;
    plugin_slot_charge(slot, status, at, since_ns, now_ns);
    if (slot->batch.sent)
        slot_batch_return(&slot->batch);
    if (!slot->ended_any && slot->killed != KILL_CANCEL && slot->killed != KILL_TIMEOUT) {
        count_failure(shared, slot, now_ns);
        return;
    }
    slot->failures = 0;
    plugin_slot_start_child(shared, slot, now_ns);
}

void plugin_slot_exited(struct plugin_shared *shared, struct plugin_slot *slot, int status,
                        uint64_t now_ns)
{
    while (slot->state != SLOT_KILLED && plugin_slot_hear(shared, slot, now_ns))
        ;
    plugin_slot_bury(shared, slot, status, now_ns);
}

void plugin_slot_assign(struct plugin_shared *shared, struct plugin_slot *slot,
                        const struct assignment *assignment, uint64_t now_ns)
{
    slot_batch_assign(&slot->batch, assignment);
    if (slot->state == SLOT_IDLE)
        send_batch(shared, slot, now_ns);
    else if (slot->state == SLOT_BROKEN)
        slot_batch_return(&slot->batch);
    else if (slot->state == SLOT_DOWN && slot->short_of)
        plugin_slot_give_back_for_now(shared, slot);
}

void plugin_slot_cancel(struct plugin_slot *slot, uint64_t seq, uint64_t now_ns)
{
    struct slot_batch *batch = &slot->batch;
    if (!slot_batch_cancel(batch, seq))
        return;
    if (batch->sent && slot->state == SLOT_BUSY)
        slot->look_ns = now_ns; /* the next turn kills the child if this is the task it is at */
    else if (!batch->sent && batch->cancelled.members == batch->assignment.count)
        slot_batch_return(batch);
}

void plugin_slot_flush(struct plugin_shared *shared, struct plugin_slot *slot)
{
    plugin_child_flush(&slot->child);
    if (!plugin_child_sending(&slot->child))
        watch_link(shared, slot, EPOLL_CTL_MOD);
}

void plugin_slot_turn(struct plugin_shared *shared, struct plugin_slot *slot, uint64_t now_ns)
{
    if (slot->look_ns > now_ns || shared->children.held_ns)
        return;
    if (slot->state == SLOT_BUSY)
        plugin_slot_look(shared, slot, now_ns);
    else if (slot->state == SLOT_DOWN)
        plugin_slot_start_child(shared, slot, now_ns);
}

uint64_t plugin_slot_running(const struct plugin_slot *slot, uint64_t *since_ns)
{
    const struct slot_batch *batch = &slot->batch;
    uint64_t at = slot->state == SLOT_BUSY ? plugin_child_at(&slot->child, since_ns) : 0;
    uint64_t next = slot_batch_next(batch);
    return batch->sent && at >= next && at - next < slot_batch_left(batch) ? at : 0;
}

void plugin_slot_put_off(struct plugin_slot *slot, uint64_t held_ns, uint64_t now_ns)
{
    uint64_t since_ns = 0, at = plugin_slot_running(slot, &since_ns);
    if (!at)
        return;
    if (at != slot->put_off_for)
        slot->put_off_ns = 0;
    slot->put_off_for = at;
    slot->put_off_ns += now_ns > since_ns ? now_ns - (since_ns > held_ns ? since_ns : held_ns) : 0;
    slot->look_ns = now_ns;
}

void plugin_slot_free(struct plugin_slot *slot)
{
    plugin_child_free(&slot->child);
    slot_batch_free(&slot->batch);
}
