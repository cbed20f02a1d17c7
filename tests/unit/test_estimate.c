/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/estimate.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/clock.h"

TestSuite(estimate, .timeout = 60);

enum { STEP_MS = 200 };

/* A job as it is recorded: `slots` slots, tasks of run_ms (seq) that begin after delay_ms. The time left is compared
 * at each look from when `fair` are done on, and may be wrong by a quarter of the true one and one run. */
struct recording {
    unsigned slots, tasks, fair;
    uint64_t delay_ms;
    uint64_t (*run_ms)(unsigned seq);
    double longest_s; /* run */
};

static uint64_t one_second(unsigned seq)
{
    (void)seq;
    return 1000;
}

static uint64_t twenty_seconds(unsigned seq)
{
    (void)seq;
    return 20000;
}

static uint64_t unequal(unsigned seq)
{
    return 200 + seq * 7919u % 20 * 200;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *one = a, *other = b;
    return (*one > *other) - (*one < *other);
}

/* When each task ends, in order. */
static void play(const struct recording *r, uint64_t *ends_ms)
{
    uint64_t free_ms[16];
    for (unsigned i = 0; i < r->slots; i++)
        free_ms[i] = r->delay_ms;
    for (unsigned seq = 0; seq < r->tasks; seq++) {
        unsigned slot = 0;
        for (unsigned i = 1; i < r->slots; i++)
            slot = free_ms[i] < free_ms[slot] ? i : slot;
        ends_ms[seq] = free_ms[slot] += r->run_ms(seq) + slot; /* they are never quite together */
    }
    qsort(ends_ms, r->tasks, sizeof *ends_ms, compare);
}

/* From the first completion on: what has not begun cannot have ended sooner. Unequal tasks may have been the
 * short ones so far. */
static void check_possible(const struct recording *r, const struct estimate *e, unsigned done,
                           uint64_t ms)
{
    unsigned left = r->tasks - done;
    double run_s = r->longest_s * (r->run_ms == unequal ? 0.25 : 0.9);
    double least_s = left > r->slots ? (left - r->slots) * run_s / r->slots : 0;
    double left_s = estimate_left_s(e, left, ms * NS_PER_MS);
    cr_assert(left_s < 0 || left_s >= least_s, "%u done at %lu ms: %.1f s left, possible are %.1f",
              done, (unsigned long)ms, left_s, least_s);
}

static void check(const struct recording *r)
{
    uint64_t *ends_ms = malloc(r->tasks * sizeof *ends_ms);
    struct estimate e = {0};
    unsigned done = 0;
    play(r, ends_ms);
    uint64_t last_ms = ends_ms[r->tasks - 1];
    for (uint64_t ms = STEP_MS; ms < last_ms; ms += STEP_MS) {
        while (done < r->tasks && ends_ms[done] <= ms)
            done++;
        estimate_note(&e, done, ms >= r->delay_ms ? r->slots : 0, r->slots, ms * NS_PER_MS);
        if (!done)
            continue;
        check_possible(r, &e, done, ms);
        if (done < r->fair)
            continue;
        double left_s = estimate_left_s(&e, r->tasks - done, ms * NS_PER_MS);
        double true_s = (double)(last_ms - ms) / 1000;
        double bound_s = true_s / 4 + r->longest_s;
        cr_assert(left_s > true_s - bound_s && left_s < true_s + bound_s,
                  "%u done at %lu ms: %.1f s left, in truth %.1f", done, (unsigned long)ms, left_s,
                  true_s);
    }
    free(ends_ms);
}

Test(estimate, of_equal_tasks_it_is_right_after_some_rounds)
{
    check(&(struct recording){2, 60, 4, 0, one_second, 1});
    check(&(struct recording){2, 40, 4, 0, twenty_seconds, 20});
    check(&(struct recording){8, 400, 40, 0, one_second, 1});
}

Test(estimate, of_unequal_tasks_it_is_right_after_some)
{
    check(&(struct recording){4, 600, 60, 0, unequal, 4});
}

Test(estimate, a_delay_before_the_first_task_is_no_run_time)
{
    check(&(struct recording){2, 60, 4, 30000, one_second, 1});
}

Test(estimate, what_was_done_before_does_not_count)
{
    struct estimate e = {0};
    estimate_note(&e, 5000, 0, 2, NS_PER_S);
    estimate_note(&e, 5000, 2, 2, 2 * NS_PER_S);
    cr_assert_eq(estimate_per_second(&e), 0);
    cr_assert_lt(estimate_left_s(&e, 10, 2 * NS_PER_S), 0);
    estimate_note(&e, 5002, 2, 2, 3 * NS_PER_S);
    cr_assert_float_eq(estimate_per_second(&e), 2, 0.01);
    estimate_note(&e, 5002, 2, 2, 4 * NS_PER_S);
    cr_assert_float_eq(estimate_per_second(&e), 2, 0.01, "nothing is known between completions");
    cr_assert_float_eq(estimate_left_s(&e, 8, 4 * NS_PER_S), 3, 0.01);
}

Test(estimate, fewer_slots_take_longer_at_once)
{
    struct estimate e = {0};
    for (unsigned s = 0; s <= 10; s++)
        estimate_note(&e, 8 * s, 8, 8, (100 + s) * NS_PER_S);
    cr_assert_float_eq(estimate_left_s(&e, 100, 110 * NS_PER_S), 12.5, 0.1);
    estimate_note(&e, 80, 2, 2, 110 * NS_PER_S);
    cr_assert_float_eq(estimate_left_s(&e, 100, 110 * NS_PER_S), 49, 0.1, "98 that have not begun");
}

Test(estimate, a_long_task_does_not_make_the_end_seem_near)
{
    struct estimate e = {0};
    for (unsigned s = 0; s <= 10; s++)
        estimate_note(&e, 2 * s, 2, 2, (100 + s) * NS_PER_S);
    estimate_note(&e, 20, 2, 2, 170 * NS_PER_S);
    cr_assert_float_eq(estimate_left_s(&e, 40, 170 * NS_PER_S), 19, 0.1, "38 that have not begun");
    cr_assert_eq(estimate_left_s(&e, 2, 170 * NS_PER_S), 0);
}

Test(estimate, a_task_that_ends_before_it_is_known_to_run_has_run_since_the_look_before)
{
    struct estimate e = {0};
    estimate_note(&e, 5, 0, 0, NS_PER_S);
    estimate_note(&e, 6, 0, 0, 2 * NS_PER_S);
    cr_assert_float_eq(estimate_per_second(&e), 1, 0.01);
    estimate_note(&e, 7, 1, 1, 3 * NS_PER_S);
    cr_assert_float_eq(estimate_per_second(&e), 1, 0.01);
}
