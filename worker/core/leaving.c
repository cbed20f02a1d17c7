/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/leaving.h"

#include "worker/core/reports.h"
#include "worker/core/session.h"
#include "worker/core/slots_state.h"
#include "worker/core/work.h"

/* From TERM to KILL, for what --grace ends: what waits for this worker will not wait for long. */
#define EVICT_KILL_NS NS_PER_S

void leave_exit(struct slots *s, int status, const struct why *why)
{
    if (s->gone)
        return;
    if (member_in_session(&s->control.member)) {
        struct buf message = say_begin(s, KIND_BYE);
        say(s, &message);
    }
    actions_exit(&s->actions, status, why);
    s->gone = true;
}

void leave_stop(struct slots *s, int status, const struct why *why, uint64_t now_ns)
{
    work_forget(s);
    if (s->options.stay && s->departure.leaving == STAYING && status == 0) {
        session_leave(s, now_ns);
        s->control.member.head = (struct frame_head){0};
        s->control.member.present_ns = now_ns;
        return;
    }
    s->departure.stopping = true;
    s->departure.stop_status = s->departure.leaving == BROKEN ? 255 : status;
    s->departure.stop_why = s->departure.leaving == BROKEN ? s->departure.why : *why;
}

/* What has not begun goes back at once; LEAVE, the lane's END and the rest follow in the turns. */
static void begin_to_leave(struct slots *s, enum leaving leaving, uint64_t now_ns)
{
    s->departure.leaving = leaving;
    s->departure.idle_ns = now_ns;
    s->moved_ns = now_ns;
    reports_return(s, UINT64_MAX, reports_return_reason(s));
}

void slots_drain(struct slots *s, uint64_t now_ns)
{
    if (s->departure.told || s->gone)
        return;
    s->departure.told = true;
    if (s->options.grace_ns && s->options.grace_ns < NEVER - now_ns)
        s->departure.evict_ns = now_ns + s->options.grace_ns;
    work_judge(s, now_ns);
    if (s->departure.leaving == STAYING)
        begin_to_leave(s, DRAINING, now_ns);
}

void slots_broken(struct slots *s, const char *why, uint64_t now_ns)
{
    if (s->departure.leaving == BROKEN || s->gone)
        return;
    fail(&s->departure.why, ERR_NONE, "%s", why);
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
    reports_return(s, UINT64_MAX, RETURNED_LEAVING);
    add_running(s, &s->report.interrupted);
    reports_interrupted(s);
    work_cancel_range(s, 1, UINT64_MAX - 1);
    struct why why = {""};
    if (!s->options.supervised)
        fail(&why, ERR_NONE, "interrupted: killed what ran in %u of %u slots", killed,
             s->options.slots);
    leave_exit(s, 255, &why);
}

static void say_leave(struct slots *s)
{
    const char *text = s->departure.leaving == BROKEN ? s->departure.why.text : "asked to leave";
    struct buf message = say_begin(s, KIND_LEAVE);
    leave_put(&message, &(struct leave){bytes_of(text)});
    say(s, &message);
    s->departure.said = true;
}

/* All is stored, and the ventilator knows that nothing is here any more: the lane has ended, or
 * there never was a session. One that broke is joined anew first, or the ventilator would take the
 * worker for dead and charge its tasks; but not for longer than the limit. */
static bool may_go(const struct slots *s, uint64_t now_ns)
{
    bool known =
        member_in_session(&s->control.member) ? s->lane.ended : s->control.member.head.session == 0;
    return results_empty(&s->results) &&
           (known || now_ns >= s->departure.idle_ns + s->control.member.limit_ns);
}

/* --grace is over: what runs is killed, and given back when it has left its slot. */
static void evict(struct slots *s, uint64_t now_ns)
{
    if (now_ns < s->departure.evict_ns)
        return;
    if (s->departure.evicted == EVICT_LATER) {
        work_evict(s);
        s->departure.evicted = EVICT_TERM;
        s->departure.evict_ns = now_ns + EVICT_KILL_NS;
        return;
    }
    actions_do(&s->actions, SLOTS_HURRY);
    s->departure.evicted = EVICT_KILL;
    s->departure.evict_ns = NEVER;
}

static void leave_when_done(struct slots *s, uint64_t now_ns)
{
    if (member_in_session(&s->control.member) && !s->departure.said)
        say_leave(s);
    if (s->running.busy) {
        s->departure.idle_ns = now_ns;
        evict(s, now_ns);
        return;
    }
    struct why why = s->departure.why;
    if (may_go(s, now_ns)) {
        leave_exit(s, s->departure.leaving == BROKEN ? 255 : 0, &why);
    } else if (now_ns >= s->departure.idle_ns + s->options.give_up_ns) {
        fail(&why, ERR_NONE,
             "left although %llu results are not stored: the sink has not taken them for %llu s; "
             "their tasks will run elsewhere",
             (unsigned long long)results_count(&s->results),
             (unsigned long long)(s->options.give_up_ns / NS_PER_S));
        leave_exit(s, 255, &why);
    }
}

/* A worker that waits for the next job has all the time. */
static uint64_t gives_up_at(const struct slots *s)
{
    bool does = (!s->options.stay || s->departure.leaving != STAYING) &&
                s->options.give_up_ns < NEVER - s->control.member.present_ns;
    return does ? s->control.member.present_ns + s->options.give_up_ns : NEVER;
}

void leave_turn(struct slots *s, uint64_t now_ns)
{
    if (s->departure.stopping && s->running.busy == 0)
        leave_exit(s, s->departure.stop_status, &s->departure.stop_why);
    else if (s->departure.stopping)
        evict(s, now_ns);
    else if (s->departure.leaving != STAYING)
        leave_when_done(s, now_ns);
    if (!s->gone && now_ns >= gives_up_at(s) && !member_is_trying(&s->control.member)) {
        struct why why;
        fail(&why, ERR_NONE, "no ventilator has answered at %s for %llu s: %s", s->options.connect,
             (unsigned long long)(s->options.give_up_ns / NS_PER_S),
             s->control.member.accepted
                 ? "somebody is there, another program or a ventilator with another "
                   "key than ours is for; check --connect, and --keys"
                 : "start it, or check --connect");
        leave_exit(s, 255, &why);
    }
}

uint64_t leave_deadline(const struct slots *s)
{
    uint64_t deadline = member_is_trying(&s->control.member) ? NEVER : gives_up_at(s);
    if (s->departure.leaving == STAYING)
        return deadline;
    if (s->running.busy)
        return clock_earlier(s->departure.evict_ns, deadline);
    uint64_t patience =
        results_empty(&s->results) ? s->control.member.limit_ns : s->options.give_up_ns;
    return clock_earlier(s->departure.idle_ns + patience, deadline);
}
