/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/uplink.h"

#include <criterion/criterion.h>

#include "common/base/clock.h"

TestSuite(uplink, .timeout = 60);

static struct uplink uplink;

/* The kinds of actions that wait, in order; a message by its own: "O", "C", "X", or 'm' for each message. */
static const char *actions(void)
{
    static char text[256];
    struct collector_action action;
    size_t size = 0;
    while (size < sizeof text - 1 && outgoing_pop(&uplink.outgoing, &action)) {
        text[size++] = action.kind == COLLECTOR_OPEN_CONTROL    ? 'O'
                       : action.kind == COLLECTOR_CLOSE_CONTROL ? 'C'
                       : action.kind == COLLECTOR_EXIT          ? 'X'
                                                                : 'm';
        block_release(&action.block);
    }
    text[size] = '\0';
    return text;
}

static void uplink_joined(void)
{
    uplink = (struct uplink){.job = 7};
    membership_init(&uplink.membership, 60 * NS_PER_S, 1, 0);
    cr_assert(uplink_turn(&uplink, 0));
    cr_assert_str_eq(actions(), "O");
    member_accepted(&uplink.membership.member, 1);
    uplink_up(&uplink, 0, 1);
    struct frame_head head = {.kind = KIND_WELCOME, .job = 7, .incarnation = 1, .session = 2};
    struct sink_welcome welcome = {.epoch = 3, .heartbeat_ms = 500, .limit_ms = 3000};
    cr_assert_eq(uplink_welcome(&uplink, &head, &welcome, 1), ERR_NONE);
    cr_assert(uplink_is_joined(&uplink));
}

Test(uplink, messages_of_a_connection_that_is_given_up_are_not_sent)
{
    uplink_joined();
    uplink_say_heartbeat(&uplink, 2);
    uplink_say_leave(&uplink);
    uplink_rejoin(&uplink, 3);
    cr_assert_str_eq(actions(), "C");
    cr_assert_not(uplink_is_joined(&uplink));
    outgoing_free(&uplink.outgoing);
}

Test(uplink, a_silent_session_makes_it_careful_and_a_silent_attempt_does_not)
{
    uplink_joined();
    cr_assert(uplink_turn(&uplink, 20 * NS_PER_S));
    cr_assert_str_eq(actions(), "C");
    cr_assert(uplink.is_careful);
    uplink.is_careful = false;
    cr_assert(uplink_turn(&uplink, 25 * NS_PER_S));
    cr_assert_str_eq(actions(), "O");
    cr_assert(uplink_turn(&uplink, 50 * NS_PER_S));
    cr_assert_str_eq(actions(), "C");
    cr_assert_not(uplink.is_careful);
    cr_assert_not(uplink_turn(&uplink, 100 * NS_PER_S), "no ventilator for so long");
    outgoing_free(&uplink.outgoing);
}

Test(uplink, protests_are_limited_and_need_a_session)
{
    struct protest m = {.session = 2, .kind = KIND_RESULTS, .sentence = bytes_of("no")};
    uplink_joined();
    for (int i = 0; i < 100; i++)
        uplink_say_protest(&uplink, &m, 2 * NS_PER_S);
    cr_assert_str_eq(actions(), "mmmmmmmmmmmmmmmmmmmm");
    uplink_rejoin(&uplink, 3 * NS_PER_S);
    uplink_say_protest(&uplink, &m, 5 * NS_PER_S);
    cr_assert_str_eq(actions(), "C");
    outgoing_free(&uplink.outgoing);
}

Test(uplink, nothing_follows_the_exit_but_the_first_one)
{
    struct why first, second;
    struct collector_action action;
    uplink_joined();
    fail(&first, ERR_CLOSED, "first");
    fail(&second, ERR_CLOSED, "second");
    cr_assert_not(uplink_is_over(&uplink));
    outgoing_exit(&uplink.outgoing, 1, &first);
    outgoing_exit(&uplink.outgoing, 2, &second);
    cr_assert(uplink_is_over(&uplink));
    cr_assert(outgoing_pop(&uplink.outgoing, &action));
    cr_assert_eq(action.status, 1);
    cr_assert_str_eq(action.why.text, "first");
    cr_assert_not(outgoing_pop(&uplink.outgoing, &action));
    outgoing_free(&uplink.outgoing);
}
