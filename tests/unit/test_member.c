/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>

#include "common/member/member.h"

TestSuite(member, .timeout = 10);

enum { START = 1000 };
#define MS NS_PER_MS
#define LIMIT (3 * NS_PER_S)

static const struct frame_head head = {.job = 1, .incarnation = 2, .session = 3};

/* CONNECTING since START, accepted or not. */
static struct member connecting(bool is_accepted)
{
    struct member m;
    member_init(&m, 7, START);
    cr_assert_eq(member_turn(&m, START), MEMBER_DUE_OPEN);
    if (is_accepted)
        member_accepted(&m, START);
    return m;
}

/* JOINED at START, with a heartbeat each 100 ms and a limit of 600 ms. */
static struct member joined(void)
{
    struct member m = connecting(true);
    member_up(&m, 0, START);
    member_heard(&m, START);
    member_welcomed(&m, &head, 100, 600, START);
    member_joined(&m, START);
    return m;
}

Test(member, it_opens_at_once_and_again_after_the_back_off)
{
    struct member m = connecting(false);
    cr_assert_eq(m.state, MEMBER_CONNECTING);
    member_leave(&m, START);
    cr_assert_eq(m.state, MEMBER_AWAY);
    cr_assert_eq(member_deadline(&m), m.open_ns);
    cr_assert_eq(member_turn(&m, m.open_ns - 1), MEMBER_DUE_NOTHING);
    cr_assert_eq(member_turn(&m, m.open_ns), MEMBER_DUE_OPEN);
    cr_assert(m.open_ns >= START + 80 * MS && m.open_ns <= START + 120 * MS);
}

Test(member, an_attempt_that_no_peer_accepts_ends_after_the_limit_and_the_next_is_no_longer)
{
    struct member m = connecting(false);
    cr_assert_eq(member_turn(&m, START + LIMIT - 1), MEMBER_DUE_NOTHING);
    cr_assert_eq(member_turn(&m, START + LIMIT), MEMBER_DUE_SILENT);
    member_leave(&m, START + LIMIT);
    uint64_t again_ns = m.open_ns;
    cr_assert_eq(member_turn(&m, again_ns), MEMBER_DUE_OPEN);
    cr_assert_eq(member_deadline(&m), again_ns + LIMIT);
}

Test(member, each_attempt_in_vain_with_a_peer_that_is_there_is_waited_for_twice_as_long)
{
    struct member m = connecting(true);
    cr_assert(member_is_trying(&m));
    cr_assert_eq(member_turn(&m, START + LIMIT), MEMBER_DUE_SILENT);
    member_leave(&m, START + LIMIT);
    uint64_t again_ns = m.open_ns;
    member_turn(&m, again_ns);
    member_accepted(&m, again_ns);
    cr_assert_eq(member_deadline(&m), again_ns + 2 * LIMIT);
}

Test(member, in_a_session_heartbeats_are_due_each_period)
{
    struct member m = joined();
    cr_assert_eq(member_turn(&m, START + 100 * MS - 1), MEMBER_DUE_NOTHING);
    cr_assert_eq(member_turn(&m, START + 100 * MS), MEMBER_DUE_HEARTBEAT);
    cr_assert_eq(member_turn(&m, START + 150 * MS), MEMBER_DUE_NOTHING);
    cr_assert_eq(member_deadline(&m), START + 200 * MS);
}

Test(member, silence_for_the_limit_that_welcome_told_ends_a_session)
{
    struct member m = joined();
    cr_assert_eq(member_limit(&m), 600 * MS);
    m.beat_ns = NEVER;
    member_heard(&m, START + 50 * MS);
    cr_assert_eq(member_turn(&m, START + 650 * MS - 1), MEMBER_DUE_NOTHING);
    cr_assert_eq(member_turn(&m, START + 650 * MS), MEMBER_DUE_SILENT);
}

Test(member, answers_that_come_late_make_the_limit_longer)
{
    struct member m = joined();
    member_answered(&m, 200 * MS, 50 * MS);
    cr_assert_eq(member_limit(&m), 600 * MS + 4 * 150 * MS);
}

Test(member, a_period_that_makes_no_sense_is_replaced)
{
    struct member m = joined();
    member_welcomed(&m, &head, 0, UINT64_MAX, START);
    cr_assert_eq(m.heartbeat_ns, MEMBER_HEARTBEAT_NS);
    cr_assert_eq(m.limit_ns, MEMBER_LIMIT_NS);
}

Test(member, only_a_message_of_the_session_is_current)
{
    struct member m = joined();
    struct frame_head other = head;
    cr_assert(member_is_current(&m, &head));
    other.session++;
    cr_assert_not(member_is_current(&m, &other));
    member_leave(&m, START);
    cr_assert_not(member_is_current(&m, &head));
}

Test(member, a_process_that_slept_waits_that_much_longer_and_takes_nothing_for_later_than_now)
{
    struct member m = joined();
    uint64_t now_ns = START + 700 * MS;
    member_slept(&m, 500 * MS, now_ns);
    cr_assert_eq(m.heard_ns, START + 500 * MS);
    member_slept(&m, 900 * MS, now_ns);
    cr_assert_eq(m.heard_ns, now_ns);
    cr_assert_eq(m.present_ns, now_ns);
}
