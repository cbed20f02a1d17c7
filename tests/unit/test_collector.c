/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/story.h"

TestSuite(collector, .timeout = 60);

Test(collector, a_whole_job_of_three_tasks)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1-2");
    story_expect(&s, "STORED 1-2");
    story_pass(&s, 100);
    w_results(&s, 20, 2, 2, "3f");
    story_expect(&s, "STORED 3");
    v_done(&s, 3, 0, 0, 0);
    story_expect(&s, "FLUSH");
    collector_flushed(s.c, s.now_ns);
    story_expect(&s, "CLOSED 3: 2 ok, 1 failed, 0 lost, 0 not run");
    v_bare(&s, KIND_BYE);
    story_expect(&s, "EXIT 1");
    cr_assert_eq(collector_counts(s.c)->workers, 2);
    cr_assert_eq(collector_deadline(s.c), NEVER);
    story_end(&s);
}

Test(collector, an_empty_job_ends_with_0)
{
    struct story s = {0};
    story_join(&s);
    v_done(&s, 0, 0, 0, 0);
    story_expect(&s, "FLUSH");
    collector_flushed(s.c, s.now_ns);
    v_bare(&s, KIND_BYE);
    story_expect(&s, "CLOSED 0: 0 ok, 0 failed, 0 lost, 0 not run; EXIT 0");
    story_end(&s);
}

Test(collector, between_join_and_welcome_it_sends_no_notes_and_the_first_one_covers_all)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1-3");
    story_expect(&s, "STORED 1-3");
    collector_control_down(s.c, s.now_ns);
    story_expect(&s, "");
    story_pass(&s, 130);
    story_expect(&s, "OPEN");
    collector_control_up(s.c, s.now_ns);
    story_expect(&s, "JOIN stored=1-3 epoch=7");
    w_results(&s, 20, 2, 2, "5");
    story_pass(&s, 1000);
    v_heartbeat(&s); /* which means: wait */
    story_expect(&s, "");
    v_welcome(&s, 10, 7);
    story_expect(&s, "STORED 1-3,5");
    story_end(&s);
}

Test(collector, it_sends_a_heartbeat_every_interval_of_welcome)
{
    struct story s = {0};
    story_join(&s);
    for (int i = 0; i < 10; i++) {
        story_pass(&s, 250);
        v_heartbeat(&s);
        story_expect(&s, i % 2 == 0 ? "" : "HEARTBEAT");
    }
    story_end(&s);
}

/* Runs it as a shell would, turn by turn, and returns what was said in the last one. */
static const char *sleep_until_it_speaks(struct story *s)
{
    const char *said;
    do {
        s->now_ns = collector_deadline(s->c);
        said = story_turn(s);
    } while (!*said || strcmp(said, "HEARTBEAT") == 0);
    return said;
}

Test(collector, a_silent_ventilator_is_left_after_the_limit_and_joined_again)
{
    struct story s = {0};
    story_join(&s);
    uint64_t heard_ns = s.now_ns - 10 * NS_PER_MS;
    cr_assert_str_eq(sleep_until_it_speaks(&s), "CLOSE");
    cr_assert_eq(s.now_ns - heard_ns, 3 * NS_PER_S);
    cr_assert_str_eq(sleep_until_it_speaks(&s), "OPEN");
    collector_control_up(s.c, s.now_ns);
    story_expect(&s, "JOIN stored= epoch=7");
    story_end(&s);
}

/* It has just come, or it accepts and takes 1 s for the handshake. */
Test(collector, only_since_it_accepted_a_connection_a_ventilator_may_be_late)
{
    for (int slow = 0; slow < 2; slow++) {
        struct story s = {0};
        story_begin(&s);
        story_expect(&s, "OPEN");
        story_pass(&s, 2500);
        if (slow) {
            collector_control_accepted(s.c, s.now_ns);
            story_turn(&s);
            story_pass(&s, 1000);
        }
        collector_control_up(s.c, s.now_ns);
        story_expect(&s, "JOIN stored= epoch=0");
        v_welcome(&s, 9, 7);
        story_expect(&s, "STORED ");
        uint64_t heard_ns = s.now_ns;
        cr_assert_str_eq(sleep_until_it_speaks(&s), "CLOSE");
        uint64_t silent_ns = s.now_ns - heard_ns;
        cr_expect_leq(silent_ns, (slow ? 7100 : 3100) * NS_PER_MS, "%d: %" PRIu64, slow, silent_ns);
        cr_expect_geq(silent_ns, (slow ? 6000 : 3000) * NS_PER_MS, "%d: %" PRIu64, slow, silent_ns);
        story_end(&s);
    }
}

/* It is heard, and does not hear: what it says by itself goes on for ever, and nothing is stored. */
Test(collector, a_ventilator_that_talks_and_answers_no_heartbeat_is_left_after_twice_the_limit)
{
    struct story s = {0};
    story_join(&s);
    uint64_t joined_ns = s.now_ns;
    const char *said = "";
    while (strcmp(said, "CLOSE") != 0 && s.now_ns < joined_ns + 60 * NS_PER_S) {
        story_pass(&s, 250);
        v_number(&s, KIND_ENDED, 4711);
        said = story_turn(&s);
    }
    cr_assert_leq(s.now_ns - joined_ns, 6500 * NS_PER_MS);
    cr_assert_geq(s.now_ns - joined_ns, 5500 * NS_PER_MS);
    story_end(&s);
}

/* Goes by the core's own deadlines; nothing is said to it but that sessions end. */
static const char *hear_of_ended_sessions(struct story *s, uint64_t until_ns)
{
    const char *said = "";
    while (strcmp(said, "CLOSE") != 0 && s->now_ns < until_ns) {
        uint64_t next_ns = s->now_ns + NS_PER_S / 2, deadline_ns = collector_deadline(s->c);
        s->now_ns = deadline_ns < next_ns ? deadline_ns : next_ns;
        v_number(s, KIND_ENDED, 4711);
        said = story_turn(s);
    }
    return said;
}

/* The ventilator has said WELCOME, which was lost or dropped, and says what it says to a sink. */
Test(collector, what_is_no_answer_to_its_join_does_not_keep_it_waiting_for_one)
{
    struct story s = {0};
    story_begin(&s);
    story_expect(&s, "OPEN");
    collector_control_up(s.c, s.now_ns);
    story_expect(&s, "JOIN stored= epoch=0");
    uint64_t since_ns = s.now_ns;
    cr_assert_str_eq(hear_of_ended_sessions(&s, since_ns + 60 * NS_PER_S), "CLOSE");
    cr_assert_eq(s.now_ns - since_ns, 3 * NS_PER_S);
    story_end(&s);
}

static bool has_room;

static bool begin_life(void *context, uint64_t incarnation)
{
    (void)context, (void)incarnation;
    return has_room;
}

Test(collector, a_welcome_that_the_store_cannot_note_now_is_followed_by_another_join)
{
    struct story s = {0};
    story_begin(&s);
    s.c->options.begin_life = begin_life;
    has_room = false;
    for (uint64_t session = 9; session < 12; session++) {
        story_expect(&s, "OPEN");
        collector_control_up(s.c, s.now_ns);
        story_expect(&s, "JOIN stored= epoch=0");
        v_welcome(&s, session, 7);
        story_expect(&s, "CLOSE");
        cr_assert_leq(collector_deadline(s.c), s.now_ns + 2400 * NS_PER_MS);
        s.now_ns = collector_deadline(s.c);
    }
    has_room = true;
    story_expect(&s, "OPEN");
    collector_control_up(s.c, s.now_ns);
    story_turn(&s);
    v_welcome(&s, 12, 7);
    story_expect(&s, "STORED ");
    story_end(&s);
}

static size_t hashes(void *context, uint64_t from, struct hashed_task to[static HASHES_MAX])
{
    (void)context;
    size_t count = 0;
    for (uint64_t seq = from; seq <= 1000; seq++)
        to[count++] = (struct hashed_task){seq, {seq, seq}};
    return count;
}

/* The answer to CHECK, which asks for the hashes of 1,000 tasks. */
static struct hashes hashes_from(struct story *s, uint64_t from)
{
    struct collector_action action;
    struct frame_head head;
    struct bytes body;
    struct hashes m = {0};
    story_turn(s);
    v_number(s, KIND_CHECK, from);
    cr_assert(collector_next_action(s->c, &action));
    cr_assert_eq(frame_take(block_bytes(action.block), &head, &body), ERR_NONE);
    cr_assert_eq(head.kind, KIND_HASHES);
    cr_assert_eq(hashes_take(body, &m), ERR_NONE);
    block_release(&action.block);
    return m;
}

/* Over 64 kbit/s HASHES of 1,572 tasks took longer than the limit: the connection was made anew for ever. */
Test(collector, after_a_silence_hashes_are_told_in_frames_of_at_most_8_KiB)
{
    struct story s = {0};
    story_join(&s);
    s.c->options.hashes = hashes;
    struct hashes m = hashes_from(&s, 1);
    cr_assert_eq(m.count, 1000);
    cr_assert(m.last);
    hashes_free(&m);
    story_turn(&s);
    cr_assert_str_eq(sleep_until_it_speaks(&s), "CLOSE");
    cr_assert_str_eq(sleep_until_it_speaks(&s), "OPEN");
    collector_control_up(s.c, s.now_ns);
    story_turn(&s);
    v_welcome(&s, 10, 7);
    uint64_t from = 1;
    for (bool last = false; !last;) {
        m = hashes_from(&s, from);
        cr_assert_leq(m.count * 18, 8192);
        cr_assert_eq(m.items[0].seq, from);
        from = m.items[m.count - 1].seq + 1;
        last = m.last;
        hashes_free(&m);
    }
    cr_assert_eq(from, 1001);
    story_end(&s);
}

Test(collector, a_ventilator_that_is_there_and_slow_gets_twice_as_long_each_time)
{
    struct story s = {0};
    story_begin(&s);
    story_expect(&s, "OPEN");
    for (uint64_t wait_s = 3; wait_s <= 24; wait_s *= 2) {
        collector_control_accepted(s.c, s.now_ns);
        story_turn(&s);
        uint64_t since_ns = s.now_ns;
        const char *said = sleep_until_it_speaks(&s);
        cr_assert_str_eq(said, "CLOSE");
        cr_assert_eq(s.now_ns - since_ns, wait_s * NS_PER_S);
        said = sleep_until_it_speaks(&s);
        cr_assert_str_eq(said, "OPEN");
    }
    story_end(&s);
}

Test(collector, after_a_freeze_of_its_own_a_heartbeat_may_still_arrive)
{
    struct story s = {0};
    story_join(&s);
    story_turn(&s);
    story_pass(&s, 7000);
    story_expect(&s, "HEARTBEAT");
    for (int i = 0; i < 5; i++) {
        s.now_ns = collector_deadline(s.c);
        story_expect(&s, "HEARTBEAT");
    }
    s.now_ns = collector_deadline(s.c);
    story_expect(&s, "CLOSE");
    story_end(&s);
}

Test(collector, it_waits_longer_before_each_new_try_up_to_2_s)
{
    struct story s = {0};
    story_begin(&s);
    story_expect(&s, "OPEN");
    uint64_t mean_ms = 100;
    for (int i = 0; i < 12; i++) {
        collector_control_down(s.c, s.now_ns);
        story_expect(&s, "");
        uint64_t wait_ms = (collector_deadline(s.c) - s.now_ns) / NS_PER_MS;
        cr_assert_geq(wait_ms, mean_ms * 4 / 5);
        cr_assert_leq(wait_ms, mean_ms * 6 / 5);
        s.now_ns = collector_deadline(s.c);
        story_expect(&s, "OPEN");
        mean_ms = mean_ms * 3 / 2 < 2000 ? mean_ms * 3 / 2 : 2000;
    }
    collector_control_up(s.c, s.now_ns);
    v_welcome(&s, 9, 7);
    collector_control_down(s.c, s.now_ns); /* a good connection that broke is made again soon */
    cr_assert_leq(collector_deadline(s.c), s.now_ns + 125 * NS_PER_MS);
    story_end(&s);
}

Test(collector, without_a_ventilator_it_gives_up_with_words)
{
    struct story s = {0};
    story_begin(&s);
    story_expect(&s, "OPEN");
    uint64_t began_ns = s.now_ns;
    for (const char *said = ""; strcmp(said, "EXIT 255") != 0; said = sleep_until_it_speaks(&s)) {
        if (strcmp(said, "OPEN") == 0)
            collector_control_down(s.c, s.now_ns);
        story_turn(&s);
        cr_assert_leq(s.now_ns - began_ns, 60 * NS_PER_S);
    }
    cr_assert_eq(s.now_ns - began_ns, 60 * NS_PER_S);
    cr_assert(strstr(s.why.text, "no ventilator"));
    story_end(&s);
}

Test(collector, a_refusal_ends_it_with_the_ventilators_sentence)
{
    struct story s = {0};
    story_begin(&s);
    story_turn(&s);
    collector_control_up(s.c, s.now_ns);
    story_turn(&s);
    struct buf message = {0}; /* of another job: that is why */
    wire_begin(&message, KIND_REFUSE, (struct frame_head){.job = JOB + 1});
    refuse_put(&message, &(struct refuse){REFUSE_OTHER_JOB, bytes_of("the input is another")});
    v_say(&s, &message);
    story_expect(&s, "EXIT 255");
    cr_assert(strstr(s.why.text, "the input is another"));
    story_end(&s);
}

Test(collector, without_a_store_it_does_not_go_on_with_a_ventilator_that_was_started_again)
{
    for (int is_volatile = 0; is_volatile <= 1; is_volatile++) {
        struct story s = {0};
        story_begin(&s);
        s.options.is_volatile = is_volatile;
        collector_destroy(&s.c);
        s.c = collector_new(&s.options, s.now_ns);
        story_turn(&s);
        collector_control_up(s.c, s.now_ns);
        v_welcome(&s, 9, 7);
        story_turn(&s);
        collector_control_down(s.c, s.now_ns);
        story_pass(&s, 130);
        story_expect(&s, "OPEN");
        collector_control_up(s.c, s.now_ns);
        s.incarnation++;
        v_welcome(&s, 1, 1);
        story_expect(&s, is_volatile ? "JOIN stored= epoch=7; EXIT 255"
                                     : "JOIN stored= epoch=7; STORED ");
        story_end(&s);
    }
}

Test(collector, again_is_heeded_only_if_it_names_this_session)
{
    struct story s = {0};
    story_join(&s);
    v_again(&s, 8);
    story_expect(&s, "");
    v_again(&s, 9);
    story_expect(&s, "CLOSE");
    story_end(&s);
}

Test(collector, notes_are_at_least_10_ms_apart)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1");
    story_expect(&s, "STORED 1");
    story_pass(&s, 1);
    w_results(&s, 20, 2, 2, "2");
    story_expect(&s, "");
    cr_assert_eq(collector_deadline(s.c), s.now_ns + 9 * NS_PER_MS);
    story_pass(&s, 2);
    w_results(&s, 20, 3, 3, "4");
    story_expect(&s, "");
    story_pass(&s, 7);
    story_expect(&s, "STORED 2,4");
    story_end(&s);
}

Test(collector, the_last_note_that_done_waits_for_goes_out_at_once)
{
    struct story s = {0};
    story_join(&s);
    s.holds = true;
    w_results(&s, 20, 1, 1, "1-2");
    story_expect(&s, "");
    v_done(&s, 2, 0, 0, 0);
    story_expect(&s, "");
    collector_set_order_full(s.c, true);
    story_expect(&s, "STORED  full");
    s.holds = false;
    story_expect(&s, "STORED 1-2 full; FLUSH");
    story_end(&s);
}

Test(collector, what_is_not_written_is_not_stored)
{
    struct story s = {0};
    story_join(&s);
    s.holds = true;
    w_results(&s, 20, 1, 1, "1-3");
    story_expect(&s, "");
    w_results(&s, 20, 2, 1, "4-6");
    story_expect(&s, "");
    collector_reached(s.c, 3);
    s.written = 3;
    story_expect(&s, "STORED 1-3");
    struct why why;
    cr_assert(collector_waits_for(s.c, s.now_ns, &why));
    cr_assert(strstr(why.text, "3 results are not written"), "%s", why.text);
    s.holds = false;
    story_pass(&s, 10);
    story_expect(&s, "STORED 4-6");
    story_end(&s);
}

Test(collector, the_window_stops_the_reading_of_results)
{
    struct story s = {0};
    story_join(&s);
    cr_assert(collector_wants_results(s.c, 99));
    cr_assert_not(collector_wants_results(s.c, 100));
    story_end(&s);
}

Test(collector, a_full_order_window_is_told_when_it_changes)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "2");
    collector_set_order_full(s.c, true);
    story_expect(&s, "STORED 2 full");
    struct why why;
    cr_assert(collector_waits_for(s.c, s.now_ns, &why));
    cr_assert(strstr(why.text, "task 1:"), "%s", why.text);
    story_pass(&s, 10);
    story_expect(&s, "");
    collector_set_order_full(s.c, false);
    story_expect(&s, "STORED ");
    story_end(&s);
}

Test(collector, an_output_that_takes_nothing_for_a_second_is_told_and_one_that_is_slow_is_not)
{
    struct story s = {0};
    story_join(&s);
    for (uint64_t written = 0; written < 10; written++) { /* 1 s, a little each time */
        story_pass(&s, 100);
        collector_set_output(s.c, OUTPUT_BLOCKED, written, s.now_ns);
        cr_assert_null(strstr(story_turn(&s), "unread"));
    }
    story_pass(&s, 900);
    collector_set_output(s.c, OUTPUT_BLOCKED, 9, s.now_ns);
    cr_assert_null(strstr(story_turn(&s), "unread"));
    story_pass(&s, 100);
    collector_set_output(s.c, OUTPUT_BLOCKED, 9, s.now_ns);
    cr_assert(strstr(story_turn(&s), "STORED  unread"));
    story_pass(&s, 10);
    collector_set_output(s.c, OUTPUT_FLOWS, 10, s.now_ns);
    story_expect(&s, "STORED ");
    story_end(&s);
}

Test(collector, a_full_disk_is_told_and_that_there_is_room_again)
{
    struct story s = {0};
    story_join(&s);
    collector_set_output(s.c, OUTPUT_NO_ROOM, 5, s.now_ns);
    story_expect(&s, "STORED  no room");
    story_pass(&s, 10);
    collector_set_order_full(s.c, true);
    story_expect(&s, "STORED  full no room");
    story_pass(&s, 10);
    collector_set_output(s.c, OUTPUT_FLOWS, 5, s.now_ns);
    story_expect(&s, "STORED  full");
    story_end(&s);
}

Test(collector, what_makes_no_sense_is_dropped_and_counted)
{
    struct story s = {0};
    story_join(&s);
    v_bare(&s, KIND_CREDIT);
    v_bare(&s, KIND_STATUS);
    s.session = 8; /* of an older session */
    v_done(&s, 0, 0, 0, 0);
    s.session = 9;
    collector_control_message(s.c, bytes_of("nonsense"), s.now_ns);
    collector_results_message(s.c, bytes_of("nonsense"), s.now_ns);
    collector_results_message(s.c, (struct bytes){0}, s.now_ns);
    story_expect(&s, "PROTEST 0:?@0; PROTEST 0:?@0");
    cr_assert_eq(collector_counts(s.c)->dropped_messages, 6);
    story_end(&s);
}

static void v_admits(struct story *s, size_t count, struct admitted_key *keys)
{
    struct buf message = v_begin(s, KIND_ADMITTED);
    admitted_put(&message, &(struct admitted){.items = keys, .count = count});
    v_say(s, &message);
}

Test(collector, it_knows_whose_results_to_take_when_it_was_told_and_what_was_told_last)
{
    struct story s = {0};
    struct admitted_key keys[] = {{{{1}}, KEY_WORKER}, {{{2}}, KEY_SINK}, {{{3}}, KEY_WORKER}};
    story_join(&s);
    cr_assert_null(collector_admitted(s.c));
    v_admits(&s, 3, keys);
    const struct admitted *a = collector_admitted(s.c);
    cr_assert_eq(admitted_roles(a, &keys[0].key), KEY_WORKER);
    cr_assert_eq(admitted_roles(a, &keys[1].key), 0, "only workers are told");
    cr_assert_eq(admitted_roles(a, &keys[2].key), KEY_WORKER);
    v_admits(&s, 1, keys);
    cr_assert_eq(admitted_roles(collector_admitted(s.c), &keys[2].key), 0);
    v_admits(&s, 0, keys);
    cr_assert_not_null(collector_admitted(s.c));
    cr_assert_eq(collector_admitted(s.c)->count, 0);
    struct buf message = v_begin(&s, KIND_ADMITTED);
    buf_put_byte(&message, 1);
    v_say(&s, &message);
    cr_assert_eq(collector_counts(s.c)->dropped_messages, 1);
    story_end(&s);
}
