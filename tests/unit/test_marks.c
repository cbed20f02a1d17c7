/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/marks.h"

#include <criterion/criterion.h>

TestSuite(marks, .timeout = 60);

/* How many tasks are stored now, that were not before. */
static uint64_t popped(struct marks *m)
{
    const struct seqset *tasks;
    uint64_t count = 0;
    while (marks_pop(m, &tasks))
        count += tasks->members;
    return count;
}

Test(marks, what_was_accepted_before_a_mark_is_stored_when_its_position_is_reached)
{
    struct marks m;
    marks_init(&m);
    marks_accept(&m, 1, 3);
    marks_add(&m, 100);
    marks_accept(&m, 4, 4);
    marks_reach(&m, 99);
    cr_assert_eq(popped(&m), 0);
    marks_reach(&m, 100);
    cr_assert_eq(popped(&m), 3);
    marks_reach(&m, 1000);
    cr_assert_eq(popped(&m), 0, "the fourth has no mark yet");
    marks_add(&m, 200);
    cr_assert_eq(popped(&m), 1);
    marks_free(&m);
}

Test(marks, a_position_that_is_told_late_takes_nothing_back)
{
    struct marks m;
    marks_init(&m);
    marks_accept(&m, 1, 1);
    marks_add(&m, 10);
    marks_reach(&m, 10);
    marks_reach(&m, 5);
    cr_assert_eq(popped(&m), 1);
    marks_free(&m);
}

Test(marks, of_more_than_it_holds_the_newest_takes_in_what_follows)
{
    enum { ALL = 3 * MARKS_MAX };
    struct marks m;
    marks_init(&m);
    for (uint64_t i = 1; i <= ALL; i++) {
        marks_accept(&m, i, i);
        marks_add(&m, i);
    }
    marks_reach(&m, ALL - 1);
    cr_assert_eq(popped(&m), MARKS_MAX - 1);
    marks_reach(&m, ALL);
    cr_assert_eq(popped(&m), ALL - (MARKS_MAX - 1));
    marks_free(&m);
}
