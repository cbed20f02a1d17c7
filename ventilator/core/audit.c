/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/audit.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/splitmix.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/stored.h"

enum {
    SHOWN_MAX = 60, /* bytes of a task in a sentence */
    LIVES_APART = 1 << 20
};

void audit_free(struct audit *a)
{
    seqset_free(&a->stored);
    seqset_free(&a->unproven);
    seqset_free(&a->to_prove);
    free(a->hashes);
}

void audit_begin(struct dispatcher *d, const struct sink_join *join, uint64_t now_ns)
{
    assert(d->ledger.read == 0);
    /* A store that lost its last transactions with the power may have told another life the same. */
    if (join->incarnation_max >= d->options.incarnation)
        d->options.incarnation =
            join->incarnation_max + 1 + splitmix_next(&d->random) % LIVES_APART;
    audit_note_stored(d, &join->stored);
    if (join->incarnation_max && !d->options.is_first)
        d->audit.grace_until_ns = now_ns + d->options.limit_ns;
}

void audit_note_stored(struct dispatcher *d, const struct seqset *tasks)
{
    if (d->sink.terms.is_volatile)
        return; /* it has nothing from an earlier life */
    seqset_add_part(&d->audit.stored, tasks, d->ledger.read + 1, UINT64_MAX - 1);
}

bool audit_reads(const struct dispatcher *d)
{
    if (d->reading.ended)
        return false;
    bool has_room = d->ledger.bytes < d->options.queue_max_bytes; /* a worker may say anything */
    return !seqset_empty(&d->audit.stored) || (d->audit.wanted > d->ledger.read && has_room);
}

bool audit_holds(const struct dispatcher *d, uint64_t now_ns)
{
    return audit_reads(d) || now_ns < d->audit.grace_until_ns;
}

void audit_want(struct dispatcher *d, uint64_t seq)
{
    if (seq > d->audit.wanted)
        d->audit.wanted = seq;
}

void audit_doubt(struct dispatcher *d, uint64_t seq)
{
    seqset_add(&d->audit.unproven, seq, seq);
}

/* ---- asking ---- */

static void audit_ask(struct dispatcher *d, uint64_t from)
{
    struct buf m = {0};
    wire_begin(&m, KIND_CHECK, dispatcher_head(d, KIND_CHECK, d->sink.session));
    number_put(&m, from);
    dispatcher_send(d, d->sink.connection, &m);
    d->audit.asked = from;
}

/* Asks for what is needed next, if anything. */
static void ask_next(struct dispatcher *d)
{
    struct audit *a = &d->audit;
    if (a->asked || !d->sink.ready)
        return;
    if (!seqset_empty(&a->to_prove))
        audit_ask(d, seqset_min(&a->to_prove));
    else if (!seqset_empty(&a->stored) && d->ledger.read >= a->known)
        audit_ask(d, d->ledger.read + 1);
}

void audit_ask_again(struct dispatcher *d)
{
    d->audit.asked = 0;
    seqset_clear(&d->audit.to_prove);
    ask_next(d);
}

size_t audit_room(struct dispatcher *d)
{
    struct audit *a = &d->audit;
    uint64_t read = d->ledger.read, most = a->known > read ? a->known - read : 0;
    if (seqset_empty(&a->stored))
        most = a->wanted - read;
    else if (most == 0)
        ask_next(d);
    return most < BATCH_TASKS_MAX ? (size_t)most : BATCH_TASKS_MAX;
}

/* ---- comparing ---- */

static bool audit_is_known(struct hash hash)
{
    return hash.high || hash.low;
}

static void differs(struct dispatcher *d, uint64_t seq, struct task task)
{
    int size = task.body.size < SHOWN_MAX ? (int)task.body.size : SHOWN_MAX;
    dispatcher_exit(d, 255,
                    "task %llu of the input (%.*s) is not the one whose result is stored: this is "
                    "another input, or other options; give the store the input that it was made "
                    "from, or give another store",
                    (unsigned long long)seq, size, size ? (const char *)task.body.data : "");
}

/* The hash that the store has of the task, which must be in the last answer. */
static struct hash stored_hash(struct audit *a, uint64_t seq)
{
    while (a->hash_at < a->hash_count && a->hashes[a->hash_at].seq < seq)
        a->hash_at++;
    bool found = a->hash_at < a->hash_count && a->hashes[a->hash_at].seq == seq;
    return found ? a->hashes[a->hash_at].hash : (struct hash){0};
}

/* Tasks that are in the store: their numbers are all that is needed. */
static void pass_stored(struct dispatcher *d, uint64_t first, uint64_t last)
{
    seqset_remove(&d->audit.stored, first, last);
    ledger_pass(&d->ledger, last);
}

/* Tasks that are not: to be handed out when their turn comes. */
static void audit_keep(struct dispatcher *d, struct buf *records, uint64_t first, uint64_t last)
{
    struct block *block = block_new(records);
    ledger_append(&d->ledger, last - first + 1, &block, 0);
    seqset_add(&d->pending.queue, first, last);
}

void audit_take(struct dispatcher *d, size_t tasks, uint64_t now_ns)
{
    struct bytes all = buf_bytes(&d->reading.batch);
    struct bytes records = {all.data + TASKS_HEAD_SIZE, all.size - TASKS_HEAD_SIZE};
    uint64_t seq = d->ledger.read + 1, end = seq + tasks;
    while (seq < end && !d->end.exited) {
        struct buf run = {0};
        uint64_t first = seq;
        bool is_stored = seqset_has(&d->audit.stored, seq);
        for (; seq < end && seqset_has(&d->audit.stored, seq) == is_stored; seq++) {
            struct bytes record = records;
            struct task task;
            enum error error = task_take(&records, &task);
            assert(!error); /* the source has just made it */
            record.size -= records.size;
            if (!is_stored) {
                buf_put_bytes(&run, record);
                continue;
            }
            struct hash hash = stored_hash(&d->audit, seq);
            if (audit_is_known(hash) && !hash_equal(hash, task_hash(task))) {
                differs(d, seq, task);
                break;
            }
        }
        if (d->end.exited)
            return;
        if (is_stored)
            pass_stored(d, first, seq - 1);
        else
            audit_keep(d, &run, first, seq - 1);
    }
    d->turn_wanted = true;
    dispatcher_moved(d, now_ns);
}

void audit_take_too_large(struct dispatcher *d, uint64_t now_ns)
{
    uint64_t seq = d->ledger.read + 1;
    if (!seqset_has(&d->audit.stored, seq)) {
        struct block *none = NULL;
        pending_report_loss(d, ledger_append(&d->ledger, 1, &none, 0)->first);
    } else if (audit_is_known(stored_hash(&d->audit, seq))) {
        char text[64];
        snprintf(text, sizeof text, "longer than --task-max, which is %llu bytes",
                 (unsigned long long)d->options.task_max_bytes);
        differs(d, seq, (struct task){false, bytes_of(text)});
    } else {
        pass_stored(d, seq, seq);
    }
    d->turn_wanted = true;
    dispatcher_moved(d, now_ns);
}

void audit_input_ended(struct dispatcher *d)
{
    if (!seqset_empty(&d->audit.stored))
        dispatcher_exit(
            d, 255,
            "the input has %llu tasks, and a result of task %llu is stored: it is shorter "
            "than the one that the store was made from; give that one, or another store",
            (unsigned long long)d->ledger.read, (unsigned long long)seqset_max(&d->audit.stored));
}

/* ---- what workers brought ---- */

void audit_withhold(struct dispatcher *d, struct seqset *tasks)
{
    struct audit *a = &d->audit;
    if (seqset_empty(&a->unproven))
        return;
    for (size_t i = 0; i < a->unproven.count; i++)
        seqset_add_part(&a->to_prove, tasks, a->unproven.ranges[i].first,
                        a->unproven.ranges[i].last);
    seqset_remove_all(tasks, &a->to_prove);
    ask_next(d);
}

/* Returns false when it is another task. */
static bool prove(struct dispatcher *d, const struct hashed_task *item)
{
    struct entry *entry = ledger_find(&d->ledger, item->seq);
    if (!entry || !entry->block || !audit_is_known(item->hash))
        return true;
    struct bytes record = ledger_record(entry, item->seq);
    struct task task;
    enum error error = task_take(&record, &task);
    assert(!error);
    if (hash_equal(item->hash, task_hash(task)))
        return true;
    differs(d, item->seq, task);
    return false;
}

static void prove_some(struct dispatcher *d, const struct hashes *m, uint64_t now_ns)
{
    struct audit *a = &d->audit;
    struct seqset proven = {0};
    for (size_t i = 0; i < m->count && !d->end.exited; i++)
        if (seqset_has(&a->to_prove, m->items[i].seq) && prove(d, &m->items[i]))
            seqset_add(&proven, m->items[i].seq, m->items[i].seq);
    /* What is said to be stored and has no hash there is not stored: the next note will name it. */
    uint64_t last = m->count && !m->last ? m->items[m->count - 1].seq : UINT64_MAX - 1;
    seqset_remove(&a->to_prove, m->from, last);
    seqset_remove_all(&a->unproven, &proven);
    stored_take(d, &proven, now_ns);
    seqset_free(&proven);
}

void audit_hashes(struct dispatcher *d, struct bytes body, uint64_t now_ns)
{
    struct audit *a = &d->audit;
    struct hashes m = {0};
    if (hashes_take(body, &m) || m.from != a->asked) {
        d->protests.dropped++;
        hashes_free(&m);
        return;
    }
    a->asked = 0;
    if (!seqset_empty(&a->to_prove))
        prove_some(d, &m, now_ns);
    if (!seqset_empty(&a->stored) && m.from == d->ledger.read + 1) {
        free(a->hashes);
        a->hashes = m.items;
        a->hash_count = m.count;
        a->hash_at = 0;
        a->known = m.last ? UINT64_MAX : m.items[m.count - 1].seq;
        m.items = NULL;
    }
    hashes_free(&m);
    ask_next(d);
    d->turn_wanted = true;
    dispatcher_moved(d, now_ns);
}
