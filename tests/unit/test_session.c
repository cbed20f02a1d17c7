/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "ventilator/core/session.h"

TestSuite(session, .timeout = 20);

static struct session *make(uint64_t slots)
{
    struct peer peer = {.instance = 5, .name = {(const uint8_t *)"w", 1}};
    return session_new(1, 2, &peer, slots, 100);
}

static void expect_started(const struct session *s, uint64_t count, uint64_t first, uint64_t last)
{
    struct seqset started = {0};
    session_presume_started(s, &started);
    cr_assert_eq(started.members, count);
    cr_assert_eq(seqset_min(&started), first);
    cr_assert_eq(seqset_max(&started), last);
    seqset_free(&started);
}

Test(session, what_was_sent_is_out_and_counted)
{
    struct session *s = make(2);
    session_sent(s, 1, 4, 40);
    session_sent(s, 9, 9, 10);
    cr_assert_eq(s->out.members, 5);
    cr_assert_eq(s->credit.sent_tasks, 5);
    cr_assert_eq(s->credit.sent_bytes, 50);
    cr_assert_eq(session_unfinished(s), 5);
    cr_assert_eq(session_unstarted(s), 3);
    cr_assert_str_eq(s->name, "w");
    session_free(s);
}

Test(session, the_oldest_in_lane_order_are_taken_as_started_not_the_lowest)
{
    struct session *s = make(2);
    session_sent(s, 5, 8, 40);
    session_sent(s, 1, 2, 20);
    expect_started(s, 2, 5, 6);
    seqset_add(&s->finished, 5, 7);
    expect_started(s, 2, 1, 8);
    session_forget(s, 5, 8);
    expect_started(s, 2, 1, 2);
    session_forget(s, 1, 2);
    expect_started(s, 0, 0, 0);
    session_free(s);
}

Test(session, a_task_that_was_sent_again_counts_once)
{
    struct session *s = make(3);
    session_sent(s, 1, 1, 10);
    session_forget(s, 1, 1);
    session_sent(s, 1, 1, 10);
    session_sent(s, 2, 2, 10);
    expect_started(s, 2, 1, 2);
    session_free(s);
}

Test(session, a_task_that_was_given_back_and_sent_again_is_not_among_the_oldest_any_more)
{
    struct session *s = make(2);
    session_sent(s, 1, 6, 60);
    session_forget(s, 3, 5); /* returned */
    session_sent(s, 7, 7, 10);
    session_sent(s, 3, 4, 20);
    session_forget(s, 1, 2);
    expect_started(s, 2, 6, 7);
    session_free(s);
}

Test(session, the_lane_order_of_a_long_session_stays_small)
{
    struct session *s = make(2);
    session_sent(s, 1, 1, 10);
    for (uint64_t seq = 2; seq < 100000; seq++) {
        session_sent(s, seq, seq, 10);
        session_forget(s, seq, seq);
    }
    cr_assert_leq(s->order.capacity, 64);
    expect_started(s, 1, 1, 1);
    session_free(s);
}

Test(session, credit_left_is_never_negative)
{
    struct session *s = make(2);
    s->credit.granted = (struct credit){.tasks = 3, .size_bytes = 30, .reserve = 1};
    session_sent(s, 1, 5, 50);
    cr_assert_eq(session_ordinary_room(s), 0);
    cr_assert_eq(session_reserve_room(s), 0);
    cr_assert_not(session_has_bytes(s, 1));
    session_forget(s, 1, 5);
    cr_assert(session_has_bytes(s, 1000));
    session_free(s);
}

Test(session, forgetting_the_task_that_runs_alone_ends_its_being_alone)
{
    struct session *s = make(2);
    session_sent(s, 3, 3, 10);
    s->isolation.task = 3;
    session_forget(s, 1, 2);
    cr_assert_eq(s->isolation.task, 3);
    session_forget(s, 1, 9);
    cr_assert_eq(s->isolation.task, 0);
    session_free(s);
}

Test(session, who_names_no_slots_or_absurdly_many_has_a_sane_number)
{
    struct session *s = make(0);
    cr_assert_eq(s->slots, 1);
    session_free(s);
    s = make(UINT64_MAX);
    cr_assert_leq(s->slots, 1 << 20);
    session_sent(s, 1, 1000, 10);
    expect_started(s, 1000, 1, 1000);
    session_free(s);
}

/* A task of so many bytes is to be sent in pieces. */
static void transfer(struct session *s, uint64_t seq, size_t size)
{
    struct block *block = block_copy(bytes_of("x"));
    session_transfer(s, block, (struct bytes){block_bytes(block).data, size},
                     &(struct task_run){.first = seq, .count = 1});
    block_release(&block);
}

Test(session, what_is_on_its_way_in_pieces_is_out_and_cannot_have_begun)
{
    struct session *s = make(2);
    session_sent(s, 1, 1, 10);
    transfer(s, 2, 1 << 20);
    cr_assert(session_transfers(s, 2) && !session_transfers(s, 1));
    cr_assert_eq(session_unfinished(s), 2);
    cr_assert_eq(s->credit.sent_tasks, 2);
    cr_assert_eq(s->credit.sent_bytes, 10 + task_pieces_credit(1 << 20));
    expect_started(s, 1, 1, 1);
    session_transferred(s);
    cr_assert(!session_transfers(s, 2));
    expect_started(s, 2, 1, 2);
    session_free(s);
}

Test(session, what_is_cut_off_on_its_way_was_never_sent)
{
    struct session *s = make(1);
    transfer(s, 7, 1 << 20);
    session_forget(s, 7, 7);
    cr_assert_eq(s->transfer.cut, 0, "there is nothing to be cut off");
    transfer(s, 8, 100);
    s->transfer.offset = 50;
    cr_assert_eq(session_unstarted(s), 0);
    session_forget(s, 1, 10);
    cr_assert_eq(s->transfer.cut, 8);
    cr_assert(s->credit.sent_tasks == 0 && s->credit.sent_bytes == 0 && seqset_empty(&s->out));
    session_free(s);
}
