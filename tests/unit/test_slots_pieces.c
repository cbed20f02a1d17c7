/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "tests/unit/slots_rig.h"

/* Tasks that come in pieces. */
static struct rig r;
static struct buf record; /* of the task */

enum { SIZE = 200000 }; /* above what is put together in memory */

static void begin(void)
{
    rig_begin(&r);
    rig_start(&r);
    rig_join(&r);
    struct buf line = {0};
    for (size_t i = 0; i < SIZE; i++)
        buf_put_byte(&line, (uint8_t)(i % 251));
    task_put_line(&record, buf_bytes(&line));
    buf_free(&line);
    rig_forget(&r);
}

static void end(void)
{
    rig_end(&r);
    buf_free(&record);
}

TestSuite(slots_pieces, .init = begin, .fini = end, .timeout = 60);

static void v_piece(uint64_t seq, size_t from, size_t to)
{
    struct buf body = {0};
    piece_put(&body, &(struct piece){.seq = seq,
                                     .attempt = {r.incarnation, 1},
                                     .tries = 1,
                                     .offset = from,
                                     .total = record.size,
                                     .content = {record.data + from, to - from}});
    v_says(&r, KIND_PIECE, &body);
}

static void v_pieces(uint64_t seq)
{
    v_piece(seq, 0, 90000);
    v_piece(seq, 90000, 180000);
    v_piece(seq, 180000, record.size);
}

static void v_whole(uint64_t seq, uint64_t flags)
{
    struct buf body = {0};
    tasks_begin(&body, ++r.batch);
    task_run_put(
        &body,
        &(struct task_run){
            .first = seq, .count = 1, .number = 1, .tries = 1, .flags = flags | TASK_PIECES});
    v_says(&r, KIND_TASKS, &body);
}

/* The next START's records must be those of the task. */
static void expect_start(uint64_t seq)
{
    struct slots_action action;
    slots_turn(r.s, r.now_ns);
    bool started = false;
    while (slots_next_action(r.s, &action)) {
        if (action.kind == SLOTS_START) {
            started = true;
            cr_assert_eq(action.assignment.first, seq);
            cr_assert(bytes_equal(action.assignment.records, buf_bytes(&record)));
            cr_assert(action.assignment.block);
        }
        if (action.kind == SLOTS_SEND_CONTROL || action.kind == SLOTS_SEND_RESULTS)
            block_release(&action.block);
    }
    cr_assert(started);
}

Test(slots_pieces, a_task_is_there_with_the_batch_behind_its_pieces)
{
    v_pieces(1);
    rig_expect(&r, "");
    v_whole(1, 0);
    expect_start(1);
    x_ok(&r, 0, 1);
    rig_expect(&r, "FINISHED 1 RESULTS 1/1 1");
}

Test(slots_pieces, small_tasks_may_come_between)
{
    v_piece(1, 0, 90000);
    v_tasks(&r, 2, 1, 0);
    rig_expect(&r, "START 0:2");
    v_piece(1, 90000, record.size);
    v_whole(1, 0);
    rig_expect(&r, "START 1:1");
}

Test(slots_pieces, it_counts_little_towards_the_credit)
{
    r.show_credit = true;
    v_pieces(1);
    v_whole(1, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_pass(&r, 100 * NS_PER_MS);
    cr_assert_leq(r.credit.size_bytes, (8 << 20) + (64 << 10));
}

Test(slots_pieces, pieces_of_another_task_take_the_place_of_those_before)
{
    v_piece(1, 0, 90000);
    v_pieces(2);
    v_whole(2, 0);
    rig_expect(&r, "START 0:2");
}

Test(slots_pieces, what_is_cut_is_dropped)
{
    struct buf body = {0};
    v_piece(1, 0, 90000);
    piece_put(&body, &(struct piece){.seq = 1});
    v_says(&r, KIND_PIECE, &body);
    rig_expect(&r, "");
    v_pieces(2);
    v_whole(2, 0);
    rig_expect(&r, "START 0:2");
}

static void expect_a_new_session(void)
{
    rig_expect(&r, "lane- control-");
    rig_rejoin(&r);
    rig_forget(&r);
    v_pieces(5);
    v_whole(5, 0);
    rig_expect(&r, "START 0:5");
}

Test(slots_pieces, a_batch_without_its_pieces_ends_the_session)
{
    v_whole(1, 0);
    expect_a_new_session();
}

Test(slots_pieces, a_batch_before_the_last_piece_ends_the_session)
{
    v_piece(1, 0, 90000);
    v_piece(1, 90000, 180000);
    v_whole(1, 0);
    expect_a_new_session();
}

Test(slots_pieces, a_batch_of_another_task_than_its_pieces_ends_the_session)
{
    v_pieces(1);
    v_whole(2, 0);
    expect_a_new_session();
}

Test(slots_pieces, a_piece_that_fits_nothing_ends_the_session)
{
    v_piece(1, 0, 90000);
    v_piece(1, 100000, 180000);
    expect_a_new_session();
}

Test(slots_pieces, bytes_that_are_no_task_end_the_session)
{
    record.size--; /* cut short */
    v_pieces(1);
    v_whole(1, 0);
    record.size++;
    expect_a_new_session();
}

Test(slots_pieces, the_half_of_a_task_is_forgotten_with_its_session)
{
    v_piece(1, 0, 90000);
    slots_lane_down(r.s, r.now_ns);
    rig_expect(&r, "lane- control-");
    rig_rejoin(&r);
    rig_forget(&r);
    v_piece(1, 90000, 180000);
    rig_expect(&r, "lane- control-");
}

Test(slots_pieces, one_that_is_cancelled_before_its_batch_is_not_started)
{
    v_piece(1, 0, 90000);
    v_cancel(&r, 1, 1);
    v_piece(1, 90000, record.size);
    v_whole(1, 0);
    rig_expect(&r, "");
}

Test(slots_pieces, who_leaves_gives_it_back)
{
    v_piece(1, 0, 90000);
    slots_drain(r.s, r.now_ns);
    rig_forget(&r);
    v_piece(1, 90000, record.size);
    v_whole(1, 0);
    rig_expect(&r, "RETURNED tasks=1 reason=leaving");
}

Test(slots_pieces, without_a_place_to_put_it_together_the_worker_leaves_and_says_why)
{
    rig_end(&r);
    rig_begin(&r);
    r.options.tmpdir = "/nowhere/at/all";
    rig_start(&r);
    rig_join(&r);
    rig_forget(&r);
    v_pieces(1);
    v_whole(1, 0);
    rig_forget(&r);
    v_end(&r);
    rig_pass(&r, NS_PER_S);
    cr_assert(strstr(r.why.text, "cannot take in task 1 of 200003 bytes") &&
                  strstr(r.why.text, "/nowhere/at/all"),
              "%s", r.why.text);
}
