/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/slots.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/xalloc.h"
#include "worker/core/control_inbox.h"
#include "worker/core/lane_inbox.h"
#include "worker/core/leaving.h"
#include "worker/core/reports.h"
#include "worker/core/session.h"
#include "worker/core/slots_state.h"
#include "worker/core/waits.h"
#include "worker/core/work.h"

#define LATE_NS (250 * NS_PER_MS) /* a turn that is later than its deadline by this was frozen */

struct slots *slots_new(const struct slots_options *options, uint64_t now_ns)
{
    assert(options->slots > 0 && options->batch_max > 0);
    struct slots *s = xcalloc(1, sizeof *s);
    s->options = *options;
    s->moved_ns = s->promised_ns = now_ns;
    member_init(&s->control.member, options->random_seed, now_ns);
    outlet_init(&s->outlet, &s->options, &s->control.member, &s->results, &s->actions, now_ns);
    running_init(&s->running, options->slots);
    interruptions_init(&s->interruptions, options->slots);
    start_limit_init(&s->start_limit, options->slots);
    results_init(&s->results, options->peer.name, options->kept_max_bytes);
    s->departure.evict_ns = NEVER;
    return s;
}

void slots_destroy(struct slots **slots)
{
    struct slots *s = *slots;
    if (!s)
        return;
    actions_free(&s->actions);
    backlog_free(&s->backlog);
    interruptions_free(&s->interruptions);
    running_free(&s->running);
    results_free(&s->results);
    report_free(&s->report);
    worker_lane_free(&s->lane);
    free(s);
    *slots = NULL;
}

/* ---- what is said to this worker ---- */

void slots_control_message(struct slots *s, struct bytes message, uint64_t now_ns)
{
    control_inbox_message(s, message, now_ns);
}

void slots_lane_message(struct slots *s, struct bytes message, uint64_t now_ns)
{
    lane_inbox_message(s, message, now_ns);
}

/* ---- the results connection ---- */

void slots_results_accepted(struct slots *s, uint64_t now_ns)
{
    if (!s->gone)
        outlet_accepted(&s->outlet, now_ns);
}

void slots_results_up(struct slots *s, uint64_t now_ns)
{
    if (!s->gone)
        outlet_up(&s->outlet, now_ns);
}

void slots_results_down(struct slots *s, uint64_t now_ns)
{
    if (!s->gone)
        outlet_down(&s->outlet, now_ns);
}

void slots_results_pending(struct slots *s, uint64_t pending_bytes)
{
    s->outlet.pending_bytes = pending_bytes;
}

/* A large result is reported when all of it is sent. But one that cannot be is needed elsewhere, and when
 * the lane has ended the ventilator must know what of its tasks is begun. */
static void report_what_stays(struct slots *s, uint64_t now_ns)
{
    if (s->results.large.count && member_in_session(&s->control.member) &&
        (s->lane.ended || outlet_stuck_ms(&s->outlet, now_ns)))
        results_report_large(&s->results, &s->report);
}

static void turn_outlet(struct slots *s, uint64_t now_ns)
{
    report_what_stays(s, now_ns);
    if (outlet_turn(&s->outlet, now_ns))
        session_rejoin(s, now_ns);
    /* While the sink cannot be reached, what has not begun is better run elsewhere. */
    if (s->backlog.tasks && outlet_is_down(&s->outlet, now_ns))
        reports_return(s, UINT64_MAX, RETURNED_LEAVING);
}

static void send_results(struct slots *s, uint64_t now_ns)
{
    struct why why;
    if (outlet_send(&s->outlet, &s->report, now_ns, &why))
        leave_exit(s, 255, &why);
}

/* ---- what runs out ---- */

void slots_held_up(struct slots *s, const char *why, uint64_t now_ns)
{
    if (!s->gone && !start_limit_failed(&s->start_limit, s->running.busy, why, now_ns))
        slots_broken(s, why, now_ns);
}

static void turn_start_limit(struct slots *s, uint64_t now_ns)
{
    struct why line;
    if (start_limit_turn(&s->start_limit, now_ns, &line))
        actions_say(&s->actions, &line);
}

/* ---- the turn ---- */

void slots_hold(struct slots *s, bool hold)
{
    s->holds = hold;
}

/* A process that was frozen finds all deadlines passed and all messages still unread: it waits again for as long as it
 * was away. */
static void compensate(struct slots *s, uint64_t late_ns, uint64_t now_ns)
{
    interruptions_put_off(&s->interruptions, late_ns, now_ns);
    if (late_ns <= LATE_NS)
        return;
    member_slept(&s->control.member, late_ns, now_ns);
    s->lane.accepted_ns = clock_earlier(s->lane.accepted_ns + late_ns, now_ns);
    outlet_slept(&s->outlet, late_ns, now_ns);
}

static bool halting_result_is_kept(const struct slots *s)
{
    return results_have(&s->results, s->halt_pause.seq, s->halt_pause.seq);
}

void slots_turn(struct slots *s, uint64_t now_ns)
{
    if (s->gone)
        return;
    compensate(s, session_late_ns(s, now_ns), now_ns);
    work_judge(s, now_ns);
    turn_start_limit(s, now_ns);
    session_turn(s, now_ns);
    turn_outlet(s, now_ns);
    halt_pause_turn(&s->halt_pause, halting_result_is_kept(s), s->control.member.heartbeat_ns,
                    now_ns);
    work_start(s, now_ns);
    bool reports = reports_send(s, now_ns);
    send_results(s, now_ns);
    if (!s->gone)
        reports_credit(s, reports);
    leave_turn(s, now_ns);
    s->promised_ns = slots_deadline(s);
}

uint64_t slots_deadline(const struct slots *s)
{
    if (s->gone)
        return NEVER;
    uint64_t deadline = clock_earlier(session_deadline(s), outlet_deadline(&s->outlet));
    deadline = clock_earlier(deadline, reports_deadline(s));
    deadline = clock_earlier(deadline, halt_pause_deadline(&s->halt_pause));
    deadline = clock_earlier(deadline, interruptions_deadline(&s->interruptions));
    deadline = clock_earlier(deadline, start_limit_deadline(&s->start_limit));
    return clock_earlier(deadline, leave_deadline(s));
}

bool slots_next_action(struct slots *s, struct slots_action *action)
{
    return actions_take(&s->actions, action);
}

uint64_t slots_moved_at(const struct slots *s)
{
    return s->moved_ns > s->outlet.progress_ns ? s->moved_ns : s->outlet.progress_ns;
}

bool slots_waits_for(const struct slots *s, uint64_t now_ns, struct why *why)
{
    return waits_for(s, now_ns, why);
}

uint64_t slots_wants(const struct slots *s)
{
    return s->outlet.wants;
}

struct slots_counts slots_counts(const struct slots *s)
{
    return s->counts;
}
