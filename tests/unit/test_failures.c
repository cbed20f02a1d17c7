/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/failures.h"

#include <criterion/criterion.h>

TestSuite(failures, .timeout = 60);

static void expect(const struct failures *f, size_t most, uint64_t more, const char *words)
{
    struct buf got = {0};
    cr_assert_eq(failures_put(&got, f, most), more);
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of(words)), "%.*s", (int)got.size,
              (char *)got.data);
    buf_free(&got);
}

Test(failures, the_first_are_named_in_order_however_they_come)
{
    struct failures f = {0};
    failures_note(&f, 9, RESULT_EXITED, 9);
    failures_note(&f, 4, RESULT_SIGNALED, 9);
    failures_note(&f, 1, RESULT_OK, 0);
    failures_note(&f, 2, RESULT_EXITED, 3);
    failures_note(&f, 12, RESULT_TIMED_OUT, 0);
    expect(&f, 5, 0, "task 2 (exit 3), task 4 (SIGKILL), task 9 (exit 9), task 12 (timeout)");
    expect(&f, 2, 2, "task 2 (exit 3), task 4 (SIGKILL), and 2 more");
}

Test(failures, of_many_the_lowest_stay)
{
    struct failures f = {0};
    for (uint64_t seq = 1000; seq >= 1; seq--)
        failures_note(&f, seq, RESULT_EXITED, 1);
    expect(&f, 3, 997, "task 1 (exit 1), task 2 (exit 1), task 3 (exit 1), and 997 more");
    for (uint64_t seq = 2000; seq < 2100; seq++)
        failures_note(&f, seq, RESULT_LOST, 0);
    expect(&f, 1, 1099, "task 1 (exit 1), and 1099 more");
    cr_assert_eq(f.first[FAILURES_KEPT - 1].seq, 10);
}
