/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/coprocess_slot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/sys/fd.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/sys/shortage.h"
#include "worker/exec/coprocess_death.h"
#include "worker/exec/coprocess_lines.h"
#include "worker/exec/environment.h"
#include "worker/exec/executor_kind.h"
#include "worker/exec/start_error.h"

enum { START_TRIES = 3 };

static const uint64_t restart_first_ns = 100 * NS_PER_MS, restart_max_ns = 5 * NS_PER_S;
static const uint64_t ahead_ns = 2 * NS_PER_MS; /* so much work is written ahead */
static const uint64_t room_again_ns = NS_PER_S;
static const uint64_t hint_ns = 5 * NS_PER_S;
static const uint64_t look_every_ns = 50 * NS_PER_MS;
static const uint64_t ending_ns = 100 * NS_PER_MS;
static const uint64_t linger_look_ns = 500 * NS_PER_MS;

void coprocess_slot_init(struct coprocess_shared *shared, struct coprocess_slot *slot,
                         unsigned number)
{
    *slot = (struct coprocess_slot){.look_ns = NEVER,
                                    .in = -1,
                                    .out = -1,
                                    .batch = {.slot = number, .events = &shared->events}};
    child_init(&slot->process, &shared->children);
    capture_init(&slot->answer);
}

void coprocess_slot_free(struct coprocess_slot *slot)
{
    child_abandon(&slot->process);
    fd_close(&slot->in);
    fd_close(&slot->out);
    buf_free(&slot->lines);
    capture_free(&slot->answer);
    slot_batch_free(&slot->batch);
}

void coprocess_slot_hang_up(struct coprocess_slot *slot)
{
    fd_close(&slot->in);
}

/* It is at a task: some were given to it and have not ended. */
static bool is_busy(const struct coprocess_slot *slot)
{
    return slot->batch.assigned && slot->given > slot->batch.done;
}

/* ---- the end of a child ---- */

static void coprocess_slot_give_up(struct coprocess_shared *shared, struct coprocess_slot *slot)
{
    slot->state = COPROCESS_BROKEN;
    slot->look_ns = NEVER;
    slot_batch_return(&slot->batch);
    if (shared->broken)
        return;
    shared->broken = true;
    shared->events.broken(shared->events.context, slot->why.text);
}

static void start_later(struct coprocess_shared *shared, struct coprocess_slot *slot,
                        uint64_t now_ns)
{
    uint64_t delay_ns = restart_first_ns << (slot->failures < 8 ? slot->failures : 8);
    slot->state = COPROCESS_DOWN;
    slot->look_ns = now_ns + (delay_ns < restart_max_ns ? delay_ns : restart_max_ns);
    if (++slot->failures >= START_TRIES && !shared->answered_ever)
        coprocess_slot_give_up(shared, slot);
}

static void coprocess_slot_watch(const struct coprocess_shared *shared, struct coprocess_slot *slot,
                                 int fd, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.ptr = slot}};
    epoll_ctl(shared->epoll, operation, fd, &event);
}

static void kill_child(struct coprocess_shared *shared, struct coprocess_slot *slot,
                       enum coprocess_kill reason, uint64_t now_ns)
{
    if (slot->state != COPROCESS_UP)
        return;
    slot->state = COPROCESS_KILLED;
    slot->killed = reason;
    slot->killed_for = slot_batch_next(&slot->batch);
    slot->look_ns = NEVER;
    coprocess_slot_watch(shared, slot, slot->out, EPOLL_CTL_DEL, 0);
    fd_close(&slot->in);
    child_kill(&slot->process, reason == COPROCESS_TIMEOUT ? CHILD_TIMED_OUT : CHILD_CANCELLED,
               now_ns);
}

static uint64_t wall_us(uint64_t then_ns, uint64_t now_ns)
{
    return clock_realtime_us() - (now_ns - then_ns) / NS_PER_US;
}

/* Ends the task that the dead child was at, if there is one and the death is about it. */
static void coprocess_slot_charge(struct coprocess_slot *slot, int status, uint64_t now_ns)
{
    bool overtaken = slot->killed && slot->killed_for != slot_batch_next(&slot->batch);
    if (!is_busy(slot) || overtaken)
        return;
    struct outcome outcome = {.start_us = wall_us(slot->since_ns, now_ns),
                              .duration_ns = now_ns - slot->since_ns,
                              .out = {.fd = -1}};
    coprocess_death_of_task(slot, status, &outcome);
    slot_batch_finish(&slot->batch, &outcome);
}

/* ---- starting one ---- */

/* Our end does not block, the child's does. */
static int open_pipe(int ends[static 2], int ours)
{
    if (pipe2(ends, O_CLOEXEC))
        return errno;
    return fcntl(ends[ours], F_SETFL, O_NONBLOCK) ? errno : 0;
}

static int coprocess_slot_spawn(struct coprocess_shared *shared, struct coprocess_slot *slot)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    int error = open_pipe(in, 1);
    error = error ? error : open_pipe(out, 0);
    struct child_spec spec = {
        .path = shared->path,
        .argv = shared->argv,
        .environment = environment_for_slot(shared->environment, slot->batch.slot + 1),
        .in = in[0],
        .out = out[1],
        .err = STDERR_FILENO,
        .extra = -1,
    };
    error = error ? error : child_start(&slot->process, &spec);
    fd_close(&in[0]);
    fd_close(&out[1]);
    slot->in = in[1];
    slot->out = out[0];
    return error;
}

static void coprocess_slot_feed(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                uint64_t now_ns);

static void coprocess_slot_give_back_for_now(struct coprocess_shared *shared,
                                             struct coprocess_slot *slot)
{
    if (!slot->batch.assigned)
        return;
    slot_batch_return(&slot->batch);
    if (shared->events.held_up)
        shared->events.held_up(shared->events.context, slot->why.text);
}

/* Others may run meanwhile: it is no failure of the program. */
static void coprocess_slot_wait_for_room(struct coprocess_shared *shared,
                                         struct coprocess_slot *slot, uint64_t now_ns)
{
    slot->state = COPROCESS_DOWN;
    slot->look_ns = now_ns + room_again_ns;
    coprocess_slot_give_back_for_now(shared, slot);
}

void coprocess_slot_start_child(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                uint64_t now_ns)
{
    slot->killed = COPROCESS_NOT_KILLED;
    slot->answered = slot->waits = false;
    slot->closed_ns = NEVER;
    slot->mean_ns = ahead_ns;
    int error = coprocess_slot_spawn(shared, slot);
    slot->short_of = shortage_cause(TRIED_START, error) == CAUSE_PASSES;
    if (error) {
        start_error_fail(&slot->why, ERR_IO, shared->path, error);
        fd_close(&slot->in);
        fd_close(&slot->out);
        if (slot->short_of)
            coprocess_slot_wait_for_room(shared, slot, now_ns);
        else
            start_later(shared, slot, now_ns);
        return;
    }
    slot->state = COPROCESS_UP;
    coprocess_slot_watch(shared, slot, slot->out, EPOLL_CTL_ADD, EPOLLIN);
    coprocess_slot_feed(shared, slot, now_ns);
}

/* ---- tasks in ---- */

/* When a child that is at a task is to be looked at. */
static void coprocess_slot_plan_look(const struct coprocess_shared *shared,
                                     struct coprocess_slot *slot, uint64_t now_ns)
{
    uint64_t timeout_ns = time_limit_ns(&shared->limit), due_ns = NEVER;
    if (slot->closed_ns != NEVER)
        due_ns = slot->closed_ns + ending_ns;
    if (!is_busy(slot)) {
        slot->look_ns = due_ns;
        return;
    }
    if (timeout_ns)
        due_ns = clock_earlier(due_ns, slot->since_ns + timeout_ns);
    if (shared->limit.timeout.percent) /* what other slots finish may change it */
        due_ns = clock_earlier(due_ns, now_ns + look_every_ns);
    if (slot->given < slot->batch.assignment.count)
        due_ns = clock_earlier(due_ns, slot->since_ns + shared->patience_ns);
    if (!shared->answered_ever && !slot->hinted)
        due_ns = clock_earlier(due_ns, slot->since_ns + hint_ns);
    if (slot_batch_is_cancelled(&slot->batch, slot_batch_next(&slot->batch)))
        due_ns = 0;
    slot->look_ns = due_ns;
}

/* One that closes its input or output is ending, as a rule, and tells how when it is reaped. */
static void note_closed(struct coprocess_shared *shared, struct coprocess_slot *slot,
                        uint64_t now_ns)
{
    if (slot->state != COPROCESS_UP || slot->closed_ns != NEVER)
        return;
    slot->closed_ns = now_ns;
    coprocess_slot_watch(shared, slot, slot->out, EPOLL_CTL_DEL, 0);
    if (slot->waits)
        coprocess_slot_watch(shared, slot, slot->in, EPOLL_CTL_DEL, 0);
    slot->waits = false;
    coprocess_slot_plan_look(shared, slot, now_ns);
}

/* How many may be with the child at once: what it does in ahead_ns. */
static uint64_t window(const struct coprocess_slot *slot)
{
    uint64_t most = ahead_ns / (slot->mean_ns ? slot->mean_ns : 1);
    return most ? most : 1;
}

static void coprocess_slot_flush(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                 uint64_t now_ns)
{
    ssize_t written = 0;
    if (slot->lines.size)
        written =
            write(slot->in, slot->lines.data + slot->lines_at, slot->lines.size - slot->lines_at);
    if (written > 0) {
        slot->lines_at += (size_t)written;
        slot->wrote = true;
    }
    if (slot->lines_at == slot->lines.size) {
        coprocess_lines_clear(slot);
    } else if (slot->lines_at > slot->lines.size / 2) { /* each byte is moved once, as a rule */
        buf_drop_front(&slot->lines, slot->lines_at);
        slot->lines_at = 0;
    }
    if (written < 0 &&
        errno != EAGAIN) { /* it reads no more, and may yet answer what it has read */
        coprocess_lines_clear(slot);
        if (!slot->wrote)
            slot->given = slot->batch.done;
        note_closed(shared, slot, now_ns);
    }
    bool waits = slot->lines.size > 0;
    if (waits != slot->waits)
        coprocess_slot_watch(shared, slot, slot->in, waits ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
                             EPOLLOUT);
    slot->waits = waits;
}

/* Gives the child as many lines as it may have. One that cannot be given ends when its turn comes. */
static void coprocess_slot_feed(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                uint64_t now_ns)
{
    struct slot_batch *batch = &slot->batch;
    uint64_t most = window(slot);
    while (slot->closed_ns == NEVER && batch->assigned && slot->given < batch->assignment.count &&
           slot->given - batch->done < most &&
           slot->lines.size - slot->lines_at < COPROCESS_LINES_MAX) {
        struct bytes before = slot->rest;
        bool idle = slot->given == batch->done;
        if (coprocess_lines_put(shared, slot)) {
            if (idle) {
                slot->since_ns = now_ns;
                slot->wrote = false;
            }
            slot->given++;
        } else if (idle) {
            slot->given++;
            coprocess_lines_refuse(shared, slot);
        } else {
            slot->rest = before;
            break;
        }
    }
    coprocess_slot_flush(shared, slot, now_ns);
    coprocess_slot_plan_look(shared, slot, now_ns);
}

void coprocess_slot_assign(struct coprocess_shared *shared, struct coprocess_slot *slot,
                           const struct assignment *assignment, uint64_t now_ns)
{
    slot_batch_assign(&slot->batch, assignment);
    slot->given = 0;
    slot->rest = assignment->records;
    if (slot->state == COPROCESS_UP)
        coprocess_slot_feed(shared, slot, now_ns);
    else if (slot->state == COPROCESS_BROKEN)
        slot_batch_return(&slot->batch);
    else if (slot->state == COPROCESS_DOWN && slot->short_of)
        coprocess_slot_give_back_for_now(shared, slot);
}

/* ---- answers out ---- */

/* When a task began, and how long it took. */
struct took {
    uint64_t start_us, duration_ns;
};

static void coprocess_slot_finish(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                  struct output out, struct took took)
{
    struct outcome outcome = {.status = RESULT_OK,
                              .start_us = took.start_us,
                              .duration_ns = took.duration_ns,
                              .out = out,
                              .err = {.fd = -1}};
    slot->answered = shared->answered_ever = true;
    slot->failures = 0;
    time_limit_note(&shared->limit, took.duration_ns);
    slot_batch_finish(&slot->batch, &outcome);
}

static void coprocess_slot_keep(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                struct bytes bytes, uint64_t now_ns)
{
    struct why why;
    enum capture_state state = CAPTURE_WHOLE;
    if (bytes.size)
        state = capture_add(&slot->answer, &shared->limits, bytes, &why);
    if (state == CAPTURE_NO_ROOM)
        log_line("the answer of task %llu cannot be kept: %s",
                 (unsigned long long)slot_batch_next(&slot->batch), why.text);
    if (state != CAPTURE_WHOLE)
        kill_child(shared, slot, COPROCESS_TOO_LARGE, now_ns);
}

/* One answer has come whole: this is its last part, with what ended it. */
static void coprocess_slot_take_answer(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                       struct bytes part, struct took took, uint64_t now_ns)
{
    if (slot->answer.size || part.size > shared->limits.output_max) {
        coprocess_slot_keep(shared, slot, part, now_ns);
        if (slot->killed == COPROCESS_TOO_LARGE)
            return;
        struct output out = capture_take(&slot->answer);
        coprocess_slot_finish(shared, slot, out, took);
        capture_reset(&slot->answer);
        return;
    }
    coprocess_slot_finish(shared, slot, (struct output){.bytes = part, .fd = -1, .size = part.size},
                          took);
}

/* The time since the last answer is shared by those that came together. */
static void coprocess_slot_take_lines(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                      size_t size, uint64_t now_ns)
{
    uint8_t *at = shared->chunk, *last = at + size;
    size_t count = coprocess_lines_count((struct bytes){at, size}, shared->end);
    uint64_t each_ns = count ? (now_ns - slot->since_ns) / count : 0;
    struct took took = {wall_us(now_ns - each_ns, now_ns), each_ns};
    for (uint8_t *end; at < last && (end = memchr(at, shared->end, (size_t)(last - at)));) {
        if (!is_busy(slot)) {
            kill_child(shared, slot, COPROCESS_UNASKED, now_ns);
            return;
        }
        *end = '\n';
        coprocess_slot_take_answer(shared, slot, (struct bytes){at, (size_t)(end + 1 - at)}, took,
                                   now_ns);
        at = end + 1;
    }
    coprocess_slot_keep(shared, slot, (struct bytes){at, (size_t)(last - at)}, now_ns);
    if (!count)
        return;
    slot->mean_ns = (3 * slot->mean_ns + each_ns) / 4;
    slot->since_ns = now_ns;
}

/* Takes what the child has written; returns false at the end of it. */
static bool coprocess_slot_hear(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                uint64_t now_ns)
{
    ssize_t size;
    do {
        size = read(slot->out, shared->chunk, COPROCESS_CHUNK);
        if (size > 0)
            coprocess_slot_take_lines(shared, slot, (size_t)size, now_ns);
    } while (size == COPROCESS_CHUNK && slot->killed != COPROCESS_UNASKED &&
             slot->killed != COPROCESS_TOO_LARGE);
    return size != 0;
}

/* ---- looking, and the end ---- */

static void hint(const struct coprocess_shared *shared, struct coprocess_slot *slot)
{
    slot->hinted = true;
    log_line(
        "%s has not answered its first line for %d s: it has to write one line for each that it "
        "reads, and to flush it (python3 -u, sed -u, stdbuf -oL, gawk and fflush (), mawk -W "
        "interactive)",
        shared->path, (int)(hint_ns / NS_PER_S));
}

/* What a child that is at a task is looked at for. */
static void coprocess_slot_look(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                uint64_t now_ns)
{
    uint64_t timeout_ns = time_limit_ns(&shared->limit), ran_ns = now_ns - slot->since_ns;
    uint64_t next = slot_batch_next(&slot->batch);
    if (slot_batch_is_cancelled(&slot->batch, next)) {
        kill_child(shared, slot, COPROCESS_CANCEL, now_ns);
        return;
    }
    if (timeout_ns && ran_ns >= timeout_ns) {
        kill_child(shared, slot, COPROCESS_TIMEOUT, now_ns);
        return;
    }
    if (ran_ns >= shared->patience_ns && slot->given < slot->batch.assignment.count)
        slot_batch_return_behind(&slot->batch, slot->batch.assignment.first + slot->given - 1);
    if (ran_ns >= hint_ns && !shared->answered_ever && !slot->hinted)
        hint(shared, slot);
    coprocess_slot_plan_look(shared, slot, now_ns);
}

static bool is_nonsense(const struct coprocess_slot *slot)
{
    return slot->killed == COPROCESS_UNASKED || slot->killed == COPROCESS_TOO_LARGE;
}

/* All that the child said was heard: what its end means, and the next one. */
static void coprocess_slot_bury(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                uint64_t now_ns)
{
    slot->state = COPROCESS_DOWN;
    slot->look_ns = NEVER;
    if (slot->out >= 0) {
        coprocess_slot_watch(shared, slot, slot->out, EPOLL_CTL_DEL, 0);
        child_let_go(&slot->process, slot->out);
        slot->out = -1;
    }
    coprocess_death_in_words(slot, shared->path, slot->status, &slot->why);
    coprocess_slot_charge(slot, slot->status, now_ns);
    capture_reset(&slot->answer);
    slot_batch_return(&slot->batch);
    if (slot->killed == COPROCESS_UNASKED) {
        coprocess_slot_give_up(shared, slot);
    } else if (slot->answered || slot->killed == COPROCESS_CANCEL ||
               slot->killed == COPROCESS_TIMEOUT || slot->killed == COPROCESS_TOO_LARGE) {
        coprocess_slot_start_child(shared, slot, now_ns);
    } else {
        start_later(shared, slot, now_ns);
    }
}

/* Takes all that is there now; returns false at the end. */
static bool hear_rest(struct coprocess_shared *shared, struct coprocess_slot *slot, uint64_t now_ns)
{
    ssize_t size = 1;
    while (size > 0 && !is_nonsense(slot)) {
        size = read(slot->out, shared->chunk, COPROCESS_CHUNK);
        if (size > 0)
            coprocess_slot_take_lines(shared, slot, (size_t)size, now_ns);
    }
    if (size == 0)
        fd_close(&slot->out);
    return size != 0;
}

/* What lingers is only of use to a task that it may answer. */
static void plan_linger(struct coprocess_shared *shared, struct coprocess_slot *slot,
                        uint64_t now_ns)
{
    uint64_t timeout_ns = time_limit_ns(&shared->limit);
    uint64_t due_ns = clock_earlier(slot->until_ns, now_ns + linger_look_ns);
    if (timeout_ns)
        due_ns = clock_earlier(due_ns, slot->since_ns + timeout_ns);
    slot->look_ns = due_ns;
}

static void linger_hear(struct coprocess_shared *shared, struct coprocess_slot *slot,
                        uint64_t now_ns)
{
    bool goes_on = hear_rest(shared, slot, now_ns);
    if (!goes_on || slot->killed || !is_busy(slot))
        coprocess_slot_bury(shared, slot, now_ns);
    else
        plan_linger(shared, slot, now_ns);
}

static void linger_kill(struct coprocess_shared *shared, struct coprocess_slot *slot,
                        enum coprocess_kill reason, uint64_t now_ns)
{
    slot->killed = reason;
    slot->killed_for = slot_batch_next(&slot->batch);
    child_kill_left(&slot->process, slot->out, now_ns);
    coprocess_slot_bury(shared, slot, now_ns);
}

static void linger_look(struct coprocess_shared *shared, struct coprocess_slot *slot,
                        uint64_t now_ns)
{
    uint64_t timeout_ns = time_limit_ns(&shared->limit);
    if (slot_batch_is_cancelled(&slot->batch, slot_batch_next(&slot->batch))) {
        linger_kill(shared, slot, COPROCESS_CANCEL, now_ns);
    } else if (timeout_ns && now_ns >= slot->since_ns + timeout_ns) {
        linger_kill(shared, slot, COPROCESS_TIMEOUT, now_ns);
    } else if (now_ns >= slot->until_ns) {
        coprocess_slot_bury(shared, slot, now_ns);
    } else {
        struct output_holder holder = child_find_holder(&slot->process, slot->out, now_ns);
        executor_tell_held(&shared->events, slot->batch.slot, holder.pid, holder.name);
        plan_linger(shared, slot, now_ns);
    }
}

void coprocess_slot_exited(struct coprocess_shared *shared, struct coprocess_slot *slot, int status,
                           uint64_t now_ns)
{
    bool watched = slot->state == COPROCESS_UP && slot->closed_ns == NEVER;
    child_exited(&slot->process, now_ns); /* of what it captures itself nothing is left */
    fd_close(&slot->in);
    coprocess_lines_clear(slot);
    slot->waits = false;
    slot->status = status;
    slot->state = COPROCESS_LINGERS;
    slot->until_ns = now_ns + shared->options.linger_ns;
    bool goes_on = !is_nonsense(slot) && hear_rest(shared, slot, now_ns);
    if (goes_on && watched && !slot->killed && is_busy(slot) && shared->options.linger_ns)
        plan_linger(shared, slot, now_ns);
    else
        coprocess_slot_bury(shared, slot, now_ns);
}

void coprocess_slot_turn(struct coprocess_shared *shared, struct coprocess_slot *slot,
                         uint64_t now_ns)
{
    child_turn(&slot->process, now_ns);
    if (slot->look_ns > now_ns || shared->children.held_ns)
        return;
    slot->look_ns = NEVER;
    bool lingers = slot->closed_ns != NEVER && now_ns >= slot->closed_ns + ending_ns;
    if (slot->state == COPROCESS_UP && lingers)
        kill_child(shared, slot, COPROCESS_CLOSED, now_ns);
    else if (slot->state == COPROCESS_UP && is_busy(slot))
        coprocess_slot_look(shared, slot, now_ns);
    else if (slot->state == COPROCESS_LINGERS)
        linger_look(shared, slot, now_ns);
    else if (slot->state == COPROCESS_DOWN)
        coprocess_slot_start_child(shared, slot, now_ns);
}

void coprocess_slot_put_off(struct coprocess_slot *slot, uint64_t held_ns, uint64_t now_ns)
{
    uint64_t from_ns = slot->since_ns > held_ns ? slot->since_ns : held_ns;
    uint64_t by_ns = now_ns > from_ns ? now_ns - from_ns : 0;
    slot->since_ns += by_ns;
    slot->until_ns += by_ns;
    slot->closed_ns += slot->closed_ns == NEVER ? 0 : by_ns;
    slot->look_ns =
        slot->look_ns == NEVER || slot->state == COPROCESS_DOWN ? slot->look_ns : now_ns;
}

void coprocess_slot_serve(struct coprocess_shared *shared, struct coprocess_slot *slot,
                          uint64_t now_ns)
{
    if (slot->state == COPROCESS_LINGERS)
        linger_hear(shared, slot, now_ns);
    if (slot->state != COPROCESS_UP)
        return;
    if (!coprocess_slot_hear(shared, slot, now_ns))
        note_closed(shared, slot, now_ns);
    if (slot->state == COPROCESS_UP)
        coprocess_slot_feed(shared, slot, now_ns);
}

void coprocess_slot_cancel(struct coprocess_slot *slot, uint64_t seq, uint64_t now_ns)
{
    if (!slot_batch_cancel(&slot->batch, seq))
        return;
    if (slot->state == COPROCESS_UP || slot->state == COPROCESS_LINGERS)
        slot->look_ns = now_ns; /* the next turn kills the child if this is the task it is at */
    else if (slot->state == COPROCESS_DOWN &&
             slot->batch.cancelled.members == slot_batch_left(&slot->batch))
        slot_batch_return(&slot->batch);
}

uint64_t coprocess_slot_running(const struct coprocess_slot *slot, uint64_t *since_ns)
{
    if (!is_busy(slot))
        return 0;
    *since_ns = slot->since_ns;
    return slot_batch_next(&slot->batch);
}
