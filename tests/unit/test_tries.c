/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/tries.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(tries, .timeout = 60);

static void expect(struct tries *t, uint64_t seq, const char *bytes)
{
    struct buf got = {0};
    tries_take(t, seq, &got);
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of(bytes)), "%.*s", (int)got.size,
              (char *)got.data);
    buf_free(&got);
}

Test(tries, a_tasks_tries_come_by_their_numbers_and_once)
{
    struct tries t = {.tmpdir = "/tmp", .memory_max = 1000};
    expect(&t, 1, "");
    tries_put(&t, 1, 2, bytes_of("second"));
    tries_put(&t, 2, 1, bytes_of("other"));
    tries_put(&t, 1, 1, bytes_of("first"));
    expect(&t, 1, "first,second");
    expect(&t, 1, "");
    expect(&t, 2, "other");
    cr_assert_eq(t.memory, 0);
    tries_free(&t);
}

Test(tries, what_is_above_the_limit_of_memory_is_in_a_file)
{
    enum { TASKS = 1000 };
    struct tries t = {.tmpdir = "/tmp", .memory_max = 100};
    char text[32];
    for (uint64_t seq = 1; seq <= TASKS; seq++) {
        snprintf(text, sizeof text, "task %d", (int)seq);
        tries_put(&t, seq, 1, bytes_of(text));
        cr_assert_leq(t.memory, 100);
    }
    for (uint64_t seq = TASKS; seq >= 1; seq--) {
        snprintf(text, sizeof text, "task %d", (int)seq);
        expect(&t, seq, text);
    }
    tries_free(&t);
}

Test(tries, without_room_on_the_disk_it_stays_in_memory_and_is_stuck)
{
    struct tries t = {.tmpdir = "/nonexistent", .memory_max = 5};
    struct why why;
    tries_put(&t, 1, 1, bytes_of("12345"));
    cr_assert_not(tries_is_stuck(&t));
    tries_put(&t, 2, 1, bytes_of("6"));
    cr_assert(tries_is_stuck(&t));
    cr_assert_neq(tries_unstick(&t, &why), ERR_NONE);
    t.tmpdir = "/tmp";
    cr_assert_eq(tries_unstick(&t, &why), ERR_NONE);
    cr_assert_not(tries_is_stuck(&t));
    expect(&t, 2, "6");
    expect(&t, 1, "12345");
    tries_free(&t);
}
