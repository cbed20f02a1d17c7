/* SPDX-License-Identifier: MPL-2.0 */
#include "common/member/member.h"

#include "common/base/clock.h"

static const uint64_t period_max_ms = 3600 * 1000; /* of heartbeat and limit */

static void member_enter(struct member *m, enum member_state state, uint64_t now_ns)
{
    m->state = state;
    m->since_ns = now_ns;
}

void member_init(struct member *m, uint64_t random_seed, uint64_t now_ns)
{
    *m = (struct member){.state = MEMBER_AWAY,
                         .since_ns = now_ns,
                         .present_ns = now_ns,
                         .open_ns = now_ns,
                         .heartbeat_ns = MEMBER_HEARTBEAT_NS,
                         .limit_ns = MEMBER_LIMIT_NS};
    backoff_init(&m->backoff, random_seed);
}

bool member_in_session(const struct member *m)
{
    return m->state == MEMBER_WELCOMED || m->state == MEMBER_JOINED;
}

bool member_is_current(const struct member *m, const struct frame_head *head)
{
    return member_in_session(m) && head->session == m->head.session &&
           head->incarnation == m->head.incarnation && head->job == m->head.job;
}

bool member_is_trying(const struct member *m)
{
    return m->state == MEMBER_JOINING || m->state == MEMBER_WELCOMED ||
           (m->state == MEMBER_CONNECTING && m->accepted);
}

void member_accepted(struct member *m, uint64_t now_ns)
{
    m->accepted = true;
    m->accepted_ns = m->heard_ns = now_ns;
}

void member_up(struct member *m, uint64_t own_ns, uint64_t now_ns)
{
    if (m->accepted)
        member_answered(m, now_ns - m->accepted_ns, own_ns);
    m->heard_ns = now_ns;
    member_joining(m, now_ns);
}

void member_joining(struct member *m, uint64_t now_ns)
{
    member_enter(m, MEMBER_JOINING, now_ns);
}

bool member_periods_make_sense(uint64_t heartbeat_ms, uint64_t limit_ms)
{
    return heartbeat_ms > 0 && limit_ms >= heartbeat_ms && limit_ms <= period_max_ms;
}

static uint64_t period_ns(uint64_t told_ms, uint64_t otherwise_ns)
{
    return told_ms > 0 && told_ms <= period_max_ms ? told_ms * NS_PER_MS : otherwise_ns;
}

void member_welcomed(struct member *m, const struct frame_head *head, uint64_t heartbeat_ms,
                     uint64_t limit_ms, uint64_t now_ns)
{
    m->head = *head;
    m->heartbeat_ns = period_ns(heartbeat_ms, MEMBER_HEARTBEAT_NS);
    m->limit_ns = period_ns(limit_ms, MEMBER_LIMIT_NS);
    m->beat_ns = now_ns + m->heartbeat_ns;
    member_enter(m, MEMBER_WELCOMED, now_ns);
}

void member_joined(struct member *m, uint64_t now_ns)
{
    backoff_reset(&m->backoff);
    member_enter(m, MEMBER_JOINED, now_ns);
}

void member_heard(struct member *m, uint64_t now_ns)
{
    m->heard_ns = m->present_ns = now_ns;
}

void member_answered(struct member *m, uint64_t took_ns, uint64_t own_ns)
{
    patience_late(&m->patience, took_ns, own_ns);
}

void member_echoed(struct member *m)
{
    patience_answered(&m->patience);
    patience_fade(&m->patience);
}

void member_in_vain(struct member *m)
{
    patience_in_vain(&m->patience, m->limit_ns);
}

void member_leave(struct member *m, uint64_t now_ns)
{
    m->open_ns = now_ns + backoff_next(&m->backoff);
    member_enter(m, MEMBER_AWAY, now_ns);
}

void member_slept(struct member *m, uint64_t slept_ns, uint64_t now_ns)
{
    uint64_t *times[] = {&m->since_ns, &m->heard_ns, &m->present_ns, &m->accepted_ns};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        *times[i] = clock_earlier(*times[i] + slept_ns, now_ns);
}

uint64_t member_limit(const struct member *m)
{
    return patience_limit(&m->patience, m->limit_ns);
}

/* When the state has lasted for too long, if nothing comes. */
static uint64_t silent_at(const struct member *m)
{
    if (m->state == MEMBER_AWAY)
        return NEVER;
    if (member_is_trying(m))
        return m->heard_ns + patience_attempt(&m->patience, m->limit_ns);
    return (m->state == MEMBER_CONNECTING ? m->since_ns : m->heard_ns) + member_limit(m);
}

enum member_due member_turn(struct member *m, uint64_t now_ns)
{
    if (now_ns >= silent_at(m)) {
        if (member_is_trying(m))
            member_in_vain(m);
        return MEMBER_DUE_SILENT;
    }
    if (m->state == MEMBER_AWAY && now_ns >= m->open_ns) {
        m->accepted = false;
        member_enter(m, MEMBER_CONNECTING, now_ns);
        return MEMBER_DUE_OPEN;
    }
    if (!member_in_session(m) || now_ns < m->beat_ns)
        return MEMBER_DUE_NOTHING;
    m->beat_ns = now_ns + m->heartbeat_ns;
    return MEMBER_DUE_HEARTBEAT;
}

uint64_t member_deadline(const struct member *m)
{
    if (m->state == MEMBER_AWAY)
        return m->open_ns;
    return member_in_session(m) ? clock_earlier(silent_at(m), m->beat_ns) : silent_at(m);
}
