/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "worker/exec/slot_batch.h"

TestSuite(slot_batch, .timeout = 10);

struct record {
    struct slot_batch batch;
    struct executor_events events;
    char text[256]; /* what was called, one after the other */
    bool start_again;
};

static void note(struct record *record, const char *what, uint64_t seq, uint32_t count)
{
    size_t used = strlen(record->text);
    snprintf(record->text + used, sizeof record->text - used, "%s %llu %u; ", what,
             (unsigned long long)seq, count);
}

static void assign(struct record *record, uint64_t first, uint32_t count)
{
    struct assignment assignment = {.first = first, .count = count};
    slot_batch_assign(&record->batch, &assignment);
}

static void on_finished(void *context, const struct outcome *outcome)
{
    note(context, "finished", outcome->seq, 1);
}

static void on_finished_run(void *context, const struct outcome_run *run)
{
    cr_assert_eq(run->slot, 3);
    note(context, "finished", run->first, run->count);
}

static void on_returned(void *context, unsigned slot, uint64_t first, uint32_t count)
{
    struct record *record = context;
    cr_assert_eq(slot, 3);
    note(record, "returned", first, count);
    if (record->start_again && !record->batch.assigned)
        assign(record, 100, 2);
}

static void on_cancelled(void *context, unsigned slot, uint64_t seq)
{
    cr_assert_eq(slot, 3);
    note(context, "cancelled", seq, 1);
}

static void init(struct record *record)
{
    *record = (struct record){
        .events = {record, on_finished, on_finished_run, on_returned, on_cancelled, NULL}};
    record->batch = (struct slot_batch){.slot = 3, .events = &record->events};
}

static void finish(struct record *record)
{
    struct outcome outcome = {.out = {.fd = -1}, .err = {.fd = -1}};
    slot_batch_finish(&record->batch, &outcome);
}

Test(slot_batch, each_task_ends_once_and_in_order)
{
    struct record record;
    init(&record);
    assign(&record, 5, 6);
    finish(&record);
    cr_assert(slot_batch_cancel(&record.batch, 6));
    cr_assert(slot_batch_cancel(&record.batch, 9));
    finish(&record);
    cr_assert_eq(slot_batch_next(&record.batch), 7);
    slot_batch_return(&record.batch);
    cr_assert_str_eq(record.text, "finished 5 1; cancelled 6 1; returned 7 2; cancelled 9 1; "
                                  "returned 10 1; ");
    cr_assert_not(record.batch.assigned);
    slot_batch_free(&record.batch);
}

Test(slot_batch, tasks_can_finish_together)
{
    struct record record;
    init(&record);
    assign(&record, 5, 4);
    struct outcome_run run = {.count = 3};
    slot_batch_finish_run(&record.batch, &run);
    cr_assert_eq(slot_batch_left(&record.batch), 1);
    run.count = 1;
    slot_batch_finish_run(&record.batch, &run);
    cr_assert_str_eq(record.text, "finished 5 3; finished 8 1; ");
    cr_assert_not(record.batch.assigned);
    slot_batch_free(&record.batch);
}

Test(slot_batch, only_a_task_that_has_not_ended_can_be_cancelled)
{
    struct record record;
    init(&record);
    cr_assert_not(slot_batch_cancel(&record.batch, 1), "there is no assignment");
    assign(&record, 5, 2);
    finish(&record);
    cr_assert_not(slot_batch_cancel(&record.batch, 5), "it has ended");
    cr_assert_not(slot_batch_cancel(&record.batch, 7), "it is not of this assignment");
    cr_assert(slot_batch_cancel(&record.batch, 6));
    finish(&record);
    assign(&record, 5, 2);
    cr_assert_not(slot_batch_is_cancelled(&record.batch, 6), "that was the assignment before");
    slot_batch_return(&record.batch);
    slot_batch_free(&record.batch);
}

Test(slot_batch, an_assignment_that_comes_from_inside_an_event_is_not_returned_with_the_last)
{
    struct record record;
    init(&record);
    record.start_again = true;
    assign(&record, 1, 3);
    slot_batch_return(&record.batch);
    cr_assert_str_eq(record.text, "returned 1 3; ");
    cr_assert(record.batch.assigned);
    cr_assert_eq(slot_batch_next(&record.batch), 100);
    cr_assert_eq(slot_batch_left(&record.batch), 2);
    slot_batch_free(&record.batch);
}

Test(slot_batch, what_is_behind_a_task_can_be_returned_while_that_goes_on)
{
    struct record record;
    init(&record);
    assign(&record, 5, 6);
    finish(&record);
    cr_assert(slot_batch_cancel(&record.batch, 8));
    slot_batch_return_behind(&record.batch, 6);
    cr_assert_str_eq(record.text, "finished 5 1; returned 7 1; cancelled 8 1; returned 9 2; ");
    cr_assert(record.batch.assigned);
    cr_assert_eq(slot_batch_left(&record.batch), 1);
    cr_assert_eq(record.batch.cancelled.members, 0);
    finish(&record);
    cr_assert_not(record.batch.assigned);
    slot_batch_free(&record.batch);
}
