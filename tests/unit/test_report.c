/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>

#include "common/base/clock.h"
#include "worker/core/report.h"

TestSuite(report, .timeout = 10);

#define SENT (100 * NS_PER_MS)

Test(report, a_busy_worker_reports_fifty_times_a_second)
{
    struct report r = {.sent_ns = SENT};
    seqset_add(&r.finished, 1, 3);
    report_busy(&r, true, SENT);
    cr_assert_eq(report_due_ns(&r), SENT + 20 * NS_PER_MS);
    report_free(&r);
}

Test(report, one_that_idles_lets_its_results_go_first_for_a_moment)
{
    struct report r = {.sent_ns = SENT, .idle_ns = NEVER};
    seqset_add(&r.finished, 1, 3);
    report_busy(&r, false, SENT + 5);
    cr_assert_eq(report_due_ns(&r), SENT + 5 + 200 * NS_PER_US);
    report_busy(&r, false, SENT + 9);
    cr_assert_eq(report_due_ns(&r), SENT + 5 + 200 * NS_PER_US, "it has idled all the time");
    report_free(&r);
}

Test(report, what_another_worker_may_run_is_told_at_once)
{
    struct report r = {.sent_ns = SENT, .idle_ns = NEVER};
    seqset_add(&r.returned, 4, 4);
    report_busy(&r, false, SENT + 5);
    cr_assert_eq(report_due_ns(&r), SENT + 5);
    report_free(&r);
}

Test(report, a_join_tells_all_but_what_has_failed)
{
    struct report r = {.not_ok = 1};
    seqset_add(&r.finished, 1, 3);
    seqset_add(&r.interrupted, 7, 7);
    attempt_list_add(&r.failed, 9, (struct attempt){1, 1});
    report_joined(&r);
    cr_assert_not(report_empty(&r));
    cr_assert_eq(r.not_ok, 0);
    report_clear(&r);
    cr_assert(report_empty(&r));
    report_free(&r);
}

Test(report, of_tasks_that_are_not_wanted_no_word_is_left)
{
    struct report r = {.not_ok = 2};
    struct seqset tasks = {0};
    seqset_add(&r.finished, 1, 3);
    attempt_list_add(&r.failed, 3, (struct attempt){1, 1});
    attempt_list_add(&r.failed, 9, (struct attempt){1, 1});
    seqset_add(&tasks, 2, 4);
    report_forget(&r, &tasks);
    cr_assert_eq(r.finished.members, 1);
    cr_assert_eq(r.not_ok, 1, "no more than there are");
    cr_assert_eq(r.failed.count, 1);
    cr_assert_eq(r.failed.items[0].seq, 9);
    seqset_free(&tasks);
    report_free(&r);
}
