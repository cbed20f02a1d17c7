/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/seqset.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(seqset, .timeout = 60);

static void expect_ranges(const struct seqset *set, const struct range *ranges, size_t count)
{
    cr_assert_eq(set->count, count);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(set->ranges[i].first, ranges[i].first);
        cr_assert_eq(set->ranges[i].last, ranges[i].last);
    }
}

Test(seqset, ranges_that_touch_become_one)
{
    struct seqset set = {0};
    cr_assert_eq(seqset_add(&set, 1, 3), 3);
    cr_assert_eq(seqset_add(&set, 7, 9), 3);
    cr_assert_eq(seqset_add(&set, 4, 6), 3);
    expect_ranges(&set, (struct range[]){{1, 9}}, 1);
    seqset_free(&set);
}

Test(seqset, adding_what_is_there_adds_nothing)
{
    struct seqset set = {0};
    seqset_add(&set, 5, 10);
    cr_assert_eq(seqset_add(&set, 6, 9), 0);
    cr_assert_eq(seqset_add(&set, 9, 12), 2);
    cr_assert_eq(set.members, 8);
    seqset_free(&set);
}

Test(seqset, a_part_of_another_set_is_added)
{
    struct seqset set = {0}, other = {0};
    seqset_add(&set, 1, 2);
    seqset_add(&other, 2, 4);
    seqset_add(&other, 7, 9);
    seqset_add(&other, 20, 30);
    seqset_add_part(&set, &other, 4, 7);
    expect_ranges(&set, (struct range[]){{1, 2}, {4, 4}, {7, 7}}, 3);
    seqset_add_part(&set, &other, 25, 24);
    cr_assert_eq(set.members, 4, "first after last: none");
    seqset_add_part(&set, &other, 1, UINT64_MAX - 1);
    expect_ranges(&set, (struct range[]){{1, 4}, {7, 9}, {20, 30}}, 3);
    seqset_free(&set);
    seqset_free(&other);
}

Test(seqset, removing_from_the_middle_splits)
{
    struct seqset set = {0};
    seqset_add(&set, 1, 10);
    cr_assert_eq(seqset_remove(&set, 4, 6), 3);
    expect_ranges(&set, (struct range[]){{1, 3}, {7, 10}}, 2);
    cr_assert_eq(seqset_remove(&set, 5, 5), 0);
    seqset_free(&set);
}

Test(seqset, next_and_next_gap_cut_to_the_window)
{
    struct seqset set = {0};
    seqset_add(&set, 3, 5);
    seqset_add(&set, 9, 20);
    struct range r;
    cr_assert(seqset_next(&set, 4, 12, &r));
    cr_assert(r.first == 4 && r.last == 5);
    cr_assert(seqset_next(&set, 6, 12, &r));
    cr_assert(r.first == 9 && r.last == 12);
    cr_assert_not(seqset_next(&set, 6, 8, &r));
    cr_assert(seqset_next_gap(&set, 4, 12, &r));
    cr_assert(r.first == 6 && r.last == 8);
    cr_assert_not(seqset_next_gap(&set, 10, 20, &r));
    cr_assert(seqset_next_gap(&set, 10, 22, &r));
    cr_assert(r.first == 21 && r.last == 22);
    seqset_free(&set);
}

/* The same operations on a plain array of booleans must give the same set. */
Test(seqset, agrees_with_an_array_of_booleans)
{
    enum { SIZE = 200 };
    for (unsigned seed = 1; seed <= 50; seed++) {
        srand(seed);
        bool model[SIZE + 1] = {false};
        struct seqset set = {0};
        for (int step = 0; step < 400; step++) {
            uint64_t first = 1 + (uint64_t)rand() % SIZE;
            uint64_t last = first + (uint64_t)rand() % 20;
            if (last > SIZE)
                last = SIZE;
            bool add = rand() % 2;
            uint64_t changed = 0, members = 0;
            for (uint64_t i = first; i <= last; i++) {
                changed += model[i] != add;
                model[i] = add;
            }
            cr_assert_eq(add ? seqset_add(&set, first, last) : seqset_remove(&set, first, last),
                         changed, "seed %u step %d", seed, step);
            for (uint64_t i = 1; i <= SIZE; i++) {
                cr_assert_eq(seqset_has(&set, i), model[i], "seed %u step %d", seed, step);
                members += model[i];
            }
            cr_assert_eq(set.members, members);
            for (size_t i = 1; i < set.count; i++)
                cr_assert_gt(set.ranges[i].first, set.ranges[i - 1].last + 1);
        }
        seqset_free(&set);
    }
}
