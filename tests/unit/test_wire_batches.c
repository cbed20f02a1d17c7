/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/wire.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

TestSuite(wire_batches, .timeout = 60);

static void put_tasks(struct buf *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct bytes args[] = {bytes_of("first"), bytes_of(""), bytes_of("third")};
        if (i % 3 == 2)
            task_put_args(records, args, 3);
        else
            task_put_line(records, bytes_of("a line"));
    }
}

static struct task_run task_run(uint64_t first, uint64_t count, const struct buf *records)
{
    return (struct task_run){.first = first,
                             .count = count,
                             .number = UINT32_MAX,
                             .tries = 2,
                             .flags = TASK_LAST | TASK_ALONE,
                             .records = buf_bytes(records)};
}

static void expect_same_run(const struct task_run *a, const struct task_run *b)
{
    cr_assert(a->first == b->first && a->count == b->count && a->number == b->number &&
              a->tries == b->tries && a->flags == b->flags);
    cr_assert(bytes_equal(a->records, b->records));
}

/* Takes all runs from memory of exactly that size; returns how many there were before an error. */
static enum error take_task_runs(struct bytes body, size_t *count)
{
    uint8_t *exact = xmalloc(body.size);
    if (body.size)
        memcpy(exact, body.data, body.size);
    uint64_t batch;
    struct bytes runs;
    struct task_run run;
    enum error error = tasks_take((struct bytes){exact, body.size}, &batch, &runs);
    for (*count = 0; !error && runs.size; *count += !error)
        error = task_run_take(&runs, &run);
    free(exact);
    return error;
}

Test(wire_batches, a_batch_of_tasks_comes_out_as_it_went_in)
{
    struct buf body = {0}, records[3] = {0};
    struct task_run in[3], out;
    tasks_begin(&body, 300);
    for (size_t i = 0; i < 3; i++) {
        put_tasks(&records[i], i + 1);
        in[i] = task_run(1000 * i + 1, i + 1, &records[i]);
        task_run_put(&body, &in[i]);
    }
    uint64_t batch;
    struct bytes runs;
    cr_assert_eq(tasks_take(buf_bytes(&body), &batch, &runs), ERR_NONE);
    cr_assert_eq(batch, 300);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(task_run_take(&runs, &out), ERR_NONE);
        expect_same_run(&in[i], &out);
        buf_free(&records[i]);
    }
    cr_assert_eq(runs.size, 0);
    buf_free(&body);
}

Test(wire_batches, a_batch_of_tasks_that_is_cut_has_fewer_runs_or_is_an_error)
{
    struct buf body = {0}, records = {0};
    put_tasks(&records, 4);
    tasks_begin(&body, 1);
    size_t ends[4] = {body.size};
    for (size_t i = 1; i <= 3; i++) {
        struct task_run run = task_run(10 * i, 4, &records);
        task_run_put(&body, &run);
        ends[i] = body.size;
    }
    size_t whole = 0;
    for (size_t size = 0; size <= body.size; size++) {
        size_t count;
        enum error error = take_task_runs((struct bytes){body.data, size}, &count);
        if (size == ends[whole]) {
            cr_assert_eq(error, ERR_NONE, "at %zu", size);
            cr_assert_eq(count, whole++);
        } else {
            cr_assert_neq(error, ERR_NONE, "at %zu", size);
        }
    }
    buf_free(&records);
    buf_free(&body);
}

Test(wire_batches, the_head_that_is_written_in_place_reads_the_same)
{
    static const uint64_t firsts[] = {1, 127, 128, UINT32_MAX, UINT64_MAX - 5};
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        struct buf message = {0}, records = {0};
        buf_reserve(&message, TASKS_HEAD_SIZE);
        message.size = TASKS_HEAD_SIZE;
        put_tasks(&message, 3);
        put_tasks(&records, 3);
        struct task_run in = task_run(firsts[i], 3, &records), out;
        struct frame_head head = {.job = 1, .incarnation = UINT64_MAX, .session = 7}, taken;
        tasks_head_write(&message, head, firsts[i], &in);
        struct bytes body, runs;
        uint64_t batch;
        cr_assert_eq(frame_take(buf_bytes(&message), &taken, &body), ERR_NONE);
        cr_assert(taken.kind == KIND_TASKS && taken.job == 1 && taken.session == 7);
        cr_assert_eq(taken.incarnation, UINT64_MAX);
        cr_assert_eq(tasks_take(body, &batch, &runs), ERR_NONE);
        cr_assert_eq(batch, firsts[i]);
        cr_assert_eq(task_run_take(&runs, &out), ERR_NONE);
        expect_same_run(&in, &out);
        cr_assert_eq(runs.size, 0);
        buf_free(&message);
        buf_free(&records);
    }
}

Test(wire_batches, a_run_of_tasks_has_exactly_as_many_records_as_it_says)
{
    struct buf records = {0};
    put_tasks(&records, 4);
    static const struct {
        uint64_t first, count;
        enum error error;
    } cases[] = {
        {1, 4, ERR_NONE},
        {1, 3, ERR_TRAILING},
        {1, 5, ERR_TRUNCATED},
        {1, UINT64_MAX - 2, ERR_TRUNCATED},
        {1, 0, ERR_MALFORMED},
        {0, 4, ERR_MALFORMED},
        {UINT64_MAX, 4, ERR_MALFORMED},
        {UINT64_MAX - 4, 4, ERR_MALFORMED}, /* its last would be the largest number */
        {UINT64_MAX - 5, 4, ERR_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf body = {0};
        struct task_run in = task_run(cases[i].first, cases[i].count, &records), out;
        task_run_put(&body, &in);
        struct bytes runs = buf_bytes(&body);
        cr_assert_eq(task_run_take(&runs, &out), cases[i].error, "case %zu", i);
        buf_free(&body);
    }
    buf_free(&records);
}

Test(wire_batches, a_run_of_tasks_may_have_a_tagged_part_before_its_records)
{
    static const uint8_t unknown[] = {2, 3, 1, 0xff, 9, 0}, twice[] = {2, 3, 0, 3, 0};
    static const struct {
        struct bytes tagged;
        enum error error;
    } cases[] = {
        {{unknown, sizeof unknown}, ERR_NONE},     {{(const uint8_t *)"", 1}, ERR_NONE},
        {{(const uint8_t *)"", 0}, ERR_MALFORMED}, {{unknown, sizeof unknown - 1}, ERR_MALFORMED},
        {{twice, sizeof twice}, ERR_MALFORMED},
    };
    struct buf records = {0};
    put_tasks(&records, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf body = {0};
        struct task_run in = task_run(1, 2, &records), out;
        in.flags |= TASK_TAGGED;
        in.tagged = cases[i].tagged;
        task_run_put(&body, &in);
        struct bytes runs = buf_bytes(&body);
        cr_assert_eq(task_run_take(&runs, &out), cases[i].error, "case %zu", i);
        if (!cases[i].error) {
            expect_same_run(&in, &out);
            cr_assert(bytes_equal(in.tagged, out.tagged));
        }
        buf_free(&body);
    }
    buf_free(&records);
}

Test(wire_batches, a_batch_of_results_comes_out_as_it_went_in)
{
    struct buf body = {0}, records = {0};
    struct result r = {.final = true, .out = bytes_of("output")};
    for (int i = 0; i < 3; i++)
        result_put(&records, &r);
    struct results_head in = {.batch = 9, .floor = 5, .worker = bytes_of("host-1")}, out;
    struct result_run run = {.first = UINT64_MAX - 4,
                             .count = 3,
                             .attempt = {UINT64_MAX, UINT32_MAX},
                             .tries = 4,
                             .records = buf_bytes(&records)};
    results_begin(&body, &in);
    result_run_put(&body, &run);
    struct bytes runs;
    cr_assert_eq(results_take(buf_bytes(&body), &out, &runs), ERR_NONE);
    cr_assert(out.batch == 9 && out.floor == 5 && bytes_equal(out.worker, in.worker));
    size_t from = body.size - runs.size;
    struct result_run got;
    for (size_t size = 0; size < runs.size; size++) {
        uint8_t *exact = xmalloc(size);
        if (size)
            memcpy(exact, body.data + from, size);
        struct bytes cut = {exact, size};
        cr_assert_neq(result_run_take(&cut, &got), ERR_NONE, "at %zu", size);
        cr_assert_eq(cut.size, size, "it is left where it was");
        free(exact);
    }
    cr_assert_eq(result_run_take(&runs, &got), ERR_NONE);
    cr_assert(got.first == run.first && got.count == 3 && got.tries == 4 &&
              attempt_equal(got.attempt, run.attempt) && bytes_equal(got.records, run.records));
    cr_assert_eq(runs.size, 0);
    buf_free(&records);
    buf_free(&body);
}

Test(wire_batches, a_run_of_results_cannot_count_more_than_it_has_octets)
{
    struct result_run in = {.first = 1, .count = 7, .records = bytes_of("123456")}, out;
    struct buf body = {0};
    result_run_put(&body, &in);
    struct bytes runs = buf_bytes(&body);
    cr_assert_eq(result_run_take(&runs, &out), ERR_TRUNCATED);
    buf_free(&body);
}

Test(wire_batches, a_task_that_came_in_pieces_has_no_record_in_its_batch)
{
    struct buf none = {0}, records = {0};
    put_tasks(&records, 1);
    static const struct {
        uint64_t count;
        bool has_record;
        enum error error;
    } cases[] = {{1, false, ERR_NONE}, {2, false, ERR_MALFORMED}, {1, true, ERR_TRAILING}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf body = {0};
        struct task_run out,
            in = task_run(7, cases[i].count, cases[i].has_record ? &records : &none);
        in.flags |= TASK_PIECES;
        task_run_put(&body, &in);
        struct bytes runs = buf_bytes(&body);
        cr_assert_eq(task_run_take(&runs, &out), cases[i].error, "case %zu", i);
        if (!cases[i].error)
            expect_same_run(&in, &out);
        buf_free(&body);
    }
    buf_free(&records);
}
