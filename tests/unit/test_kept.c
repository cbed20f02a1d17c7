/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/kept.h"

#include <criterion/criterion.h>

static struct kept k;
static struct seqset finished;
static uint64_t failed;
static const struct frame_head head = {KIND_RESULTS, 1, 2, 3};

static void begin(void)
{
    kept_init(&k, bytes_of("w"));
}

static void end(void)
{
    kept_free(&k);
    seqset_free(&finished);
}

TestSuite(kept, .init = begin, .fini = end, .timeout = 60);

static void put(uint64_t seq, bool final)
{
    kept_put(&k, &(struct result){.seq = seq,
                                  .attempt = {1, 1},
                                  .tries = 1,
                                  .final = final,
                                  .status = final ? RESULT_OK : RESULT_EXITED,
                                  .out = bytes_of("x")});
}

/* A batch with final results first..last. */
static void batch(uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last; seq++)
        put(seq, true);
    kept_close(&k, &finished, &failed);
}

static void release(uint64_t first, uint64_t last)
{
    struct seqset tasks = {0};
    seqset_add(&tasks, first, last);
    kept_release(&k, &tasks);
    seqset_free(&tasks);
}

/* Takes the next batch; returns its number, 0 if there is none. */
static uint64_t next(uint64_t *floor)
{
    struct block *block = kept_next(&k, head);
    if (!block)
        return 0;
    struct frame_head taken;
    struct results_head results;
    struct bytes body, runs;
    cr_assert_eq(frame_take(block_bytes(block), &taken, &body), ERR_NONE);
    cr_assert_eq(results_take(body, &results, &runs), ERR_NONE);
    *floor = results.floor;
    block_release(&block);
    return results.batch;
}

/* The next batch has these runs and nothing else. */
static void expect_runs(const uint64_t *firsts, const uint64_t *counts, size_t expected)
{
    struct block *block = kept_next(&k, head);
    struct frame_head taken;
    struct results_head results;
    struct bytes body, runs;
    struct result_run run;
    cr_assert_eq(frame_take(block_bytes(block), &taken, &body), ERR_NONE);
    cr_assert_eq(results_take(body, &results, &runs), ERR_NONE);
    for (size_t i = 0; i < expected; i++) {
        cr_assert_eq(result_run_take(&runs, &run), ERR_NONE);
        cr_assert(run.first == firsts[i] && run.count == counts[i]);
        struct result result;
        for (uint64_t n = 0; n < run.count; n++)
            cr_assert_eq(result_take(&run.records, &result), ERR_NONE);
        cr_assert_eq(run.records.size, 0);
    }
    cr_assert_eq(runs.size, 0);
    block_release(&block);
}

Test(kept, consecutive_results_of_one_attempt_become_one_run)
{
    put(5, true);
    put(6, true);
    put(9, true);
    put(10, false);
    kept_close(&k, &finished, &failed);
    expect_runs((uint64_t[]){5, 9, 10}, (uint64_t[]){2, 1, 1}, 3);
    cr_assert_eq(finished.members, 3);
}

Test(kept, results_that_were_put_together_elsewhere_go_on_with_the_run)
{
    struct buf records = {0};
    for (int i = 0; i < 3; i++)
        result_put(&records, &(struct result){.final = true,
                                              .status = i == 1 ? RESULT_EXITED : RESULT_OK,
                                              .code = i == 1,
                                              .out = bytes_of("y")});
    struct result_run run = {
        .first = 6, .count = 3, .attempt = {1, 1}, .tries = 1, .records = buf_bytes(&records)};
    put(5, true);
    cr_assert_not(kept_put_run(&k, &run, 1));
    cr_assert(kept_has(&k, 8, 20) && !kept_has(&k, 9, 20) && !kept_has(&k, 1, 4));
    run.first = 20;
    kept_put_run(&k, &run, 1);
    buf_free(&records);
    kept_close(&k, &finished, &failed);
    cr_assert(finished.members == 7 && failed == 2);
    expect_runs((uint64_t[]){5, 20}, (uint64_t[]){4, 3}, 2);
}

Test(kept, a_batch_is_freed_when_all_of_it_is_released_in_whatever_order)
{
    uint64_t floor;
    batch(1, 4);
    batch(5, 8);
    batch(9, 12);
    while (next(&floor))
        ;
    release(6, 11);
    cr_assert(kept_has(&k, 5, 5) && !kept_has(&k, 6, 6) && kept_has(&k, 6, 12));
    release(5, 5);
    kept_resend(&k, 1);
    cr_assert_eq(next(&floor), 1);
    cr_assert_eq(next(&floor), 3);
    cr_assert_eq(floor, 3); /* 2 is gone: nobody is to wait for it */
    cr_assert_eq(next(&floor), 0);
    release(1, 12);
    cr_assert(kept_empty(&k));
    cr_assert_eq(kept_size_bytes(&k), 0);
}

Test(kept, the_floor_is_the_lowest_batch_that_is_kept)
{
    uint64_t floor;
    batch(1, 1);
    batch(2, 2);
    cr_assert_eq(next(&floor), 1);
    release(1, 1);
    cr_assert_eq(next(&floor), 2);
    cr_assert_eq(floor, 2);
}

Test(kept, the_same_block_is_sent_again_when_nothing_in_its_head_changed)
{
    batch(1, 1);
    struct block *first = kept_next(&k, head);
    kept_resend(&k, 1);
    struct block *again = kept_next(&k, head);
    cr_assert_eq(first, again);
    struct frame_head other = head;
    other.session++;
    kept_begin_session(&k);
    struct block *patched = kept_next(&k, other);
    cr_assert_neq(patched, first);
    struct frame_head taken;
    struct bytes body;
    frame_take(block_bytes(patched), &taken, &body);
    cr_assert_eq(taken.session, other.session);
    frame_take(block_bytes(first), &taken, &body);
    cr_assert_eq(taken.session, head.session); /* who holds it still reads what was sent */
    block_release(&first);
    block_release(&again);
    block_release(&patched);
}

/* Of the session before so many batches have arrived. */
static void begin_session(uint64_t arrived)
{
    kept_take_apart(&k, BATCH_BYTES_MAX, arrived, NULL, NULL);
    kept_begin_session(&k);
}

Test(kept, a_new_session_is_sent_nothing_that_was_released)
{
    uint64_t floor;
    batch(1, 4);
    batch(5, 6);
    put(7, false);
    batch(8, 9);
    while (next(&floor))
        ;
    release(2, 3);
    release(9, 9);
    begin_session(0);
    uint64_t size_bytes = kept_size_bytes(&k);
    expect_runs((uint64_t[]){1, 4}, (uint64_t[]){1, 1}, 2);
    expect_runs((uint64_t[]){5}, (uint64_t[]){2}, 1);
    expect_runs((uint64_t[]){7, 8}, (uint64_t[]){1, 1}, 2);
    cr_assert_eq(next(&floor), 0);
    cr_assert(kept_has(&k, 1, 1) && kept_has(&k, 4, 6) && kept_has(&k, 8, 8));
    cr_assert_not(kept_has(&k, 2, 3) || kept_has(&k, 9, 9));
    begin_session(0); /* nothing is left to be taken out */
    cr_assert_eq(kept_size_bytes(&k), size_bytes);
    release(1, 8);
    cr_assert(kept_empty(&k));
    cr_assert_eq(kept_size_bytes(&k), 0);
}

Test(kept, history_that_has_arrived_is_not_sent_in_a_new_session)
{
    uint64_t floor;
    put(1, false);
    batch(2, 2);
    put(3, false);
    batch(4, 4);
    while (next(&floor))
        ;
    put(5, false);
    kept_close(&k, &finished, &failed);
    begin_session(1);
    expect_runs((uint64_t[]){2}, (uint64_t[]){1}, 1);
    expect_runs((uint64_t[]){3, 4}, (uint64_t[]){1, 1}, 2);
    expect_runs((uint64_t[]){5}, (uint64_t[]){1}, 1);
    cr_assert_eq(next(&floor), 0);
}

Test(kept, releases_in_any_order_agree_with_a_plain_model)
{
    bool here[400] = {0};
    unsigned random = 7;
    uint64_t floor;
    for (int round = 0; round < 3000; round++) {
        random = random * 1103515245 + 12345;
        uint64_t seq = 1 + (random >> 16) % 390, count = 1 + (random >> 8) % 7;
        if (random >> 30 == 0) {
            release(seq, seq + count);
            for (uint64_t i = seq; i <= seq + count; i++)
                here[i] = false;
        } else if (random >> 30 == 1) {
            kept_resend(&k, seq % 20);
            next(&floor);
        } else {
            for (uint64_t i = seq; i < seq + count; i++)
                if (!kept_has(&k, i, i)) {
                    put(i, true);
                    here[i] = true;
                }
            kept_close(&k, &finished, &failed);
        }
        for (uint64_t i = 1; i < 400; i++)
            cr_assert_eq(kept_has(&k, i, i), here[i]);
    }
    release(1, 400);
    cr_assert(kept_empty(&k));
    cr_assert_eq(kept_size_bytes(&k), 0);
}
