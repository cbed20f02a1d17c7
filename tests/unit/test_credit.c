/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/credit.h"

#include <criterion/criterion.h>

#include "common/base/clock.h"

TestSuite(credit, .timeout = 60);

static const struct credit nothing;

static void measure(struct meter *m, uint64_t count, uint64_t service_ns, uint64_t now_ns)
{
    meter_assignment(m, 4, count, count * service_ns, count * service_ns, now_ns);
}

Test(credit, at_first_a_task_for_each_slot)
{
    struct meter m = {0};
    struct holding h = {.slots = 4, .ordinary = true, .reserve = true};
    struct credit c = credit_of(&m, &h, &nothing);
    cr_assert(c.tasks == 4 && c.reserve == 4 && c.size_bytes == CREDIT_BYTES_MAX);
    cr_assert(credit_is_due(&nothing, &c, &h, false));
}

Test(credit, nothing_ahead_of_long_tasks_and_thousands_of_short_ones)
{
    struct meter m = {0};
    measure(&m, 1, NS_PER_S, NS_PER_S);
    cr_assert_eq(meter_ahead(&m, 4), 0);
    m = (struct meter){0};
    measure(&m, 100, 100 * NS_PER_US, NS_PER_S);
    cr_assert_eq(meter_ahead(&m, 4), 4000); /* a tenth of a second */
    meter_round_trip(&m, 5 * NS_PER_MS, NS_PER_S);
    cr_assert_eq(meter_ahead(&m, 4), 4200);
    m = (struct meter){0};
    measure(&m, 100, 1, NS_PER_S);
    cr_assert_eq(meter_ahead(&m, 4), CREDIT_TASKS_MAX);
}

Test(credit, a_long_task_counts_for_a_second_or_two)
{
    struct meter m = {0};
    uint64_t now_ns = 10 * NS_PER_S;
    measure(&m, 1, NS_PER_S, now_ns);
    measure(&m, 1, NS_PER_MS, now_ns += NS_PER_MS);
    cr_assert_eq(meter_ahead(&m, 4), 0);
    measure(&m, 1, NS_PER_MS, now_ns += NS_PER_S);
    measure(&m, 1, NS_PER_MS, now_ns += NS_PER_S);
    cr_assert_eq(meter_ahead(&m, 4), 400);
}

Test(credit, the_shortest_round_trip_lately_seen_counts)
{
    struct meter m = {0};
    measure(&m, 1, NS_PER_MS, NS_PER_S);
    meter_round_trip(&m, 400 * NS_PER_MS, 10 * NS_PER_S);
    meter_round_trip(&m, NS_PER_MS, 10 * NS_PER_S);
    meter_round_trip(&m, 300 * NS_PER_MS, 10 * NS_PER_S);
    cr_assert_eq(meter_ahead(&m, 1), 101);
}

Test(credit, a_rare_long_task_leaves_what_bridges_a_round_trip)
{
    struct meter m = {0};
    uint64_t now_ns = 10 * NS_PER_S;
    meter_round_trip(&m, 3 * NS_PER_MS, now_ns);
    measure(&m, 1, NS_PER_S, now_ns);
    cr_assert_eq(meter_ahead(&m, 4), 0);
    for (int i = 0; i < 100; i++)
        measure(&m, 1, NS_PER_MS, now_ns += NS_PER_MS);
    cr_assert_geq(meter_ahead(&m, 4), 20);
    cr_assert_leq(meter_ahead(&m, 4), 24);
}

Test(credit, it_is_told_again_when_little_is_left_or_a_slot_idles_and_sooner_in_passing)
{
    struct meter m = {0};
    measure(&m, 1, 20 * NS_PER_MS, NS_PER_S); /* 20 ahead of 4 */
    struct holding h = {.slots = 4, .busy = 4, .ordinary = true, .reserve = true};
    struct credit sent = {.tasks = 24, .size_bytes = CREDIT_BYTES_MAX};
    h.received = 10;
    h.unstarted = 6;
    struct credit wanted = credit_of(&m, &h, &sent);
    cr_assert_eq(wanted.tasks, 24);
    cr_assert_not(credit_is_due(&sent, &wanted, &h, false));
    cr_assert_not(credit_is_due(&sent, &wanted, &h, true));
    h.received = 24;
    h.unstarted = 16;
    wanted = credit_of(&m, &h, &sent);
    cr_assert_not(credit_is_due(&sent, &wanted, &h, true));
    h.unstarted = 7;
    wanted = credit_of(&m, &h, &sent);
    cr_assert_not(credit_is_due(&sent, &wanted, &h, false));
    cr_assert(credit_is_due(&sent, &wanted, &h, true));
    h.unstarted = 6;
    wanted = credit_of(&m, &h, &sent);
    cr_assert_eq(wanted.tasks, 24 + 14);
    cr_assert(credit_is_due(&sent, &wanted, &h, false));
    h.unstarted = 0;
    h.busy = 3;
    wanted = credit_of(&m, &h, &sent);
    cr_assert(credit_is_due(&sent, &wanted, &h, false));
}

Test(credit, the_bytes_are_bounded_and_told_when_they_run_out)
{
    struct meter m = {0};
    struct holding h = {
        .slots = 4, .busy = 4, .ordinary = true, .received = 4, .received_bytes = 7 << 20};
    struct credit sent = {.tasks = 4, .size_bytes = CREDIT_BYTES_MAX, .reserve = 4};
    h.held_bytes = 7 << 20;
    struct credit wanted = credit_of(&m, &h, &sent);
    cr_assert_eq(wanted.size_bytes, CREDIT_BYTES_MAX);
    h.held_bytes = 1 << 20;
    wanted = credit_of(&m, &h, &sent);
    cr_assert_eq(wanted.size_bytes, 14 << 20);
    cr_assert(credit_is_due(&sent, &wanted, &h, false));
}

Test(credit, totals_never_shrink)
{
    struct meter m = {0};
    struct holding h = {.slots = 4, .busy = 4, .received = 4};
    struct credit sent = {.tasks = 9, .size_bytes = 1000, .reserve = 7};
    struct credit c = credit_of(&m, &h, &sent);
    cr_assert(c.tasks == 9 && c.size_bytes == 1000 && c.reserve == 7);
    cr_assert_not(credit_is_due(&sent, &c, &h, false));
}

Test(credit, an_assignment_doubles_up_to_a_millisecond_and_to_a_fair_share)
{
    struct meter m = {0};
    cr_assert_eq(meter_share(&m, 10000, 4, 500), 1);
    for (uint64_t i = 1; i <= 8; i++)
        measure(&m, 10, 10 * NS_PER_US, i);
    cr_assert_eq(meter_share(&m, 10000, 4, 500), 2);
    for (int i = 0; i < 10; i++)
        meter_share(&m, 10000, 4, 500);
    cr_assert_eq(meter_share(&m, 10000, 4, 500), 100);
    cr_assert_eq(meter_share(&m, 10000, 4, 64), 64);
    cr_assert_eq(meter_share(&m, 9, 4, 500), 3);
}
