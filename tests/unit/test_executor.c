/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "worker/exec/executor_kind.h"

TestSuite(executor, .timeout = 10);

/* What the kinds have in common, with a kind that has no process: a start ends when the test says so. The time is the
 * test's. */
struct bench {
    struct executor_options options;
    struct executor *executor;
    struct executor_slot *slot;
    uint64_t now_ns;
    char text[512]; /* what was called, one after the other */
};

/* The test's, since a kind is told nothing else. */
static struct bench *bench;

static void note(const char *what, uint64_t number)
{
    size_t used = strlen(bench->text);
    snprintf(bench->text + used, sizeof bench->text - used, "%s %llu; ", what,
             (unsigned long long)number);
}

/* Looks at what was called since, and forgets it. */
static void expect_calls(const char *text)
{
    cr_expect_str_eq(bench->text, text);
    bench->text[0] = '\0';
}

static void on_finished(void *context, const struct outcome *outcome)
{
    (void)context;
    note(result_status_word(outcome->status), outcome->seq);
}

static void on_returned(void *context, unsigned slot, uint64_t first, uint32_t count)
{
    (void)context, (void)slot;
    for (uint32_t i = 0; i < count; i++)
        note("returned", first + i);
}

static void on_cancelled(void *context, unsigned slot, uint64_t seq)
{
    (void)context, (void)slot;
    note("cancelled", seq);
}

static void on_broken(void *context, const char *why)
{
    (void)context;
    note(why, 0);
}

static void on_held_up(void *context, const char *why)
{
    (void)context;
    cr_assert_str_eq(why, "nothing there");
    note("held up", 0);
}

static enum error open_kind(struct executor *executor, struct why *why)
{
    (void)executor, (void)why;
    return ERR_NONE;
}

static void close_kind(struct executor *executor)
{
    (void)executor;
}

static void start_kind(struct executor_slot *slot, uint64_t now_ns)
{
    (void)now_ns;
    slot->child.killed = CHILD_NOT_KILLED;
    note("start", slot->batch.slot);
}

/* Two tasks at a time. */
static void feed_kind(struct executor_slot *slot, uint64_t now_ns)
{
    (void)now_ns;
    struct slot_batch *batch = &slot->batch;
    while (batch->assigned && batch->given < batch->assignment.count &&
           batch->given - batch->done < 2)
        note("feed", batch->assignment.first + batch->given++);
}

static void kill_kind(struct executor_slot *slot, enum child_kill reason, uint64_t now_ns)
{
    child_kill_now(&slot->child, reason, now_ns);
    note("kill", reason);
}

static void reap_kind(struct executor_slot *slot, uint64_t now_ns)
{
    (void)now_ns;
    struct outcome outcome = {.out = {.fd = -1}, .err = {.fd = -1}};
    executor_set_end(slot, &outcome);
    if (!slot->why.text[0])
        executor_say_end(slot, "it", "too soon");
    if (slot_batch_is_running(&slot->batch) && !executor_is_overtaken(slot))
        slot_batch_finish(&slot->batch, &outcome);
    slot_batch_return(&slot->batch);
}

static const struct executor_kind staying = {.size = sizeof(struct executor),
                                             .slot_size = sizeof(struct executor_slot),
                                             .batch_max = 8,
                                             .stays = true,
                                             .open = open_kind,
                                             .close = close_kind,
                                             .start = start_kind,
                                             .feed = feed_kind,
                                             .kill = kill_kind,
                                             .reap = reap_kind};

static struct bench *made(const struct executor_kind *kind)
{
    static struct bench one;
    const struct executor_events events = {.finished = on_finished,
                                           .returned = on_returned,
                                           .cancelled = on_cancelled,
                                           .broken = on_broken,
                                           .held_up = on_held_up};
    struct why why;
    one = (struct bench){.options = {.slots = 1,
                                     .timeout = {.ns = 10 * NS_PER_S},
                                     .patience_ns = NS_PER_S,
                                     .tmpdir = "/tmp",
                                     .worker = "tester"},
                         .now_ns = 1000 * NS_PER_S};
    bench = &one;
    cr_assert_eq(executor_new(kind, &one.options, &events, &one.executor, &why), ERR_NONE);
    one.slot = executor_slot_at(one.executor, 0);
    one.slot->child.started_ns = one.now_ns; /* of what the kind would start */
    return bench;
}

static void unmade(struct bench *b)
{
    executor_destroy(&b->executor);
    cr_expect_null(b->executor);
}

static void give(struct bench *b, uint64_t first, uint32_t count)
{
    struct assignment assignment = {.first = first, .count = count};
    executor_start(b->executor, &assignment, b->now_ns);
}

static void turn_after(struct bench *b, uint64_t ms)
{
    b->now_ns += ms * NS_PER_MS;
    executor_turn(b->executor, b->now_ns);
}

static void fail_start(struct bench *b, bool passes)
{
    fail(&b->slot->why, ERR_IO, "nothing there");
    executor_start_failed(b->slot, passes, b->now_ns);
}

Test(executor, a_start_may_take_its_time_and_the_tasks_wait_for_it)
{
    struct bench *b = made(&staying);
    expect_calls("start 0; ");
    give(b, 5, 3);
    turn_after(b, 60000);
    cr_expect_eq(executor_running(b->executor, 0, &(uint64_t){0}), 0);
    expect_calls("");
    executor_started(b->slot, b->now_ns);
    cr_expect_eq(executor_running(b->executor, 0, &(uint64_t){0}), 5);
    expect_calls("feed 5; feed 6; ");
    unmade(b);
}

Test(executor, a_start_that_fails_is_tried_again_with_a_growing_delay_until_there_is_no_hope)
{
    struct bench *b = made(&staying);
    give(b, 5, 1);
    fail_start(b, false);
    turn_after(b, 99);
    expect_calls("start 0; ");
    turn_after(b, 1);
    expect_calls("start 0; ");
    fail_start(b, false);
    turn_after(b, 199);
    expect_calls("");
    turn_after(b, 1);
    fail_start(b, false);
    expect_calls("start 0; returned 5; nothing there 0; ");
    give(b, 6, 2);
    turn_after(b, 60000);
    expect_calls("returned 6; returned 7; ");
    cr_expect_eq(executor_deadline(b->executor), NEVER);
    unmade(b);
}

Test(executor, a_kind_that_keeps_trying_is_started_for_ever_once_a_task_has_ended)
{
    struct executor_kind trying = staying;
    trying.keeps_trying = true;
    struct bench *b = made(&trying);
    executor_started(b->slot, b->now_ns);
    give(b, 5, 1);
    executor_finish(b->slot, &(struct outcome){.out = {.fd = -1}, .err = {.fd = -1}});
    for (int i = 0; i < 20; i++) {
        fail_start(b, false);
        turn_after(b, 5000);
        cr_assert_eq(b->slot->state, EXECUTOR_STARTING);
    }
    unmade(b);
}

Test(executor, what_cannot_be_started_for_now_is_given_back_and_tried_a_second_later)
{
    struct bench *b = made(&staying);
    give(b, 5, 2);
    fail_start(b, true);
    expect_calls("start 0; returned 5; returned 6; held up 0; ");
    give(b, 5, 1);
    expect_calls("returned 5; held up 0; ");
    turn_after(b, 999);
    expect_calls("");
    turn_after(b, 1);
    expect_calls("start 0; ");
    b->executor->events.held_up = NULL;
    give(b, 7, 1);
    fail_start(b, true);
    expect_calls("returned 7; nothing there 0; ");
    unmade(b);
}

Test(executor, of_children_that_do_not_stay_each_task_starts_one)
{
    struct executor_kind leaving = staying;
    leaving.stays = false;
    leaving.feed = NULL;
    struct bench *b = made(&leaving);
    expect_calls("");
    give(b, 5, 1);
    executor_started(b->slot, b->now_ns);
    executor_reap(b->slot, b->now_ns);
    expect_calls("start 0; failed 5; ");
    give(b, 6, 1);
    fail_start(b, false);
    expect_calls("start 0; returned 6; nothing there 0; ");
    give(b, 7, 1);
    executor_refuse(b->slot, RESULT_BAD_TASK, 0, "no", (struct bytes){0});
    expect_calls("start 0; bad-task 7; ");
    turn_after(b, 60000);
    expect_calls("");
    unmade(b);
}

Test(executor, a_task_that_is_cancelled_while_its_child_starts_is_killed_when_that_is_up)
{
    struct executor_kind leaving = staying;
    leaving.stays = false;
    struct bench *b = made(&leaving);
    give(b, 5, 1);
    executor_cancel(b->executor, 0, 5, b->now_ns);
    turn_after(b, 1000);
    expect_calls("start 0; ");
    executor_started(b->slot, b->now_ns);
    turn_after(b, 0);
    executor_reap(b->slot, b->now_ns);
    expect_calls("kill 2; cancelled 5; ");
    cr_expect_eq(b->slot->state, EXECUTOR_DOWN);
    unmade(b);
}

Test(executor, tasks_that_no_child_has_yet_are_cancelled_at_once)
{
    struct bench *b = made(&staying);
    give(b, 5, 2);
    executor_cancel(b->executor, 0, 6, b->now_ns);
    executor_cancel(b->executor, 0, 9, b->now_ns);
    expect_calls("start 0; ");
    executor_cancel(b->executor, 0, 5, b->now_ns);
    expect_calls("cancelled 5; cancelled 6; ");
    unmade(b);
}

Test(executor, a_task_that_makes_others_wait_has_those_given_back_that_its_child_has_not)
{
    struct bench *b = made(&staying);
    executor_started(b->slot, b->now_ns);
    give(b, 5, 4);
    expect_calls("start 0; feed 5; feed 6; ");
    cr_expect_eq(executor_deadline(b->executor), b->now_ns + NS_PER_S);
    turn_after(b, 999);
    expect_calls("");
    turn_after(b, 1);
    expect_calls("returned 7; returned 8; ");
    unmade(b);
}

Test(executor, a_task_past_its_time_is_killed_and_the_next_child_is_started_at_once)
{
    struct bench *b = made(&staying);
    executor_started(b->slot, b->now_ns);
    give(b, 5, 2);
    turn_after(b, 9999);
    expect_calls("start 0; feed 5; feed 6; ");
    turn_after(b, 1);
    executor_reap(b->slot, b->now_ns);
    expect_calls("kill 1; timeout 5; returned 6; start 0; ");
    unmade(b);
}

Test(executor, a_child_that_was_killed_for_a_task_that_had_ended_costs_no_other)
{
    struct bench *b = made(&staying);
    executor_started(b->slot, b->now_ns);
    give(b, 5, 2);
    turn_after(b, 10000);
    executor_finish(b->slot, &(struct outcome){.out = {.fd = -1}, .err = {.fd = -1}});
    executor_reap(b->slot, b->now_ns);
    expect_calls("start 0; feed 5; feed 6; kill 1; ok 5; returned 6; start 0; ");
    unmade(b);
}

Test(executor, children_that_die_before_they_have_ended_a_task_are_started_later_and_not_for_ever)
{
    struct bench *b = made(&staying);
    b->slot->status = 7 << 8;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(b->slot->state, EXECUTOR_STARTING);
        executor_reap(b->slot, b->now_ns);
        turn_after(b, 400);
    }
    expect_calls("start 0; start 0; start 0; it ended with status 7 too soon 0; ");
    unmade(b);
}

Test(executor, nothing_is_looked_at_while_all_is_held)
{
    struct bench *b = made(&staying);
    executor_started(b->slot, b->now_ns);
    give(b, 5, 4);
    expect_calls("start 0; feed 5; feed 6; ");
    executor_hold(b->executor, b->now_ns);
    cr_expect_eq(executor_deadline(b->executor), NEVER);
    turn_after(b, 5000);
    expect_calls("");
    executor_go(b->executor, b->now_ns);
    turn_after(b, 0);
    expect_calls("returned 7; returned 8; ");
    unmade(b);
}

static int child_in; /* our end of its input */

static void ready_kind(struct executor_slot *slot, uint32_t events, uint64_t now_ns)
{
    (void)now_ns;
    cr_assert_eq(events, EPOLLOUT);
    cr_assert_eq(executor_send(slot, child_in, 0), 0);
}

Test(executor, what_a_child_does_not_take_is_sent_when_there_is_room)
{
    struct executor_kind writing = staying;
    writing.ready = ready_kind;
    struct bench *b = made(&writing);
    static uint8_t behind[10000], got[20001];
    struct slot_outbox *outbox = &b->slot->outbox;
    int ends[2];
    size_t size = 0;
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    cr_assert_eq(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    child_in = ends[1];
    memset(behind, 'y', sizeof behind);
    memset(buf_reserve(&outbox->bytes, 10000), 'x', 10000);
    outbox->bytes.size = 10000;
    outbox->behind = (struct bytes){behind, sizeof behind};
    cr_assert_eq(executor_send(b->slot, child_in, 0), 0);
    for (int turns = 0; turns < 100 && size < 20000; turns++) {
        ssize_t part = read(ends[0], got + size, sizeof got - size);
        size += part > 0 ? (size_t)part : 0;
        cr_expect_eq(executor_is_sending(b->slot), size < 20000);
        turn_after(b, 0);
    }
    cr_assert_eq(size, 20000);
    cr_expect(memchr(got, 'y', size) == got + 10000 && !memchr(got + 10000, 'x', 10000));
    close(ends[0]);
    buf_put_byte(&outbox->bytes, 'z');
    cr_expect_eq(executor_send(b->slot, child_in, 0), EPIPE);
    cr_expect(executor_is_sending(b->slot));
    executor_drop_outbox(b->slot);
    cr_expect_not(executor_is_sending(b->slot));
    close(child_in);
    unmade(b);
}
