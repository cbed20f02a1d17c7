/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/waits.h"

#include "worker/core/slots_state.h"

typedef unsigned long long number; /* for printf */

static number slots_words_seconds(uint64_t from_ns, uint64_t now_ns)
{
    return (now_ns > from_ns ? now_ns - from_ns : 0) / NS_PER_S;
}

static void away(const struct slots *s, uint64_t now_ns, struct why *why)
{
    const char *at = s->options.connect;
    number tried = slots_words_seconds(s->control.member.present_ns, now_ns);
    if (s->control.full)
        fail(why, ERR_NONE,
             "the ventilator at %s has as many workers as it takes: raise its --workers-max, or "
             "stop another one",
             at);
    else if (s->control.member.state == MEMBER_JOINING && s->control.waiting)
        fail(why, ERR_NONE,
             "the ventilator at %s has no sink yet: start one with zfarm-sink --connect %s", at,
             at);
    else if (s->control.member.accepted)
        fail(why, ERR_NONE,
             "somebody is there at %s, who has not answered yet: a ventilator that has much to do, "
             "one with another key than ours is for, or another program; waited for %llu s",
             at, tried);
    else
        fail(why, ERR_NONE,
             "no ventilator answers at %s: start it, or check --connect; tried for %llu s", at,
             tried);
}

static void unclaimed(const struct slots *s, uint64_t now_ns, struct why *why)
{
    fail(why, ERR_NONE,
         "the ventilator's lane at %s does not open: check that its port can be reached, or give "
         "--lanes-at; tried for %llu s",
         s->lane.endpoint, slots_words_seconds(s->control.member.since_ns, now_ns));
}

static void no_outlet(const struct slots *s, uint64_t now_ns, struct why *why)
{
    number tried = slots_words_seconds(s->outlet.down_ns, now_ns);
    if (s->outlet.epoch == 0)
        fail(why, ERR_NONE, "there is no sink: start one with zfarm-sink --connect %s",
             s->options.connect);
    else
        fail(why, ERR_NONE,
             "the sink cannot be reached at %s: check that its port is open, or give --results-at; "
             "tried for %llu s; %llu results wait here",
             s->outlet.endpoint, tried, (number)(results_count(&s->results)));
}

static void stuck(const struct slots *s, uint64_t now_ns, struct why *why)
{
    fail(why, ERR_NONE,
         "nothing arrives at the sink at %s, though there is a connection: what drops it on its "
         "way, a "
         "firewall, or large packets? nothing has arrived for %llu s; %llu results wait here",
         s->outlet.endpoint, slots_words_seconds(s->outlet.receipts.stuck_ns, now_ns),
         (number)(results_count(&s->results)));
}

static void unreleased(const struct slots *s, struct why *why)
{
    fail(
        why, ERR_NONE,
        "the sink at %s has not stored %llu results (%llu KiB) of this worker%s: see what it waits "
        "for",
        s->outlet.endpoint, (number)(results_count(&s->results)),
        (number)((results_bytes(&s->results)) >> 10),
        s->departure.leaving == STAYING ? "" : ", which leaves when it has");
}

/* What the task that has been at its slot for longest does not get on by. */
static struct why hindrance(const struct slots *s, uint64_t seq)
{
    struct why why = {""};
    for (unsigned i = 0; i < s->running.count; i++) {
        const struct slot *slot = &s->running.slots[i];
        if (!slot->run.block || slot->next != seq)
            continue;
        if (slot->held && slot->held_by)
            fail(&why, ERR_NONE, "; it has ended, its output is still held by %s (pid %llu)",
                 slot->held_command, (number)slot->held_by);
        else if (slot->held)
            fail(&why, ERR_NONE, "; it has ended, its output is still held");
        else if (slot->stopped)
            fail(&why, ERR_NONE, "; its process is stopped");
    }
    return why;
}

static bool at_work(const struct slots *s, uint64_t now_ns, struct why *why)
{
    uint64_t since_ns = now_ns;
    uint64_t seq = running_longest(&s->running, &since_ns);
    if (!seq || now_ns - since_ns < HEARTBEAT_RUNNING_MS * NS_PER_MS)
        return false;
    fail(why, ERR_NONE, "task %llu has been running for %llu s (%u of %u slots are at work)%s",
         (number)seq, slots_words_seconds(since_ns, now_ns), s->running.busy, s->options.slots,
         hindrance(s, seq).text);
    return true;
}

bool waits_for(const struct slots *s, uint64_t now_ns, struct why *why)
{
    if (s->gone)
        return false;
    if (s->control.member.state == MEMBER_WELCOMED)
        unclaimed(s, now_ns, why);
    else if (!member_in_session(&s->control.member))
        away(s, now_ns, why);
    else if (s->outlet.state != OUTLET_UP)
        no_outlet(s, now_ns, why);
    else if (s->outlet.receipts.stuck_ns != NEVER)
        stuck(s, now_ns, why);
    else if (s->running.busy)
        return at_work(s, now_ns, why);
    else if (!results_empty(&s->results) &&
             (s->departure.leaving != STAYING || results_full(&s->results)))
        unreleased(s, why);
    else
        fail(why, ERR_NONE,
             "the ventilator at %s has no task for this worker now (%u slots are free)",
             s->options.connect, s->options.slots);
    return true;
}
