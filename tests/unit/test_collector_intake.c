/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/story.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

TestSuite(collector_intake, .timeout = 60);

Test(collector_intake, the_first_final_result_of_a_task_counts_and_later_ones_are_named_as_well)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1-5");
    story_expect(&s, "STORED 1-5");
    story_pass(&s, 10);
    w_results(&s, 21, 1, 1, "4-7f 2");
    story_expect(&s, "STORED 2,4-7");
    story_expect_accepted(&s, "1 2 3 4 5 6f 7f ");
    cr_assert_eq(collector_counts(s.c)->doubled, 3);
    cr_assert_eq(collector_counts(s.c)->ok, 5);
    cr_assert_eq(collector_counts(s.c)->failed, 2);
    cr_assert_eq(collector_counts(s.c)->total, 7);
    story_end(&s);
}

Test(collector_intake, a_double_of_what_is_not_stored_yet_is_not_called_stored)
{
    struct story s = {0};
    story_join(&s);
    s.holds = true;
    w_results(&s, 20, 1, 1, "1");
    w_results(&s, 21, 1, 1, "1");
    story_expect(&s, "");
    s.holds = false;
    story_expect(&s, "STORED 1");
    story_end(&s);
}

Test(collector_intake, history_is_accepted_but_neither_counted_nor_stored)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1h 2");
    story_expect(&s, "STORED 2");
    story_pass(&s, 10);
    w_results(&s, 21, 1, 1, "2h 1");
    story_expect(&s, "STORED 1");
    story_expect_accepted(&s, "1h 2 1 ");
    cr_assert_eq(collector_counts(s.c)->failed, 0);
    story_end(&s);
}

Test(collector_intake, history_in_a_batch_that_is_sent_again_is_not_repeated)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1h 2");
    w_results(&s, 20, 1, 1, "1h 2");
    story_expect_accepted(&s, "1h 2 ");
    story_end(&s);
}

Test(collector_intake, results_of_another_job_are_dropped)
{
    struct story s = {0};
    story_join(&s);
    struct buf message = w_results_message(&s, 20, 1, 1, "1-3");
    message.data[9]++; /* the last octet of the job */
    collector_results_message(s.c, buf_bytes(&message), s.now_ns);
    buf_free(&message);
    story_expect(&s, "PROTEST 20:RESULTS@2");
    story_expect_accepted(&s, "");
    cr_assert_eq(collector_counts(s.c)->dropped_messages, 1);
    story_end(&s);
}

Test(collector_intake, of_results_that_make_no_sense_the_ventilator_is_told_where)
{
    struct story s = {0};
    story_join(&s);
    struct buf message = w_results_message(&s, 20, 1, 1, "1-3 5");
    size_t size = message.size;
    buf_put_byte(&message, 0);
    collector_results_message(s.c, buf_bytes(&message), s.now_ns);
    buf_free(&message);
    char words[40];
    snprintf(words, sizeof words, "PROTEST 20:RESULTS@%zu", size);
    story_expect(&s, words);
    message = w_results_message(&s, 20, 1, 1, "4 6");
    message.data[FRAME_HEAD_SIZE + 4] = 0; /* the first task's number */
    collector_results_message(s.c, buf_bytes(&message), s.now_ns);
    buf_free(&message);
    story_expect(&s, "PROTEST 20:RESULTS@30");
    message = w_results_message(&s, 20, 1, 1, "4 6");
    message.data[message.size - 8] = 2; /* of the last record: a status that is not there */
    collector_results_message(s.c, buf_bytes(&message), s.now_ns);
    snprintf(words, sizeof words, "PROTEST 20:RESULTS@%zu", message.size - 8);
    buf_free(&message);
    story_expect(&s, words);
    story_expect_accepted(&s, "");
    story_end(&s);
}

Test(collector_intake, of_many_results_that_make_no_sense_twenty_are_told_at_once)
{
    struct story s = {0};
    story_join(&s);
    for (int i = 0; i < 1000; i++)
        collector_results_message(s.c, bytes_of("nonsense"), s.now_ns);
    const char *said = story_turn(&s);
    size_t protests = 0;
    for (; (said = strstr(said, "PROTEST")) != NULL; said++)
        protests++;
    cr_assert_eq(protests, 20);
    story_end(&s);
}

Test(collector_intake, a_message_that_is_cut_anywhere_is_dropped_whole)
{
    struct story s = {0};
    story_join(&s);
    struct buf whole = w_results_message(&s, 20, 1, 1, "1-3 4f 5h");
    struct buf first = w_results_message(&s, 20, 1, 1, "1-3 4f");
    struct buf head = w_results_message(&s, 20, 1, 1, "1-3");
    struct buf empty = w_results_message(&s, 20, 1, 1, "");
    for (size_t size = 0; size < whole.size; size++) {
        uint8_t *exact = malloc(size ? size : 1);
        memcpy(exact, whole.data, size);
        if (size != empty.size && size != head.size && size != first.size) {
            collector_results_message(s.c, (struct bytes){exact, size}, s.now_ns);
            cr_assert_eq(s.accepted.size, 0, "at %zu", size);
        }
        free(exact);
    }
    collector_results_message(s.c, buf_bytes(&whole), s.now_ns);
    story_expect_accepted(&s, "1 2 3 4f 5h ");
    buf_free(&whole);
    buf_free(&first);
    buf_free(&head);
    buf_free(&empty);
    story_end(&s);
}

Test(collector_intake, a_missing_batch_is_told_once_and_again_to_a_ventilator_that_comes_back)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1");
    w_results(&s, 20, 3, 1, "3");
    w_results(&s, 21, 7, 7, "7"); /* what is below the floor is not missing */
    story_expect(&s, "STORED 1,3,7 gap=20:2");
    story_pass(&s, 10);
    story_expect(&s, "");
    w_results(&s, 20, 4, 1, "4");
    story_expect(&s, "STORED 4");
    collector_control_down(s.c, s.now_ns);
    story_turn(&s);
    story_pass(&s, 130);
    story_turn(&s);
    collector_control_up(s.c, s.now_ns);
    v_welcome(&s, 10, 7);
    story_expect(&s, "JOIN stored=1,3-4,7 epoch=7; STORED 1,3-4,7 gap=20:2");
    w_results(&s, 20, 2, 1, "2");
    w_results(&s, 20, 6, 1, "6");
    story_pass(&s, 10);
    story_expect(&s, "STORED 2,6 gap=20:5");
    story_end(&s);
}

Test(collector_intake, a_session_that_ended_has_no_gaps_but_its_results_still_count)
{
    struct story s = {0};
    story_join(&s);
    v_number(&s, KIND_ENDED, 20);
    w_results(&s, 20, 3, 1, "3");
    story_expect(&s, "STORED 3");
    story_end(&s);
}

Test(collector_intake, a_verdict_makes_results_and_a_repeated_one_is_answered)
{
    struct story s = {0};
    story_join(&s);
    v_verdict(&s, RESULT_LOST, 4, 5);
    v_verdict(&s, RESULT_TASK_TOO_LARGE, 6, 6);
    story_expect(&s, "STORED 4-6");
    story_expect_accepted(&s, "4l 5l 6x ");
    story_pass(&s, 10);
    v_verdict(&s, RESULT_LOST, 4, 4);
    story_expect(&s, "STORED 4");
    story_expect_accepted(&s, "");
    cr_assert_eq(collector_counts(s.c)->lost, 2);
    cr_assert_eq(collector_counts(s.c)->failed, 1);
    story_end(&s);
}

Test(collector_intake, a_verdict_on_more_tasks_than_any_ventilator_has_is_dropped)
{
    struct story s = {0};
    story_join(&s);
    v_verdict(&s, RESULT_LOST, 1, UINT64_MAX - 1);
    story_expect(&s, "");
    cr_assert_eq(collector_counts(s.c)->dropped_messages, 1);
    story_end(&s);
}

Test(collector_intake, more_marks_than_the_ring_holds_are_put_together)
{
    struct story s = {0};
    story_join(&s);
    s.holds = true;
    for (uint64_t i = 1; i <= 3000; i++) {
        char word[24];
        snprintf(word, sizeof word, "%" PRIu64, i);
        w_results(&s, 20, i, i, word);
        collector_mark(s.c, s.put);
    }
    cr_assert_eq(collector_stored(s.c)->members, 0);
    collector_reached(s.c, 1000);
    cr_assert_eq(collector_stored(s.c)->members, 1000);
    collector_reached(s.c, 2999);
    cr_assert_lt(collector_stored(s.c)->members, 3000);
    collector_reached(s.c, 3000);
    cr_assert_eq(collector_stored(s.c)->members, 3000);
    story_end(&s);
}

/* ---- pieces ---- */

struct large {
    struct buf record;
    uint64_t seq;
};

static struct large large_result(uint64_t seq, size_t size)
{
    struct large large = {.seq = seq};
    char *output = malloc(size);
    memset(output, 'x', size);
    struct result r = {.final = true, .out = {(uint8_t *)output, size}};
    result_put(&large.record, &r);
    free(output);
    return large;
}

static void w_piece(struct story *s, uint64_t session, const struct large *large, uint64_t offset,
                    size_t size)
{
    struct buf message = {0};
    wire_begin(&message, KIND_PIECE,
               (struct frame_head){.job = JOB, .incarnation = s->incarnation, .session = session});
    struct piece m = {.worker = bytes_of("w"),
                      .seq = large->seq,
                      .attempt = {1000, 1},
                      .tries = 1,
                      .offset = offset,
                      .total = large->record.size,
                      .content = {large->record.data + offset, size}};
    piece_put(&message, &m);
    collector_results_message(s->c, buf_bytes(&message), s->now_ns);
    buf_free(&message);
}

static void v_read(struct story *s, uint64_t read, uint64_t flags)
{
    struct status status = {.total = flags ? read : 0, .read = read, .flags = flags};
    struct buf message = v_begin(s, KIND_STATUS);
    status_put(&message, &status);
    v_say(s, &message);
}

Test(collector_intake, a_result_behind_the_end_of_the_input_is_not_taken_and_its_worker_is_told)
{
    struct story s = {0};
    story_join(&s);
    struct large large = large_result(8, 300);
    v_read(&s, 2, STATUS_INPUT_ENDED);
    w_results(&s, 20, 1, 1, "1-3 4h 5f");
    story_expect_accepted(&s, "1 2 ");
    story_expect(&s, "PROTEST 20:RESULTS@26; STORED 1-2");
    w_piece(&s, 20, &large, 0, 100);
    w_piece(&s, 20, &large, 100, large.record.size - 100);
    story_expect_accepted(&s, "");
    cr_assert_eq(collector_counts(s.c)->strange, 3);
    cr_assert_eq(collector_counts(s.c)->ok, 2);
    cr_assert_eq(collector_counts(s.c)->failed, 0);
    buf_free(&large.record);
    story_end(&s);
}

Test(collector_intake, what_came_before_the_end_was_known_and_is_behind_it_counts_no_more)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1 5 7f");
    v_read(&s, 1, 0);
    cr_assert_eq(collector_counts(s.c)->ok, 2);
    w_results(&s, 20, 2, 1, "2");
    v_read(&s, 2, STATUS_INPUT_ENDED);
    cr_assert_eq(collector_counts(s.c)->ok, 2);
    cr_assert_eq(collector_counts(s.c)->failed, 0);
    cr_assert_eq(collector_counts(s.c)->strange, 2);
    story_turn(&s);
    v_done(&s, 2, 0, 0, 0);
    story_expect(&s, "FLUSH");
    collector_flushed(s.c, s.now_ns);
    struct why why;
    cr_assert_eq(ending_status(&s.c->ending, &s.c->counts, &s.c->halting, &why), 0, "%s", why.text);
    story_end(&s);
}

Test(collector_intake, a_large_result_comes_in_pieces)
{
    struct story s = {0};
    story_join(&s);
    struct large large = large_result(5, 300000);
    size_t size = large.record.size;
    w_piece(&s, 20, &large, 0, 100000);
    w_piece(&s, 20, &large, 100000, 100000);
    story_expect(&s, "");
    w_piece(&s, 20, &large, 200000, size - 200000);
    story_expect(&s, "STORED 5");
    w_piece(&s, 20, &large, 200000, size - 200000);
    story_pass(&s, 10);
    story_expect(&s, "STORED 5");
    story_expect_accepted(&s, "5 ");
    cr_assert_eq(collector_counts(s.c)->doubled, 1);
    buf_free(&large.record);
    story_end(&s);
}

/* A worker begins anew on a new connection while the sink still reads what the old one carried. */
Test(collector_intake, pieces_that_come_twice_in_any_mix_make_one_result)
{
    struct story s = {0};
    story_join(&s);
    struct large large = large_result(5, 3000);
    size_t size = large.record.size;
    w_piece(&s, 20, &large, 0, 1000);
    w_piece(&s, 20, &large, 0, 500);
    w_piece(&s, 20, &large, 1000, 1000);
    w_piece(&s, 20, &large, 500, 1000);
    w_piece(&s, 20, &large, 2500, 500); /* not yet */
    w_piece(&s, 20, &large, 1500, 1000);
    w_piece(&s, 20, &large, 2500, size - 2500);
    story_expect(&s, "STORED 5");
    buf_free(&large.record);
    story_end(&s);
}

Test(collector_intake, the_pieces_of_a_session_that_ended_are_dropped)
{
    struct story s = {0};
    story_join(&s);
    struct large large = large_result(5, 3000);
    size_t size = large.record.size;
    w_piece(&s, 20, &large, 0, 1000);
    v_number(&s, KIND_ENDED, 20);
    w_piece(&s, 20, &large, 1000, size - 1000);
    w_piece(&s, 20, &large, 0, size);
    story_expect(&s, "");
    w_piece(&s, 21, &large, 0, size);
    story_expect(&s, "STORED 5");
    buf_free(&large.record);
    story_end(&s);
}

Test(collector_intake, two_sessions_may_each_send_a_large_result_at_once)
{
    struct story s = {0};
    story_join(&s);
    struct large five = large_result(5, 3000), six = large_result(6, 3000);
    w_piece(&s, 20, &five, 0, 1000);
    w_piece(&s, 21, &six, 0, 1000);
    w_piece(&s, 20, &five, 1000, five.record.size - 1000);
    w_piece(&s, 21, &six, 1000, six.record.size - 1000);
    story_expect(&s, "STORED 5-6");
    buf_free(&five.record);
    buf_free(&six.record);
    story_end(&s);
}

Test(collector_intake, a_piece_for_which_the_disk_has_no_room_waits)
{
    struct story s = {0};
    story_join(&s);
    struct large large = large_result(5, 100000);
    size_t size = large.record.size;
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){5000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    w_piece(&s, 20, &large, 0, 90000);
    w_piece(&s, 20, &large, 90000, size - 90000);
    story_expect(&s, "STORED  no room");
    cr_assert_not(collector_wants_results(s.c, 0));
    struct why why;
    cr_assert(collector_waits_for(s.c, s.now_ns, &why));
    cr_assert(strstr(why.text, "room"));
    setrlimit(RLIMIT_FSIZE, &before);
    story_pass(&s, 1000);
    story_expect(&s, "HEARTBEAT; STORED  got=20:0+100004");
    story_pass(&s, 10);
    story_expect(&s, "STORED 5");
    cr_assert(collector_wants_results(s.c, 0));
    story_expect_accepted(&s, "5 ");
    buf_free(&large.record);
    story_end(&s);
}

/* ---- anything ---- */

static uint64_t seed_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

Test(collector_intake, senders_without_number_are_forgotten_in_the_end)
{
    struct story s = {0};
    story_join(&s);
    for (uint64_t session = 1; session <= 12000; session++)
        w_results(&s, session * 7919 % 100003, 2, 2, "1");
    story_turn(&s);
    cr_assert_eq(collector_counts(s.c)->doubled, 11999);
    story_end(&s);
}

/* In random order, cut, doubled, with random octets: each task counts once and nothing breaks. */
Test(collector_intake, random_messages_never_break_it)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t random = seed;
        struct story s = {0};
        story_join(&s);
        for (int step = 0; step < 200; step++) {
            char word[40];
            uint64_t first = 1 + seed_next(&random) % 100, kind = seed_next(&random) % 9;
            snprintf(word, sizeof word, "%" PRIu64 "-%" PRIu64 "%s", first,
                     first + seed_next(&random) % 9,
                     kind == 0   ? "f"
                     : kind == 1 ? "h"
                                 : "");
            struct buf message =
                w_results_message(&s, 20 + seed_next(&random) % 3, 1 + seed_next(&random) % 20,
                                  seed_next(&random) % 20, word);
            if (kind == 2)
                message.data[seed_next(&random) % message.size] = (uint8_t)seed_next(&random);
            if (kind == 3)
                message.size = seed_next(&random) % message.size;
            if (kind == 4)
                collector_control_message(s.c, buf_bytes(&message), s.now_ns);
            else
                collector_results_message(s.c, buf_bytes(&message), s.now_ns);
            buf_free(&message);
            s.holds = seed_next(&random) % 4 == 0;
            story_pass(&s, seed_next(&random) % 10);
            story_turn(&s);
        }
        s.holds = false;
        story_turn(&s);
        const struct job_counts *counts = collector_counts(s.c);
        cr_assert_eq(counts->ok + counts->failed + counts->lost, collector_stored(s.c)->members,
                     "seed %" PRIu64, seed);
        story_end(&s);
    }
}

Test(collector_intake, a_note_says_from_which_session_results_were_taken)
{
    struct story s = {.shows_origins = true};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1-3 5f 7h");
    w_results(&s, 21, 1, 1, "1 8");
    story_expect(&s, "STORED 1-3,5,8 from=20:1-3,5 from=21:8");
    story_pass(&s, 2000);
    s.holds = true;
    w_results(&s, 20, 2, 1, "9");
    story_expect(&s, "HEARTBEAT; STORED  from=20:9");
    story_end(&s);
}
