/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/varint.h"
#include "common/xalloc.h"

/* ---- fields ---- */

/* A cursor over a body. The first error sticks; after it every read gives zeros, so that a message is
 * read field by field and looked at once, in reader_end. */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    enum error error;
};

static struct reader reader_of(struct bytes body)
{
    return (struct reader){body.data, body.data + body.size, ERR_NONE};
}

static void reader_fail(struct reader *r, enum error error)
{
    if (!r->error)
        r->error = error;
    r->at = r->end;
}

static enum error reader_end(struct reader *r)
{
    if (!r->error && r->at != r->end)
        r->error = ERR_TRAILING;
    return r->error;
}

static uint64_t read_number(struct reader *r)
{
    uint64_t value = 0;
    if (!varint_take(&r->at, r->end, &value))
        reader_fail(r, ERR_TRUNCATED);
    return value;
}

static uint32_t read_number32(struct reader *r)
{
    uint64_t value = read_number(r);
    if (value > UINT32_MAX)
        reader_fail(r, ERR_MALFORMED);
    return (uint32_t)value;
}

static uint64_t read_u64(struct reader *r)
{
    if (r->end - r->at < 8) {
        reader_fail(r, ERR_TRUNCATED);
        return 0;
    }
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | *r->at++;
    return value;
}

static struct bytes read_octets(struct reader *r)
{
    uint64_t size = read_number(r);
    if (size > (uint64_t)(r->end - r->at)) {
        reader_fail(r, ERR_TRUNCATED);
        return (struct bytes){0};
    }
    struct bytes octets = {r->at, (size_t)size};
    r->at += size;
    return octets;
}

static struct bytes read_rest(struct reader *r)
{
    struct bytes rest = {r->at, (size_t)(r->end - r->at)};
    r->at = r->end;
    return rest;
}

static struct attempt read_attempt(struct reader *r)
{
    uint64_t incarnation = read_u64(r);
    return (struct attempt){incarnation, read_number32(r)};
}

static struct hash read_hash(struct reader *r)
{
    uint64_t high = read_u64(r);
    return (struct hash){high, read_u64(r)};
}

/* A count of things of which each takes at least `item_size` bytes: more than fit is an error at once,
 * so that a lying count costs no memory. */
static size_t read_count(struct reader *r, size_t item_size)
{
    uint64_t count = read_number(r);
    if (count > (uint64_t)(r->end - r->at) / item_size) {
        reader_fail(r, ERR_TRUNCATED);
        return 0;
    }
    return (size_t)count;
}

static void read_ranges(struct reader *r, struct seqset *set)
{
    size_t count = read_count(r, 2);
    uint64_t last = 0;
    for (size_t i = 0; i < count && !r->error; i++) {
        uint64_t gap = read_number(r), more = read_number(r);
        uint64_t room = UINT64_MAX - 1 - last;
        if (r->error)
            return;
        if (gap == 0 || gap > room || more > room - gap) {
            reader_fail(r, ERR_MALFORMED);
            return;
        }
        seqset_add(set, last + gap, last + gap + more);
        last += gap + more;
    }
}

static void put_u64(struct buf *to, uint64_t value)
{
    uint8_t *at = buf_reserve(to, 8);
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (56 - 8 * i));
    to->size += 8;
}

static void put_octets(struct buf *to, struct bytes octets)
{
    varint_put(to, octets.size);
    buf_put_bytes(to, octets);
}

static void put_attempt(struct buf *to, struct attempt attempt)
{
    put_u64(to, attempt.incarnation);
    varint_put(to, attempt.number);
}

static void put_hash(struct buf *to, struct hash hash)
{
    put_u64(to, hash.high);
    put_u64(to, hash.low);
}

void ranges_put(struct buf *to, const struct seqset *set)
{
    varint_put(to, set->count);
    uint64_t last = 0;
    for (size_t i = 0; i < set->count; i++) {
        varint_put(to, set->ranges[i].first - last);
        varint_put(to, set->ranges[i].last - set->ranges[i].first);
        last = set->ranges[i].last;
    }
}

/* ---- frames ---- */

static bool kind_known(unsigned kind)
{
    return strcmp(wire_kind_name(kind), "?") != 0;
}

const char *wire_kind_name(unsigned kind)
{
    switch (kind) {
#define X(name, code)                                                                              \
    case code:                                                                                     \
        return &#name[sizeof "KIND_" - 1];
        WIRE_KIND_LIST(X)
#undef X
    default:
        return "?";
    }
}

void wire_begin(struct buf *to, enum wire_kind kind, struct frame_head head)
{
    assert(to->size == 0);
    buf_put_byte(to, (uint8_t)kind);
    buf_put_byte(to, WIRE_VERSION);
    put_u64(to, head.job);
    put_u64(to, head.incarnation);
    put_u64(to, head.session);
}

enum error frame_take(struct bytes message, struct frame_head *head, struct bytes *body)
{
    *head = (struct frame_head){0};
    if (message.size > FRAME_MAX)
        return ERR_TOO_LARGE;
    if (message.size < 2)
        return ERR_TRUNCATED;
    if (!kind_known(message.data[0]))
        return ERR_KIND;
    head->kind = message.data[0];
    if (message.data[1] != WIRE_VERSION)
        return ERR_VERSION;
    struct reader r = reader_of((struct bytes){message.data + 2, message.size - 2});
    head->job = read_u64(&r);
    head->incarnation = read_u64(&r);
    head->session = read_u64(&r);
    *body = read_rest(&r);
    return r.error;
}

/* ---- control, to the ventilator ---- */

void attempt_list_add(struct attempt_list *list, uint64_t seq, struct attempt attempt)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 8;
        list->items = xrealloc(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->count++] = (struct running_attempt){seq, attempt};
}

void attempt_list_free(struct attempt_list *list)
{
    free(list->items);
    *list = (struct attempt_list){0};
}

void attempt_list_put(struct buf *to, const struct attempt_list *m)
{
    varint_put(to, m->count);
    for (size_t i = 0; i < m->count; i++) {
        varint_put(to, m->items[i].seq);
        put_attempt(to, m->items[i].attempt);
    }
}

static uint64_t read_seq(struct reader *r)
{
    uint64_t seq = read_number(r);
    if (seq == 0 || seq == UINT64_MAX)
        reader_fail(r, ERR_MALFORMED);
    return seq;
}

static void read_attempts(struct reader *r, struct attempt_list *list)
{
    size_t count = read_count(r, 10);
    for (size_t i = 0; i < count && !r->error; i++) {
        uint64_t seq = read_seq(r);
        struct attempt attempt = read_attempt(r);
        if (!r->error)
            attempt_list_add(list, seq, attempt);
    }
}

enum error attempt_list_take(struct bytes body, struct attempt_list *m)
{
    struct reader r = reader_of(body);
    read_attempts(&r, m);
    return reader_end(&r);
}

static void put_peer(struct buf *to, const struct peer *peer)
{
    put_u64(to, peer->instance);
    put_octets(to, peer->name);
    put_octets(to, peer->host);
    put_octets(to, peer->release);
    varint_put(to, peer->pid);
}

static void read_peer(struct reader *r, struct peer *peer)
{
    peer->instance = read_u64(r);
    peer->name = read_octets(r);
    peer->host = read_octets(r);
    peer->release = read_octets(r);
    peer->pid = read_number(r);
}

enum error join_role(struct bytes body, enum wire_role *role)
{
    struct reader r = reader_of(body);
    uint64_t number = read_number(&r);
    if (r.error)
        return r.error;
    if (number != ROLE_WORKER && number != ROLE_SINK)
        return ERR_MALFORMED;
    *role = (enum wire_role)number;
    return ERR_NONE;
}

static void read_role(struct reader *r, enum wire_role role)
{
    if (read_number(r) != role)
        reader_fail(r, ERR_MALFORMED);
}

void worker_join_put(struct buf *to, const struct worker_join *m)
{
    varint_put(to, ROLE_WORKER);
    put_peer(to, &m->peer);
    varint_put(to, m->slots);
    varint_put(to, m->flags);
    put_hash(to, m->executor);
    attempt_list_put(to, &m->running);
    ranges_put(to, &m->kept);
}

enum error worker_join_take(struct bytes body, struct worker_join *m)
{
    struct reader r = reader_of(body);
    read_role(&r, ROLE_WORKER);
    read_peer(&r, &m->peer);
    m->slots = read_number(&r);
    m->flags = read_number(&r);
    m->executor = read_hash(&r);
    read_attempts(&r, &m->running);
    read_ranges(&r, &m->kept);
    return reader_end(&r);
}

void worker_join_free(struct worker_join *m)
{
    attempt_list_free(&m->running);
    seqset_free(&m->kept);
}

void sink_join_put(struct buf *to, const struct sink_join *m)
{
    varint_put(to, ROLE_SINK);
    put_peer(to, &m->peer);
    varint_put(to, m->epoch);
    varint_put(to, m->flags);
    varint_put(to, m->total);
    put_hash(to, m->fingerprint);
    ranges_put(to, &m->stored);
    put_u64(to, m->incarnation_max);
    put_octets(to, m->results);
    varint_put(to, m->wants);
}

enum error sink_join_take(struct bytes body, struct sink_join *m)
{
    struct reader r = reader_of(body);
    read_role(&r, ROLE_SINK);
    read_peer(&r, &m->peer);
    m->epoch = read_number(&r);
    m->flags = read_number(&r);
    m->total = read_number(&r);
    m->fingerprint = read_hash(&r);
    read_ranges(&r, &m->stored);
    m->incarnation_max = read_u64(&r);
    m->results = read_octets(&r);
    m->wants = read_number(&r);
    return reader_end(&r);
}

void sink_join_free(struct sink_join *m)
{
    seqset_free(&m->stored);
}

void heartbeat_put(struct buf *to, const struct heartbeat *m)
{
    put_u64(to, m->clock_ns);
    ranges_put(to, &m->running);
}

enum error heartbeat_take(struct bytes body, struct heartbeat *m)
{
    struct reader r = reader_of(body);
    m->clock_ns = read_u64(&r);
    read_ranges(&r, &m->running);
    return reader_end(&r);
}

void heartbeat_free(struct heartbeat *m)
{
    seqset_free(&m->running);
}

void credit_put(struct buf *to, const struct credit *m)
{
    varint_put(to, m->tasks);
    varint_put(to, m->size_bytes);
    varint_put(to, m->reserve);
}

enum error credit_take(struct bytes body, struct credit *m)
{
    struct reader r = reader_of(body);
    m->tasks = read_number(&r);
    m->size_bytes = read_number(&r);
    m->reserve = read_number(&r);
    return reader_end(&r);
}

void token_put(struct buf *to, const struct token *m)
{
    buf_put(to, m->octets, TOKEN_SIZE);
}

enum error token_take(struct bytes body, struct token *m)
{
    if (body.size != TOKEN_SIZE)
        return body.size < TOKEN_SIZE ? ERR_TRUNCATED : ERR_TRAILING;
    memcpy(m->octets, body.data, TOKEN_SIZE);
    return ERR_NONE;
}

void finished_put(struct buf *to, const struct finished *m)
{
    ranges_put(to, &m->tasks);
    varint_put(to, m->failed);
}

enum error finished_take(struct bytes body, struct finished *m)
{
    struct reader r = reader_of(body);
    read_ranges(&r, &m->tasks);
    m->failed = read_number(&r);
    return reader_end(&r);
}

void finished_free(struct finished *m)
{
    seqset_free(&m->tasks);
}

void returned_put(struct buf *to, const struct returned *m)
{
    ranges_put(to, &m->tasks);
    varint_put(to, m->reason);
}

enum error returned_take(struct bytes body, struct returned *m)
{
    struct reader r = reader_of(body);
    read_ranges(&r, &m->tasks);
    uint64_t reason = read_number(&r);
    if (reason > RETURNED_NOT_STARTED)
        reader_fail(&r, ERR_MALFORMED);
    m->reason = (enum returned_reason)reason;
    return reader_end(&r);
}

void returned_free(struct returned *m)
{
    seqset_free(&m->tasks);
}

void leave_put(struct buf *to, struct bytes text)
{
    buf_put_bytes(to, text);
}

enum error leave_take(struct bytes body, struct bytes *text)
{
    *text = body;
    return ERR_NONE;
}

void stored_note_put(struct buf *to, const struct stored_note *m)
{
    varint_put(to, m->epoch);
    ranges_put(to, &m->tasks);
    varint_put(to, m->gap_count);
    for (size_t i = 0; i < m->gap_count; i++) {
        put_u64(to, m->gaps[i].session);
        varint_put(to, m->gaps[i].batch);
    }
    varint_put(to, m->order_full);
}

enum error stored_note_take(struct bytes body, struct stored_note *m)
{
    struct reader r = reader_of(body);
    m->epoch = read_number(&r);
    read_ranges(&r, &m->tasks);
    m->gap_count = read_count(&r, 9);
    m->gaps = m->gap_count ? xcalloc(m->gap_count, sizeof *m->gaps) : NULL;
    for (size_t i = 0; i < m->gap_count; i++) {
        m->gaps[i].session = read_u64(&r);
        m->gaps[i].batch = read_number(&r);
    }
    m->order_full = read_number(&r) & 1;
    return reader_end(&r);
}

void stored_note_free(struct stored_note *m)
{
    seqset_free(&m->tasks);
    free(m->gaps);
    m->gaps = NULL;
    m->gap_count = 0;
}

void closed_put(struct buf *to, const struct closed *m)
{
    const uint64_t numbers[] = {m->total, m->ok, m->failed, m->lost, m->not_run, m->doubled};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        varint_put(to, numbers[i]);
}

enum error closed_take(struct bytes body, struct closed *m)
{
    struct reader r = reader_of(body);
    uint64_t *const numbers[] = {&m->total, &m->ok,      &m->failed,
                                 &m->lost,  &m->not_run, &m->doubled};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = read_number(&r);
    return reader_end(&r);
}

/* ---- control, from the ventilator ---- */

void worker_welcome_put(struct buf *to, const struct worker_welcome *m)
{
    varint_put(to, ROLE_WORKER);
    varint_put(to, m->heartbeat_ms);
    varint_put(to, m->limit_ms);
    put_octets(to, m->lanes);
    varint_put(to, m->wants);
    varint_put(to, m->epoch);
    put_octets(to, m->results);
    ranges_put(to, &m->kill);
    ranges_put(to, &m->have);
}

enum error worker_welcome_take(struct bytes body, struct worker_welcome *m)
{
    struct reader r = reader_of(body);
    read_role(&r, ROLE_WORKER);
    m->heartbeat_ms = read_number(&r);
    m->limit_ms = read_number(&r);
    m->lanes = read_octets(&r);
    m->wants = read_number(&r);
    m->epoch = read_number(&r);
    m->results = read_octets(&r);
    read_ranges(&r, &m->kill);
    read_ranges(&r, &m->have);
    return reader_end(&r);
}

void worker_welcome_free(struct worker_welcome *m)
{
    seqset_free(&m->kill);
    seqset_free(&m->have);
}

void sink_welcome_put(struct buf *to, const struct sink_welcome *m)
{
    varint_put(to, ROLE_SINK);
    varint_put(to, m->heartbeat_ms);
    varint_put(to, m->limit_ms);
    varint_put(to, m->epoch);
    put_hash(to, m->fingerprint);
}

enum error sink_welcome_take(struct bytes body, struct sink_welcome *m)
{
    struct reader r = reader_of(body);
    read_role(&r, ROLE_SINK);
    m->heartbeat_ms = read_number(&r);
    m->limit_ms = read_number(&r);
    m->epoch = read_number(&r);
    m->fingerprint = read_hash(&r);
    return reader_end(&r);
}

void refuse_put(struct buf *to, const struct refuse *m)
{
    varint_put(to, m->reason);
    put_octets(to, m->sentence);
}

enum error refuse_take(struct bytes body, struct refuse *m)
{
    struct reader r = reader_of(body);
    m->reason = read_number(&r);
    m->sentence = read_octets(&r);
    return reader_end(&r);
}

void number_put(struct buf *to, uint64_t number)
{
    varint_put(to, number);
}

enum error number_take(struct bytes body, uint64_t *number)
{
    struct reader r = reader_of(body);
    *number = read_number(&r);
    return reader_end(&r);
}

void cancel_put(struct buf *to, const struct cancel *m)
{
    varint_put(to, m->count);
    for (size_t i = 0; i < m->count; i++) {
        varint_put(to, m->items[i].seq);
        put_attempt(to, m->items[i].attempt);
        varint_put(to, m->items[i].batch);
    }
}

enum error cancel_take(struct bytes body, struct cancel *m)
{
    struct reader r = reader_of(body);
    m->count = read_count(&r, 11);
    m->items = m->count ? xcalloc(m->count, sizeof *m->items) : NULL;
    for (size_t i = 0; i < m->count; i++) {
        m->items[i].seq = read_seq(&r);
        m->items[i].attempt = read_attempt(&r);
        m->items[i].batch = read_number(&r);
    }
    return reader_end(&r);
}

void cancel_free(struct cancel *m)
{
    free(m->items);
    *m = (struct cancel){0};
}

void released_put(struct buf *to, const struct released *m)
{
    ranges_put(to, &m->tasks);
}

enum error released_take(struct bytes body, struct released *m)
{
    struct reader r = reader_of(body);
    read_ranges(&r, &m->tasks);
    return reader_end(&r);
}

void released_free(struct released *m)
{
    seqset_free(&m->tasks);
}

void sink_news_put(struct buf *to, const struct sink_news *m)
{
    varint_put(to, m->epoch);
    put_octets(to, m->results);
    varint_put(to, m->wants);
}

enum error sink_news_take(struct bytes body, struct sink_news *m)
{
    struct reader r = reader_of(body);
    m->epoch = read_number(&r);
    m->results = read_octets(&r);
    m->wants = read_number(&r);
    return reader_end(&r);
}

void stop_put(struct buf *to, const struct stop *m)
{
    varint_put(to, m->reason);
    varint_put(to, m->batch);
}

enum error stop_take(struct bytes body, struct stop *m)
{
    struct reader r = reader_of(body);
    m->reason = read_number(&r);
    m->batch = read_number(&r);
    return reader_end(&r);
}

void verdict_put(struct buf *to, const struct verdict *m)
{
    varint_put(to, m->count);
    for (size_t i = 0; i < m->count; i++) {
        const struct verdict_item *item = &m->items[i];
        varint_put(to, item->status);
        varint_put(to, item->first);
        varint_put(to, item->last);
        varint_put(to, item->tries);
        put_octets(to, item->task);
    }
}

static void read_verdict_item(struct reader *r, struct verdict_item *item)
{
    uint64_t status = read_number(r);
    item->first = read_seq(r);
    item->last = read_seq(r);
    item->tries = read_number(r);
    item->task = read_octets(r);
    if (status != RESULT_LOST && status != RESULT_TASK_TOO_LARGE)
        reader_fail(r, ERR_MALFORMED);
    item->status = (enum result_status)status;
    if (item->last < item->first)
        reader_fail(r, ERR_MALFORMED);
}

enum error verdict_take(struct bytes body, struct verdict *m)
{
    struct reader r = reader_of(body);
    m->count = read_count(&r, 5);
    m->items = m->count ? xcalloc(m->count, sizeof *m->items) : NULL;
    for (size_t i = 0; i < m->count && !r.error; i++)
        read_verdict_item(&r, &m->items[i]);
    return reader_end(&r);
}

void verdict_free(struct verdict *m)
{
    free(m->items);
    *m = (struct verdict){0};
}

void status_put(struct buf *to, const struct status *m)
{
    const uint64_t numbers[] = {m->total, m->read, m->queued, m->out, m->flags, m->workers};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        varint_put(to, numbers[i]);
}

enum error status_take(struct bytes body, struct status *m)
{
    struct reader r = reader_of(body);
    uint64_t *const numbers[] = {&m->total, &m->read, &m->queued, &m->out, &m->flags, &m->workers};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = read_number(&r);
    return reader_end(&r);
}

void done_put(struct buf *to, const struct done *m)
{
    varint_put(to, m->total);
    ranges_put(to, &m->not_run);
    varint_put(to, m->flags);
    varint_put(to, m->workers);
}

enum error done_take(struct bytes body, struct done *m)
{
    struct reader r = reader_of(body);
    m->total = read_number(&r);
    read_ranges(&r, &m->not_run);
    m->flags = read_number(&r);
    m->workers = read_number(&r);
    return reader_end(&r);
}

void done_free(struct done *m)
{
    seqset_free(&m->not_run);
}

/* ---- lane ---- */

void tasks_begin(struct buf *to, uint64_t batch)
{
    varint_put(to, batch);
}

void task_run_put(struct buf *to, const struct task_run *run)
{
    varint_put(to, run->first);
    varint_put(to, run->count);
    varint_put(to, run->number);
    varint_put(to, run->tries);
    varint_put(to, run->flags);
    put_octets(to, run->records);
}

void tasks_head_write(struct buf *message, struct frame_head head, uint64_t batch,
                      const struct task_run *run)
{
    assert(message->size >= TASKS_HEAD_SIZE && run->flags < 0x80);
    struct buf frame = {0};
    wire_begin(&frame, KIND_TASKS, head);
    memcpy(message->data, frame.data, FRAME_HEAD_SIZE);
    buf_free(&frame);
    uint8_t *at = message->data + FRAME_HEAD_SIZE;
    varint_write_padded(at, batch, 10);
    varint_write_padded(at + 10, run->first, 10);
    varint_write_padded(at + 20, run->count, 10);
    varint_write_padded(at + 30, run->number, 5);
    varint_write_padded(at + 35, run->tries, 5);
    varint_write_padded(at + 40, run->flags, 1);
    varint_write_padded(at + 41, message->size - TASKS_HEAD_SIZE, 10);
}

enum error tasks_take(struct bytes body, uint64_t *batch, struct bytes *runs)
{
    struct reader r = reader_of(body);
    *batch = read_number(&r);
    *runs = read_rest(&r);
    return r.error;
}

/* What task runs and result runs share: consecutive numbers that stay below the largest one. */
static void read_run_numbers(struct reader *r, uint64_t *first, uint64_t *count)
{
    *first = read_seq(r);
    *count = read_number(r);
    if (*count == 0 || *count >= UINT64_MAX - *first)
        reader_fail(r, ERR_MALFORMED);
}

enum error task_run_take(struct bytes *runs, struct task_run *run)
{
    struct reader r = reader_of(*runs);
    read_run_numbers(&r, &run->first, &run->count);
    run->number = read_number32(&r);
    run->tries = read_number32(&r);
    run->flags = read_number(&r);
    run->records = read_octets(&r);
    struct bytes rest = read_rest(&r);
    if (r.error)
        return r.error;
    struct bytes records = run->records;
    struct task task;
    for (uint64_t i = 0; i < run->count; i++) {
        enum error error = task_take(&records, &task);
        if (error)
            return error;
    }
    if (records.size)
        return ERR_TRAILING;
    *runs = rest;
    return ERR_NONE;
}

/* ---- results ---- */

void results_begin(struct buf *to, const struct results_head *m)
{
    varint_put(to, m->batch);
    varint_put(to, m->floor);
    put_octets(to, m->worker);
}

void result_run_put(struct buf *to, const struct result_run *run)
{
    varint_put(to, run->first);
    varint_put(to, run->count);
    put_attempt(to, run->attempt);
    varint_put(to, run->tries);
    put_octets(to, run->records);
}

enum error results_take(struct bytes body, struct results_head *m, struct bytes *runs)
{
    struct reader r = reader_of(body);
    m->batch = read_number(&r);
    m->floor = read_number(&r);
    m->worker = read_octets(&r);
    *runs = read_rest(&r);
    return r.error;
}

enum error result_run_take(struct bytes *runs, struct result_run *run)
{
    struct reader r = reader_of(*runs);
    read_run_numbers(&r, &run->first, &run->count);
    run->attempt = read_attempt(&r);
    run->tries = read_number32(&r);
    run->records = read_octets(&r);
    struct bytes rest = read_rest(&r);
    if (!r.error && run->count > run->records.size) /* a record takes two bytes at least */
        reader_fail(&r, ERR_TRUNCATED);
    if (!r.error)
        *runs = rest;
    return r.error;
}

void piece_put(struct buf *to, const struct piece *m)
{
    put_octets(to, m->worker);
    varint_put(to, m->seq);
    put_attempt(to, m->attempt);
    varint_put(to, m->tries);
    varint_put(to, m->offset);
    varint_put(to, m->total);
    put_octets(to, m->content);
}

enum error piece_take(struct bytes body, struct piece *m)
{
    struct reader r = reader_of(body);
    m->worker = read_octets(&r);
    m->seq = read_seq(&r);
    m->attempt = read_attempt(&r);
    m->tries = read_number32(&r);
    m->offset = read_number(&r);
    m->total = read_number(&r);
    m->content = read_octets(&r);
    if (m->offset > m->total || m->content.size > m->total - m->offset)
        reader_fail(&r, ERR_MALFORMED);
    return reader_end(&r);
}
