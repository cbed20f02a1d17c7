/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/story.h"

/* --strict-results: no result is taken of a task that its session was never handed (docs/protocol.md, 19). */
TestSuite(collector_strict, .timeout = 20);

static struct story strict(void)
{
    return (struct story){.options.strict_results = true, .says_handed = true};
}

/* The next heartbeat is sent, and answered a moment later. */
static void beat(struct story *s)
{
    story_pass(s, 10);
    cr_assert_leq(collector_deadline(s->c), s->now_ns);
    cr_assert_not_null(strstr(story_turn(s), "HEARTBEAT"));
    uint64_t clock_ns = s->now_ns;
    story_pass(s, 1);
    v_answers(s, clock_ns);
}

Test(collector_strict, what_was_handed_is_taken_at_once)
{
    struct story s = strict();
    story_join(&s);
    v_handed(&s, 20, 1, 3);
    w_results(&s, 20, 1, 1, "1-2 3f");
    story_expect_accepted(&s, "1 2 3f ");
    story_expect(&s, "STORED 1-3");
    story_end(&s);
}

Test(collector_strict, what_comes_before_it_is_named_waits_and_is_taken_then)
{
    struct story s = strict();
    story_join(&s);
    v_handed(&s, 20, 1, 1);
    w_results(&s, 20, 1, 1, "1-2");
    w_results(&s, 20, 2, 1, "1");
    story_expect_accepted(&s, "1 ");
    v_handed(&s, 21, 2, 2);
    story_expect_accepted(&s, "");
    v_handed(&s, 20, 2, 2);
    story_expect_accepted(&s, "2 "); /* and its first came again */
    cr_assert_eq(collector_counts(s.c)->doubled, 1);
    story_end(&s);
}

Test(collector_strict, what_is_not_named_when_a_later_heartbeat_is_answered_is_dropped_and_told)
{
    struct story s = strict();
    story_join(&s);
    v_handed(&s, 20, 1, 2);
    w_results(&s, 20, 1, 1, "1-4");
    uint64_t came_ns = s.now_ns;
    v_answers(&s, came_ns); /* of one that was sent before, or just when it came */
    story_expect_accepted(&s, "");
    beat(&s);
    story_expect_accepted(&s, "1 2 ");
    story_expect(&s, "PROTEST 20:RESULTS@26; STORED 1-2");
    cr_assert_eq(collector_counts(s.c)->strange, 2);
    story_pass(&s, 100);
    cr_assert_geq(collector_deadline(s.c), s.now_ns); /* nothing is asked any more */
    story_end(&s);
}

/* Its session of before, or the ventilator's earlier life, may have been the one that was handed it. */
Test(collector_strict, the_record_of_a_try_that_is_not_named_is_dropped_and_nobody_is_told)
{
    struct story s = strict();
    story_join(&s);
    v_handed(&s, 20, 1, 1);
    w_results(&s, 20, 1, 1, "1 2h 3");
    beat(&s);
    story_expect_accepted(&s, "1 ");
    story_expect(&s, "PROTEST 20:RESULTS@26; STORED 1");
    w_results(&s, 20, 2, 1, "4h");
    beat(&s);
    story_expect_accepted(&s, "");
    story_expect(&s, "");
    cr_assert_eq(collector_counts(s.c)->strange, 1);
    story_end(&s);
}

Test(collector_strict, what_waits_is_judged_when_its_session_is_over_and_late_results_still_count)
{
    struct story s = strict();
    story_join(&s);
    v_handed(&s, 20, 1, 2);
    w_results(&s, 20, 1, 1, "1 7");
    w_results(&s, 21, 1, 1, "8");
    v_number(&s, KIND_ENDED, 20);
    story_expect_accepted(&s, "1 ");
    w_results(&s, 20, 2, 1, "2");
    story_expect_accepted(&s, "2 ");
    w_results(&s, 20, 3, 1, "9");
    beat(&s);
    story_expect_accepted(&s, "");
    cr_assert_eq(collector_counts(s.c)->strange,
                 2); /* 7 and 8: a session that is over is not accused */
    story_end(&s);
}

Test(collector_strict, many_sessions_that_nobody_knows_push_no_other_out)
{
    struct story s = strict();
    story_join(&s);
    v_handed(&s, 20, 1, 1);
    for (uint64_t session = 1000; session < 1000 + SENDERS_MAX + 10; session++) {
        w_results(&s, session, 1, 1, "5");
        if (!collector_wants_results(s.c, 0))
            beat(&s);
    }
    w_results(&s, 20, 1, 1, "1");
    story_expect_accepted(&s, "1 ");
    story_end(&s);
}

Test(collector_strict, when_too_much_waits_no_more_results_are_read)
{
    struct story s = strict();
    story_join(&s);
    for (uint64_t batch = 1; collector_wants_results(s.c, 0); batch++) {
        cr_assert_lt(batch, 10);
        w_results(&s, 20, batch, 1, "5");
    }
    beat(&s);
    cr_assert(collector_wants_results(s.c, 0));
    story_end(&s);
}

Test(collector_strict, another_life_of_the_ventilator_names_everything_anew)
{
    struct story s = strict();
    s.options.is_volatile = false;
    story_join(&s);
    s.c->options.is_volatile = false;
    v_handed(&s, 20, 1, 3);
    w_results(&s, 20, 1, 1, "1 9");
    collector_control_down(s.c, s.now_ns);
    story_pass(&s, 3000);
    story_turn(&s);
    collector_control_up(s.c, s.now_ns);
    story_turn(&s);
    s.incarnation = 2000;
    v_welcome(&s, 4, 8);
    story_turn(&s);
    w_results(&s, 20, 1, 1, "2");
    beat(&s);
    story_expect_accepted(&s, ""); /* nobody names them any more: their worker has them */
    v_handed(&s, 5, 2, 3);
    w_results(&s, 5, 1, 1, "2-3");
    story_expect_accepted(&s, "2 3 ");
    story_end(&s);
}

/* Says a result of session 20 in a piece that is all of it. */
static void w_piece(struct story *s, uint64_t seq, bool final)
{
    struct result r = {.final = final, .out = bytes_of("much")};
    struct buf record = {0}, message = {0};
    result_put(&record, &r);
    struct piece m = {bytes_of("w"), seq, {1000, 1}, 1, 0, record.size, buf_bytes(&record)};
    wire_begin(&message, KIND_PIECE,
               (struct frame_head){.job = JOB, .incarnation = 1000, .session = 20});
    piece_put(&message, &m);
    cr_assert(collector_results_message(s->c, buf_bytes(&message), s->now_ns));
    buf_free(&record);
    buf_free(&message);
}

Test(collector_strict, a_result_in_pieces_waits_and_is_dropped_likewise)
{
    struct story s = strict();
    story_join(&s);
    w_piece(&s, 1, true);
    w_piece(&s, 2, true);
    story_expect_accepted(&s, "");
    v_handed(&s, 20, 2, 2);
    story_expect_accepted(&s, "2 ");
    beat(&s);
    cr_assert_eq(collector_counts(s.c)->strange, 1);
    story_end(&s);
}

Test(collector_strict, a_try_in_pieces_that_is_not_named_is_dropped_and_nobody_is_told)
{
    struct story s = strict();
    story_join(&s);
    w_piece(&s, 1, false);
    beat(&s);
    story_expect_accepted(&s, "");
    story_expect(&s, "");
    cr_assert_eq(collector_counts(s.c)->strange, 0);
    story_end(&s);
}

Test(collector_strict, a_ventilator_that_does_not_say_who_was_handed_what_ends_it_with_words)
{
    struct story s = {.options.strict_results = true};
    story_begin(&s);
    story_turn(&s);
    collector_control_up(s.c, s.now_ns);
    story_turn(&s);
    v_welcome(&s, 9, 7);
    story_expect(&s, "EXIT 255");
    cr_assert(strstr(s.why.text, "--strict-results needs a ventilator"), "%s", s.why.text);
    story_end(&s);
}

Test(collector_strict, what_the_ventilator_finds_strange_is_passed_on)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1-3");
    struct released m = {0};
    struct buf message = v_begin(&s, KIND_STRANGE);
    seqset_add(&m.tasks, 2, 3);
    released_put(&message, &m);
    released_free(&m);
    v_say(&s, &message);
    story_expect_accepted(&s, "1 2 3 strange 2-3 ");
    story_end(&s);
}
