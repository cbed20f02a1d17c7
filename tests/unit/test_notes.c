/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/notes.h"

#include <criterion/criterion.h>

#include "common/base/clock.h"

TestSuite(notes, .timeout = 60);

static struct notes notes;
static struct uplink uplink;
static struct intake intake;
static struct backpressure backpressure;

static void join(void)
{
    backpressure_init(&backpressure, 0);
    uplink.membership = (struct membership){.member = {.state = MEMBER_JOINED,
                                                       .head = {.incarnation = 1, .session = 2},
                                                       .heartbeat_ns = 500 * NS_PER_MS}};
    notes_begin(&notes, 0);
}

static uint64_t note_due(void)
{
    return notes_due(&notes, &uplink, &intake, &backpressure);
}

static void say(uint64_t now_ns)
{
    notes_say(&notes, &uplink, &intake, &backpressure, now_ns);
}

static int notes_sent(void)
{
    struct collector_action action;
    int count = 0;
    while (outgoing_pop(&uplink.outgoing, &action)) {
        cr_assert_eq(action.kind, COLLECTOR_SEND_CONTROL);
        block_release(&action.block);
        count++;
    }
    return count;
}

static void end(void)
{
    seqset_free(&intake.news);
    senders_free(&intake.senders);
    outgoing_free(&uplink.outgoing);
}

Test(notes, news_is_told_together_and_once)
{
    join();
    cr_assert_eq(note_due(), NEVER);
    say(NS_PER_S);
    cr_assert_eq(notes_sent(), 1, "empty, if it has to be");
    seqset_add(&intake.news, 1, 5);
    cr_assert_eq(note_due(), NS_PER_S + 10 * NS_PER_MS);
    say(NS_PER_S + 10 * NS_PER_MS);
    cr_assert_eq(notes_sent(), 1);
    cr_assert_eq(note_due(), NEVER);
    end();
}

Test(notes, outside_a_session_there_is_nobody_to_be_told)
{
    join();
    seqset_add(&intake.news, 1, 5);
    uplink.membership.member.state = MEMBER_JOINING;
    cr_assert_eq(note_due(), NEVER);
    cr_assert_not(notes_has_news(&notes, &uplink, &intake, &backpressure));
    end();
}

Test(notes, a_flag_that_changes_is_news_and_one_that_was_told_is_not)
{
    join();
    backpressure.order_full = true;
    cr_assert(notes_has_news(&notes, &uplink, &intake, &backpressure));
    say(1);
    cr_assert_eq(notes_sent(), 1);
    cr_assert_not(notes_has_news(&notes, &uplink, &intake, &backpressure));
    backpressure.order_full = false;
    cr_assert(notes_has_news(&notes, &uplink, &intake, &backpressure));
    end();
}

Test(notes, what_only_arrived_waits_for_half_a_heartbeat)
{
    join();
    senders_add_batch(&intake.senders, 1, 9, 1, 0);
    cr_assert_eq(note_due(), 250 * NS_PER_MS);
    say(249 * NS_PER_MS);
    cr_assert(intake.senders.has_arrivals, "too early");
    say(250 * NS_PER_MS);
    cr_assert_not(intake.senders.has_arrivals);
    cr_assert_eq(note_due(), NEVER);
    cr_assert_eq(notes_sent(), 2);
    end();
}

Test(notes, more_ranges_than_a_note_holds_go_into_several)
{
    join();
    for (uint64_t seq = 2; seq <= 2 * 50001; seq += 2)
        seqset_add(&intake.news, seq, seq);
    say(1);
    cr_assert_eq(notes_sent(), 2);
    cr_assert(seqset_empty(&intake.news));
    end();
}
