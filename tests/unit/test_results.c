/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>

#include "worker/core/results.h"

TestSuite(results, .timeout = 10);

static struct results results;
static struct report report;

static void set_up(void)
{
    results_init(&results, bytes_of("w"), 100000);
}

static void tear_down(void)
{
    results_free(&results);
    report_free(&report);
}

static void put(uint64_t seq, size_t size)
{
    static char text[RESULT_INLINE_MAX + 1];
    struct result r = {.seq = seq, .attempt = {1, 1}, .status = RESULT_OK, .final = true};
    struct output out = {.bytes = {(const uint8_t *)text, size}, .fd = -1}, err = {.fd = -1};
    results_put(&results, &r, &out, &err, NULL, &report);
}

Test(results, a_small_one_is_reported_when_its_batch_is_closed, .init = set_up, .fini = tear_down)
{
    put(1, 10);
    cr_assert(results_have(&results, 1, 1));
    cr_assert_eq(report.finished.members, 0);
    results_close(&results, &report);
    cr_assert_eq(report.finished.members, 1);
    cr_assert_eq(results_count(&results), 1);
}

Test(results, a_large_one_travels_by_itself, .init = set_up, .fini = tear_down)
{
    put(1, RESULT_INLINE_MAX);
    cr_assert_eq(results.large.count, 1);
    cr_assert(results_have(&results, 1, 1));
    cr_assert_not(results_empty(&results));
    cr_assert(results_full(&results), "there is more than the limit");
    results_report_large(&results, &report);
    cr_assert_eq(report.finished.members, 1);
}

Test(results, where_frames_are_small_a_result_is_large_sooner, .init = set_up, .fini = tear_down)
{
    results.is_careful = true;
    put(1, FRAME_CAREFUL);
    cr_assert_eq(results.large.count, 1);
    results_usual_frames(&results);
    put(2, FRAME_CAREFUL);
    cr_assert_eq(results.large.count, 1);
}

Test(results, what_is_released_of_both_kinds_is_gone, .init = set_up, .fini = tear_down)
{
    struct seqset tasks = {0}, named = {0};
    put(1, 10);
    put(2, RESULT_INLINE_MAX);
    results_close(&results, &report);
    results_list(&results, &named);
    cr_assert_eq(named.members, 2);
    seqset_add(&tasks, 1, 2);
    cr_assert_eq(results_release(&results, &tasks), 2);
    cr_assert(results_empty(&results));
    cr_assert_eq(results_bytes(&results), 0);
    seqset_free(&tasks);
    seqset_free(&named);
}
