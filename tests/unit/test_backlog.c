/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/backlog.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct backlog b;

static void end(void)
{
    backlog_free(&b);
}

TestSuite(backlog, .fini = end, .timeout = 60);

/* Tasks first..last, each a line with its own number. */
static void add(uint64_t first, uint64_t last, uint32_t attempt)
{
    struct buf records = {0};
    for (uint64_t seq = first; seq <= last; seq++) {
        char line[32];
        snprintf(line, sizeof line, "%llu", (unsigned long long)seq);
        task_put_line(&records, bytes_of(line));
    }
    struct block *block = block_new(&records);
    backlog_add(&b, &(struct backlog_run){.block = block,
                                          .records = block_bytes(block),
                                          .first = first,
                                          .count = last - first + 1,
                                          .attempt = {1, attempt},
                                          .tries = 1});
    block_release(&block);
}

/* Takes one task; checks that its record is its own; returns its number, or 0. */
static uint64_t take(void)
{
    struct backlog_run run;
    if (!backlog_take(&b, 1, &run))
        return 0;
    struct task task;
    struct bytes records = run.records;
    char line[32];
    snprintf(line, sizeof line, "%llu", (unsigned long long)run.first);
    cr_assert_eq(task_take(&records, &task), ERR_NONE);
    cr_assert_eq(records.size, 0);
    cr_assert(bytes_equal(task.body, bytes_of(line)));
    block_release(&run.block);
    return run.first;
}

Test(backlog, tasks_are_taken_in_the_order_in_which_they_came)
{
    add(7, 9, 1);
    add(1, 2, 1);
    struct backlog_run run;
    cr_assert(backlog_take(&b, 2, &run));
    cr_assert(run.first == 7 && run.count == 2);
    backlog_put_back(&b, &run);
    block_release(&run.block);
    const uint64_t expected[] = {7, 8, 9, 1, 2, 0};
    for (size_t i = 0; i < 6; i++)
        cr_assert_eq(take(), expected[i]);
    cr_assert_eq(b.size_bytes, 0);
}

Test(backlog, tasks_are_given_back_from_the_tail)
{
    struct seqset given = {0};
    add(1, 4, 1);
    add(11, 12, 1);
    backlog_give_back(&b, 3, &given);
    cr_assert(given.members == 3 && seqset_has(&given, 4) && seqset_has(&given, 11));
    backlog_give_back(&b, 100, &given);
    cr_assert_eq(given.members, 6);
    cr_assert_eq(b.tasks, 0);
    seqset_free(&given);
}

Test(backlog, one_attempt_can_be_removed_and_another_stays)
{
    add(5, 5, 1);
    add(4, 6, 2);
    cr_assert_eq(backlog_remove(&b, 5, 5, &(struct attempt){1, 2}), 1);
    const uint64_t expected[] = {5, 4, 6, 0};
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(take(), expected[i]);
}

Test(backlog, whatever_is_removed_the_rest_is_whole_and_in_order)
{
    unsigned random = 3;
    for (int round = 0; round < 300; round++) {
        bool here[200] = {0};
        for (uint64_t first = 1, last; first < 190; first = last + 1) {
            random = random * 1103515245 + 12345;
            last = first + (random >> 16) % 9;
            add(first, last, 1);
            for (uint64_t seq = first; seq <= last; seq++)
                here[seq] = true;
        }
        for (int i = 0; i < round % 40; i++) {
            random = random * 1103515245 + 12345;
            uint64_t first = 1 + (random >> 16) % 180, last = first + (random >> 8) % 17;
            uint64_t expected = 0;
            for (uint64_t seq = first; seq <= last; seq++) {
                expected += here[seq];
                here[seq] = false;
            }
            cr_assert_eq(backlog_remove(&b, first, last, NULL), expected);
            if (random >> 31)
                here[take()] = false;
        }
        for (uint64_t seq = 1; seq < 200; seq++)
            if (here[seq])
                cr_assert_eq(take(), seq);
        cr_assert_eq(take(), 0);
        cr_assert(b.tasks == 0 && b.size_bytes == 0);
    }
}
