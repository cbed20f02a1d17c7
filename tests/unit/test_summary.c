/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/summary.h"

#include <criterion/criterion.h>

#include "common/base/clock.h"

TestSuite(summary, .timeout = 60);

static void expect(const struct summary *s, const char *line)
{
    struct buf got = {0};
    summary_put(&got, s);
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of(line)), "%.*s", (int)got.size,
              (char *)got.data);
    buf_free(&got);
}

Test(summary, the_line_counts_everything)
{
    struct summary s = {
        .tasks = 1000, .ok = 998, .failed = 2, .workers = 4, .elapsed_ns = 12400 * NS_PER_MS};
    expect(&s, "1000 tasks: 998 ok, 2 failed, 0 lost; 4 workers; 12.4 s; 80.6 tasks/s\n");
}

Test(summary, what_is_unusual_is_told_only_then)
{
    struct summary s = {.tasks = 10,
                        .ok = 2,
                        .failed = 1,
                        .lost = 1,
                        .not_run = 3,
                        .missing = 2,
                        .written_twice = 1,
                        .reasons_hidden = 5,
                        .workers = 2,
                        .elapsed_ns = 2 * NS_PER_S,
                        .stopped_early = true};
    expect(&s,
           "10 tasks: 2 ok, 1 failed, 1 lost, 3 not run, 2 missing, 1 double; 2 workers; 2.0 s; "
           "2.0 tasks/s; input not read to its end; 5 reasons not shown\n");
}

Test(summary, one_is_singular_and_nothing_is_no_division)
{
    expect(&(struct summary){.tasks = 1, .ok = 1, .workers = 1, .elapsed_ns = NS_PER_S},
           "1 task: 1 ok, 0 failed, 0 lost; 1 worker; 1.0 s; 1.0 tasks/s\n");
    expect(&(struct summary){0},
           "0 tasks: 0 ok, 0 failed, 0 lost; 0 workers; 0.0 s; 0.0 tasks/s\n");
}

Test(summary, a_job_that_was_halted_says_by_which_task)
{
    expect(
        &(struct summary){.tasks = 9,
                          .ok = 3,
                          .failed = 1,
                          .not_run = 5,
                          .workers = 1,
                          .elapsed_ns = NS_PER_S,
                          .halted_by = 4},
        "9 tasks: 3 ok, 1 failed, 0 lost, 5 not run; 1 worker; 1.0 s; 4.0 tasks/s; halted by task "
        "4\n");
}

Test(summary, what_is_missing_or_double_is_wrong_and_nothing_else)
{
    cr_assert_not(summary_is_wrong(&(struct summary){.ok = 5, .failed = 2, .lost = 1}));
    cr_assert_not(summary_is_wrong(&(struct summary){.not_run = 7, .halted_by = 3}));
    cr_assert(summary_is_wrong(&(struct summary){.missing = 1}));
    cr_assert(summary_is_wrong(&(struct summary){.written_twice = 1}));
}
