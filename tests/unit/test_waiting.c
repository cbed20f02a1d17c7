/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/waiting.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/base/clock.h"

TestSuite(waiting, .timeout = 60);

static struct member member;
static struct intake intake;
static struct ending ending;
static struct status status;

static void expect_sentence(struct waiting w, const char *part)
{
    struct why why = {""};
    w.member = &member;
    w.intake = &intake;
    w.ending = &ending;
    w.status = &status;
    cr_assert(waiting_for(&w, 10 * NS_PER_S, &why));
    cr_assert_not_null(strstr(why.text, part), "%s", why.text);
}

Test(waiting, who_is_not_there_is_named)
{
    expect_sentence((struct waiting){.connect = "tcp://a:1"}, "none answers at tcp://a:1");
    member.head.session = 1;
    member.present_ns = 3 * NS_PER_S;
    expect_sentence((struct waiting){0}, "not heard for 7 s");
    member.state = MEMBER_JOINING;
    expect_sentence((struct waiting){0}, "to answer");
    member.state = MEMBER_JOINED;
    expect_sentence((struct waiting){0}, "no worker is in the farm");
    status.workers = 1;
    expect_sentence((struct waiting){0}, "no task at a worker");
}

Test(waiting, while_tasks_run_nothing_is_waited_for)
{
    struct why why;
    member.state = MEMBER_JOINED;
    status = (struct status){.workers = 1, .out = 1};
    struct waiting w = {NULL, &member, &intake, &ending, &status, false};
    cr_assert_not(waiting_for(&w, 1, &why));
}

Test(waiting, what_stops_the_results_comes_before_the_end_and_before_who_is_not_there)
{
    ending.phase = ENDING_FLUSHING;
    expect_sentence((struct waiting){0}, "has all results");
    seqset_add(&intake.accepted, 1, 4);
    seqset_add(&intake.stored, 1, 1);
    expect_sentence((struct waiting){0}, "3 results are not written");
    expect_sentence((struct waiting){.order_full = true}, "result of task 5");
    intake.stalled_count = 1;
    fail(&intake.stalled_why, ERR_DISK_FULL, "no room");
    expect_sentence((struct waiting){.order_full = true}, "for a large result: no room");
    seqset_free(&intake.accepted);
    seqset_free(&intake.stored);
}
