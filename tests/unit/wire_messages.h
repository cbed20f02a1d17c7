/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WIRE_MESSAGES_H
#define ZFARM_WIRE_MESSAGES_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"
#include "tests/decoded.h"

/* Every message by the table of its fields, so that one test fills each with random values, encodes
 * and decodes it, and compares field by field. */
struct message_list {
    const struct layout *layouts[64];
    size_t count;
};

static inline void message_list_add(struct message_list *list, const struct layout *layout)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->layouts[i] == layout)
            return;
    if (layout)
        list->layouts[list->count++] = layout;
}

/* Each once, though several kinds may share it. */
static inline struct message_list all_messages(void)
{
#define X(name, code) name,
    static const enum wire_kind kinds[] = {WIRE_KIND_LIST(X)};
#undef X
    struct message_list list = {0};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        message_list_add(&list, wire_layout(kinds[i], bytes_of("\1")));
        message_list_add(&list, wire_layout(kinds[i], bytes_of("\2")));
    }
    return list;
}

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

static inline uint64_t random_allowed(const struct field *f, uint64_t *seed)
{
    uint64_t number = random_number(seed);
    return f->max && (number < f->min || number > f->max) ? f->min + number % (f->max - f->min + 1)
                                                          : number;
}

static inline void fill_keys(struct admitted *keys, uint64_t *seed)
{
    for (uint64_t i = random_next(seed) % 5; i > 0; i--) {
        struct key key = random_key(seed);
        admitted_add(keys, &key, KEY_WORKER);
    }
}

static inline void fill_field(uint8_t *m, const struct field *f, uint64_t *seed)
{
    void *at = m + f->offset;
    switch (f->kind) {
    case FIELD_NUMBER:
    case FIELD_FLAGS:
    case FIELD_U64:
        *(uint64_t *)at = random_allowed(f, seed);
        break;
    case FIELD_NUMBER32:
    case FIELD_CHOICE:
        *(uint32_t *)at = (uint32_t)random_allowed(f, seed);
        break;
    case FIELD_BIT:
        *(bool *)at = random_next(seed) % 2;
        break;
    case FIELD_TEXT:
    case FIELD_OCTETS:
    case FIELD_REST:
        *(struct bytes *)at = (struct bytes){random_octets, random_next(seed) % 200};
        break;
    case FIELD_RANGES:
        fill_ranges(at, seed);
        break;
    case FIELD_HASH:
        *(struct hash *)at = (struct hash){random_next(seed), random_next(seed)};
        break;
    case FIELD_TOKEN:
        memcpy(at, random_octets, TOKEN_SIZE);
        break;
    case FIELD_KEY:
        *(struct key *)at = random_next(seed) % 2 ? random_key(seed) : (struct key){{0}};
        break;
    case FIELD_KEYS:
        fill_keys(at, seed);
        break;
    case FIELD_ATTEMPT:
        *(struct attempt *)at =
            (struct attempt){random_number(seed), (uint32_t)random_number(seed)};
        break;
    case FIELD_STRUCT: /* in a tag: or nothing */
        if (!f->tag || random_next(seed) % 2)
            fill(at, f->fields, seed);
        break;
    case FIELD_LIST:
        fill_list(m, f, seed);
        break;
    case FIELD_CONSTANT:
        break;
    }
}

static inline void fill(uint8_t *m, const struct field *fields, uint64_t *seed)
{
    for (const struct field *f = fields; f->name; f++)
        fill_field(m, f, seed);
}

/* The rules that a few messages have between their fields. */
static inline void make_valid(const struct layout *message, union decoded *m)
{
    if (strcmp(message->name, "verdict") == 0) {
        struct verdict *verdict = (struct verdict *)(void *)m;
        for (size_t i = 0; i < verdict->count; i++)
            if (verdict->items[i].last < verdict->items[i].first)
                verdict->items[i].last = verdict->items[i].first;
    } else if (strcmp(message->name, "hashes") == 0) {
        struct hashes *hashes = (struct hashes *)(void *)m;
        hashes->from = (hashes->from >> 1) + 1;
        for (size_t i = 0; i < hashes->count; i++)
            hashes->items[i].seq = i ? hashes->items[i - 1].seq + 1 : hashes->from;
        hashes->last |= !hashes->count;
    } else if (strcmp(message->name, "piece") == 0) {
        struct piece *piece = (struct piece *)(void *)m;
        piece->offset >>= 1;
        piece->total = piece->offset + piece->content.size;
    }
}

/* A kind that has this layout for such a body. */
static inline enum wire_kind kind_of(const struct layout *layout, struct bytes body)
{
#define X(name, code)                                                                              \
    if (wire_layout(name, body) == layout)                                                         \
        return name;
    WIRE_KIND_LIST(X)
#undef X
    cr_assert_fail("no message is a %s", layout->name);
    abort();
}

/* ---- comparing ---- */

static inline bool same(const uint8_t *a, const uint8_t *b, const struct field *fields);

static inline bool same_list(const uint8_t *a, const uint8_t *b, const struct field *f)
{
    struct field_list one = field_list_of(f, a), other = field_list_of(f, b);
    for (size_t i = 0; i < one.count && i < other.count; i++)
        if (!same(one.items + i * f->item_size, other.items + i * f->item_size, f->fields))
            return false;
    return one.count == other.count;
}

static inline bool same_ranges(const struct seqset *a, const struct seqset *b)
{
    return a->count == b->count && a->members == b->members &&
           (a->count == 0 || memcmp(a->ranges, b->ranges, a->count * sizeof *a->ranges) == 0);
}

static inline bool same_keys(const struct admitted *a, const struct admitted *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (!key_equal(&a->items[i].key, &b->items[i].key))
            return false;
    return a->count == b->count;
}

static inline bool same_field(const uint8_t *m, const uint8_t *n, const struct field *f)
{
    const void *a = m + f->offset, *b = n + f->offset;
    switch (f->kind) {
    case FIELD_NUMBER:
    case FIELD_FLAGS:
    case FIELD_U64:
        return *(const uint64_t *)a == *(const uint64_t *)b;
    case FIELD_NUMBER32:
    case FIELD_CHOICE:
        return *(const uint32_t *)a == *(const uint32_t *)b;
    case FIELD_BIT:
        return *(const bool *)a == *(const bool *)b;
    case FIELD_TEXT:
    case FIELD_OCTETS:
    case FIELD_REST:
        return bytes_equal(*(const struct bytes *)a, *(const struct bytes *)b);
    case FIELD_RANGES:
        return same_ranges(a, b);
    case FIELD_HASH:
        return hash_equal(*(const struct hash *)a, *(const struct hash *)b);
    case FIELD_TOKEN:
        return memcmp(a, b, TOKEN_SIZE) == 0;
    case FIELD_KEY:
        return key_equal(a, b);
    case FIELD_KEYS:
        return same_keys(a, b);
    case FIELD_ATTEMPT:
        return attempt_equal(*(const struct attempt *)a, *(const struct attempt *)b);
    case FIELD_STRUCT:
        return same(a, b, f->fields);
    case FIELD_LIST:
        return same_list(m, n, f);
    case FIELD_CONSTANT:
        break;
    }
    return true;
}

static inline bool same(const uint8_t *a, const uint8_t *b, const struct field *fields)
{
    for (const struct field *f = fields; f->name; f++)
        if (!same_field(a, b, f))
            return false;
    return true;
}

#endif
