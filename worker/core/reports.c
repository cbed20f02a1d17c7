/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/reports.h"

#include "worker/core/session.h"
#include "worker/core/slots_state.h"
#include "worker/core/work.h"

static void say_returned(struct slots *s, struct seqset *tasks, enum returned_reason reason)
{
    struct returned m = {.tasks = *tasks, .reason = reason};
    struct buf message = say_begin(s, KIND_RETURNED);
    returned_put(&message, &m);
    say(s, &message);
    seqset_clear(tasks);
}

void reports_interrupted(struct slots *s)
{
    if (seqset_empty(&s->report.interrupted))
        return;
    if (member_in_session(&s->control.member))
        say_returned(s, &s->report.interrupted, RETURNED_INTERRUPTED);
    else
        seqset_clear(&s->report.interrupted);
}

void reports_return(struct slots *s, uint64_t max, enum returned_reason reason)
{
    backlog_give_back(&s->backlog, max, &s->report.returned);
    if (member_in_session(&s->control.member))
        say_returned(s, &s->report.returned, reason);
    else
        seqset_clear(&s->report.returned); /* the next JOIN does not name them */
}

enum returned_reason reports_return_reason(const struct slots *s)
{
    return s->departure.leaving == BROKEN ? RETURNED_NOT_STARTED : RETURNED_LEAVING;
}

static void say_finished(struct slots *s)
{
    struct finished m = {.tasks = s->report.finished, .failed = s->report.not_ok};
    struct buf message = say_begin(s, KIND_FINISHED);
    finished_put(&message, &m);
    say(s, &message);
    seqset_clear(&s->report.finished);
    s->report.not_ok = 0;
}

static void say_failed(struct slots *s)
{
    struct buf message = say_begin(s, KIND_FAILED);
    attempt_list_put(&message, &s->report.failed);
    say(s, &message);
    s->report.failed.count = 0;
}

static bool has_news(const struct slots *s)
{
    return member_in_session(&s->control.member) &&
           (s->results.kept.open.results || !report_empty(&s->report));
}

bool reports_send(struct slots *s, uint64_t now_ns)
{
    struct report *r = &s->report;
    report_busy(r, s->running.busy, now_ns);
    bool reports = has_news(s) && now_ns >= report_due_ns(r);
    if (s->running.busy == 0 || reports)
        results_close(&s->results, r);
    if (!reports)
        return false;
    if (!seqset_empty(&r->finished))
        say_finished(s);
    if (r->failed.count)
        say_failed(s);
    if (!seqset_empty(&r->returned))
        say_returned(s, &r->returned, reports_return_reason(s));
    reports_interrupted(s);
    r->sent_ns = now_ns;
    return true;
}

static struct holding holding_of(const struct slots *s)
{
    bool open = s->control.member.state == MEMBER_JOINED && s->outlet.state == OUTLET_UP &&
                s->outlet.receipts.stuck_ns == NEVER && work_may_start(s) &&
                !halt_pause_is_on(&s->halt_pause);
    return (struct holding){.slots = s->options.slots,
                            .busy = s->running.busy,
                            .unstarted = s->backlog.tasks,
                            .held_bytes = s->backlog.size_bytes + s->running.size_bytes,
                            .received = s->lane.received,
                            .received_bytes = s->lane.received_bytes,
                            .ordinary = open && !results_full(&s->results),
                            .reserve = open};
}

void reports_credit(struct slots *s, bool in_passing)
{
    if (s->control.member.state != MEMBER_JOINED)
        return;
    struct holding holding = holding_of(s);
    struct credit credit = credit_of(&s->meter, &holding, &s->lane.told);
    if (credit_is_due(&s->lane.told, &credit, &holding, in_passing))
        session_say_credit(s, credit);
}

uint64_t reports_deadline(const struct slots *s)
{
    return has_news(s) ? report_due_ns(&s->report) : NEVER;
}
