/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "worker/core/slots_state.h"

/* Batch systems, supervisors and users send a signal to a worker and to its tasks at once, and which of
 * the two is noticed first is chance. So a task that was ended by such a signal, which was not ours, is
 * not judged for a moment, and its slot stays busy: a worker that is told to leave in that moment gives
 * the task back (docs/protocol.md, 5). */

#define HELD_NS (250 * NS_PER_MS)
#define HELD_LATE_NS                                                                               \
    (50 * NS_PER_MS) /* who is late by this may not have heard of the signal either */
enum { HELD_EXTENSIONS = 4, SHELL_SIGNALED = 128 };

/* The signals by which the owner of the machine takes it back. A SIGSEGV is always the task's. */
static bool held_interrupts(unsigned number)
{
    return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGXCPU ||
           number == SIGKILL;
}

static bool held_may_be_interrupted(const struct outcome *o)
{
    if (!o->own_end)
        return false;
    return o->status == RESULT_SIGNALED ? held_interrupts(o->code)
                                        : o->status == RESULT_EXITED && o->code > SHELL_SIGNALED &&
                                              held_interrupts(o->code - SHELL_SIGNALED);
}

/* Its slices are the executor's, and valid no longer than the call. */
static void held_keep(struct held *h, const struct outcome *o)
{
    h->outcome = *o;
    struct bytes *slices[] = {&h->outcome.out.bytes, &h->outcome.err.bytes, &h->outcome.command};
    for (size_t i = 0; i < 3; i++)
        buf_put_bytes(&h->bytes, *slices[i]);
    const uint8_t *at = h->bytes.data;
    for (size_t i = 0; i < 3; at += slices[i++]->size)
        slices[i]->data = at;
}

static struct outcome held_let_go(struct slots *s, struct held *h)
{
    assert(h->seq && s->held_count);
    h->seq = 0;
    s->held_count--;
    return h->outcome;
}

static void held_give_back(struct slots *s, const struct outcome *outcome, uint64_t now_ns)
{
    work_discard(outcome);
    work_interrupted(s, outcome->seq);
    work_end_task(s, outcome->slot, outcome->seq, now_ns);
}

bool held_take(struct slots *s, const struct outcome *outcome, uint64_t now_ns)
{
    struct backlog_run task;
    bool wanted;
    if (!held_may_be_interrupted(outcome) || s->gone ||
        !running_find(&s->running, outcome->slot, outcome->seq, &task, &wanted) || !wanted ||
        work_has_final(s, outcome->seq, outcome->seq))
        return false;
    struct held *h = &s->held[outcome->slot];
    if (s->told_to_leave) {
        held_give_back(s, outcome, now_ns);
        return true;
    }
    if (h->seq)
        return false;
    held_keep(h, outcome);
    h->seq = outcome->seq;
    h->due_ns = now_ns + HELD_NS;
    h->extended = 0;
    s->held_count++;
    return true;
}

bool held_has(const struct slots *s, unsigned slot, uint64_t seq)
{
    return s->held[slot].seq == seq;
}

void held_put_off(struct slots *s, uint64_t late_ns, uint64_t now_ns)
{
    for (unsigned i = 0; late_ns >= HELD_LATE_NS && s->held_count && i < s->running.count; i++)
        if (s->held[i].seq && s->held[i].extended < HELD_EXTENSIONS) {
            s->held[i].due_ns = now_ns + HELD_NS;
            s->held[i].extended++;
        }
}

/* One that nobody wants any more has no result. */
static void held_judge(struct slots *s, struct held *h, uint64_t now_ns)
{
    struct backlog_run task;
    bool wanted = false;
    running_find(&s->running, h->outcome.slot, h->seq, &task, &wanted);
    if (wanted && now_ns < h->due_ns && !s->told_to_leave)
        return;
    struct outcome outcome = held_let_go(s, h);
    if (wanted && s->told_to_leave)
        held_give_back(s, &outcome, now_ns);
    else
        work_finish(s, &outcome, now_ns);
    buf_free(&h->bytes);
}

void held_turn(struct slots *s, uint64_t now_ns)
{
    for (unsigned i = 0; s->held_count && i < s->running.count; i++)
        if (s->held[i].seq)
            held_judge(s, &s->held[i], now_ns);
}

uint64_t held_deadline(const struct slots *s)
{
    uint64_t deadline = NEVER;
    for (unsigned i = 0; s->held_count && i < s->running.count; i++)
        if (s->held[i].seq && s->held[i].due_ns < deadline)
            deadline = s->held[i].due_ns;
    return deadline;
}

void held_free(struct slots *s)
{
    for (unsigned i = 0; i < s->running.count; i++) {
        if (s->held[i].seq)
            work_discard(&s->held[i].outcome);
        buf_free(&s->held[i].bytes);
    }
    free(s->held);
}
