/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/hosts/host_trial.h"

#include <criterion/criterion.h>

#include "common/base/clock.h"

TestSuite(host_trial, .timeout = 10);

#define BEGIN_NS (1000 * NS_PER_S)
#define GIVE_UP_NS (60 * NS_PER_S)

static bool lost_at(const struct host_trial *t, uint64_t s)
{
    return host_trial_is_lost(t, GIVE_UP_NS, BEGIN_NS + s * NS_PER_S);
}

/* A try ends at second `s`; returns the seconds until the next. */
static uint64_t failed_at(struct host_trial *t, enum host_runner_status status, uint64_t s)
{
    return host_trial_failed(t, status, "no route", GIVE_UP_NS, BEGIN_NS + s * NS_PER_S) / NS_PER_S;
}

static struct host_trial started(void)
{
    struct host_trial t = {0};
    host_trial_begin(&t, BEGIN_NS);
    host_trial_started(&t);
    return t;
}

Test(host_trial, a_host_that_lets_nobody_in_is_lost_after_the_second_try)
{
    struct host_trial t = started();
    cr_expect_eq(failed_at(&t, HOST_BARRED, 1), 1);
    cr_expect(!lost_at(&t, 1));
    host_trial_started(&t);
    failed_at(&t, HOST_BARRED, 2);
    cr_expect(lost_at(&t, 2));
}

Test(host_trial, two_that_are_not_in_a_row_do_not_count)
{
    struct host_trial t = started();
    failed_at(&t, HOST_BARRED, 1);
    failed_at(&t, HOST_FAILED, 2);
    failed_at(&t, HOST_BARRED, 3);
    cr_expect(!lost_at(&t, 3));
    host_trial_reached(&t);
    failed_at(&t, HOST_BARRED, 4);
    cr_expect(!lost_at(&t, 4));
}

Test(host_trial, a_worker_that_cannot_work_is_enough_and_one_that_can_takes_it_back)
{
    struct host_trial t = started();
    failed_at(&t, HOST_REFUSED, 1);
    cr_expect(lost_at(&t, 1));
    host_trial_started(&t);
    host_trial_ready(&t);
    cr_expect(!lost_at(&t, 1000));
}

Test(host_trial, what_passes_is_given_up_after_a_while_and_tried_at_least_each_quarter_of_it)
{
    struct host_trial t = started();
    const uint64_t delays[] = {1, 2, 4, 8, 15, 15};
    uint64_t now_s = 0;
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        cr_expect_eq(failed_at(&t, HOST_FAILED, now_s), delays[i]);
        now_s += delays[i];
    }
    cr_expect(!lost_at(&t, 59));
    cr_expect(lost_at(&t, 60));
    cr_expect_eq(host_trial_deadline(&t, GIVE_UP_NS), BEGIN_NS + GIVE_UP_NS);
    cr_expect_eq(failed_at(&t, HOST_FAILED, 70), 30); /* others work: no hurry */
    cr_expect_eq(failed_at(&t, HOST_FAILED, 100), 60);
    cr_expect_eq(failed_at(&t, HOST_FAILED, 160), 60);
}

Test(host_trial, a_connection_that_hangs_is_given_up_but_not_one_that_copies)
{
    struct host_trial t = started();
    cr_expect(lost_at(&t, 60));
    host_trial_reached(&t);
    cr_expect(!lost_at(&t, 600));
    cr_expect_eq(host_trial_deadline(&t, GIVE_UP_NS), NEVER);
    failed_at(&t, HOST_FAILED, 601);
    cr_expect(lost_at(&t, 601));
}

Test(host_trial, the_time_of_a_host_that_has_worked_begins_when_it_is_cut_off)
{
    struct host_trial t = started();
    host_trial_reached(&t);
    host_trial_ready(&t);
    cr_expect_eq(host_trial_deadline(&t, GIVE_UP_NS), NEVER);
    cr_expect_eq(failed_at(&t, HOST_FAILED, 500), 1);
    cr_expect(!lost_at(&t, 559));
    cr_expect(lost_at(&t, 560));
}

Test(host_trial, a_reason_is_told_once_a_minute)
{
    struct host_trial t = started();
    failed_at(&t, HOST_FAILED, 1);
    cr_expect(host_trial_says(&t, BEGIN_NS + 1 * NS_PER_S));
    failed_at(&t, HOST_FAILED, 2);
    cr_expect(!host_trial_says(&t, BEGIN_NS + 2 * NS_PER_S));
    host_trial_failed(&t, HOST_FAILED, "another", GIVE_UP_NS, BEGIN_NS + 3 * NS_PER_S);
    cr_expect(host_trial_says(&t, BEGIN_NS + 3 * NS_PER_S));
    host_trial_failed(&t, HOST_FAILED, "another", GIVE_UP_NS, BEGIN_NS + 4 * NS_PER_S);
    cr_expect(!host_trial_says(&t, BEGIN_NS + 4 * NS_PER_S));
    cr_expect_eq(t.unsaid, 1);
    host_trial_failed(&t, HOST_FAILED, "another", GIVE_UP_NS, BEGIN_NS + 63 * NS_PER_S);
    cr_expect(host_trial_says(&t, BEGIN_NS + 63 * NS_PER_S));
    host_trial_failed(&t, HOST_FAILED, "", GIVE_UP_NS, BEGIN_NS + 200 * NS_PER_S);
    cr_expect(!host_trial_says(&t, BEGIN_NS + 200 * NS_PER_S));
}
