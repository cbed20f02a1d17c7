/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_STORY_H
#define ZFARM_STORY_H

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "sink/core/collector_parts.h"
#include "tests/unit/said.h"

/* Tests of the collector as stories: the ventilator (v_...) and workers (w_...) say something, time
 * passes, and story_expect compares what the collector answered, in words such as
 *
 *     "OPEN; JOIN stored=1-3 epoch=7; STORED 1-3,5 gap=9:2 full; FLUSH; EXIT 0"
 */
struct story {
    struct collector *c;
    struct collector_options options;
    uint64_t now_ns;
    uint64_t put;        /* bytes of output: one for each result that was accepted */
    uint64_t written;    /* as told to the collector */
    bool shows_origins;  /* of notes */
    bool says_handed;    /* the ventilator does */
    bool holds;          /* the output takes no more */
    bool tells_arrivals; /* else nothing is said of what only arrived */
    struct buf accepted; /* "1 2f 3h ": what accept was given */
    struct buf said;
    struct why why; /* of EXIT */
    uint64_t incarnation;
    uint64_t session;
};

enum { JOB = 77, HOUR_S = 3600 };

static inline void story_accept(void *context, const struct result *r)
{
    struct story *s = context;
    s->put++;
    buf_printf(&s->accepted, "%" PRIu64 "%s ", r->seq,
               !r->final                    ? "h"
               : r->status == RESULT_OK     ? ""
               : r->status == RESULT_LOST   ? "l"
               : r->status == RESULT_EXITED ? "f"
                                            : "x");
}

static inline void story_strange(void *context, const struct seqset *tasks)
{
    struct story *s = context;
    buf_printf(&s->accepted, "strange %" PRIu64 "-%" PRIu64 " ", seqset_min(tasks),
               seqset_max(tasks));
}

static inline void story_begin(struct story *s)
{
    s->options = (struct collector_options){.peer = {.instance = 5, .pid = 1},
                                            .job = JOB,
                                            .results = "tcp://:5558",
                                            .is_volatile = true,
                                            .window_max_bytes = 100,
                                            .give_up_ns = 60 * NS_PER_S,
                                            .random_seed = 1,
                                            .context = s,
                                            .accept = story_accept,
                                            .halt = s->options.halt,
                                            .strict_results = s->options.strict_results,
                                            .strange = story_strange};
    s->now_ns = HOUR_S * NS_PER_S;
    s->incarnation = 1000;
    s->c = collector_new(&s->options, s->now_ns);
}

static inline void story_end(struct story *s)
{
    collector_destroy(&s->c);
    buf_free(&s->accepted);
    buf_free(&s->said);
}

static inline void story_pass(struct story *s, uint64_t ms)
{
    s->now_ns += ms * NS_PER_MS;
}

/* ---- what the collector said ---- */

static inline void put_join(struct buf *to, struct bytes body)
{
    struct sink_join m = {0};
    cr_assert_eq(sink_join_take(body, &m), ERR_NONE);
    buf_put_text(to, "JOIN stored=");
    said_ranges(to, &m.stored);
    buf_printf(to, " epoch=%" PRIu64, m.epoch);
    if (m.flags & SINK_CLOSED)
        buf_printf(to, " closed=%" PRIu64, m.total);
    sink_join_free(&m);
}

static inline void put_stored(struct buf *to, struct bytes body, bool show_origins)
{
    struct stored_note m = {0};
    cr_assert_eq(stored_note_take(body, &m), ERR_NONE);
    buf_put_text(to, "STORED ");
    said_ranges(to, &m.tasks);
    for (size_t i = 0; i < m.gap_count; i++)
        buf_printf(to, " gap=%" PRIu64 ":%" PRIu64, m.gaps[i].session, m.gaps[i].batch);
    buf_put_text(to, m.flags & STORED_ORDER_FULL ? " full" : "");
    buf_put_text(to, m.flags & STORED_UNREAD ? " unread" : "");
    buf_put_text(to, m.flags & STORED_NO_ROOM ? " no room" : "");
    buf_put_text(to, m.flags & STORED_NOT_READING ? " not reading" : "");
    for (size_t i = 0; i < m.received_count; i++)
        buf_printf(to, " got=%" PRIu64 ":%" PRIu64 "+%" PRIu64, m.received[i].session,
                   m.received[i].batch, m.received[i].offset);
    for (size_t i = 0; show_origins && i < m.origin_count; i++) {
        buf_printf(to, " from=%" PRIu64 ":", m.origins[i].session);
        said_ranges(to, &m.origins[i].tasks);
    }
    stored_note_free(&m);
}

static inline void put_closed(struct buf *to, struct bytes body)
{
    struct closed m;
    cr_assert_eq(closed_take(body, &m), ERR_NONE);
    buf_printf(to,
               "CLOSED %" PRIu64 ": %" PRIu64 " ok, %" PRIu64 " failed, %" PRIu64 " lost, %" PRIu64
               " not run",
               m.total, m.ok, m.failed, m.lost, m.not_run);
}

static inline void put_protest(struct buf *to, struct bytes body)
{
    struct protest m;
    cr_assert_eq(protest_take(body, &m), ERR_NONE);
    buf_printf(to, "PROTEST %" PRIu64 ":%s@%" PRIu64, m.session, wire_kind_name((unsigned)m.kind),
               m.offset);
}

static inline void put_message(struct story *s, struct block *block)
{
    struct frame_head head;
    struct bytes body;
    cr_assert_eq(frame_take(block_bytes(block), &head, &body), ERR_NONE);
    cr_assert_eq(head.job, JOB);
    if (head.kind == KIND_JOIN)
        put_join(&s->said, body);
    else if (head.kind == KIND_STORED)
        put_stored(&s->said, body, s->shows_origins);
    else if (head.kind == KIND_CLOSED)
        put_closed(&s->said, body);
    else if (head.kind == KIND_HALT)
        wire_print_body(&s->said, head.kind, body);
    else if (head.kind == KIND_PROTEST)
        put_protest(&s->said, body);
    else
        buf_put_text(&s->said, wire_kind_name(head.kind));
    if (head.kind != KIND_JOIN)
        cr_assert_eq(head.session, s->session);
}

static inline void put_action(struct story *s, struct collector_action *action)
{
    if (s->said.size)
        buf_put_text(&s->said, "; ");
    switch (action->kind) {
    case COLLECTOR_OPEN_CONTROL:
        buf_put_text(&s->said, "OPEN");
        break;
    case COLLECTOR_CLOSE_CONTROL:
        buf_put_text(&s->said, "CLOSE");
        break;
    case COLLECTOR_SEND_CONTROL:
        put_message(s, action->block);
        break;
    case COLLECTOR_BEGIN:
        buf_put_text(&s->said, "BEGIN");
        break;
    case COLLECTOR_FLUSH:
        buf_put_text(&s->said, "FLUSH");
        break;
    case COLLECTOR_EXIT:
        buf_printf(&s->said, "EXIT %d", action->status);
        s->why = action->why;
        break;
    }
    block_release(&action->block);
}

/* The output takes what was put; a turn; returns what was said in it, until the next one. */
static inline const char *story_turn(struct story *s)
{
    struct collector_action action;
    collector_mark(s->c, s->put);
    if (!s->holds)
        s->written = s->put;
    collector_reached(s->c, s->written);
    s->c->intake.senders.has_arrivals &= s->tells_arrivals;
    collector_turn(s->c, s->now_ns);
    buf_clear(&s->said);
    while (collector_next_action(s->c, &action))
        put_action(s, &action);
    buf_put_byte(&s->said, '\0');
    return (const char *)s->said.data;
}

#define story_expect(s, words) cr_assert_str_eq(story_turn(s), words)

static inline void story_expect_accepted(struct story *s, const char *words)
{
    buf_put_byte(&s->accepted, '\0');
    cr_assert_str_eq((const char *)s->accepted.data, words);
    buf_clear(&s->accepted);
}

/* ---- the ventilator ---- */

static inline struct buf v_begin(const struct story *s, enum wire_kind kind)
{
    struct buf message = {0};
    wire_begin(
        &message, kind,
        (struct frame_head){.job = JOB, .incarnation = s->incarnation, .session = s->session});
    return message;
}

static inline void v_say(struct story *s, struct buf *message)
{
    collector_control_message(s->c, buf_bytes(message), s->now_ns);
    buf_free(message);
}

static inline void v_bare(struct story *s, enum wire_kind kind)
{
    struct buf message = v_begin(s, kind);
    v_say(s, &message);
}

static inline void v_number(struct story *s, enum wire_kind kind, uint64_t number)
{
    struct buf message = v_begin(s, kind);
    number_put(&message, number);
    v_say(s, &message);
}

static inline void v_again(struct story *s, uint64_t session)
{
    struct buf message = v_begin(s, KIND_AGAIN);
    again_put(&message, &(struct again){session, AGAIN_UNKNOWN_SESSION, {0}});
    v_say(s, &message);
}

/* Of the tasks first..last. */
static inline void v_handed(struct story *s, uint64_t session, uint64_t first, uint64_t last)
{
    struct session_tasks m = {.session = session};
    struct buf message = v_begin(s, KIND_HANDED);
    seqset_add(&m.tasks, first, last);
    session_tasks_put(&message, &m);
    session_tasks_free(&m);
    v_say(s, &message);
}

/* The answer to the heartbeat of that time. */
static inline void v_answers(struct story *s, uint64_t clock_ns)
{
    struct buf message = v_begin(s, KIND_HEARTBEAT);
    heartbeat_put(&message, &(struct heartbeat){.clock_ns = clock_ns});
    v_say(s, &message);
}

static inline void v_heartbeat(struct story *s)
{
    struct buf message = v_begin(s, KIND_HEARTBEAT);
    heartbeat_put(&message, &(struct heartbeat){0});
    v_say(s, &message);
}

static inline void v_welcome(struct story *s, uint64_t session, uint64_t epoch)
{
    s->session = session;
    struct buf message = v_begin(s, KIND_WELCOME);
    struct sink_welcome m = {.heartbeat_ms = 500,
                             .limit_ms = 3000,
                             .epoch = epoch,
                             .features = s->says_handed ? FEATURE_HANDED : 0};
    sink_welcome_put(&message, &m);
    v_say(s, &message);
}

/* not_run_first 0: all ran. */
static inline void v_done(struct story *s, uint64_t total, uint64_t not_run_first,
                          uint64_t not_run_last, uint64_t flags)
{
    struct done m = {.total = total, .flags = flags, .workers = 2};
    if (not_run_first)
        seqset_add(&m.not_run, not_run_first, not_run_last);
    struct buf message = v_begin(s, KIND_DONE);
    done_put(&message, &m);
    done_free(&m);
    v_say(s, &message);
}

static inline void v_verdict(struct story *s, enum result_status status, uint64_t first,
                             uint64_t last)
{
    struct verdict_item item = {.status = status, .first = first, .last = last, .tries = 3};
    struct buf message = v_begin(s, KIND_VERDICT);
    verdict_put(&message, &(struct verdict){.items = &item, .count = 1});
    v_say(s, &message);
}

/* ---- workers ---- */

/* One run: "4", "4-9", with f for failed for good, h for a try that failed and is tried again. */
static inline void w_put_run(struct buf *message, const char *word)
{
    char *end;
    uint64_t first = strtoull(word, &end, 10), last = first;
    if (*end == '-')
        last = strtoull(end + 1, &end, 10);
    struct result r = {.final = *end != 'h',
                       .status = *end ? RESULT_EXITED : RESULT_OK,
                       .code = *end ? 1 : 0,
                       .out = bytes_of("output")};
    struct buf records = {0};
    for (uint64_t seq = first; seq <= last; seq++)
        result_put(&records, &r);
    struct result_run run = {.first = first,
                             .count = last - first + 1,
                             .attempt = {1000, 1},
                             .tries = 1,
                             .records = buf_bytes(&records)};
    result_run_put(message, &run);
    buf_free(&records);
}

static inline struct buf w_results_message(const struct story *s, uint64_t session, uint64_t batch,
                                           uint64_t floor, const char *words)
{
    struct buf message = {0};
    wire_begin(&message, KIND_RESULTS,
               (struct frame_head){.job = JOB, .incarnation = s->incarnation, .session = session});
    results_begin(&message, &(struct results_head){batch, floor, bytes_of("w")});
    char *copy = strdup(words), *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        w_put_run(&message, word);
    free(copy);
    return message;
}

static inline void w_results(struct story *s, uint64_t session, uint64_t batch, uint64_t floor,
                             const char *words)
{
    struct buf message = w_results_message(s, session, batch, floor, words);
    collector_results_message(s->c, buf_bytes(&message), s->now_ns);
    buf_free(&message);
}

/* From the start to the first note; session 9, epoch 7. */
static inline void story_join(struct story *s)
{
    story_begin(s);
    story_expect(s, "OPEN");
    collector_control_up(s->c, s->now_ns);
    story_expect(s, "JOIN stored= epoch=0");
    v_welcome(s, 9, 7);
    story_expect(s, "STORED ");
    story_pass(s, 10);
}

#endif
