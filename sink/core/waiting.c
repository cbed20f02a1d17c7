/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/waiting.h"

#include <inttypes.h>

#include "common/base/clock.h"

static void say_no_ventilator(const struct waiting *w, uint64_t now_ns, struct why *why)
{
    const struct member *m = w->member;
    uint64_t silent_s = (now_ns - m->present_ns) / NS_PER_S;
    const char *at = w->connect ? w->connect : "its address";
    if (m->state == MEMBER_JOINING)
        fail(why, ERR_CLOSED, "waits for the ventilator at %s to answer", at);
    else if (m->head.session)
        fail(why, ERR_CLOSED,
             "waits for the ventilator at %s to come back: not heard for %" PRIu64 " s", at,
             silent_s);
    else
        fail(why, ERR_CLOSED,
             "waits for a ventilator: none answers at %s; start one with zfarm-ventilator", at);
}

static bool say_why_results_stop(const struct waiting *w, struct why *why)
{
    const struct intake *in = w->intake;
    struct range next = {1, 1};
    seqset_next_gap(&in->accepted, 1, UINT64_MAX - 1, &next);
    uint64_t waiting = in->accepted.members - in->stored.members;
    if (in->stalled_count)
        fail(why, ERR_DISK_FULL, "waits for room for a large result: %s", in->stalled_why.text);
    else if (w->order_full)
        fail(why, ERR_LIMIT,
             "waits for the result of task %" PRIu64 ": the ones behind it fill what -k may keep",
             next.first);
    else if (waiting)
        fail(why, ERR_LIMIT,
             "waits for the output to take more: %" PRIu64 " results are not written", waiting);
    else
        return false;
    return true;
}

static bool say_why_no_end(const struct ending *e, struct why *why)
{
    switch (e->phase) {
    case ENDING_WANTED:
        fail(why, ERR_NOT_FOUND,
             "waits for the results of %" PRIu64 " tasks, first of task %" PRIu64
             ", that the ventilator believes stored",
             e->missing.members, seqset_min(&e->missing));
        return true;
    case ENDING_FLUSHING:
        fail(why, ERR_LIMIT, "has all results and waits for the output to take them");
        return true;
    case ENDING_CLOSED:
        fail(why, ERR_CLOSED, "is done and waits for the ventilator to say so too");
        return true;
    case ENDING_OPEN:
        break;
    }
    return false;
}

bool waiting_for(const struct waiting *w, uint64_t now_ns, struct why *why)
{
    if (say_why_results_stop(w, why) || say_why_no_end(w->ending, why))
        return true;
    if (w->member->state != MEMBER_JOINED)
        say_no_ventilator(w, now_ns, why);
    else if (w->status->workers == 0)
        fail(why, ERR_NOT_FOUND,
             "waits for results: no worker is in the farm; start one with zfarm-worker");
    else if (w->status->out == 0)
        fail(why, ERR_NOT_FOUND, "waits for results: the ventilator has no task at a worker");
    else
        return false; /* they run: nothing is wrong */
    return true;
}
