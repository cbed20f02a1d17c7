/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/fields.h"

#include <string.h>

#include "common/base/varint.h"

struct fields fields_of(struct bytes body)
{
    /* No octets may have no address, and nothing is added to that. */
    return (struct fields){body.data, body.size ? body.data + body.size : body.data, ERR_NONE};
}

void fields_fail(struct fields *f, enum error error)
{
    if (!f->error)
        f->error = error;
    f->at = f->end;
}

enum error fields_end(struct fields *f)
{
    if (!f->error && f->at != f->end)
        f->error = ERR_TRAILING;
    return f->error;
}

uint64_t fields_number(struct fields *f)
{
    uint64_t value = 0;
    if (!varint_take(&f->at, f->end, &value))
        fields_fail(f, ERR_TRUNCATED);
    return value;
}

uint32_t fields_number32(struct fields *f)
{
    uint64_t value = fields_number(f);
    if (value > UINT32_MAX)
        fields_fail(f, ERR_MALFORMED);
    return (uint32_t)value;
}

uint64_t fields_u64(struct fields *f)
{
    if (f->end - f->at < 8) {
        fields_fail(f, ERR_TRUNCATED);
        return 0;
    }
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | *f->at++;
    return value;
}

struct bytes fields_octets(struct fields *f)
{
    uint64_t size = fields_number(f);
    if (size > (uint64_t)(f->end - f->at)) {
        fields_fail(f, ERR_TRUNCATED);
        return (struct bytes){0};
    }
    struct bytes octets = {f->at, (size_t)size};
    f->at += size;
    return octets;
}

struct bytes fields_rest(struct fields *f)
{
    struct bytes rest = {f->at, (size_t)(f->end - f->at)};
    f->at = f->end;
    return rest;
}

struct attempt fields_attempt(struct fields *f)
{
    uint64_t incarnation = fields_u64(f);
    return (struct attempt){incarnation, fields_number32(f)};
}

struct hash fields_hash(struct fields *f)
{
    uint64_t high = fields_u64(f);
    return (struct hash){high, fields_u64(f)};
}

void fields_fixed(struct fields *f, uint8_t *to, size_t size)
{
    if ((size_t)(f->end - f->at) < size) {
        fields_fail(f, ERR_TRUNCATED);
        memset(to, 0, size);
        return;
    }
    memcpy(to, f->at, size);
    f->at += size;
}

struct key fields_key(struct fields *f)
{
    struct key key;
    fields_fixed(f, key.octets, KEY_SIZE);
    return key;
}

struct key fields_key_or_none(struct fields *f)
{
    struct key key = {{0}};
    struct bytes octets = fields_octets(f);
    if (octets.size == KEY_SIZE)
        memcpy(key.octets, octets.data, KEY_SIZE);
    else if (octets.size)
        fields_fail(f, ERR_MALFORMED);
    return key;
}

size_t fields_count(struct fields *f, size_t item_size)
{
    uint64_t count = fields_number(f);
    if (count > (uint64_t)(f->end - f->at) / item_size) {
        fields_fail(f, ERR_TRUNCATED);
        return 0;
    }
    return (size_t)count;
}

void fields_ranges(struct fields *f, struct seqset *set)
{
    size_t count = fields_count(f, 2);
    uint64_t last = 0;
    for (size_t i = 0; i < count && !f->error; i++) {
        uint64_t gap = fields_number(f), more = fields_number(f);
        uint64_t room = UINT64_MAX - 1 - last;
        if (f->error)
            return;
        if (gap == 0 || gap > room || more > room - gap) {
            fields_fail(f, ERR_MALFORMED);
            return;
        }
        seqset_add(set, last + gap, last + gap + more);
        last += gap + more;
    }
}

void fields_tags(struct fields *f, struct bytes *contents, size_t count)
{
    uint64_t last = 0;
    for (uint64_t left = fields_number(f); left > 0 && !f->error; left--) {
        uint64_t tag = fields_number(f);
        struct bytes content = fields_octets(f);
        if (!f->error && tag <= last)
            fields_fail(f, ERR_MALFORMED);
        if (!f->error && tag < count)
            contents[tag] = content;
        last = tag;
    }
}

void fields_tag_end(struct fields *f, struct fields *content)
{
    if (fields_end(content))
        fields_fail(f, ERR_MALFORMED);
}

uint64_t fields_tag_number(struct fields *f, struct bytes content)
{
    if (!content.data)
        return 0;
    struct fields one = fields_of(content);
    uint64_t number = fields_number(&one);
    fields_tag_end(f, &one);
    return number;
}

void u64_put(struct buf *to, uint64_t value)
{
    uint8_t *at = buf_reserve(to, 8);
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (56 - 8 * i));
    to->size += 8;
}

void octets_put(struct buf *to, struct bytes octets)
{
    varint_put(to, octets.size);
    buf_put_bytes(to, octets);
}

void attempt_put(struct buf *to, struct attempt attempt)
{
    u64_put(to, attempt.incarnation);
    varint_put(to, attempt.number);
}

void hash_put(struct buf *to, struct hash hash)
{
    u64_put(to, hash.high);
    u64_put(to, hash.low);
}

void key_put(struct buf *to, const struct key *key)
{
    buf_put(to, key->octets, KEY_SIZE);
}

void key_or_none_put(struct buf *to, const struct key *key)
{
    octets_put(to, (struct bytes){key->octets, key_is_none(key) ? 0 : KEY_SIZE});
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

uint64_t fields_seq(struct fields *f)
{
    uint64_t seq = fields_number(f);
    if (seq == 0 || seq == UINT64_MAX)
        fields_fail(f, ERR_MALFORMED);
    return seq;
}

void tagged_add(struct tagged *t, unsigned tag, struct bytes content)
{
    varint_put(&t->parts, tag);
    octets_put(&t->parts, content);
    t->count++;
}

void tagged_put(struct buf *to, struct tagged *t)
{
    varint_put(to, t->count);
    buf_put_bytes(to, buf_bytes(&t->parts));
    buf_free(&t->parts);
}
