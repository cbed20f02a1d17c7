/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/membership.h"

#include "common/base/clock.h"

/* A ventilator that is heard and does not hear says what it has to say for ever: it answers no heartbeat. One that is
 * late with its answers, and says other things meanwhile, has twice the time. */
static const uint64_t unanswered_limits = 2;

void membership_init(struct membership *m, uint64_t give_up_ns, uint64_t seed, uint64_t now_ns)
{
    *m = (struct membership){.give_up_ns = clock_earlier(give_up_ns, NEVER / 2)};
    member_init(&m->member, seed, now_ns);
}

void membership_up(struct membership *m, uint64_t own_ns, uint64_t now_ns)
{
    member_up(&m->member, own_ns, now_ns);
    m->answer_ns = now_ns;
    m->refused = false;
}

void membership_down(struct membership *m, uint64_t now_ns)
{
    m->refused = m->member.state == MEMBER_CONNECTING;
    member_leave(&m->member, now_ns);
}

void membership_heard(struct membership *m, uint64_t own_ns, uint64_t now_ns)
{
    struct member *member = &m->member;
    uint64_t due_ns =
        member->heard_ns + (member->state == MEMBER_JOINED ? member->heartbeat_ns : 0);
    if (now_ns > due_ns)
        member_answered(member, now_ns - due_ns, own_ns);
    member_heard(member, now_ns);
}

void membership_answered(struct membership *m, uint64_t now_ns)
{
    m->answer_ns = now_ns;
    if (m->member.state == MEMBER_JOINED)
        member_echoed(&m->member);
}

enum error membership_welcome(struct membership *m, const struct frame_head *head,
                              const struct sink_welcome *welcome, uint64_t now_ns)
{
    if (head->incarnation == 0 || head->session == 0 || welcome->epoch == 0 ||
        !member_periods_make_sense(welcome->heartbeat_ms, welcome->limit_ms))
        return ERR_MALFORMED;
    member_welcomed(&m->member, head, welcome->heartbeat_ms, welcome->limit_ms, now_ns);
    member_joined(&m->member, now_ns);
    m->epoch = welcome->epoch;
    m->fingerprint = welcome->fingerprint;
    m->answer_ns = now_ns;
    if (head->incarnation > m->incarnation_max)
        m->incarnation_max = head->incarnation;
    return ERR_NONE;
}

void membership_slept(struct membership *m, uint64_t slept_ns, uint64_t now_ns)
{
    struct member *member = &m->member;
    member_slept(member, slept_ns, now_ns);
    member->since_ns = member->heard_ns = member->accepted_ns = m->answer_ns = now_ns;
}

bool membership_is_given_up(const struct membership *m, uint64_t now_ns)
{
    return now_ns >= m->member.present_ns + m->give_up_ns;
}

/* When the ventilator has answered no heartbeat for too long. */
static uint64_t unanswered_at(const struct membership *m)
{
    return m->member.state == MEMBER_JOINED
               ? m->answer_ns + unanswered_limits * member_limit(&m->member)
               : NEVER;
}

enum member_due membership_turn(struct membership *m, uint64_t now_ns)
{
    return now_ns >= unanswered_at(m) ? MEMBER_DUE_SILENT : member_turn(&m->member, now_ns);
}

uint64_t membership_deadline(const struct membership *m)
{
    uint64_t due_ns = clock_earlier(member_deadline(&m->member), unanswered_at(m));
    return clock_earlier(due_ns, m->member.present_ns + m->give_up_ns);
}
