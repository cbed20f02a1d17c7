/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/wire.h"

#include "common/base/varint.h"
#include "common/base/xalloc.h"
#include "common/wire/fields.h"
#include "common/wire/layout_rows.h"

/* What is said on control: the tables of the messages, in the order of docs/protocol.md, 3. */

void attempt_list_add(struct attempt_list *list, uint64_t seq, struct attempt attempt)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 8;
        list->items = xrealloc(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->count++] = (struct running_attempt){seq, attempt};
}

enum error join_role(struct bytes body, enum wire_role *role)
{
    struct fields r = fields_of(body);
    uint64_t number = fields_number(&r);
    if (r.error)
        return r.error;
    if (number != ROLE_WORKER && number != ROLE_SINK)
        return ERR_MALFORMED;
    *role = (enum wire_role)number;
    return ERR_NONE;
}

/* ---- tables ---- */

#define FIELDS(s, ...) static const struct field s##_fields[] = {__VA_ARGS__, {0}}
#define LAYOUT(s, sense) const struct layout s##_layout = {#s, sizeof(struct s), s##_fields, sense}
/* A message whose fields are independent of each other. */
#define MESSAGE(s, ...)                                                                            \
    FIELDS(s, __VA_ARGS__);                                                                        \
    LAYOUT(s, NULL)

static const char *const role_words[] = {NULL, "worker", "sink"};
static const char *const halt_when_words[] = {"never", "soon", "now"};
static const char *const halt_why_words[] = {"fail", "success", "done"};
static const char *const feature_words[] = {"receipts", "handed"};
static const char *const want_words[] = {"times", "task", "command", "hash"};

FIELDS(peer, {U64(peer, instance)}, {TEXT(peer, name)}, {TEXT(peer, host)}, {TEXT(peer, release)},
       {NUMBER(peer, pid)});
FIELDS(running_attempt, {SEQ(running_attempt, seq)}, {ATTEMPT(running_attempt, attempt)});
FIELDS(halt_rule, {CHOICE(halt_rule, when, HALT_SOON, HALT_NOW, halt_when_words)},
       {CHOICE(halt_rule, why, HALT_FAIL, HALT_DONE, halt_why_words)},
       {NUMBER(halt_rule, count), .min = 1, .max = UINT64_MAX});

/* ---- from workers and the sink ---- */

MESSAGE(attempt_list, {LIST(attempt_list, items, count, running_attempt),
                       .capacity_offset = offsetof(struct attempt_list, capacity)});

static const char *const worker_flag_words[] = {"leaving"};
MESSAGE(worker_join, {CONSTANT("role", ROLE_WORKER), WORDS(role_words)},
        {STRUCT(worker_join, peer, peer)}, {NUMBER(worker_join, slots)},
        {FLAGS(worker_join, flags, worker_flag_words)}, {HASH(worker_join, executor)},
        {LIST_AT("running", worker_join, running.items, running.count, running_attempt),
         .capacity_offset = offsetof(struct worker_join, running.capacity)},
        {RANGES(worker_join, kept)}, {FLAGS(worker_join, features, feature_words), .tag = 1});

static const char *const sink_flag_words[] = {"closed", "volatile", "wants-total"};
MESSAGE(sink_join, {CONSTANT("role", ROLE_SINK), WORDS(role_words)},
        {STRUCT(sink_join, peer, peer)}, {NUMBER(sink_join, epoch)},
        {FLAGS(sink_join, flags, sink_flag_words)}, {NUMBER(sink_join, total)},
        {HASH(sink_join, fingerprint)}, {RANGES(sink_join, stored)},
        {U64(sink_join, incarnation_max)}, {TEXT(sink_join, results)},
        {FLAGS(sink_join, wants, want_words)}, {NUMBER(sink_join, opening)},
        {FLAGS(sink_join, features, feature_words), .tag = 1},
        {STRUCT(sink_join, halt, halt_rule), .tag = 2});

FIELDS(held_task, {SEQ(held_task, seq)}, {NUMBER(held_task, pid)}, {TEXT(held_task, command)});
MESSAGE(heartbeat, {U64(heartbeat, clock_ns)}, {RANGES(heartbeat, running)},
        {RANGES(heartbeat, stopped), .tag = 1},
        {LIST(heartbeat, held, held_count, held_task), .max = HELD_MAX, .tag = 2},
        {NUMBER(heartbeat, results_stuck_ms), .tag = 3}, {NUMBER(heartbeat, unusable), .tag = 4});

MESSAGE(credit, {NUMBER(credit, tasks)}, {NUMBER(credit, size_bytes)}, {NUMBER(credit, reserve)},
        {NUMBER(credit, received_batch), .tag = 1}, {NUMBER(credit, received_offset), .tag = 1});

MESSAGE(token, {.name = "token", .kind = FIELD_TOKEN});

MESSAGE(finished, {RANGES(finished, tasks)}, {NUMBER(finished, failed)});

static const char *const returned_words[] = {"recall", "leaving", "not-started", "interrupted"};
MESSAGE(returned, {RANGES(returned, tasks)},
        {CHOICE(returned, reason, RETURNED_RECALL, RETURNED_INTERRUPTED, returned_words)});

MESSAGE(leave, {REST(leave, text)});

static const char *const stored_flag_words[] = {"order-full", "unread", "no-room", "not-reading"};
FIELDS(gap, {U64(gap, session)}, {NUMBER(gap, batch)});
FIELDS(arrival, {U64(arrival, session)}, {NUMBER(arrival, batch)}, {NUMBER(arrival, offset)});
MESSAGE(session_tasks, {U64(session_tasks, session)}, {RANGES(session_tasks, tasks)});
MESSAGE(stored_note, {NUMBER(stored_note, epoch)}, {RANGES(stored_note, tasks)},
        {LIST(stored_note, gaps, gap_count, gap)}, {FLAGS(stored_note, flags, stored_flag_words)},
        {LIST(stored_note, received, received_count, arrival), .tag = 1},
        {LIST(stored_note, origins, origin_count, session_tasks), .tag = 2});

MESSAGE(closed, {NUMBER(closed, total)}, {NUMBER(closed, ok)}, {NUMBER(closed, failed)},
        {NUMBER(closed, lost)}, {NUMBER(closed, not_run)}, {NUMBER(closed, doubled)},
        {NUMBER(closed, status)});

MESSAGE(halt, {CHOICE(halt, when, HALT_SOON, HALT_NOW, halt_when_words)}, {SEQ(halt, seq)},
        {NUMBER(halt, status)});

/* In order, from the number that was asked for; and it says something. */
static bool hashes_make_sense(const void *m)
{
    const struct hashes *h = m;
    for (size_t i = 0; i < h->count; i++)
        if (h->items[i].seq < (i ? h->items[i - 1].seq + 1 : h->from))
            return false;
    return h->count || h->last;
}

FIELDS(hashed_task, {SEQ(hashed_task, seq)}, {HASH(hashed_task, hash)});
FIELDS(hashes, {SEQ(hashes, from)}, {BIT(hashes, last)}, {LIST(hashes, items, count, hashed_task)});
LAYOUT(hashes, hashes_make_sense);

/* ---- both ways ---- */

MESSAGE(protest, {U64(protest, session)}, {NUMBER(protest, kind), WORDS(wire_kind_names)},
        {NUMBER(protest, offset)}, {TEXT(protest, sentence)});

/* ---- from the ventilator ---- */

MESSAGE(worker_welcome, {CONSTANT("role", ROLE_WORKER), WORDS(role_words)},
        {NUMBER(worker_welcome, heartbeat_ms)}, {NUMBER(worker_welcome, limit_ms)},
        {TEXT(worker_welcome, lanes)}, {FLAGS(worker_welcome, wants, want_words)},
        {NUMBER(worker_welcome, epoch)}, {TEXT(worker_welcome, results)},
        {KEY(worker_welcome, sink)}, {RANGES(worker_welcome, kill)}, {RANGES(worker_welcome, have)},
        {FLAGS(worker_welcome, features, feature_words), .tag = 1},
        {STRUCT(worker_welcome, halt, halt_rule), .tag = 2});

MESSAGE(sink_welcome, {CONSTANT("role", ROLE_SINK), WORDS(role_words)},
        {NUMBER(sink_welcome, heartbeat_ms)}, {NUMBER(sink_welcome, limit_ms)},
        {NUMBER(sink_welcome, epoch)}, {HASH(sink_welcome, fingerprint)},
        {FLAGS(sink_welcome, features, feature_words), .tag = 1});

static const char *const refuse_words[] = {NULL,          "version",   "full",
                                           "second-sink", "other-job", "results-gone",
                                           "over",        "key",       "senseless"};
MESSAGE(refuse, {NUMBER(refuse, reason), WORDS(refuse_words)}, {TEXT(refuse, sentence)});

static const char *const again_words[] = {NULL,         "unknown-session", "other-incarnation",
                                          "other-job",  "silent-lane",     "stripped",
                                          "unanswered", "no-results"};
MESSAGE(again, {NUMBER(again, session)}, {NUMBER(again, reason), WORDS(again_words)},
        {TEXT(again, sentence)});

static const char *const received_flag_words[] = {"not-reading"};
MESSAGE(received, {NUMBER(received, batch)}, {NUMBER(received, offset)},
        {FLAGS(received, flags, received_flag_words)});

FIELDS(cancel_item, {SEQ(cancel_item, seq)}, {ATTEMPT(cancel_item, attempt)},
       {NUMBER(cancel_item, batch)});
MESSAGE(cancel, {LIST(cancel, items, count, cancel_item)});

MESSAGE(released, {RANGES(released, tasks)});

MESSAGE(admitted, {.name = "keys", .kind = FIELD_KEYS});

MESSAGE(sink_news, {NUMBER(sink_news, epoch)}, {TEXT(sink_news, results)}, {KEY(sink_news, sink)},
        {FLAGS(sink_news, wants, want_words)});

static const char *const stop_words[] = {"job-over", "interrupted"};
MESSAGE(stop, {NUMBER(stop, reason), WORDS(stop_words)}, {NUMBER(stop, batch)});

static bool verdict_makes_sense(const void *m)
{
    const struct verdict *v = m;
    for (size_t i = 0; i < v->count; i++)
        if (v->items[i].last < v->items[i].first)
            return false;
    return true;
}

static const char *const result_words[] = {
#define X(name, number, word, meaning) [number] = word,
    RESULT_STATUS_LIST(X)
#undef X
};
FIELDS(verdict_item,
       {CHOICE(verdict_item, status, RESULT_LOST, RESULT_TASK_TOO_LARGE, result_words)},
       {SEQ(verdict_item, first)}, {SEQ(verdict_item, last)}, {NUMBER(verdict_item, tries)},
       {OCTETS(verdict_item, task)}, {TEXT(verdict_item, workers)});
FIELDS(verdict, {LIST(verdict, items, count, verdict_item)});
LAYOUT(verdict, verdict_makes_sense);

static const char *const status_flag_words[] = {"input-ended", "crlf", "bom"};
MESSAGE(status, {NUMBER(status, total)}, {NUMBER(status, read)}, {NUMBER(status, queued)},
        {NUMBER(status, out)}, {FLAGS(status, flags, status_flag_words)}, {NUMBER(status, workers)},
        {HASH(status, executor)}, {NUMBER(status, slots), .tag = 1});

static const char *const done_flag_words[] = {"input-cut"};
MESSAGE(done, {NUMBER(done, total)}, {RANGES(done, not_run)}, {FLAGS(done, flags, done_flag_words)},
        {NUMBER(done, workers)});

FIELDS(because_item, {RANGES(because_item, tasks)}, {NUMBER(because_item, more)},
       {TEXT(because_item, sentence)});
MESSAGE(because, {LIST(because, items, count, because_item)});

/* ---- RECALL, RESEND, ENDED, CHECK and END ---- */

void number_put(struct buf *to, uint64_t number)
{
    varint_put(to, number);
}

enum error number_take(struct bytes body, uint64_t *number)
{
    struct fields r = fields_of(body);
    *number = fields_number(&r);
    return fields_end(&r);
}
