/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What WHY is answered with, and the stall line. */
TestSuite(because, .timeout = 60);

/* Sends WHY over a connection that has not joined; the answer comes as lines, "1-3,7+0: sentence",
 * and is the test's to free. */
static char *ask(struct farm *f)
{
    f->now_ns += 100 * NS_PER_MS; /* sooner it would be the same answer */
    struct farm_peer *p = worker_connect(f, 1);
    struct buf to = {0};
    wire_begin(&to, KIND_WHY, (struct frame_head){0});
    peer_send(f, p, &to);
    farm_turn(f);
    cr_assert(p->heard.size, "there is no answer");
    buf_put_byte(&p->heard, '\0');
    char *answer = (char *)p->heard.data;
    p->heard = (struct buf){0};
    p->instance = p->connection = 0; /* the place is free again */
    farm_check(f);
    return answer;
}

/* The answer has each of the lines, in this order, up to NULL. */
static void expect(struct farm *f, const char *const *lines)
{
    char *answer = ask(f);
    const char *at = answer;
    for (; *lines; lines++) {
        const char *found = strstr(at, *lines);
        cr_assert(found, "not in its place: \"%s\" in\n%s", *lines, answer);
        at = found + 1;
    }
    free(answer);
}

#define EXPECT(f, ...) expect(f, (const char *const[]){__VA_ARGS__, NULL})

static void expect_not(struct farm *f, const char *part)
{
    char *answer = ask(f);
    cr_assert_not(strstr(answer, part), "\"%s\" in\n%s", part, answer);
    free(answer);
}

static void expect_stall(struct farm *f, const char *words)
{
    struct why why;
    cr_assert(dispatcher_waits_for(f->d, f->now_ns, &why));
    cr_assert(strstr(why.text, words), "\"%s\" in: %s", words, why.text);
}

static void sink_flags(struct farm *f, uint64_t flags)
{
    struct stored_note m = {.epoch = f->epoch, .flags = flags};
    struct buf to = peer_message(f, f->sink, KIND_STORED);
    stored_note_put(&to, &m);
    peer_send(f, f->sink, &to);
}

/* ---- the job ---- */

Test(explain, who_asks_gets_an_answer_and_no_session)
{
    struct farm f = {.input = 0};
    farm_begin(&f, 1);
    struct dispatcher_counts before = dispatcher_counts(f.d);
    uint64_t moved_ns = dispatcher_moved_at(f.d);
    EXPECT(&f, "+0: 0 tasks read, 0 stored, 0 not; nothing has moved for 0.");
    struct dispatcher_counts after = dispatcher_counts(f.d);
    cr_assert_eq(after.workers, 0);
    cr_assert_eq(after.dropped, before.dropped);
    cr_assert_eq(dispatcher_moved_at(f.d), moved_ns);
    cr_assert_eq(f.d->sessions.by_connection.count, 0);
    farm_end(&f);
}

Test(explain, a_why_with_a_body_is_dropped_and_one_of_another_version_refused)
{
    struct farm f = {.input = 0};
    farm_begin(&f, 1);
    struct farm_peer *p = worker_connect(&f, 1);
    struct buf to = peer_message(&f, p, KIND_WHY);
    buf_put_byte(&to, 1);
    peer_send(&f, p, &to);
    farm_expect(&f, p, "");
    cr_assert_eq(dispatcher_counts(f.d).dropped, 1);
    to = peer_message(&f, p, KIND_WHY);
    to.data[1] = WIRE_VERSION + 1;
    peer_send(&f, p, &to);
    farm_expect(&f, p, "REFUSE 1");
    farm_end(&f);
}

Test(explain, without_a_sink_it_says_how_to_start_one_and_when_it_gives_up)
{
    struct farm f = {.input = 3};
    struct dispatcher_options options = farm_options(1);
    farm_begin_bare(&f, &options);
    farm_pass(&f, 10000);
    EXPECT(
        &f, "input: read when a sink is there",
        "no sink has joined yet: start one with: zfarm-sink --connect tcp://127.0.0.1:5556; given "
        "up in 50 s",
        "no worker has joined yet: start one with: zfarm-worker --connect tcp://127.0.0.1:5556");
    expect_stall(&f, "no sink has joined yet");
    farm_end(&f);
}

Test(explain, nobody_is_told_to_start_by_hand_what_zfarm_run_starts)
{
    struct farm f = {.input = 3};
    struct dispatcher_options options = farm_options(1);
    options.endpoint = NULL;
    farm_begin_bare(&f, &options);
    farm_pass(&f, 10000);
    EXPECT(&f, "input: read when a sink is there", "no sink has joined yet; given up in 50 s",
           "no worker has joined yet");
    farm_pass(&f, 60000);
    farm_expect_said(&f, "no sink has joined within 60 s");
    farm_end(&f);
}

Test(explain, a_sink_that_went_is_waited_for_so_long)
{
    struct farm f = {.input = 4};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 4);
    farm_settle(&f);
    worker_finished(&f, w, "1-2", 0);
    worker_returned(&f, w, "4", RETURNED_RECALL);
    worker_control_dies(&f, f.sink);
    farm_pass(&f, 2000);
    EXPECT(&f, "the sink is gone for 2.1 s; it is waited for, given up in 58 s",
           "1-2+0: result made by worker@here, not stored yet: the sink is gone",
           "3+0: at worker@here", "4+0: queued; nothing is handed out without a sink");
    expect_stall(&f, "the sink is gone for 2.1 s");
    farm_end(&f);
}

Test(explain, a_silent_sink_is_named)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_settle(&f);
    worker_finished(&f, w, "1-2", 0);
    f.sink->silent = true;
    farm_pass(&f, 4000);
    EXPECT(&f, "the sink has been silent for 4.",
           "1-2+0: result made by worker@here, not stored yet: "
           "the sink is silent");
    farm_end(&f);
}

Test(explain, what_only_the_sink_knows_it_tells_with_its_notes)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_settle(&f);
    worker_finished(&f, w, "1-2", 0);
    sink_flags(&f, STORED_UNREAD);
    EXPECT(
        &f, "the sink's output is not being read: it goes on when its reader does",
        "1-2+0: result made by worker@here, not stored yet: the sink's output is not being read");
    expect_stall(&f, "the sink's output is not being read");
    sink_flags(&f, STORED_NO_ROOM);
    EXPECT(&f, "the sink cannot write what it gets: it says why",
           "1-2+0: result made by worker@here, not stored yet: the sink cannot write it now");
    expect_stall(&f, "the sink cannot write");
    sink_flags(&f, 0);
    EXPECT(&f,
           "1-2+0: result made by worker@here, not stored yet: the sink has stored nothing so far");
    farm_end(&f);
}

Test(explain, an_input_that_does_not_end_is_named)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 4);
    farm_settle(&f);
    worker_finished(&f, w, "1", 0);
    sink_note(&f, "1");
    farm_settle(&f);
    EXPECT(&f, "1 task read, 1 stored, 0 not",
           "input: waits for more of standard input, which is not at its end");
    expect_stall(&f, "input: waits for more of standard input");
    f.input_waits = false;
    farm_settle(&f);
    EXPECT(&f, "input: read to its end",
           "all is stored: the sink is to write it out and close the job");
    expect_stall(&f, "all is stored");
    farm_end(&f);
}

Test(explain, an_interrupted_job_says_so)
{
    struct farm f = {.input = 9};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 3);
    farm_settle(&f);
    dispatcher_stop(f.d, "interrupted by a signal", f.now_ns);
    worker_returned(&f, w, "2-3", RETURNED_LEAVING);
    EXPECT(&f, "input: not read on, the job is being stopped (interrupted by a signal)",
           "1+0: at worker@here, which finishes what it has begun and gives back the rest",
           "2-3+0: queued; they are not run any more");
    farm_end(&f);
}

Test(explain, an_input_that_is_read_again_is_named)
{
    struct farm f = {.input = 5};
    struct dispatcher_options options = farm_options(1);
    farm_begin_bare(&f, &options);
    sink_join(&f, sink_connect(&f, 500), JOB, 0, "1-3");
    farm_settle(&f);
    sink_note(&f, "1-3");
    struct farm_peer *w = worker_connect(&f, 2);
    worker_join(&f, w, 0, "", "");
    EXPECT(&f, "the input is read again and compared with what is stored: 0 tasks so far",
           "1 worker has joined, and waits to be taken in");
    expect_stall(&f, "the input is read again");
    farm_end(&f);
}

/* ---- tasks ---- */

Test(explain, what_runs_is_named_with_its_worker_and_its_time)
{
    struct farm f = {.input = 6};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 4, 6);
    farm_settle(&f);
    EXPECT(&f, "1-6+0: at worker@here, begun within the last second or about to be");
    worker_runs(&f, w, "1-2");
    f.now_ns += 2000 * NS_PER_MS;
    worker_runs(&f, w, "1-4");
    f.now_ns += 400 * NS_PER_MS;
    EXPECT(
        &f, "1-2+0: running on worker@here for 3.5 s", "3-4+0: running on worker@here for 1.5 s",
        "5-6+0: at worker@here, behind what runs there: its 4 slots are busy; who has a free one "
        "gets it");
    expect_stall(&f, "6 tasks are not stored; task 1: running on worker@here for 3.5 s");
    worker_finished(&f, w, "1", 0);
    EXPECT(&f, "1+0: result made by", "2+0: running on worker@here for 3.6 s");
    farm_end(&f);
}

Test(explain, what_is_stopped_or_has_ended_and_is_held_has_sentences_of_its_own)
{
    struct farm f = {.input = 4};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 4, 4);
    farm_settle(&f);
    struct held_task held[] = {{.seq = 2,
                                .pid = 123,
                                .command = bytes_of("sle\x1b"
                                                    "ep")},
                               {.seq = 4, .command = bytes_of("")}};
    struct heartbeat m = {.clock_ns = f.now_ns, .held = held, .held_count = 2};
    seqset_add(&m.running, 1, 4);
    seqset_add(&m.stopped, 3, 3);
    struct buf to = peer_message(&f, w, KIND_HEARTBEAT);
    heartbeat_put(&to, &m);
    peer_send(&f, w, &to);
    farm_turn(&f);
    EXPECT(&f, "1+0: running on worker@here for 1.1 s",
           "2+0: its process on worker@here has ended, and its output is still held by sle",
           "ep (pid 123); it began 1.1 s ago",
           "3+0: running on worker@here for 1.1 s: its process is stopped",
           "4+0: its process on worker@here has ended, and its output is still held by a process "
           "that cannot be seen");
    expect_not(&f, "\x1b");
    worker_runs(&f, w, "1-4");
    EXPECT(&f, "1-4+0: running on worker@here for");
    seqset_free(&m.running);
    seqset_free(&m.stopped);
    farm_end(&f);
}

Test(explain, many_that_run_on_one_worker_are_one_group)
{
    struct farm f = {.input = 20};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 20, 20);
    farm_settle(&f);
    char running[16] = "1";
    for (int i = 1; i <= 20; i++) {
        snprintf(running, sizeof running, "1-%d", i);
        worker_runs(&f, w, running);
        f.now_ns += 100 * NS_PER_MS;
    }
    EXPECT(&f, "1-20+0: running on worker@here for 1.2 to 3.1 s");
    farm_end(&f);
}

Test(explain, a_task_runs_on_when_its_worker_joins_again)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_settle(&f);
    worker_runs(&f, w, "1");
    worker_control_dies(&f, w);
    f.now_ns += 900 * NS_PER_MS;
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "1", "");
    farm_settle(&f);
    f.now_ns += 79 * NS_PER_MS;
    EXPECT(&f, "1+0: running on worker@here for 2.1 s");
    farm_end(&f);
}

Test(explain, what_is_queued_waits_for_a_slot)
{
    struct farm f = {.input = 10};
    farm_begin(&f, 1);
    struct farm_peer *a = worker_up(&f, 2, 5), *b = worker_up(&f, 2, 2);
    farm_settle(&f);
    worker_runs(&f, a, "1-2");
    worker_runs(&f, b, "6-7");
    worker_returned(&f, a, "3-5", RETURNED_RECALL);
    farm_settle(&f);
    EXPECT(&f, "3-5+0: queued; no worker has a free slot: 2 workers with 4 slots");
    worker_dies(&f, a);
    worker_dies(&f, b);
    EXPECT(&f, "all workers are gone: start one with: zfarm-worker",
           "1-2,6-7+0: waiting for a worker that it can have for itself (one worker died with it): "
           "none is there",
           "3-5+0: queued; no worker is there");
    farm_end(&f);
}

Test(explain, workers_that_have_slots_and_ask_for_nothing_are_named)
{
    struct farm f = {.input = 3};
    farm_begin(&f, 1);
    struct farm_peer *a = worker_up(&f, 2, 3);
    farm_settle(&f);
    worker_finished(&f, a, "1", 0);
    worker_returned(&f, a, "2-3", RETURNED_RECALL);
    EXPECT(&f,
           "2-3+0: queued; 2 of 2 slots are free; their workers ask for more when their results "
           "are stored");
    farm_end(&f);
}

Test(explain, a_task_that_workers_died_with_says_what_comes_next)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    for (int i = 0; i < 3; i++) {
        struct farm_peer *w = worker_up(&f, 1, 1);
        farm_settle(&f);
        EXPECT(&f, "1+0: at worker@here");
        worker_dies(&f, w);
        EXPECT(&f, i == 0   ? "(one worker died with it): none is there"
                   : i == 1 ? "(two workers died with it): none is there"
                            : "1+0: three workers died with it: lost in 2.");
    }
    farm_pass(&f, 3000);
    EXPECT(&f, "1+0: lost, since three workers died with it; not stored yet: the sink has stored "
               "nothing so far");
    farm_end(&f);
}

Test(explain, a_worker_that_is_kept_free_is_named)
{
    struct farm f = {.input = 5};
    farm_begin(&f, 1);
    struct farm_peer *a = worker_up(&f, 1, 1);
    farm_settle(&f);
    struct farm_peer *b = worker_up(&f, 2, 2);
    farm_settle(&f);
    worker_dies(&f, a);
    farm_settle(&f);
    EXPECT(&f,
           "1+0: waiting for a worker that it can have for itself (one worker died with it): "
           "worker@here gets nothing else and has 2 tasks left to do",
           "2-3+0: at worker@here");
    worker_finished(&f, b, "2-3", 0);
    worker_credit(&f, b, 2, 1000, 2);
    farm_settle(&f);
    worker_runs(&f, b, "1");
    EXPECT(&f, "1+0: running alone on worker@here");
    farm_end(&f);
}

Test(explain, a_task_that_is_too_large_waits_for_the_sink)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    seqset_add(&f.too_large, 1, 1);
    worker_up(&f, 1, 1);
    farm_settle(&f);
    EXPECT(&f, "1+0: failed, longer than --task-max (1000 bytes); not stored yet: ");
    farm_end(&f);
}

Test(explain, a_full_order_window_names_the_task_that_it_waits_for_and_where_that_is)
{
    struct farm f = {.input = 9};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 5);
    farm_settle(&f);
    worker_finished(&f, w, "1-2,4-5", 0);
    worker_runs(&f, w, "3");
    sink_note_full(&f, "1-2,4-5", true);
    EXPECT(&f, "input: read on when the order window has room",
           "the order window (-k) is full: it waits for task 3: running on worker@here for 1.1 s");
    expect_stall(&f, "the order window (-k) is full: it waits for task 3: running");
    farm_end(&f);
}

/* ---- workers ---- */

Test(explain, a_worker_that_cannot_reach_its_lane_or_the_sink_is_named)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 2);
    worker_join(&f, w, 0, "", "");
    farm_settle(&f);
    expect_not(&f, "worker worker@here:");
    farm_pass(&f, 2000);
    EXPECT(&f, "worker worker@here: joined 2.",
           "s ago and has not reached its lane, port 5557: can it "
           "connect there?");
    worker_open_lane(&f, w);
    worker_claim(&f, w, w->token);
    EXPECT(&f, "worker worker@here: joined 2.",
           "s ago and takes nothing before it has reached the sink, tcp://:5558: can it connect");
    worker_credit(&f, w, 1, 1000, 1);
    expect_not(&f, "worker worker@here:");
    farm_end(&f);
}

Test(explain, a_worker_that_is_silent_or_half_gone_is_named)
{
    struct farm f = {.input = 2};
    farm_begin(&f, 1);
    struct farm_peer *a = worker_up(&f, 1, 1), *b = worker_up(&f, 1, 1);
    farm_settle(&f);
    a->silent = true;
    worker_lane_dies(&f, b);
    farm_pass(&f, 1500);
    EXPECT(
        &f, "worker worker@here: silent for 1.", "its tasks go to others in 1.", "unless it speaks",
        "worker worker@here: its lane's connection is closed for 1.6 s; its tasks go to others in "
        "1.4 s, unless it joins again");
    farm_end(&f);
}

/* ---- bounds ---- */

Test(explain, a_million_queued_tasks_are_one_group)
{
    struct farm f = {.input = 2000000};
    struct dispatcher_options options = farm_options(1);
    options.queue_max_bytes = 1 << 30;
    farm_begin_bare(&f, &options);
    sink_join(&f, sink_connect(&f, 500), JOB, SINK_VOLATILE, "");
    farm_settle(&f);
    sink_note(&f, "");
    struct farm_peer *w = worker_up(&f, 1, 0);
    worker_credit(&f, w, 1200000, 1 << 30, 1);
    farm_settle(&f);
    farm_settle(&f);
    uint64_t read = dispatcher_counts(f.d).read;
    cr_assert_geq(read, 1000000);
    char line[64];
    snprintf(line, sizeof line, "1-%" PRIu64 "+0: at worker@here", read);
    struct why why;
    cr_assert(dispatcher_waits_for(f.d, f.now_ns, &why));
    cr_assert(strstr(why.text, "tasks are not stored; task 1: at worker@here"), "%s", why.text);
    f.now_ns += 100 * NS_PER_MS;
    struct farm_peer *p = worker_connect(&f, 1);
    struct buf to = peer_message(&f, p, KIND_WHY);
    peer_send(&f, p, &to);
    farm_turn(&f);
    cr_assert_lt(p->heard.size, 2000);
    buf_put_byte(&p->heard, '\0');
    cr_assert(strstr((char *)p->heard.data, line), "%s", (char *)p->heard.data);
    cr_assert(strstr((char *)p->heard.data, "input: read on when something is stored: "), "%s",
              (char *)p->heard.data);
    farm_end(&f);
}

Test(explain, of_a_group_with_many_holes_the_first_ranges_are_named_and_the_rest_counted)
{
    struct farm f = {.input = 100};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 100);
    farm_settle(&f);
    for (unsigned seq = 2; seq <= 100; seq += 2) {
        char text[16];
        snprintf(text, sizeof text, "%u", seq);
        worker_finished(&f, w, text, 0);
    }
    EXPECT(&f, "1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31+34: at worker@here",
           "2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32+34: result made by");
    farm_end(&f);
}

Test(explain, asking_again_and_again_is_cheap)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    free(ask(&f));
    struct block *first = f.d->answer.block;
    uint64_t made_ns = f.d->answer.at_ns;
    struct farm_peer *p = worker_connect(&f, 1);
    for (int i = 0; i < 3; i++) {
        struct buf to = peer_message(&f, p, KIND_WHY);
        peer_send(&f, p, &to);
        f.now_ns += 30 * NS_PER_MS;
        farm_turn(&f);
    }
    cr_assert_eq(f.d->answer.block, first);
    cr_assert_eq(f.d->answer.at_ns, made_ns);
    farm_end(&f);
}

Test(explain, names_that_peers_made_up_are_cut)
{
    struct farm f = {.input = 1};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 1, 1);
    farm_settle(&f);
    (void)w;
    free(f.d->sessions.items[0]->name);
    f.d->sessions.items[0]->name = malloc(100001);
    memset(f.d->sessions.items[0]->name, 'x', 100000);
    f.d->sessions.items[0]->name[100000] = '\0';
    char *answer = ask(&f);
    cr_assert_lt(strlen(answer), 1000);
    free(answer);
    farm_end(&f);
}

Test(explain, a_task_that_goes_in_pieces_is_on_its_way)
{
    struct farm f = {.input = 1, .slow_lanes = true};
    struct dispatcher_options options = farm_options(1);
    options.task_inline_max = 5000;
    options.task_piece_max = 2000;
    farm_begin_bare(&f, &options);
    ranges_of("1", &f.large);
    sink_join(&f, sink_connect(&f, 500), JOB, SINK_VOLATILE, "");
    farm_settle(&f);
    sink_note(&f, "");
    worker_up(&f, 1, 1);
    farm_settle(&f);
    EXPECT(&f, "1+0: on its way to ", ": 0.0 of 0.0 MB are sent");
    expect_not(&f, "about to be");
    farm_lanes_take(&f, FARM_WAITING_MAX);
    farm_settle(&f);
    EXPECT(&f, "1+0: at ", ", begun within the last second or about to be");
    farm_end(&f);
}

Test(explain, who_holds_hands_out_nothing_and_its_patience_stands_still)
{
    struct farm f = {.input = 4};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    dispatcher_hold(f.d, f.now_ns);
    farm_pass(&f, 120000);
    cr_assert(!f.exited);
    cr_assert(seqset_empty(&w->has) || w->has.members <= 2);
    uint64_t before = w->has.members;
    worker_credit(&f, w, 4, 1000, 2);
    farm_pass(&f, 2000);
    cr_assert_eq(w->has.members, before);
    dispatcher_go(f.d, f.now_ns);
    farm_pass(&f, 200);
    cr_assert_gt(w->has.members, before);
    farm_end(&f);
}

Test(explain, an_interrupt_does_not_wait_for_a_sink_that_cannot_write)
{
    struct farm f = {.input = 2};
    struct dispatcher_options options = farm_options(1);
    options.kill_after_ns = 2 * NS_PER_S;
    farm_begin_bare(&f, &options);
    sink_join(&f, sink_connect(&f, 500), JOB, SINK_VOLATILE, "");
    sink_note(&f, "");
    struct farm_peer *w = worker_up(&f, 2, 2);
    farm_settle(&f);
    worker_finished(&f, w, "1-2", 0);
    sink_flags(&f, STORED_NO_ROOM);
    farm_pass(&f, 5000);
    cr_assert(!f.exited); /* nobody is in a hurry */
    dispatcher_stop(f.d, "interrupted by a signal", f.now_ns);
    farm_pass(&f, 1800);
    cr_assert(!f.exited);
    farm_pass(&f, 400);
    cr_assert(f.exited);
    cr_assert_eq(f.status, 255);
    farm_end(&f);
}
