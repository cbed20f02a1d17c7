/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/wire.h"

#include <stdlib.h>

#include "common/wire/fields.h"
#include "common/base/varint.h"
#include "common/base/xalloc.h"

/* What the ventilator says on control. */

enum { WELCOME_FEATURES = 1, WELCOME_HALT, WELCOME_TAGS };

void worker_welcome_put(struct buf *to, const struct worker_welcome *m)
{
    varint_put(to, ROLE_WORKER);
    varint_put(to, m->heartbeat_ms);
    varint_put(to, m->limit_ms);
    octets_put(to, m->lanes);
    varint_put(to, m->wants);
    varint_put(to, m->epoch);
    octets_put(to, m->results);
    key_or_none_put(to, &m->sink);
    ranges_put(to, &m->kill);
    ranges_put(to, &m->have);
    struct tagged t = {0};
    struct buf content = {0};
    tagged_add_number(&t, WELCOME_FEATURES, m->features);
    halt_rule_put(&content, &m->halt);
    tagged_add_buf(&t, WELCOME_HALT, &content);
    tagged_put(to, &t);
    buf_free(&content);
}

enum error worker_welcome_take(struct bytes body, struct worker_welcome *m)
{
    struct fields r = fields_of(body);
    fields_role(&r, ROLE_WORKER);
    m->heartbeat_ms = fields_number(&r);
    m->limit_ms = fields_number(&r);
    m->lanes = fields_octets(&r);
    m->wants = fields_number(&r);
    m->epoch = fields_number(&r);
    m->results = fields_octets(&r);
    m->sink = fields_key_or_none(&r);
    fields_ranges(&r, &m->kill);
    fields_ranges(&r, &m->have);
    struct bytes tags[WELCOME_TAGS] = {{0}};
    fields_tags(&r, tags, WELCOME_TAGS);
    m->features = fields_tag_number(&r, tags[WELCOME_FEATURES]);
    m->halt = fields_tag_halt_rule(&r, tags[WELCOME_HALT]);
    return fields_end(&r);
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
    hash_put(to, m->fingerprint);
    struct tagged t = {0};
    tagged_add_number(&t, WELCOME_FEATURES, m->features);
    tagged_put(to, &t);
}

enum error sink_welcome_take(struct bytes body, struct sink_welcome *m)
{
    struct fields r = fields_of(body);
    fields_role(&r, ROLE_SINK);
    m->heartbeat_ms = fields_number(&r);
    m->limit_ms = fields_number(&r);
    m->epoch = fields_number(&r);
    m->fingerprint = fields_hash(&r);
    struct bytes tags[WELCOME_TAGS] = {{0}};
    fields_tags(&r, tags, WELCOME_TAGS);
    m->features = fields_tag_number(&r, tags[WELCOME_FEATURES]);
    return fields_end(&r);
}

void refuse_put(struct buf *to, const struct refuse *m)
{
    varint_put(to, m->reason);
    octets_put(to, m->sentence);
}

enum error refuse_take(struct bytes body, struct refuse *m)
{
    struct fields r = fields_of(body);
    m->reason = fields_number(&r);
    m->sentence = fields_octets(&r);
    return fields_end(&r);
}

void again_put(struct buf *to, const struct again *m)
{
    varint_put(to, m->session);
    varint_put(to, m->reason);
    octets_put(to, m->sentence);
}

enum error again_take(struct bytes body, struct again *m)
{
    struct fields r = fields_of(body);
    m->session = fields_number(&r);
    m->reason = fields_number(&r);
    m->sentence = fields_octets(&r);
    return fields_end(&r);
}

void received_put(struct buf *to, const struct received *m)
{
    varint_put(to, m->batch);
    varint_put(to, m->offset);
    varint_put(to, m->flags);
}

enum error received_take(struct bytes body, struct received *m)
{
    struct fields r = fields_of(body);
    m->batch = fields_number(&r);
    m->offset = fields_number(&r);
    m->flags = fields_number(&r);
    return fields_end(&r);
}

void protest_put(struct buf *to, const struct protest *m)
{
    u64_put(to, m->session);
    varint_put(to, m->kind);
    varint_put(to, m->offset);
    octets_put(to, m->sentence);
}

enum error protest_take(struct bytes body, struct protest *m)
{
    struct fields r = fields_of(body);
    m->session = fields_u64(&r);
    m->kind = fields_number(&r);
    m->offset = fields_number(&r);
    m->sentence = fields_octets(&r);
    return fields_end(&r);
}

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

void cancel_put(struct buf *to, const struct cancel *m)
{
    varint_put(to, m->count);
    for (size_t i = 0; i < m->count; i++) {
        varint_put(to, m->items[i].seq);
        attempt_put(to, m->items[i].attempt);
        varint_put(to, m->items[i].batch);
    }
}

enum error cancel_take(struct bytes body, struct cancel *m)
{
    struct fields r = fields_of(body);
    m->count = fields_count(&r, 11);
    m->items = m->count ? xcalloc(m->count, sizeof *m->items) : NULL;
    for (size_t i = 0; i < m->count; i++) {
        m->items[i].seq = fields_seq(&r);
        m->items[i].attempt = fields_attempt(&r);
        m->items[i].batch = fields_number(&r);
    }
    return fields_end(&r);
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
    struct fields r = fields_of(body);
    fields_ranges(&r, &m->tasks);
    return fields_end(&r);
}

void released_free(struct released *m)
{
    seqset_free(&m->tasks);
}

void admitted_put(struct buf *to, const struct admitted *m)
{
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++)
        count += (m->items[i].roles & KEY_WORKER) != 0;
    varint_put(to, count);
    for (size_t i = 0; i < m->count; i++)
        if (m->items[i].roles & KEY_WORKER)
            key_put(to, &m->items[i].key);
}

enum error admitted_take(struct bytes body, struct admitted *m)
{
    struct fields r = fields_of(body);
    size_t count = fields_count(&r, KEY_SIZE);
    if (count > ADMITTED_MAX)
        fields_fail(&r, ERR_TOO_LARGE);
    for (size_t i = 0; i < count && !r.error; i++) {
        struct key key = fields_key(&r);
        if (!r.error && !admitted_add(m, &key, KEY_WORKER))
            fields_fail(&r, ERR_MALFORMED);
    }
    return fields_end(&r);
}

void sink_news_put(struct buf *to, const struct sink_news *m)
{
    varint_put(to, m->epoch);
    octets_put(to, m->results);
    key_or_none_put(to, &m->sink);
    varint_put(to, m->wants);
}

enum error sink_news_take(struct bytes body, struct sink_news *m)
{
    struct fields r = fields_of(body);
    m->epoch = fields_number(&r);
    m->results = fields_octets(&r);
    m->sink = fields_key_or_none(&r);
    m->wants = fields_number(&r);
    return fields_end(&r);
}

void stop_put(struct buf *to, const struct stop *m)
{
    varint_put(to, m->reason);
    varint_put(to, m->batch);
}

enum error stop_take(struct bytes body, struct stop *m)
{
    struct fields r = fields_of(body);
    m->reason = fields_number(&r);
    m->batch = fields_number(&r);
    return fields_end(&r);
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
        octets_put(to, item->task);
        octets_put(to, item->workers);
    }
}

static void read_verdict_item(struct fields *r, struct verdict_item *item)
{
    uint64_t status = fields_number(r);
    item->first = fields_seq(r);
    item->last = fields_seq(r);
    item->tries = fields_number(r);
    item->task = fields_octets(r);
    item->workers = fields_octets(r);
    if (status != RESULT_LOST && status != RESULT_TASK_TOO_LARGE)
        fields_fail(r, ERR_MALFORMED);
    item->status = (enum result_status)status;
    if (item->last < item->first)
        fields_fail(r, ERR_MALFORMED);
}

enum error verdict_take(struct bytes body, struct verdict *m)
{
    struct fields r = fields_of(body);
    m->count = fields_count(&r, 6);
    m->items = m->count ? xcalloc(m->count, sizeof *m->items) : NULL;
    for (size_t i = 0; i < m->count && !r.error; i++)
        read_verdict_item(&r, &m->items[i]);
    return fields_end(&r);
}

void verdict_free(struct verdict *m)
{
    free(m->items);
    *m = (struct verdict){0};
}

enum { STATUS_SLOTS = 1, STATUS_TAGS };

void status_put(struct buf *to, const struct status *m)
{
    struct tagged t = {0};
    const uint64_t numbers[] = {m->total, m->read, m->queued, m->out, m->flags, m->workers};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        varint_put(to, numbers[i]);
    hash_put(to, m->executor);
    tagged_add_number(&t, STATUS_SLOTS, m->slots);
    tagged_put(to, &t);
}

enum error status_take(struct bytes body, struct status *m)
{
    struct fields r = fields_of(body);
    uint64_t *const numbers[] = {&m->total, &m->read, &m->queued, &m->out, &m->flags, &m->workers};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = fields_number(&r);
    m->executor = fields_hash(&r);
    struct bytes tags[STATUS_TAGS] = {{0}};
    fields_tags(&r, tags, STATUS_TAGS);
    m->slots = fields_tag_number(&r, tags[STATUS_SLOTS]);
    return fields_end(&r);
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
    struct fields r = fields_of(body);
    m->total = fields_number(&r);
    fields_ranges(&r, &m->not_run);
    m->flags = fields_number(&r);
    m->workers = fields_number(&r);
    return fields_end(&r);
}

void done_free(struct done *m)
{
    seqset_free(&m->not_run);
}

void because_put(struct buf *to, const struct because *m)
{
    varint_put(to, m->count);
    for (size_t i = 0; i < m->count; i++) {
        ranges_put(to, &m->items[i].tasks);
        varint_put(to, m->items[i].more);
        octets_put(to, m->items[i].sentence);
    }
}

enum error because_take(struct bytes body, struct because *m)
{
    struct fields r = fields_of(body);
    m->count = fields_count(&r, 3);
    m->items = m->count ? xcalloc(m->count, sizeof *m->items) : NULL;
    for (size_t i = 0; i < m->count && !r.error; i++) {
        fields_ranges(&r, &m->items[i].tasks);
        m->items[i].more = fields_number(&r);
        m->items[i].sentence = fields_octets(&r);
    }
    return fields_end(&r);
}

void because_free(struct because *m)
{
    for (size_t i = 0; i < m->count; i++)
        seqset_free(&m->items[i].tasks);
    free(m->items);
    *m = (struct because){0};
}
