/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/slots_state.h"

/* From TERM to KILL, for what --grace ends: what waits for this worker will not wait for long. */
#define EVICT_KILL_NS NS_PER_S

void leave_exit(struct slots *s, int status, const struct why *why)
{
    if (s->gone)
        return;
    if (slots_link_in_session(s)) {
        struct buf message = say_begin(s, KIND_BYE);
        say(s, &message);
    }
    actions_exit(&s->actions, status, why);
    s->gone = true;
}

void leave_stop(struct slots *s, int status, const struct why *why, uint64_t now_ns)
{
    work_forget(s);
    if (s->options.stay && s->leaving == STAYING && status == 0) {
        slots_link_leave(s, now_ns);
        s->link.head = (struct frame_head){0};
        s->link.present_ns = now_ns;
        return;
    }
    s->stopping = true;
    s->stop_status = s->leaving == BROKEN ? 255 : status;
    s->stop_why = s->leaving == BROKEN ? s->leave_why : *why;
}

/* What has not begun goes back at once; LEAVE, the lane's END and the rest follow in the turns. */
static void begin_to_leave(struct slots *s, enum leaving leaving, uint64_t now_ns)
{
    s->leaving = leaving;
    s->idle_ns = now_ns;
    s->moved_ns = now_ns;
    work_return(s, UINT64_MAX, work_return_reason(s));
}

void slots_drain(struct slots *s, uint64_t now_ns)
{
    if (s->told_to_leave || s->gone)
        return;
    s->told_to_leave = true;
    if (s->options.grace_ns && s->options.grace_ns < NEVER - now_ns)
        s->evict_ns = now_ns + s->options.grace_ns;
    held_turn(s, now_ns);
    if (s->leaving == STAYING)
        begin_to_leave(s, DRAINING, now_ns);
}

void slots_broken(struct slots *s, const char *why, uint64_t now_ns)
{
    if (s->leaving == BROKEN || s->gone)
        return;
    fail(&s->leave_why, ERR_NONE, "%s", why);
    begin_to_leave(s, BROKEN, now_ns);
}

static void add_running(const struct slots *s, struct seqset *to)
{
    struct attempt_list list = {0};
    running_list(&s->running, &list);
    for (size_t i = 0; i < list.count; i++)
        seqset_add(to, list.items[i].seq, list.items[i].seq);
    attempt_list_free(&list);
}

void slots_abort(struct slots *s, uint64_t now_ns)
{
    (void)now_ns;
    if (s->gone)
        return;
    unsigned killed = s->running.busy;
    work_return(s, UINT64_MAX, RETURNED_LEAVING);
    add_running(s, &s->report.interrupted);
    work_say_interrupted(s);
    work_cancel_range(s, 1, UINT64_MAX - 1);
    struct why why = {""};
    if (!s->options.supervised)
        fail(&why, ERR_NONE, "interrupted: killed what ran in %u of %u slots", killed,
             s->options.slots);
    leave_exit(s, 255, &why);
}

static void say_leave(struct slots *s)
{
    const char *text = s->leaving == BROKEN ? s->leave_why.text : "asked to leave";
    struct buf message = say_begin(s, KIND_LEAVE);
    leave_put(&message, bytes_of(text));
    say(s, &message);
    s->leave_told = true;
}

static uint64_t unstored(const struct slots *s)
{
    return s->kept.tasks.members + s->large.tasks.members;
}

/* All is stored, and the ventilator knows that nothing is here any more: the lane has ended, or
 * there never was a session. One that broke is joined anew first, or the ventilator would take the
 * worker for dead and charge its tasks; but not for longer than the limit. */
static bool may_go(const struct slots *s, uint64_t now_ns)
{
    bool known = slots_link_in_session(s) ? s->link.lane_ended : s->link.head.session == 0;
    return work_all_stored(s) && (known || now_ns >= s->idle_ns + s->link.limit_ns);
}

static void evict_slot(struct slots *s, unsigned slot)
{
    uint64_t seq = 0;
    for (unsigned at = slot;
         (seq = running_wanted(&s->running, seq + 1, UINT64_MAX - 1, &at)) != 0 && at == slot;)
        work_cancel(s, slot, seq);
}

/* --grace is over: what runs is killed, and given back when it has left its slot. */
static void evict(struct slots *s, uint64_t now_ns)
{
    if (now_ns < s->evict_ns)
        return;
    if (s->evicted == EVICT_LATER) {
        for (unsigned slot = 0; slot < s->running.count; slot++)
            evict_slot(s, slot);
        s->evicted = EVICT_TERM;
        s->evict_ns = now_ns + EVICT_KILL_NS;
        return;
    }
    actions_do(&s->actions, SLOTS_HURRY);
    s->evicted = EVICT_KILL;
    s->evict_ns = NEVER;
}

static void leave_when_done(struct slots *s, uint64_t now_ns)
{
    if (slots_link_in_session(s) && !s->leave_told)
        say_leave(s);
    if (s->running.busy) {
        s->idle_ns = now_ns;
        evict(s, now_ns);
        return;
    }
    struct why why = s->leave_why;
    if (may_go(s, now_ns)) {
        leave_exit(s, s->leaving == BROKEN ? 255 : 0, &why);
    } else if (now_ns >= s->idle_ns + s->options.give_up_ns) {
        fail(&why, ERR_NONE,
             "left although %llu results are not stored: the sink has not taken them for %llu s; "
             "their tasks will run elsewhere",
             (unsigned long long)unstored(s),
             (unsigned long long)(s->options.give_up_ns / NS_PER_S));
        leave_exit(s, 255, &why);
    }
}

/* A worker that waits for the next job has all the time. */
static uint64_t gives_up_at(const struct slots *s)
{
    bool does = (!s->options.stay || s->leaving != STAYING) &&
                s->options.give_up_ns < NEVER - s->link.present_ns;
    return does ? s->link.present_ns + s->options.give_up_ns : NEVER;
}

void leave_turn(struct slots *s, uint64_t now_ns)
{
    if (s->stopping && s->running.busy == 0)
        leave_exit(s, s->stop_status, &s->stop_why);
    else if (s->stopping)
        evict(s, now_ns);
    else if (s->leaving != STAYING)
        leave_when_done(s, now_ns);
    if (!s->gone && now_ns >= gives_up_at(s) && !slots_link_is_trying(s)) {
        struct why why;
        fail(&why, ERR_NONE, "no ventilator has answered at %s for %llu s: %s", s->options.connect,
             (unsigned long long)(s->options.give_up_ns / NS_PER_S),
             s->link.accepted ? "somebody is there, another program or a ventilator with another "
                                "key than ours is for; check --connect, and --keys"
                              : "start it, or check --connect");
        leave_exit(s, 255, &why);
    }
}

uint64_t leave_deadline(const struct slots *s)
{
    uint64_t deadline = slots_link_is_trying(s) ? NEVER : gives_up_at(s);
    if (s->leaving == STAYING)
        return deadline;
    if (s->running.busy)
        return s->evict_ns < deadline ? s->evict_ns : deadline;
    uint64_t patience = work_all_stored(s) ? s->link.limit_ns : s->options.give_up_ns;
    return s->idle_ns + patience < deadline ? s->idle_ns + patience : deadline;
}
