/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/membership.h"

#include "common/base/clock.h"

static const uint64_t period_max_ms = 3600 * 1000; /* of heartbeat and limit */

/* Who is heard and does not hear says what it has to say for ever: it answers no heartbeat. One that is
 * late with its answers, and says other things meanwhile, has twice the time. */
static const uint64_t unanswered_limits = 2;

void membership_init(struct membership *m, uint64_t give_up_ns, uint64_t seed, uint64_t now_ns)
{
    *m = (struct membership){.state = AWAY,
                             .heartbeat_ns = 500 * NS_PER_MS,
                             .limit_ns = 3 * NS_PER_S,
                             .give_up_ns = give_up_ns < NEVER / 2 ? give_up_ns : NEVER / 2,
                             .heard_ns = now_ns,
                             .present_ns = now_ns,
                             .open_ns = now_ns};
    backoff_init(&m->backoff, seed);
}

/* An answer has come. Until a connection is accepted no ventilator is there that could be late with one. */
static void membership_note_answer(struct membership *m, uint64_t own_ns, uint64_t now_ns)
{
    uint64_t due_ns = m->heard_ns + (m->state == JOINED ? m->heartbeat_ns : 0);
    if (now_ns > due_ns)
        patience_late(&m->patience, now_ns - due_ns, own_ns);
}

void membership_accepted(struct membership *m, uint64_t now_ns)
{
    m->accepted = true;
    m->heard_ns = now_ns;
}

void membership_up(struct membership *m, uint64_t own_ns, uint64_t now_ns)
{
    if (m->accepted)
        membership_note_answer(m, own_ns, now_ns);
    m->state = JOINING;
    m->heard_ns = m->answer_ns = now_ns;
    m->refused = false;
}

void membership_down(struct membership *m, uint64_t now_ns)
{
    m->refused = m->state == CONNECTING;
    membership_leave(m, now_ns);
}

void membership_leave(struct membership *m, uint64_t now_ns)
{
    m->state = AWAY;
    m->open_ns = now_ns + backoff_next(&m->backoff);
}

void membership_heard(struct membership *m, uint64_t own_ns, uint64_t now_ns)
{
    membership_note_answer(m, own_ns, now_ns);
    m->heard_ns = now_ns;
}

void membership_present(struct membership *m, uint64_t now_ns)
{
    m->present_ns = now_ns;
}

void membership_answered(struct membership *m, uint64_t now_ns)
{
    m->answer_ns = now_ns;
    if (m->state != JOINED)
        return;
    patience_answered(&m->patience);
    patience_fade(&m->patience);
}

enum error membership_welcome(struct membership *m, const struct frame_head *head,
                              const struct sink_welcome *welcome, uint64_t now_ns)
{
    if (head->incarnation == 0 || head->session == 0 || welcome->epoch == 0 ||
        welcome->heartbeat_ms == 0 || welcome->heartbeat_ms > period_max_ms ||
        welcome->limit_ms < welcome->heartbeat_ms || welcome->limit_ms > period_max_ms)
        return ERR_MALFORMED;
    m->state = JOINED;
    m->incarnation = head->incarnation;
    m->session = head->session;
    m->epoch = welcome->epoch;
    m->fingerprint = welcome->fingerprint;
    m->heartbeat_ns = welcome->heartbeat_ms * NS_PER_MS;
    m->limit_ns = welcome->limit_ms * NS_PER_MS;
    m->beat_ns = now_ns + m->heartbeat_ns;
    m->answer_ns = now_ns;
    backoff_reset(&m->backoff);
    if (head->incarnation > m->incarnation_max)
        m->incarnation_max = head->incarnation;
    return ERR_NONE;
}

void membership_slept(struct membership *m, uint64_t slept_ns, uint64_t now_ns)
{
    m->heard_ns = m->answer_ns = now_ns;
    m->present_ns += slept_ns;
    if (m->present_ns > now_ns)
        m->present_ns = now_ns;
}

/* Somebody is there, who has not answered yet. */
static bool is_trying(const struct membership *m)
{
    return m->state == JOINING || (m->state == CONNECTING && m->accepted);
}

static uint64_t silent_from(const struct membership *m)
{
    uint64_t limit_ns = is_trying(m) ? patience_attempt(&m->patience, m->limit_ns)
                                     : patience_limit(&m->patience, m->limit_ns);
    uint64_t silent_ns = m->heard_ns + limit_ns;
    uint64_t unanswered_ns = m->answer_ns + unanswered_limits * limit_ns;
    return m->state == JOINED && unanswered_ns < silent_ns ? unanswered_ns : silent_ns;
}

enum membership_due membership_turn(struct membership *m, uint64_t now_ns)
{
    if (now_ns >= m->present_ns + m->give_up_ns)
        return DUE_GIVE_UP;
    if (m->state == AWAY) {
        if (now_ns < m->open_ns)
            return DUE_NOTHING;
        m->state = CONNECTING;
        m->accepted = false;
        m->heard_ns = now_ns;
        return DUE_OPEN;
    }
    if (now_ns >= silent_from(m)) {
        if (is_trying(m))
            patience_in_vain(&m->patience, m->limit_ns);
        membership_leave(m, now_ns);
        return DUE_SILENT;
    }
    if (m->state != JOINED || now_ns < m->beat_ns)
        return DUE_NOTHING;
    m->beat_ns = now_ns + m->heartbeat_ns;
    return DUE_HEARTBEAT;
}

uint64_t membership_deadline(const struct membership *m)
{
    uint64_t give_up = m->present_ns + m->give_up_ns;
    if (m->state == AWAY)
        return clock_earlier(give_up, m->open_ns);
    uint64_t silent = clock_earlier(give_up, silent_from(m));
    return m->state == JOINED ? clock_earlier(silent, m->beat_ns) : silent;
}
