/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ventilator/core/index.h"

TestSuite(index, .timeout = 20);

enum { KEYS = 2000 };

Test(index, an_empty_one_finds_and_removes_nothing)
{
    struct index index = {0};
    cr_assert_null(index_get(&index, 1));
    index_remove(&index, 1);
    cr_assert_null(index_get(&index, 0));
    index_free(&index);
}

Test(index, a_key_has_the_value_that_was_set_last)
{
    struct index index = {0};
    int a, b;
    index_set(&index, 7, &a);
    index_set(&index, 7, &b);
    cr_assert_eq(index_get(&index, 7), &b);
    cr_assert_eq(index.count, 1);
    index_remove(&index, 7);
    cr_assert_null(index_get(&index, 7));
    cr_assert_eq(index.count, 0);
    index_free(&index);
}

Test(index, the_largest_and_the_smallest_key_are_keys_like_others)
{
    struct index index = {0};
    int a, b;
    index_set(&index, 1, &a);
    index_set(&index, UINT64_MAX, &b);
    cr_assert_eq(index_get(&index, 1), &a);
    cr_assert_eq(index_get(&index, UINT64_MAX), &b);
    index_free(&index);
}

/* Against a plain array, with so few different keys that clusters form and break all the time. */
Test(index, a_random_walk_agrees_with_an_array)
{
    static char values[KEYS];
    static void *model[KEYS];
    srand(1);
    struct index index = {0};
    size_t count = 0;
    for (int step = 0; step < 200000; step++) {
        size_t key = (size_t)rand() % KEYS;
        bool grows = step / 20000 % 2 == 0;
        if (rand() % 8 < (grows ? 6 : 2)) {
            count += !model[key];
            model[key] = &values[rand() % KEYS];
            index_set(&index, key * 64 + 1, model[key]);
        } else {
            count -= model[key] != NULL;
            model[key] = NULL;
            index_remove(&index, key * 64 + 1);
        }
        cr_assert_eq(index.count, count);
        size_t other = (size_t)rand() % KEYS;
        cr_assert_eq(index_get(&index, other * 64 + 1), model[other]);
    }
    for (size_t key = 0; key < KEYS; key++)
        cr_assert_eq(index_get(&index, key * 64 + 1), model[key]);
    index_free(&index);
}
