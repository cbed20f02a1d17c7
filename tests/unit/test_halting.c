/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/halting.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --halt: what it takes, when it fires, and with which status: that of GNU parallel. */
TestSuite(halting, .timeout = 20);

static struct halting begin(const char *text)
{
    struct halting h = {0};
    struct why why;
    cr_assert_eq(halt_rule_parse(text, &h.rule, &why), ERR_NONE, "%s: %s", text, why.text);
    return h;
}

/* Each word is a result: ok, 3 (an exit status), s9 (a signal), t (timed out). */
static void results(struct halting *h, const char *words, uint64_t total)
{
    char copy[200], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", words);
    uint64_t seq = h->ok + h->failed;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        struct result r = {.seq = ++seq, .final = true, .status = RESULT_EXITED};
        if (strcmp(word, "ok") == 0)
            r.status = RESULT_OK;
        else if (*word == 's')
            r.status = RESULT_SIGNALED;
        else if (*word == 't')
            r.status = RESULT_TIMED_OUT;
        if (r.status == RESULT_EXITED || r.status == RESULT_SIGNALED)
            r.code = (unsigned)strtoul(word + (*word == 's'), NULL, 10);
        halting_result(h, &r, total);
    }
}

static void expect(const char *rule, const char *words, uint64_t total, uint64_t seq,
                   uint64_t status)
{
    struct halting h = begin(rule);
    results(&h, words, total);
    cr_expect_eq(h.fired.seq, seq, "%s: by %lu", rule, (unsigned long)h.fired.seq);
    cr_expect_eq(h.fired.status, status, "%s: with %lu", rule, (unsigned long)h.fired.status);
    cr_expect_eq(h.fired.when, seq ? h.rule.when : HALT_NEVER);
}

Test(halting, with_a_count_of_one_the_status_is_that_of_the_task)
{
    expect("now,fail=1", "ok 3 ok 4", 0, 2, 3);
    expect("soon,fail=1", "s9", 0, 1, 137);
    expect("now,fail=1", "t", 0, 1, 255);
    expect("now,done=1", "7 8", 0, 1, 7);
    expect("now,done=1", "ok 8", 0, 1, 0);
    expect("soon,fail=20%", "ok 7 9", 5, 2, 7);
}

Test(halting, with_a_larger_count_it_is_how_many_failed)
{
    expect("soon,fail=2", "7 ok 8 9", 0, 3, 2);
    expect("soon,done=3", "7 8 ok ok", 0, 3, 2);
    expect("now,fail=4", "1 1 1 ok", 0, 0, 0);
}

Test(halting, a_success_ends_it_with_0)
{
    expect("now,success=1", "7 8 ok ok", 0, 3, 0);
    expect("soon,success=2", "7 ok 8 ok 1", 0, 4, 0);
    expect("soon,success=50%", "7 ok ok", 4, 3, 0);
}

Test(halting, a_percentage_is_one_of_all_tasks_and_so_is_its_status)
{
    expect("soon,fail=50%", "7 8 ok", 3, 2, 67);
    expect("now,done=34%", "7 8 ok", 3, 2, 67);
    expect("25%", "7 ok ok ok ok", 5, 0, 0);
    expect("soon,fail=25%", "7 ok 1", 5, 3, 40);
}

Test(halting, a_percentage_waits_until_it_is_known_how_many_tasks_there_are)
{
    struct halting h = begin("now,fail=10%");
    results(&h, "ok 3 4 ok", 0);
    cr_expect_eq(h.fired.when, HALT_NEVER);
    halting_total(&h, 30);
    cr_expect_eq(h.fired.when, HALT_NEVER);
    halting_total(&h, 20);
    cr_expect_eq(h.fired.when, HALT_NOW);
    cr_expect_eq(h.fired.seq, 3);
    cr_expect_eq(h.fired.status, 10);
}

Test(halting, it_fires_once)
{
    struct halting h = begin("soon,fail=1");
    results(&h, "3 4 5", 0);
    cr_expect_eq(h.fired.seq, 1);
    cr_expect_eq(h.fired.status, 3);
}

Test(halting, the_status_of_a_job_that_nothing_halted)
{
    struct halting never = {0}, count = begin("now,fail=9"), percent = begin("now,success=80%");
    cr_expect_eq(halting_status(&never, 5, 0), 0);
    cr_expect_eq(halting_status(&never, 5, 100), 100);
    cr_expect_eq(halting_status(&count, 5, 300), 101);
    cr_expect_eq(halting_status(&percent, 1, 2), 67);
    cr_expect_eq(halting_status(&percent, 0, 0), 0);
}

Test(halting, all_forms_of_gnu_parallel_are_taken)
{
    static const struct {
        const char *text;
        struct halt_rule rule;
    } cases[] = {{"never", {HALT_NEVER, HALT_FAIL, 0, false}},
                 {"0", {HALT_NEVER, HALT_FAIL, 0, false}},
                 {"1", {HALT_SOON, HALT_FAIL, 1, false}},
                 {"2", {HALT_NOW, HALT_FAIL, 1, false}},
                 {"-1", {HALT_SOON, HALT_SUCCESS, 1, false}},
                 {"-2", {HALT_NOW, HALT_SUCCESS, 1, false}},
                 {"7%", {HALT_SOON, HALT_FAIL, 7, true}},
                 {"soon,done=100%", {HALT_SOON, HALT_DONE, 100, true}},
                 {"now,success=12", {HALT_NOW, HALT_SUCCESS, 12, false}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct halt_rule got = begin(cases[i].text).rule, want = cases[i].rule;
        cr_expect(got.when == want.when && got.why == want.why && got.count == want.count &&
                      got.percent == want.percent,
                  "%s", cases[i].text);
    }
}

Test(halting, anything_else_is_refused_with_words)
{
    static const char *const texts[] = {"",
                                        "now",
                                        "soon,",
                                        "now,fail",
                                        "now,fail=",
                                        "now,fail=0",
                                        "3",
                                        "fail=1",
                                        "now,fail=-1",
                                        "now,fail=1x",
                                        "now,fail=0%",
                                        "now,fail=101%",
                                        "never,1",
                                        "later,fail=1",
                                        "now,lost=1",
                                        "now,fail= 1",
                                        "5%%",
                                        "now,done=1%x",
                                        "now,fail=99999999999999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct halt_rule rule = {HALT_NOW, HALT_DONE, 77, true};
        struct why why;
        cr_expect_eq(halt_rule_parse(texts[i], &rule, &why), ERR_INVALID, "%s", texts[i]);
        cr_expect_eq(rule.count, 77);
        cr_expect(strstr(why.text, "now,fail=1"), "%s", why.text);
    }
}
