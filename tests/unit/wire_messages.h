/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WIRE_MESSAGES_H
#define ZFARM_WIRE_MESSAGES_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"
#include "tests/codec.h"

/* Every message as a table of its fields, so that one test fills each with random values, encodes
 * and decodes it, and compares field by field. */
enum field_kind {
    FIELD_END,
    FIELD_NUMBER,   /* uint64_t, any value */
    FIELD_SEQ,      /* uint64_t, a task's number */
    FIELD_NUMBER32, /* uint32_t */
    FIELD_BOOL,
    FIELD_STATUS, /* enum result_status of a verdict */
    FIELD_REASON, /* enum returned_reason */
    FIELD_WHEN,   /* enum halt_when of a HALT */
    FIELD_RULE,   /* struct halt_rule, or none */
    FIELD_OCTETS,
    FIELD_RANGES,
    FIELD_HASH,
    FIELD_TOKEN,
    FIELD_KEY,      /* or none */
    FIELD_ADMITTED, /* the whole message */
    FIELD_ATTEMPT,
    FIELD_PEER,
    FIELD_LIST /* a pointer at `offset`, a count at `count_offset`; each item has `fields` */
};

struct field {
    enum field_kind kind;
    size_t offset;
    size_t count_offset;
    size_t item_size;
    const struct field *fields;
    const char *name;
};

struct message {
    const char *name;
    const struct field *fields;
    struct codec codec;
};

#define NUMBER(s, f)                                                                               \
    {                                                                                              \
        FIELD_NUMBER, offsetof(struct s, f), 0, 0, NULL, #f                                        \
    }
#define FIELD(kind, s, f)                                                                          \
    {                                                                                              \
        kind, offsetof(struct s, f), 0, 0, NULL, #f                                                \
    }
#define LIST(s, items, count, item, fields)                                                        \
    {                                                                                              \
        FIELD_LIST, offsetof(struct s, items), offsetof(struct s, count), sizeof(struct item),     \
            fields, #items                                                                         \
    }
#define FIELDS(s, ...)                                                                             \
    static const struct field s##_fields[] = {__VA_ARGS__, {FIELD_END, 0, 0, 0, NULL, NULL}}
FIELDS(peer, NUMBER(peer, instance), FIELD(FIELD_OCTETS, peer, name),
       FIELD(FIELD_OCTETS, peer, host), FIELD(FIELD_OCTETS, peer, release), NUMBER(peer, pid));
FIELDS(running_attempt, FIELD(FIELD_SEQ, running_attempt, seq),
       FIELD(FIELD_ATTEMPT, running_attempt, attempt));
FIELDS(attempt_list, LIST(attempt_list, items, count, running_attempt, running_attempt_fields));
FIELDS(worker_join, FIELD(FIELD_PEER, worker_join, peer), NUMBER(worker_join, slots),
       NUMBER(worker_join, flags), FIELD(FIELD_HASH, worker_join, executor),
       LIST(worker_join, running.items, running.count, running_attempt, running_attempt_fields),
       FIELD(FIELD_RANGES, worker_join, kept), NUMBER(worker_join, features));
FIELDS(sink_join, FIELD(FIELD_PEER, sink_join, peer), NUMBER(sink_join, epoch),
       NUMBER(sink_join, flags), NUMBER(sink_join, total),
       FIELD(FIELD_HASH, sink_join, fingerprint), FIELD(FIELD_RANGES, sink_join, stored),
       NUMBER(sink_join, incarnation_max), FIELD(FIELD_OCTETS, sink_join, results),
       NUMBER(sink_join, wants), NUMBER(sink_join, opening), NUMBER(sink_join, features),
       FIELD(FIELD_RULE, sink_join, halt));
FIELDS(held_task, FIELD(FIELD_SEQ, held_task, seq), NUMBER(held_task, pid),
       FIELD(FIELD_OCTETS, held_task, command));
FIELDS(heartbeat, NUMBER(heartbeat, clock_ns), FIELD(FIELD_RANGES, heartbeat, running),
       FIELD(FIELD_RANGES, heartbeat, stopped),
       LIST(heartbeat, held, held_count, held_task, held_task_fields),
       NUMBER(heartbeat, results_stuck_ms));
FIELDS(credit, NUMBER(credit, tasks), NUMBER(credit, size_bytes), NUMBER(credit, reserve),
       NUMBER(credit, received_batch), NUMBER(credit, received_offset));
FIELDS(token, FIELD(FIELD_TOKEN, token, octets));
FIELDS(finished, FIELD(FIELD_RANGES, finished, tasks), NUMBER(finished, failed));
FIELDS(returned, FIELD(FIELD_RANGES, returned, tasks), FIELD(FIELD_REASON, returned, reason));
FIELDS(gap, NUMBER(gap, session), NUMBER(gap, batch));
FIELDS(arrival, NUMBER(arrival, session), NUMBER(arrival, batch), NUMBER(arrival, offset));
FIELDS(session_tasks, NUMBER(session_tasks, session), FIELD(FIELD_RANGES, session_tasks, tasks));
FIELDS(stored_note, NUMBER(stored_note, epoch), FIELD(FIELD_RANGES, stored_note, tasks),
       LIST(stored_note, gaps, gap_count, gap, gap_fields), NUMBER(stored_note, flags),
       LIST(stored_note, received, received_count, arrival, arrival_fields),
       LIST(stored_note, origins, origin_count, session_tasks, session_tasks_fields));
FIELDS(closed, NUMBER(closed, total), NUMBER(closed, ok), NUMBER(closed, failed),
       NUMBER(closed, lost), NUMBER(closed, not_run), NUMBER(closed, doubled),
       NUMBER(closed, status));
FIELDS(halt, FIELD(FIELD_WHEN, halt, when), FIELD(FIELD_SEQ, halt, seq), NUMBER(halt, status));
FIELDS(hashed_task, FIELD(FIELD_SEQ, hashed_task, seq), FIELD(FIELD_HASH, hashed_task, hash));
FIELDS(hashes, FIELD(FIELD_NUMBER, hashes, from),
       LIST(hashes, items, count, hashed_task, hashed_task_fields),
       FIELD(FIELD_BOOL, hashes, last));
FIELDS(worker_welcome, NUMBER(worker_welcome, heartbeat_ms), NUMBER(worker_welcome, limit_ms),
       FIELD(FIELD_OCTETS, worker_welcome, lanes), NUMBER(worker_welcome, wants),
       NUMBER(worker_welcome, epoch), FIELD(FIELD_OCTETS, worker_welcome, results),
       FIELD(FIELD_KEY, worker_welcome, sink), FIELD(FIELD_RANGES, worker_welcome, kill),
       FIELD(FIELD_RANGES, worker_welcome, have), NUMBER(worker_welcome, features),
       FIELD(FIELD_RULE, worker_welcome, halt));
FIELDS(sink_welcome, NUMBER(sink_welcome, heartbeat_ms), NUMBER(sink_welcome, limit_ms),
       NUMBER(sink_welcome, epoch), FIELD(FIELD_HASH, sink_welcome, fingerprint),
       NUMBER(sink_welcome, features));
FIELDS(again, NUMBER(again, session), NUMBER(again, reason), FIELD(FIELD_OCTETS, again, sentence));
FIELDS(received, NUMBER(received, batch), NUMBER(received, offset), NUMBER(received, flags));
FIELDS(protest, NUMBER(protest, session), NUMBER(protest, kind), NUMBER(protest, offset),
       FIELD(FIELD_OCTETS, protest, sentence));
FIELDS(refuse, NUMBER(refuse, reason), FIELD(FIELD_OCTETS, refuse, sentence));
FIELDS(cancel_item, FIELD(FIELD_SEQ, cancel_item, seq), FIELD(FIELD_ATTEMPT, cancel_item, attempt),
       NUMBER(cancel_item, batch));
FIELDS(cancel, LIST(cancel, items, count, cancel_item, cancel_item_fields));
FIELDS(released, FIELD(FIELD_RANGES, released, tasks));
FIELDS(sink_news, NUMBER(sink_news, epoch), FIELD(FIELD_OCTETS, sink_news, results),
       FIELD(FIELD_KEY, sink_news, sink), NUMBER(sink_news, wants));
FIELDS(stop, NUMBER(stop, reason), NUMBER(stop, batch));
FIELDS(verdict_item, FIELD(FIELD_STATUS, verdict_item, status),
       FIELD(FIELD_SEQ, verdict_item, first), FIELD(FIELD_SEQ, verdict_item, last),
       NUMBER(verdict_item, tries), FIELD(FIELD_OCTETS, verdict_item, task),
       FIELD(FIELD_OCTETS, verdict_item, workers));
FIELDS(verdict, LIST(verdict, items, count, verdict_item, verdict_item_fields));
FIELDS(status, NUMBER(status, total), NUMBER(status, read), NUMBER(status, queued),
       NUMBER(status, out), NUMBER(status, flags), NUMBER(status, workers),
       FIELD(FIELD_HASH, status, executor), NUMBER(status, slots));
FIELDS(done, NUMBER(done, total), FIELD(FIELD_RANGES, done, not_run), NUMBER(done, flags),
       NUMBER(done, workers));
FIELDS(piece, FIELD(FIELD_OCTETS, piece, worker), FIELD(FIELD_SEQ, piece, seq),
       FIELD(FIELD_ATTEMPT, piece, attempt), FIELD(FIELD_NUMBER32, piece, tries),
       NUMBER(piece, offset), NUMBER(piece, total), FIELD(FIELD_OCTETS, piece, content));

FIELDS(because_item, FIELD(FIELD_RANGES, because_item, tasks), NUMBER(because_item, more),
       FIELD(FIELD_OCTETS, because_item, sentence));
FIELDS(admitted, {FIELD_ADMITTED, 0, 0, 0, NULL, "keys"});
FIELDS(because, LIST(because, items, count, because_item, because_item_fields));

#define MESSAGE(s)                                                                                 \
    {                                                                                              \
#s, s##_fields, CODEC(s)                                                                   \
    }
static const struct message messages[] = {
    MESSAGE(worker_join),   MESSAGE(sink_join), MESSAGE(heartbeat),      MESSAGE(credit),
    MESSAGE(token),         MESSAGE(finished),  MESSAGE(attempt_list),   MESSAGE(returned),
    MESSAGE(stored_note),   MESSAGE(closed),    MESSAGE(worker_welcome), MESSAGE(sink_welcome),
    MESSAGE(refuse),        MESSAGE(cancel),    MESSAGE(released),       MESSAGE(sink_news),
    MESSAGE(stop),          MESSAGE(verdict),   MESSAGE(status),         MESSAGE(done),
    MESSAGE(piece),         MESSAGE(hashes),    MESSAGE(halt),           MESSAGE(because),
    MESSAGE(admitted),      MESSAGE(again),     MESSAGE(received),       MESSAGE(protest),
    MESSAGE(session_tasks),
};
enum { MESSAGE_COUNT = sizeof messages / sizeof *messages };

/* ---- random values ---- */

static inline uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Small and large ones alike. */
static inline uint64_t random_number(uint64_t *seed)
{
    uint64_t bits = random_next(seed) % 65;
    return bits == 0 ? 0 : random_next(seed) >> (64 - bits);
}

static inline uint64_t random_seq(uint64_t *seed)
{
    uint64_t seq = random_number(seed);
    return seq == 0 || seq == UINT64_MAX ? 1 : seq;
}

static const uint8_t random_octets[200] =
    "some octets, of which a message has the first few \x00\xff";

static inline void fill(uint8_t *m, const struct field *fields, uint64_t *seed);

static inline void fill_list(uint8_t *m, const struct field *f, uint64_t *seed)
{
    size_t count = random_next(seed) % 5;
    uint8_t *items = count ? xcalloc(count, f->item_size) : NULL;
    for (size_t i = 0; i < count; i++)
        fill(items + i * f->item_size, f->fields, seed);
    memcpy(m + f->offset, &items, sizeof items);
    memcpy(m + f->count_offset, &count, sizeof count);
}

static inline void fill_ranges(struct seqset *set, uint64_t *seed)
{
    for (uint64_t i = random_next(seed) % 6; i > 0; i--) {
        uint64_t first = random_seq(seed), more = random_number(seed) % 1000;
        seqset_add(set, first, more < UINT64_MAX - 1 - first ? first + more : first);
    }
}

static inline struct key random_key(uint64_t *seed)
{
    struct key key;
    for (size_t i = 0; i < KEY_SIZE; i++)
        key.octets[i] = (uint8_t)(random_next(seed) >> 8);
    return key;
}

static inline void fill_field(uint8_t *at, const struct field *f, uint64_t *seed)
{
    switch (f->kind) {
    case FIELD_NUMBER:
        *(uint64_t *)(void *)at = random_number(seed);
        break;
    case FIELD_SEQ:
        *(uint64_t *)(void *)at = random_seq(seed);
        break;
    case FIELD_NUMBER32:
        *(uint32_t *)(void *)at = (uint32_t)random_number(seed);
        break;
    case FIELD_BOOL:
        *(bool *)at = random_next(seed) % 2;
        break;
    case FIELD_STATUS:
        *(enum result_status *)(void *)at =
            random_next(seed) % 2 ? RESULT_LOST : RESULT_TASK_TOO_LARGE;
        break;
    case FIELD_REASON:
        *(enum returned_reason *)(void *)at = (enum returned_reason)(random_next(seed) % 4);
        break;
    case FIELD_WHEN:
        *(enum halt_when *)(void *)at = random_next(seed) % 2 ? HALT_SOON : HALT_NOW;
        break;
    case FIELD_RULE:
        if (random_next(seed) % 2)
            *(struct halt_rule *)(void *)at =
                (struct halt_rule){random_next(seed) % 2 ? HALT_SOON : HALT_NOW,
                                   (enum halt_why)(random_next(seed) % 3), random_seq(seed), false};
        break;
    case FIELD_OCTETS:
        *(struct bytes *)(void *)at = (struct bytes){random_octets, random_next(seed) % 200};
        break;
    case FIELD_RANGES:
        fill_ranges((struct seqset *)(void *)at, seed);
        break;
    case FIELD_HASH:
        *(struct hash *)(void *)at = (struct hash){random_next(seed), random_next(seed)};
        break;
    case FIELD_TOKEN:
        for (size_t i = 0; i < TOKEN_SIZE; i++)
            at[i] = (uint8_t)random_next(seed);
        break;
    case FIELD_KEY:
        *(struct key *)at = random_next(seed) % 2 ? random_key(seed) : (struct key){{0}};
        break;
    case FIELD_ADMITTED:
        for (uint64_t i = random_next(seed) % 5; i > 0; i--) {
            struct key key = random_key(seed);
            admitted_add((struct admitted *)(void *)at, &key, KEY_WORKER);
        }
        break;
    case FIELD_ATTEMPT:
        *(struct attempt *)(void *)at =
            (struct attempt){random_number(seed), (uint32_t)random_number(seed)};
        break;
    case FIELD_PEER:
        fill(at, peer_fields, seed);
        break;
    case FIELD_LIST:
    case FIELD_END:
        break;
    }
}

static inline void fill(uint8_t *m, const struct field *fields, uint64_t *seed)
{
    for (const struct field *f = fields; f->kind != FIELD_END; f++) {
        if (f->kind == FIELD_LIST)
            fill_list(m, f, seed);
        else
            fill_field(m + f->offset, f, seed);
    }
}

/* ---- comparing ---- */

static inline bool same(const uint8_t *a, const uint8_t *b, const struct field *fields);

static inline bool same_list(const uint8_t *a, const uint8_t *b, const struct field *f)
{
    const uint8_t *items_a, *items_b;
    size_t count_a, count_b;
    memcpy(&items_a, a + f->offset, sizeof items_a);
    memcpy(&items_b, b + f->offset, sizeof items_b);
    memcpy(&count_a, a + f->count_offset, sizeof count_a);
    memcpy(&count_b, b + f->count_offset, sizeof count_b);
    for (size_t i = 0; i < count_a && i < count_b; i++)
        if (!same(items_a + i * f->item_size, items_b + i * f->item_size, f->fields))
            return false;
    return count_a == count_b;
}

static inline bool same_ranges(const struct seqset *a, const struct seqset *b)
{
    return a->count == b->count && a->members == b->members &&
           (a->count == 0 || memcmp(a->ranges, b->ranges, a->count * sizeof *a->ranges) == 0);
}

static inline bool same_admitted(const struct admitted *a, const struct admitted *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (!key_equal(&a->items[i].key, &b->items[i].key))
            return false;
    return a->count == b->count;
}

static inline bool same_rule(const struct halt_rule *a, const struct halt_rule *b)
{
    return a->when == b->when && a->why == b->why && a->count == b->count &&
           a->percent == b->percent;
}

static inline bool same_field(const void *a, const void *b, const struct field *f)
{
    switch (f->kind) {
    case FIELD_NUMBER:
    case FIELD_SEQ:
        return memcmp(a, b, sizeof(uint64_t)) == 0;
    case FIELD_NUMBER32:
        return memcmp(a, b, sizeof(uint32_t)) == 0;
    case FIELD_BOOL:
        return memcmp(a, b, sizeof(bool)) == 0;
    case FIELD_STATUS:
    case FIELD_REASON:
    case FIELD_WHEN:
        return memcmp(a, b, sizeof(int)) == 0;
    case FIELD_RULE:
        return same_rule(a, b);
    case FIELD_OCTETS:
        return bytes_equal(*(const struct bytes *)a, *(const struct bytes *)b);
    case FIELD_RANGES:
        return same_ranges(a, b);
    case FIELD_HASH:
        return hash_equal(*(const struct hash *)a, *(const struct hash *)b);
    case FIELD_TOKEN:
        return memcmp(a, b, TOKEN_SIZE) == 0;
    case FIELD_KEY:
        return key_equal(a, b);
    case FIELD_ADMITTED:
        return same_admitted(a, b);
    case FIELD_ATTEMPT:
        return attempt_equal(*(const struct attempt *)a, *(const struct attempt *)b);
    case FIELD_PEER:
        return same(a, b, peer_fields);
    case FIELD_LIST:
    case FIELD_END:
        break;
    }
    return true;
}

static inline bool same(const uint8_t *a, const uint8_t *b, const struct field *fields)
{
    for (const struct field *f = fields; f->kind != FIELD_END; f++)
        if (f->kind == FIELD_LIST ? !same_list(a, b, f)
                                  : !same_field(a + f->offset, b + f->offset, f))
            return false;
    return true;
}

#endif
