/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/time_limit.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"

/* --timeout N%: of the median run time. */
TestSuite(time_limit, .timeout = 20);

static void is_near(uint64_t got, uint64_t wanted)
{
    cr_expect(got >= wanted - wanted / 100 && got <= wanted + wanted / 100, "%lu is not near %lu",
              (unsigned long)got, (unsigned long)wanted);
}

Test(time_limit, seconds_are_a_limit_from_the_start_and_stay)
{
    struct time_limit l = {.timeout = {.ns = 5 * NS_PER_S}};
    cr_expect_eq(time_limit_ns(&l), 5 * NS_PER_S);
    for (int i = 0; i < 10; i++)
        cr_expect_not(time_limit_note(&l, NS_PER_S));
    cr_expect_eq(time_limit_ns(&l), 5 * NS_PER_S);
    cr_expect_eq(time_limit_ns(&(struct time_limit){.timeout = {0}}), 0);
}

Test(time_limit, percent_limit_nothing_before_three_tasks_were_ok)
{
    struct time_limit l = {.timeout = {.percent = 300}};
    cr_expect_not(time_limit_note(&l, 1 * NS_PER_S));
    cr_expect_not(time_limit_note(&l, 9 * NS_PER_S));
    cr_expect_eq(time_limit_ns(&l), 0);
    cr_expect(time_limit_note(&l, 2 * NS_PER_S));
    is_near(time_limit_ns(&l), 6 * NS_PER_S);
    time_limit_note(&l, 3 * NS_PER_S);
    is_near(time_limit_ns(&l), 6 * NS_PER_S);
    time_limit_note(&l, 3 * NS_PER_S);
    is_near(time_limit_ns(&l), 9 * NS_PER_S);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Of any lengths, after each one: the same as sorting them all, within one percent. */
Test(time_limit, the_median_is_that_of_all_tasks_ever)
{
    enum { TASKS = 3000 };
    static uint64_t sorted[TASKS];
    struct time_limit l = {.timeout = {.percent = 100}};
    uint64_t random = 88172645463325252;
    for (size_t i = 0; i < TASKS; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        uint64_t ns = random >> (random % 50 + 10);
        sorted[i] = ns;
        time_limit_note(&l, ns);
        if (i < 2 || i % 97)
            continue;
        qsort(sorted, i + 1, sizeof *sorted, by_size);
        uint64_t median_ns = sorted[i / 2];
        is_near(time_limit_ns(&l), median_ns ? median_ns : 1);
    }
}

Test(time_limit, the_longest_and_the_shortest_have_a_place)
{
    struct time_limit l = {.timeout = {.percent = 1000000}};
    for (int i = 0; i < 3; i++)
        time_limit_note(&l, UINT64_MAX);
    cr_expect_eq(time_limit_ns(&l), INT64_MAX);
    for (int i = 0; i < 4; i++)
        time_limit_note(&l, 0);
    cr_expect_eq(time_limit_ns(&l), 1);
}

Test(time_limit, the_option_takes_seconds_or_percent)
{
    static const struct {
        const char *text;
        struct timeout timeout;
    } cases[] = {{"1.5", {.ns = 1500 * NS_PER_MS}},
                 {"10m", {.ns = 600 * NS_PER_S}},
                 {"200%", {.percent = 200}},
                 {"1000000%", {.percent = 1000000}}};
    struct why why;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct timeout got = {1, 1};
        cr_assert_eq(timeout_parse(cases[i].text, &got, &why), ERR_NONE, "%s", cases[i].text);
        cr_expect_eq(got.ns, cases[i].timeout.ns);
        cr_expect_eq(got.percent, cases[i].timeout.percent);
    }
    static const char *const wrong[] = {"",      "%",        "0%",   "-5%", "1.5%",
                                        "200%%", "1000001%", "soon", "5x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct timeout got = {7, 7};
        cr_expect_eq(timeout_parse(wrong[i], &got, &why), ERR_INVALID, "%s", wrong[i]);
        cr_expect(strstr(why.text, "percent of the median"), "%s", why.text);
        cr_expect_eq(got.ns, 7);
    }
}
