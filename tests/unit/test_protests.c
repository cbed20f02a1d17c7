/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <string.h>

#include "common/base/clock.h"

/* Peers that err: they are told, people are told, and nothing waits for them for ever. */
TestSuite(protests, .timeout = 60);

/* A body that no message has. */
static void says_nonsense(struct farm *f, struct farm_peer *p, enum wire_kind kind)
{
    struct buf to = peer_message(f, p, kind);
    buf_put(&to, "\xff\xff", 2);
    peer_send(f, p, &to);
}

Test(protests, a_worker_whose_message_makes_no_sense_is_told_so_are_people_and_why_counts)
{
    static const struct {
        enum wire_kind kind;
        const char *told;
    } cases[] = {{KIND_HEARTBEAT, "PROTEST HEARTBEAT@26 about 0"},
                 {KIND_CREDIT, "PROTEST CREDIT@26 about 0"},
                 {KIND_FINISHED, "PROTEST FINISHED@26 about 0"},
                 {KIND_FAILED, "PROTEST FAILED@26 about 0"},
                 {KIND_RETURNED, "PROTEST RETURNED@26 about 0"},
                 {KIND_STORED, "PROTEST STORED@0 about 0"}};
    struct farm f = {0};
    struct why why;
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        says_nonsense(&f, w, cases[i].kind);
        farm_expect(&f, w, cases[i].told);
    }
    farm_expect_said(
        &f, "a message of worker worker@here makes no sense and is dropped (CREDIT, octet 26: "
            "the message ends in the middle of a field)");
    cr_assert_eq(f.d->sessions.items[0]->errors.count, 6);
    cr_assert(dispatcher_waits_for(f.d, f.now_ns, &why));
    cr_assert_not_null(strstr(why.text, "worker worker@here: 6 of its messages made no sense"),
                       "%s", why.text);
    farm_end(&f);
}

Test(protests, of_many_ten_are_answered_at_once_and_ten_lines_are_written_a_minute)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 0);
    buf_clear(&f.said);
    for (int i = 0; i < 1000; i++)
        says_nonsense(&f, w, KIND_CREDIT);
    farm_settle(&f);
    size_t answers = 0, lines = 0;
    for (size_t i = 0; i < w->heard.size; i++)
        answers += w->heard.data[i] == '@';
    for (size_t i = 0; i < f.said.size; i++)
        lines += f.said.data[i] == '\n';
    cr_assert_eq(answers, 10);
    cr_assert_eq(lines, 10);
    cr_assert_eq(f.d->sessions.items[0]->errors.count, 1000);
    farm_end(&f);
}

Test(protests, what_is_no_frame_is_told_to_who_has_joined_over_that_connection)
{
    static const uint8_t cut[] = {KIND_CREDIT, WIRE_VERSION, 1, 2},
                         unknown[26] = {200, WIRE_VERSION}, other[26] = {KIND_CREDIT, 9};
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 0), *stranger = worker_connect(&f, 1);
    struct buf to = {0};
    buf_put(&to, cut, sizeof cut);
    peer_send(&f, w, &to);
    farm_expect(&f, w, "PROTEST CREDIT@4 about 0");
    buf_put(&to, unknown, sizeof unknown);
    peer_send(&f, w, &to);
    farm_expect(&f, w, "PROTEST ?@0 about 0");
    farm_expect_said(&f, "(kind 200, octet 0: ");
    buf_put(&to, other, sizeof other);
    peer_send(&f, w, &to);
    farm_expect(&f, w, "PROTEST CREDIT@1 about 0");
    buf_put(&to, unknown, sizeof unknown);
    peer_send(&f, stranger, &to);
    farm_expect(&f, stranger, "");
    farm_end(&f);
}

Test(protests, the_sink_is_told_likewise)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    says_nonsense(&f, f.sink, KIND_STORED);
    farm_expect(&f, f.sink, "PROTEST STORED@26 about 0");
    farm_expect_said(&f, "a message of the sink makes no sense");
    farm_end(&f);
}

/* ---- results ---- */

static void sink_protests(struct farm *f, uint64_t session)
{
    struct protest m = {session, KIND_RESULTS, 57, bytes_of("so it does not go on")};
    struct buf to = peer_message(f, f->sink, KIND_PROTEST);
    protest_put(&to, &m);
    peer_send(f, f->sink, &to);
}

Test(protests, what_the_sink_says_about_results_is_passed_on_to_their_worker)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 0);
    sink_protests(&f, w->session);
    farm_expect(&f, w, "PROTEST RESULTS@57 about 0");
    farm_expect_said(
        &f,
        "a message of worker worker@here makes no sense and is dropped (RESULTS, octet 57: so it "
        "does not go on)");
    sink_protests(&f, 4711);
    farm_expect(&f, w, "");
    farm_expect_said(&f, "results that make no sense came to the sink, from nobody who is known");
    farm_end(&f);
}

/* ---- JOIN ---- */

Test(protests, a_join_that_makes_no_sense_is_refused_with_words)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 1);
    static const struct {
        const char *octets;
        size_t size;
    } bodies[] = {{"", 0}, {"\3", 1}, {"\1", 1}, {"\1 too short", 11}, {"\2", 1}};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct buf to = peer_message(&f, w, KIND_JOIN);
        buf_put(&to, bodies[i].octets, bodies[i].size);
        peer_send(&f, w, &to);
        farm_expect(&f, w, "REFUSE 8");
    }
    struct buf to = peer_message(&f, w, KIND_JOIN);
    to.size = 10;
    peer_send(&f, w, &to);
    farm_expect(&f, w, "REFUSE 8");
    farm_expect_said(&f, "its JOIN makes no sense: the message ends in the middle of a field");
    farm_end(&f);
}

/* ---- messages of another session ---- */

static void says_of(struct farm *f, struct farm_peer *p, uint64_t job, uint64_t incarnation,
                    uint64_t session)
{
    struct buf to = {0};
    struct credit m = {0};
    wire_begin(&to, KIND_CREDIT,
               (struct frame_head){.job = job, .incarnation = incarnation, .session = session});
    credit_put(&to, &m);
    peer_send(f, p, &to);
}

Test(protests, again_says_what_is_wrong)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 0), *stranger = worker_connect(&f, 1);
    says_of(&f, w, JOB, INCARNATION - 1, w->session);
    farm_expect(&f, w, "AGAIN 2 for 2");
    says_of(&f, w, JOB + 1, INCARNATION, w->session);
    farm_expect(&f, w, "AGAIN 2 for 3");
    says_of(&f, stranger, JOB, INCARNATION, 99);
    farm_expect(&f, stranger, "AGAIN 99");
    farm_end(&f);
}

Test(protests, who_joins_again_and_again_and_keeps_an_old_incarnation_is_refused)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 1);
    int times = 0;
    for (; times < 50; times++) {
        worker_join(&f, w, JOB, "", "");
        farm_settle(&f);
        buf_clear(&w->heard);
        says_of(&f, w, JOB, INCARNATION - 1, w->session);
        farm_settle(&f);
        buf_put_byte(&w->heard, '\0');
        if (strstr((char *)w->heard.data, "REFUSE 8"))
            break;
        buf_clear(&w->heard);
    }
    cr_assert_eq(times, 9);
    farm_expect_said(&f, "refused worker worker@here: it was told again and again to join again");
    cr_assert_eq(dispatcher_counts(f.d).workers, 0);
    farm_end(&f);
}

Test(protests, who_goes_on_with_what_welcome_says_is_never_refused)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 0);
    for (int i = 0; i < 100; i++) {
        says_of(&f, w, JOB, INCARNATION, w->session - 1);
        says_of(&f, w, JOB, INCARNATION, w->session);
    }
    farm_settle(&f);
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    farm_end(&f);
}

/* ---- RECALL ---- */

/* Ten tasks are at the first, and the second idles. */
static struct farm_peer *recall(struct farm *f, struct farm_peer **idle)
{
    farm_begin(f, 1);
    struct farm_peer *rich = worker_up(f, 2, 10);
    farm_expect(f, rich, "TASKS 1: 1-10#1 last");
    *idle = worker_up(f, 2, 4);
    farm_expect(f, rich, "RECALL tasks=4");
    return rich;
}

Test(protests, who_never_answers_recall_loses_its_session_after_the_limit_and_its_tasks_go_on)
{
    struct farm f = {.input = 10};
    struct farm_peer *idle, *rich = recall(&f, &idle);
    farm_pass(&f, 2900);
    farm_expect(&f, rich, "");
    farm_pass(&f, 800);
    farm_settle(&f);
    cr_assert_eq(strncmp((char *)rich->heard.data, "AGAIN 2 for 6", 13), 0);
    farm_expect(&f, idle, "TASKS 1: 1-4#2 last");
    farm_expect_said(
        &f, "does not answer when tasks are asked back (RECALL), its tasks go to others tasks=10");
    farm_end(&f);
}

Test(protests, who_gives_nothing_back_at_the_end_of_its_lane_loses_its_session_after_the_limit)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    dispatcher_stop(f.d, "interrupted by a signal", f.now_ns);
    farm_expect(&f, w, "END batch=1");
    w->silent = true;
    for (int i = 0; i < 20; i++) { /* it runs one */
        worker_runs(&f, w, "1");
        farm_pass(&f, 400);
    }
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    w->silent = false;
    worker_finished(&f, w, "1", 0);
    farm_pass(&f, 2900);
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    farm_pass(&f, 700);
    cr_assert_eq(dispatcher_counts(f.d).workers, 0);
    farm_expect_said(&f, "does not give back what it has not begun (END), its tasks go to others "
                         "tasks=2");
    farm_end(&f);
}

Test(protests, who_answers_recall_with_nothing_has_answered)
{
    struct farm f = {.input = 10};
    struct farm_peer *idle, *rich = recall(&f, &idle);
    for (int i = 0; i < 10; i++) {
        worker_returned(&f, rich, "", RETURNED_RECALL);
        farm_pass(&f, 1000);
    }
    cr_assert_eq(dispatcher_counts(f.d).workers, 2);
    farm_end(&f);
}

/* ---- results that were not asked for, and results that do not come ---- */

Test(protests, results_of_tasks_that_a_worker_was_never_handed_are_counted_and_it_is_named)
{
    struct farm f = {.input = 4};
    farm_begin(&f, 1);
    struct farm_peer *a = worker_up(&f, 2, 2), *b = worker_up(&f, 2, 2);
    farm_expect(&f, a, "TASKS 1: 1-2#1 last");
    farm_expect(&f, b, "TASKS 1: 3-4#1 last");
    sink_took(&f, a->session, "1-2", "1-2", 0);
    farm_settle(&f);
    cr_assert_eq(f.d->protests.strange.tasks, 0);
    sink_took(&f, a->session, "3-4", "3-4", 0);
    farm_settle(&f);
    cr_assert_eq(f.d->protests.strange.tasks, 2);
    farm_expect(&f, a, "RELEASED tasks=1-2; PROTEST RESULTS@26 about 0");
    farm_expect(&f, f.sink, "STRANGE tasks=3-4");
    farm_expect_said(
        &f,
        "worker worker@here has sent results of tasks that it was never handed, and the sink has "
        "taken them: 2, first of task 3");
    sink_took(&f, 4711, "3-4", "", 0);
    farm_end(&f);
}

Test(protests, what_was_taken_back_may_still_have_been_done)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    sink_halts(&f, HALT_NOW, 7, 1);
    sink_took(&f, w->session, "1-2", "", 0);
    farm_settle(&f);
    cr_assert_eq(f.d->protests.strange.tasks, 0);
    farm_end(&f);
}

Test(protests, tasks_that_are_finished_and_whose_results_never_come_are_run_elsewhere)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2), *other = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    worker_finished(&f, w, "1-2", 0);
    farm_pass(&f, 20000);
    sink_took(&f, w->session, "1", "", 0);
    farm_pass(&f, 29000);
    farm_expect(&f, w, "");
    farm_pass(&f, 2000);
    farm_expect(&f, w, "AGAIN 2 for 7");
    farm_expect(&f, other, "TASKS 1: 2#2 last");
    farm_expect_said(&f, "reported tasks as finished whose results have not come for 30 s, first "
                         "of task 2: they are "
                         "run elsewhere tasks=1");
    farm_end(&f);
}

Test(protests, results_that_are_taken_and_not_stored_are_waited_for)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_expect(&f, w, "TASKS 1: 1-2#1 last");
    worker_finished(&f, w, "1-2", 0);
    sink_took(&f, w->session, "1-2", "", STORED_ORDER_FULL);
    farm_pass(&f, 100000);
    farm_expect(&f, w, "");
    farm_end(&f);
}

/* The sink drops the second result of a task, and says of whom it has the first. */
Test(protests, a_result_that_came_second_is_waited_for_like_the_first)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *a = worker_up(&f, 1, 1);
    farm_expect(&f, a, "TASKS 1: 1#1 last");
    worker_finished(&f, a, "1", 0);
    sink_took(&f, 4711, "1", "", 0);
    farm_pass(&f, 100000);
    farm_expect(&f, a, "");
    cr_assert_eq(f.d->protests.strange.tasks, 0);
    farm_end(&f);
}

Test(protests, a_sink_that_takes_no_results_is_no_fault_of_their_workers)
{
    static const uint64_t flags[] = {STORED_NOT_READING, STORED_UNREAD, STORED_NO_ROOM};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct farm f = {.input = 2};
        farm_begin(&f, 1);
        struct farm_peer *w = worker_up(&f, 2, 2);
        farm_expect(&f, w, "TASKS 1: 1-2#1 last");
        worker_finished(&f, w, "1-2", 0);
        sink_took(&f, w->session, "", "", flags[i]);
        farm_pass(&f, 100000);
        farm_expect(&f, w, "");
        farm_end(&f);
    }
}

Test(protests, who_never_sends_what_it_reports_is_refused_at_the_third_time)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_expect(&f, w, "TASKS 1: 1#1 last");
    for (int i = 0; i < 3; i++) {
        worker_finished(&f, w, "1", 0);
        worker_credit(&f, w, 1, 1000, 1);
        farm_pass(&f, 31000);
    }
    farm_expect_said(&f,
                     "refused worker worker@here: again and again it reported tasks as finished");
    cr_assert_eq(dispatcher_counts(f.d).workers, 0);
    farm_end(&f);
}
