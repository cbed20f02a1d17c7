/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/slots.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "worker/core/slots_state.h"

#define LATE_NS (250 * NS_PER_MS) /* a turn that is later than its deadline by this was frozen */

struct slots *slots_new(const struct slots_options *options, uint64_t now_ns)
{
    assert(options->slots > 0 && options->batch_max > 0);
    struct slots *s = xcalloc(1, sizeof *s);
    s->options = *options;
    s->moved_ns = s->promised_ns = now_ns;
    running_init(&s->running, options->slots);
    s->held = xcalloc(options->slots, sizeof *s->held);
    s->evict_ns = NEVER;
    short_begin(s);
    kept_init(&s->kept, options->peer.name);
    backoff_init(&s->outlet.backoff, options->random_seed + 1);
    s->outlet.down_ns = s->outlet.moved_ns = now_ns;
    s->outlet.stuck_ns = NEVER;
    slots_link_begin(s, now_ns);
    return s;
}

void slots_destroy(struct slots **slots)
{
    struct slots *s = *slots;
    if (!s)
        return;
    actions_free(&s->actions);
    backlog_free(&s->backlog);
    held_free(s);
    running_free(&s->running);
    kept_free(&s->kept);
    large_free(&s->large);
    seqset_free(&s->report.finished);
    seqset_free(&s->report.returned);
    seqset_free(&s->report.interrupted);
    attempt_list_free(&s->report.failed);
    lane_drop_pieces(s);
    free(s->early.items);
    free(s);
    *slots = NULL;
}

/* While the sink cannot be reached, what has not begun is better run elsewhere. */
static void return_if_unreachable(struct slots *s, uint64_t now_ns)
{
    if (s->outlet.state != OUTLET_UP && s->backlog.tasks &&
        now_ns >= s->outlet.down_ns + slots_link_limit(s))
        work_return(s, UINT64_MAX, RETURNED_LEAVING);
}

uint64_t slots_late_ns(const struct slots *s, uint64_t now_ns)
{
    return s->promised_ns < now_ns ? now_ns - s->promised_ns : 0;
}

void slots_hold(struct slots *s, bool hold)
{
    s->holds = hold;
}

void slots_turn(struct slots *s, uint64_t now_ns)
{
    if (s->gone)
        return;
    /* A process that was frozen finds all deadlines passed and everybody's messages still unread:
     * it waits again for as long as it was away. */
    uint64_t late_ns = slots_late_ns(s, now_ns);
    if (late_ns > LATE_NS)
        slots_link_forgive(s, late_ns, now_ns);
    held_put_off(s, late_ns, now_ns);
    held_turn(s, now_ns);
    short_turn(s, now_ns);
    slots_link_turn(s, now_ns);
    outlet_turn(s, now_ns);
    return_if_unreachable(s, now_ns);
    work_let_go(s, now_ns);
    work_start(s, now_ns);
    bool reports = work_report(s, now_ns);
    if (!s->gone)
        work_credit(s, reports);
    leave_turn(s, now_ns);
    s->promised_ns = slots_deadline(s);
}

uint64_t slots_deadline(const struct slots *s)
{
    if (s->gone)
        return NEVER;
    uint64_t deadline = clock_earlier(slots_link_deadline(s), outlet_deadline(s));
    deadline = clock_earlier(deadline, work_deadline(s));
    deadline = clock_earlier(deadline, held_deadline(s));
    deadline = clock_earlier(deadline, short_deadline(s));
    return clock_earlier(deadline, leave_deadline(s));
}

bool slots_next_action(struct slots *s, struct slots_action *action)
{
    return actions_take(&s->actions, action);
}

uint64_t slots_moved_at(const struct slots *s)
{
    return s->moved_ns;
}

uint64_t slots_wants(const struct slots *s)
{
    return s->outlet.wants;
}

struct slots_counts slots_counts(const struct slots *s)
{
    return s->counts;
}
