/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/wire.h"

#include <stdlib.h>
#include <string.h>

#include "common/wire/fields.h"
#include "common/base/varint.h"
#include "common/base/xalloc.h"

/* What workers and the sink say on control. */

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
        attempt_put(to, m->items[i].attempt);
    }
}

static void read_attempts(struct fields *r, struct attempt_list *list)
{
    size_t count = fields_count(r, 10);
    if (count > list->capacity) { /* at once, for a stranger's may be long */
        list->items = xrealloc(list->items, count * sizeof *list->items);
        list->capacity = count;
    }
    for (size_t i = 0; i < count && !r->error; i++) {
        uint64_t seq = fields_seq(r);
        struct attempt attempt = fields_attempt(r);
        if (!r->error)
            attempt_list_add(list, seq, attempt);
    }
}

enum error attempt_list_take(struct bytes body, struct attempt_list *m)
{
    struct fields r = fields_of(body);
    read_attempts(&r, m);
    return fields_end(&r);
}

static void put_peer(struct buf *to, const struct peer *peer)
{
    u64_put(to, peer->instance);
    octets_put(to, peer->name);
    octets_put(to, peer->host);
    octets_put(to, peer->release);
    varint_put(to, peer->pid);
}

static void read_peer(struct fields *r, struct peer *peer)
{
    peer->instance = fields_u64(r);
    peer->name = fields_octets(r);
    peer->host = fields_octets(r);
    peer->release = fields_octets(r);
    peer->pid = fields_number(r);
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

void halt_rule_put(struct buf *to, const struct halt_rule *rule)
{
    if (!rule->when)
        return;
    varint_put(to, rule->when);
    varint_put(to, rule->why);
    varint_put(to, rule->count);
}

struct halt_rule fields_tag_halt_rule(struct fields *r, struct bytes tag)
{
    struct halt_rule rule = {0};
    if (!tag.data)
        return rule;
    struct fields f = fields_of(tag);
    uint64_t when = fields_number(&f), why = fields_number(&f);
    rule.count = fields_number(&f);
    if ((when != HALT_SOON && when != HALT_NOW) || why > HALT_DONE || rule.count == 0)
        fields_fail(&f, ERR_MALFORMED);
    rule.when = (enum halt_when)when;
    rule.why = (enum halt_why)why;
    fields_tag_end(r, &f);
    return rule;
}

enum { JOIN_FEATURES = 1, JOIN_TAGS, JOIN_HALT = 2, SINK_JOIN_TAGS };

static void put_features(struct buf *to, uint64_t features)
{
    struct tagged t = {0};
    tagged_add_number(&t, JOIN_FEATURES, features);
    tagged_put(to, &t);
}

static uint64_t read_features(struct fields *r)
{
    struct bytes tags[JOIN_TAGS] = {{0}};
    fields_tags(r, tags, JOIN_TAGS);
    return fields_tag_number(r, tags[JOIN_FEATURES]);
}

void worker_join_put(struct buf *to, const struct worker_join *m)
{
    varint_put(to, ROLE_WORKER);
    put_peer(to, &m->peer);
    varint_put(to, m->slots);
    varint_put(to, m->flags);
    hash_put(to, m->executor);
    attempt_list_put(to, &m->running);
    ranges_put(to, &m->kept);
    put_features(to, m->features);
}

enum error worker_join_take(struct bytes body, struct worker_join *m)
{
    struct fields r = fields_of(body);
    fields_role(&r, ROLE_WORKER);
    read_peer(&r, &m->peer);
    m->slots = fields_number(&r);
    m->flags = fields_number(&r);
    m->executor = fields_hash(&r);
    read_attempts(&r, &m->running);
    fields_ranges(&r, &m->kept);
    m->features = read_features(&r);
    return fields_end(&r);
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
    hash_put(to, m->fingerprint);
    ranges_put(to, &m->stored);
    u64_put(to, m->incarnation_max);
    octets_put(to, m->results);
    varint_put(to, m->wants);
    varint_put(to, m->opening);
    struct tagged t = {0};
    struct buf content = {0};
    tagged_add_number(&t, JOIN_FEATURES, m->features);
    halt_rule_put(&content, &m->halt);
    tagged_add_buf(&t, JOIN_HALT, &content);
    tagged_put(to, &t);
    buf_free(&content);
}

enum error sink_join_take(struct bytes body, struct sink_join *m)
{
    struct fields r = fields_of(body);
    fields_role(&r, ROLE_SINK);
    read_peer(&r, &m->peer);
    m->epoch = fields_number(&r);
    m->flags = fields_number(&r);
    m->total = fields_number(&r);
    m->fingerprint = fields_hash(&r);
    fields_ranges(&r, &m->stored);
    m->incarnation_max = fields_u64(&r);
    m->results = fields_octets(&r);
    m->wants = fields_number(&r);
    m->opening = fields_number(&r);
    struct bytes tags[SINK_JOIN_TAGS] = {{0}};
    fields_tags(&r, tags, SINK_JOIN_TAGS);
    m->features = fields_tag_number(&r, tags[JOIN_FEATURES]);
    m->halt = fields_tag_halt_rule(&r, tags[JOIN_HALT]);
    return fields_end(&r);
}

void sink_join_free(struct sink_join *m)
{
    seqset_free(&m->stored);
}

enum { HEARTBEAT_STOPPED = 1, HEARTBEAT_HELD, HEARTBEAT_STUCK, HEARTBEAT_TAGS };

void heartbeat_put(struct buf *to, const struct heartbeat *m)
{
    struct tagged t = {0};
    struct buf content = {0};
    u64_put(to, m->clock_ns);
    ranges_put(to, &m->running);
    if (!seqset_empty(&m->stopped))
        ranges_put(&content, &m->stopped);
    tagged_add_buf(&t, HEARTBEAT_STOPPED, &content);
    if (m->held_count)
        varint_put(&content, m->held_count);
    for (size_t i = 0; i < m->held_count; i++) {
        varint_put(&content, m->held[i].seq);
        varint_put(&content, m->held[i].pid);
        octets_put(&content, m->held[i].command);
    }
    tagged_add_buf(&t, HEARTBEAT_HELD, &content);
    tagged_add_number(&t, HEARTBEAT_STUCK, m->results_stuck_ms);
    tagged_put(to, &t);
    buf_free(&content);
}

static void read_held(struct fields *r, struct bytes content, struct heartbeat *m)
{
    struct fields f = fields_of(content);
    m->held_count = fields_count(&f, 3);
    if (m->held_count > HELD_MAX) {
        fields_fail(&f, ERR_MALFORMED);
        m->held_count = 0;
    }
    m->held = m->held_count ? xcalloc(m->held_count, sizeof *m->held) : NULL;
    for (size_t i = 0; i < m->held_count; i++) {
        m->held[i].seq = fields_seq(&f);
        m->held[i].pid = fields_number(&f);
        m->held[i].command = fields_octets(&f);
    }
    fields_tag_end(r, &f);
}

enum error heartbeat_take(struct bytes body, struct heartbeat *m)
{
    struct fields r = fields_of(body);
    struct bytes tags[HEARTBEAT_TAGS] = {{0}};
    m->clock_ns = fields_u64(&r);
    fields_ranges(&r, &m->running);
    fields_tags(&r, tags, HEARTBEAT_TAGS);
    if (tags[HEARTBEAT_STOPPED].data) {
        struct fields content = fields_of(tags[HEARTBEAT_STOPPED]);
        fields_ranges(&content, &m->stopped);
        fields_tag_end(&r, &content);
    }
    if (tags[HEARTBEAT_HELD].data)
        read_held(&r, tags[HEARTBEAT_HELD], m);
    m->results_stuck_ms = fields_tag_number(&r, tags[HEARTBEAT_STUCK]);
    return fields_end(&r);
}

void heartbeat_free(struct heartbeat *m)
{
    seqset_free(&m->running);
    seqset_free(&m->stopped);
    free(m->held);
    m->held = NULL;
    m->held_count = 0;
}

enum { CREDIT_RECEIVED = 1, CREDIT_TAGS };

void credit_put(struct buf *to, const struct credit *m)
{
    varint_put(to, m->tasks);
    varint_put(to, m->size_bytes);
    varint_put(to, m->reserve);
    struct tagged t = {0};
    if (m->received_batch || m->received_offset) {
        uint8_t octets[2 * VARINT_SIZE_MAX];
        size_t size = varint_write(octets, m->received_batch);
        size += varint_write(octets + size, m->received_offset);
        tagged_add(&t, CREDIT_RECEIVED, (struct bytes){octets, size});
    }
    tagged_put(to, &t);
}

enum error credit_take(struct bytes body, struct credit *m)
{
    struct fields r = fields_of(body);
    m->tasks = fields_number(&r);
    m->size_bytes = fields_number(&r);
    m->reserve = fields_number(&r);
    m->received_batch = m->received_offset = 0;
    struct bytes tags[CREDIT_TAGS] = {{0}};
    fields_tags(&r, tags, CREDIT_TAGS);
    if (tags[CREDIT_RECEIVED].data) {
        struct fields content = fields_of(tags[CREDIT_RECEIVED]);
        m->received_batch = fields_number(&content);
        m->received_offset = fields_number(&content);
        fields_tag_end(&r, &content);
    }
    return fields_end(&r);
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
    struct fields r = fields_of(body);
    fields_ranges(&r, &m->tasks);
    m->failed = fields_number(&r);
    return fields_end(&r);
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
    struct fields r = fields_of(body);
    fields_ranges(&r, &m->tasks);
    uint64_t reason = fields_number(&r);
    if (reason > RETURNED_INTERRUPTED)
        fields_fail(&r, ERR_MALFORMED);
    m->reason = (enum returned_reason)reason;
    return fields_end(&r);
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

enum { STORED_RECEIVED = 1, STORED_ORIGINS, STORED_TAGS };

static void put_stored_tags(struct buf *to, const struct stored_note *m)
{
    struct tagged t = {0};
    struct buf content = {0};
    if (m->received_count)
        varint_put(&content, m->received_count);
    for (size_t i = 0; i < m->received_count; i++) {
        u64_put(&content, m->received[i].session);
        varint_put(&content, m->received[i].batch);
        varint_put(&content, m->received[i].offset);
    }
    tagged_add_buf(&t, STORED_RECEIVED, &content);
    if (m->origin_count)
        varint_put(&content, m->origin_count);
    for (size_t i = 0; i < m->origin_count; i++)
        session_tasks_put(&content, &m->origins[i]);
    tagged_add_buf(&t, STORED_ORIGINS, &content);
    tagged_put(to, &t);
    buf_free(&content);
}

static void read_received(struct fields *r, struct bytes content, struct stored_note *m)
{
    struct fields f = fields_of(content);
    m->received_count = fields_count(&f, 10);
    m->received = m->received_count ? xcalloc(m->received_count, sizeof *m->received) : NULL;
    for (size_t i = 0; i < m->received_count; i++) {
        m->received[i].session = fields_u64(&f);
        m->received[i].batch = fields_number(&f);
        m->received[i].offset = fields_number(&f);
    }
    fields_tag_end(r, &f);
}

static void read_session_tasks(struct fields *f, struct session_tasks *m)
{
    m->session = fields_u64(f);
    fields_ranges(f, &m->tasks);
}

static void read_origins(struct fields *r, struct bytes content, struct stored_note *m)
{
    struct fields f = fields_of(content);
    m->origin_count = fields_count(&f, 9);
    m->origins = m->origin_count ? xcalloc(m->origin_count, sizeof *m->origins) : NULL;
    for (size_t i = 0; i < m->origin_count && !f.error; i++)
        read_session_tasks(&f, &m->origins[i]);
    fields_tag_end(r, &f);
}

void stored_note_put(struct buf *to, const struct stored_note *m)
{
    varint_put(to, m->epoch);
    ranges_put(to, &m->tasks);
    varint_put(to, m->gap_count);
    for (size_t i = 0; i < m->gap_count; i++) {
        u64_put(to, m->gaps[i].session);
        varint_put(to, m->gaps[i].batch);
    }
    varint_put(to, m->flags);
    put_stored_tags(to, m);
}

enum error stored_note_take(struct bytes body, struct stored_note *m)
{
    struct fields r = fields_of(body);
    m->epoch = fields_number(&r);
    fields_ranges(&r, &m->tasks);
    m->gap_count = fields_count(&r, 9);
    m->gaps = m->gap_count ? xcalloc(m->gap_count, sizeof *m->gaps) : NULL;
    for (size_t i = 0; i < m->gap_count; i++) {
        m->gaps[i].session = fields_u64(&r);
        m->gaps[i].batch = fields_number(&r);
    }
    m->flags = fields_number(&r);
    struct bytes tags[STORED_TAGS] = {{0}};
    fields_tags(&r, tags, STORED_TAGS);
    if (tags[STORED_RECEIVED].data)
        read_received(&r, tags[STORED_RECEIVED], m);
    if (tags[STORED_ORIGINS].data)
        read_origins(&r, tags[STORED_ORIGINS], m);
    return fields_end(&r);
}

void stored_note_free(struct stored_note *m)
{
    seqset_free(&m->tasks);
    free(m->gaps);
    free(m->received);
    for (size_t i = 0; i < m->origin_count; i++)
        session_tasks_free(&m->origins[i]);
    free(m->origins);
    m->gaps = NULL;
    m->received = NULL;
    m->origins = NULL;
    m->gap_count = m->received_count = m->origin_count = 0;
}

void session_tasks_put(struct buf *to, const struct session_tasks *m)
{
    u64_put(to, m->session);
    ranges_put(to, &m->tasks);
}

enum error session_tasks_take(struct bytes body, struct session_tasks *m)
{
    struct fields r = fields_of(body);
    read_session_tasks(&r, m);
    return fields_end(&r);
}

void session_tasks_free(struct session_tasks *m)
{
    seqset_free(&m->tasks);
}

void closed_put(struct buf *to, const struct closed *m)
{
    const uint64_t numbers[] = {m->total,   m->ok,      m->failed, m->lost,
                                m->not_run, m->doubled, m->status};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        varint_put(to, numbers[i]);
}

enum error closed_take(struct bytes body, struct closed *m)
{
    struct fields r = fields_of(body);
    uint64_t *const numbers[] = {&m->total,   &m->ok,      &m->failed, &m->lost,
                                 &m->not_run, &m->doubled, &m->status};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = fields_number(&r);
    return fields_end(&r);
}

void halt_put(struct buf *to, const struct halt *m)
{
    varint_put(to, m->when);
    varint_put(to, m->seq);
    varint_put(to, m->status);
}

enum error halt_take(struct bytes body, struct halt *m)
{
    struct fields r = fields_of(body);
    uint64_t when = fields_number(&r);
    m->seq = fields_seq(&r);
    m->status = fields_number(&r);
    if (when != HALT_SOON && when != HALT_NOW)
        fields_fail(&r, ERR_MALFORMED);
    m->when = (enum halt_when)when;
    return fields_end(&r);
}

void hashes_put(struct buf *to, const struct hashes *m)
{
    varint_put(to, m->from);
    varint_put(to, m->last);
    varint_put(to, m->count);
    for (size_t i = 0; i < m->count; i++) {
        varint_put(to, m->items[i].seq);
        hash_put(to, m->items[i].hash);
    }
}

enum error hashes_take(struct bytes body, struct hashes *m)
{
    struct fields r = fields_of(body);
    m->from = fields_seq(&r);
    m->last = fields_number(&r) & 1;
    m->count = fields_count(&r, 17);
    m->items = m->count ? xcalloc(m->count, sizeof *m->items) : NULL;
    for (size_t i = 0; i < m->count; i++) {
        m->items[i].seq = fields_seq(&r);
        m->items[i].hash = fields_hash(&r);
        if (m->items[i].seq < (i ? m->items[i - 1].seq + 1 : m->from))
            fields_fail(&r, ERR_MALFORMED);
    }
    if (!m->count && !m->last)
        fields_fail(&r, ERR_MALFORMED); /* then it would say nothing */
    return fields_end(&r);
}

void hashes_free(struct hashes *m)
{
    free(m->items);
    *m = (struct hashes){0};
}
