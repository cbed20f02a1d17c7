/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "tests/unit/slots_rig.h"

/* The results connection is judged by what the sink says to have received (docs/protocol.md, 18). */
static struct rig r;

static void begin(void)
{
    rig_begin(&r);
}

static void end(void)
{
    rig_end(&r);
}

TestSuite(slots_receipts, .init = begin, .fini = end, .timeout = 60);

/* For `ms`, with a ventilator that lives. */
static void live(uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += 100) {
        v_heartbeat(&r, r.session);
        rig_pass(&r, 100 * NS_PER_MS);
    }
}

/* Task 1 has a result, which was sent and about which nothing is known. */
static void send_one(void)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_forget(&r);
    x_ok(&r, 0, 1);
    rig_expect(&r, "FINISHED 1 RESULTS 1/1 1");
    v_received(&r, 0, 0, 0);
}

Test(slots_receipts,
     a_connection_on_which_nothing_arrives_for_the_limit_is_made_anew_in_a_new_session)
{
    send_one();
    live(2800);
    rig_expect(&r, "");
    cr_assert_eq(r.stuck_ms, 0);
    live(300);
    rig_expect(&r, "SAY results- lane- JOIN kept=1 of=1");
    cr_assert(strstr(r.why.text, "no result has arrived at the sink at tcp://sink:5558"), "%s",
              r.why.text);
    v_welcome(&r, (struct worker_welcome){0});
    rig_expect(&r, "lane+tcp://farm:5557 results+tcp://sink:5558");
    slots_results_up(r.s, r.now_ns);
    rig_expect(&r, "RESULTS 1/1 1");
    live(500);
    cr_assert_geq(r.stuck_ms, 3000);
}

Test(slots_receipts, nothing_is_judged_while_the_sink_does_not_read_or_nothing_is_known)
{
    send_one();
    v_received(&r, 0, 0, RECEIVED_NOT_READING);
    live(10000);
    rig_expect(&r, "");
    v_received(&r, 0, 0, 0); /* the time begins now */
    live(2900);
    rig_expect(&r, "");
    v_received(&r, 1, 0, 0);
    live(10000); /* it has arrived, and is not stored: that may take as long as it takes */
    rig_expect(&r, "");
    cr_assert_eq(r.stuck_ms, 0);
}

static void rejoin(void)
{
    rig_forget(&r);
    v_welcome(&r, (struct worker_welcome){0});
    v_hello(&r);
    rig_turn(&r);
    slots_results_up(r.s, r.now_ns);
    rig_turn(&r);
    v_received(&r, 0, 0, 0);
}

Test(slots_receipts, each_time_in_vain_takes_twice_as_long_and_no_task_is_asked_for)
{
    send_one();
    live(3100);
    rejoin();
    size_t credits = r.credits;
    rig_forget(&r);
    live(5800);
    rig_expect(&r, "");
    live(400);
    rig_expect(&r, "SAY results- lane- JOIN kept=1 of=2");
    rejoin();
    rig_forget(&r);
    live(11500);
    rig_expect(&r, "");
    cr_assert_eq(r.credits, credits);
    v_received(&r, 1, 0, 0);
    rig_expect(&r, "SAY");
    cr_assert(strstr(r.why.text, "arrive at the sink at tcp://sink:5558 again"), "%s", r.why.text);
    cr_assert_gt(r.credits, credits);
    live(600);
    cr_assert_eq(r.stuck_ms, 0);
}

Test(slots_receipts,
     where_all_that_was_kept_is_stored_by_others_an_empty_batch_shows_that_the_way_is_free)
{
    send_one();
    live(3100);
    rig_forget(&r);
    struct worker_welcome m = {0};
    seqset_add(&m.have, 1, 1);
    v_welcome(&r, m);
    v_hello(&r);
    rig_turn(&r);
    slots_results_up(r.s, r.now_ns);
    rig_forget(&r);
    v_received(&r, 0, 0, 0);
    rig_expect(&r, "RESULTS 1/1");
    size_t credits = r.credits;
    live(1000);
    rig_expect(&r, "");
    cr_assert_eq(r.credits, credits);
    v_received(&r, 1, 0, 0);
    rig_turn(&r);
    cr_assert_gt(r.credits, credits);
}

Test(slots_receipts, an_empty_batch_that_is_lost_with_its_connection_is_followed_by_another_one)
{
    send_one();
    live(3100);
    rig_forget(&r);
    struct worker_welcome m = {0};
    seqset_add(&m.have, 1, 1);
    v_welcome(&r, m);
    v_hello(&r);
    rig_turn(&r);
    slots_results_up(r.s, r.now_ns);
    rig_forget(&r);
    v_received(&r, 0, 0, 0);
    rig_expect(&r, "RESULTS 1/1");
    slots_results_down(r.s, r.now_ns);
    live(500);
    rig_forget(&r);
    slots_results_up(r.s, r.now_ns);
    rig_expect(&r, "RESULTS 2/2");
    size_t credits = r.credits;
    v_received(&r, 2, 0, 0);
    rig_turn(&r);
    cr_assert_gt(r.credits, credits);
}

/* It is reported when its last piece is sent, which may never be. */
Test(slots_receipts, a_large_result_that_cannot_be_sent_is_reported_all_the_same)
{
    static char output[50001];
    memset(output, 'x', sizeof output - 1);
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_turn(&r);
    v_received(&r, 0, 0, 0);
    live(3400);
    rig_forget(&r);
    v_welcome(&r, (struct worker_welcome){0});
    rig_turn(&r);
    rig_forget(&r);
    x_ends(&r, 1, 2, RESULT_OK, output);
    rig_expect(&r, "FINISHED 2");
    live(300);
    rig_expect(&r, "");
}

Test(slots_receipts, what_is_overdue_is_told_before_a_doubled_limit_is_over)
{
    send_one();
    live(3100);
    rejoin();
    live(6300);
    rejoin();
    live(100);
    v_received(&r, 1, 0, 0);
    v_tasks(&r, 2, 1, 0);
    rig_turn(&r);
    x_ok(&r, 0, 2);
    live(600);
    cr_assert_eq(r.stuck_ms, 0);
    rig_forget(&r);
    live(3500);
    cr_assert_geq(r.stuck_ms, 3000);
    rig_expect(&r, "");
}

/* Else what is kept here would be run elsewhere, when the way that is slow has only been made anew. */
Test(slots_receipts, where_a_frame_takes_long_nothing_is_missed_before_twice_that_time)
{
    send_one();
    live(2900);
    v_received(&r, 1, 0, 0);
    v_tasks(&r, 2, 1, 0);
    rig_turn(&r);
    x_ok(&r, 0, 2);
    live(5700);
    cr_assert_eq(r.stuck_ms, 0);
    rig_forget(&r);
    live(300);
    rig_expect(&r, "SAY results- lane- JOIN kept=1-2 of=1");
    rejoin();
    live(500);
    cr_assert_geq(r.stuck_ms, 3000);
    cr_assert_leq(r.stuck_ms, 4000);
    live(1000);
    v_received(&r, 1, 0, 0);
    live(500);
    cr_assert_eq(r.stuck_ms, 0);
}

Test(slots_receipts, what_was_too_large_for_a_slow_way_travels_in_small_pieces_after_that)
{
    static char output[50001];
    memset(output, 'x', sizeof output - 1);
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_forget(&r);
    x_ends(&r, 0, 1, RESULT_OK, output);
    rig_expect(&r, "FINISHED 1 RESULTS 1/1 1");
    v_received(&r, 0, 0, 0);
    live(3100);
    rig_forget(&r);
    v_welcome(&r, (struct worker_welcome){0});
    rig_turn(&r);
    rig_forget(&r);
    slots_results_up(r.s, r.now_ns);
    rig_expect(&r, "PIECE 1@0+8192/50004 PIECE 1@8192+8192/50004 PIECE 1@16384+8192/50004 "
                   "PIECE 1@24576+8192/50004 PIECE 1@32768+8192/50004 PIECE 1@40960+8192/50004 "
                   "PIECE 1@49152+852/50004");
    v_received(&r, 0, 16384, 0);
    live(2900);
    v_received(&r, 0, 32768, 0); /* it moves */
    live(2900);
    cr_assert_eq(r.stuck_ms, 0);
    v_released(&r, 1, 1);
    live(10000);
}

Test(slots_receipts, what_came_on_the_lane_is_acknowledged_with_the_next_heartbeat_at_the_latest)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    live(600);
    cr_assert_eq(r.credit.received_batch, 1);
    v_tasks(&r, 3, 1, 0);
    live(600);
    cr_assert_eq(r.credit.received_batch, 2);
    size_t credits = r.credits;
    live(2000);
    cr_assert_eq(r.credits, credits);
}

Test(slots_receipts,
     a_ventilator_that_closes_the_lane_for_silence_is_joined_anew_on_the_same_connection)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 5, 0);
    rig_forget(&r);
    struct buf body = {0};
    again_put(&body, &(struct again){r.session, AGAIN_SILENT_LANE, bytes_of("it is silent")});
    v_says(&r, KIND_AGAIN, &body);
    rig_expect(&r, "SAY lane- JOIN run=1,2 of=1");
    cr_assert(strstr(r.why.text, "it is silent"), "%s", r.why.text);
}

static void again(enum again_reason reason)
{
    struct buf body = {0};
    again_put(&body, &(struct again){r.session, reason, bytes_of("join again")});
    v_says(&r, KIND_AGAIN, &body);
    rig_forget(&r);
}

/* On a line of 64 kbit/s each session had put all of it once more behind what the one before had sent: nothing of the
 * last one ever came. */
Test(slots_receipts, where_the_way_is_slow_what_is_sent_again_does_not_wait_behind_itself)
{
    static char output[20001];
    memset(output, 'x', sizeof output - 1);
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    x_ends(&r, 0, 1, RESULT_OK, output);
    rig_turn(&r);
    v_received(&r, 0, 0, 0);
    live(3100);
    rejoin();
    v_received(&r, 0, 8192, 0); /* and the rest is still on its way */
    again(AGAIN_STRIPPED);
    v_welcome(&r, (struct worker_welcome){0});
    rig_expect(&r, "lane+tcp://farm:5557 results- results+tcp://sink:5558");
    slots_results_up(r.s, r.now_ns);
    rig_expect(&r, "PIECE 1@0+8192/20004 PIECE 1@8192+8192/20004 PIECE 1@16384+3620/20004");
    v_received(&r, 0, 20004, 0); /* all has arrived: nothing is in the way */
    again(AGAIN_STRIPPED);
    v_welcome(&r, (struct worker_welcome){0});
    rig_expect(&r, "lane+tcp://farm:5557 PIECE 1@0+8192/20004 PIECE 1@8192+8192/20004 "
                   "PIECE 1@16384+3620/20004");
}
