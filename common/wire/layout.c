/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/layout.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/varint.h"
#include "common/base/xalloc.h"
#include "common/wire/fields.h"

enum { TAGS_MAX = 8 };

/* For each kind: the size of its value in the struct, if that owns no memory, and the fewest octets in a body. */
static const struct {
    size_t size, least;
} field_sizes[] = {
    [FIELD_NUMBER] = {sizeof(uint64_t), 1},
    [FIELD_FLAGS] = {sizeof(uint64_t), 1},
    [FIELD_NUMBER32] = {sizeof(uint32_t), 1},
    [FIELD_U64] = {sizeof(uint64_t), 8},
    [FIELD_CHOICE] = {sizeof(unsigned), 1},
    [FIELD_BIT] = {sizeof(bool), 1},
    [FIELD_CONSTANT] = {0, 1},
    [FIELD_TEXT] = {sizeof(struct bytes), 1},
    [FIELD_OCTETS] = {sizeof(struct bytes), 1},
    [FIELD_REST] = {sizeof(struct bytes), 0},
    [FIELD_RANGES] = {0, 1},
    [FIELD_ATTEMPT] = {sizeof(struct attempt), 9},
    [FIELD_HASH] = {sizeof(struct hash), 16},
    [FIELD_TOKEN] = {TOKEN_SIZE, TOKEN_SIZE},
    [FIELD_KEY] = {sizeof(struct key), 1},
    [FIELD_KEYS] = {0, 1},
    [FIELD_STRUCT] = {0, 0}, /* those of its fields */
    [FIELD_LIST] = {0, 1},
};

static const void *const_at(const struct field *f, const void *m)
{
    return (const uint8_t *)m + f->offset;
}

static void *field_at(const struct field *f, void *m)
{
    return (uint8_t *)m + f->offset;
}

struct field_list field_list_of(const struct field *f, const void *m)
{
    struct field_list list;
    memcpy(&list.items, const_at(f, m), sizeof list.items);
    memcpy(&list.count, (const uint8_t *)m + f->count_offset, sizeof list.count);
    return list;
}

static void list_set(const struct field *f, void *m, void *items, size_t count)
{
    memcpy(field_at(f, m), &items, sizeof items);
    memcpy((uint8_t *)m + f->count_offset, &count, sizeof count);
    if (f->capacity_offset)
        memcpy((uint8_t *)m + f->capacity_offset, &count, sizeof count);
}

/* The first row behind those that have the tag of `f`. */
static const struct field *behind_tag(const struct field *f)
{
    const struct field *behind = f;
    while (behind->name && behind->tag == f->tag)
        behind++;
    return behind;
}

/* ---- writing ---- */

bool field_is_none(const struct field *f, const void *m)
{
    const void *at = const_at(f, m);
    switch (f->kind) {
    case FIELD_NUMBER:
    case FIELD_FLAGS:
    case FIELD_U64:
        return *(const uint64_t *)at == 0;
    case FIELD_CHOICE:
        return *(const unsigned *)at == 0;
    case FIELD_RANGES:
        return seqset_empty(at);
    case FIELD_STRUCT:
        return field_is_none(f->fields, at);
    case FIELD_LIST:
        return field_list_of(f, m).count == 0;
    case FIELD_NUMBER32:
    case FIELD_BIT:
    case FIELD_CONSTANT:
    case FIELD_TEXT:
    case FIELD_OCTETS:
    case FIELD_REST:
    case FIELD_ATTEMPT:
    case FIELD_HASH:
    case FIELD_TOKEN:
    case FIELD_KEY:
    case FIELD_KEYS:
        break;
    }
    return false;
}

static void keys_put(struct buf *to, const struct admitted *keys)
{
    size_t count = 0;
    for (size_t i = 0; i < keys->count; i++)
        count += (keys->items[i].roles & KEY_WORKER) != 0;
    varint_put(to, count);
    for (size_t i = 0; i < keys->count; i++)
        if (keys->items[i].roles & KEY_WORKER)
            key_put(to, &keys->items[i].key);
}

static void table_put(struct buf *to, const struct field *f, const void *m);

static void list_put(struct buf *to, const struct field *f, const void *m)
{
    struct field_list list = field_list_of(f, m);
    varint_put(to, list.count);
    for (size_t i = 0; i < list.count; i++)
        table_put(to, f->fields, list.items + i * f->item_size);
}

static void field_put(struct buf *to, const struct field *f, const void *m)
{
    const void *at = const_at(f, m);
    switch (f->kind) {
    case FIELD_NUMBER:
    case FIELD_FLAGS:
        varint_put(to, *(const uint64_t *)at);
        break;
    case FIELD_NUMBER32:
        varint_put(to, *(const uint32_t *)at);
        break;
    case FIELD_U64:
        u64_put(to, *(const uint64_t *)at);
        break;
    case FIELD_CHOICE:
        varint_put(to, *(const unsigned *)at);
        break;
    case FIELD_BIT:
        varint_put(to, *(const bool *)at);
        break;
    case FIELD_CONSTANT:
        varint_put(to, f->min);
        break;
    case FIELD_TEXT:
    case FIELD_OCTETS:
        octets_put(to, *(const struct bytes *)at);
        break;
    case FIELD_REST:
        buf_put_bytes(to, *(const struct bytes *)at);
        break;
    case FIELD_RANGES:
        ranges_put(to, at);
        break;
    case FIELD_ATTEMPT:
        attempt_put(to, *(const struct attempt *)at);
        break;
    case FIELD_HASH:
        hash_put(to, *(const struct hash *)at);
        break;
    case FIELD_TOKEN:
        buf_put(to, at, TOKEN_SIZE);
        break;
    case FIELD_KEY:
        key_or_none_put(to, at);
        break;
    case FIELD_KEYS:
        keys_put(to, at);
        break;
    case FIELD_STRUCT:
        table_put(to, f->fields, at);
        break;
    case FIELD_LIST:
        list_put(to, f, m);
        break;
    }
}

/* Appends the content of the tag that `f` begins, which is empty if it means nothing. */
static void content_put(struct buf *to, const struct field *f, const void *m)
{
    const struct field *behind = behind_tag(f);
    bool is_none = true;
    for (const struct field *row = f; row < behind; row++)
        is_none = is_none && field_is_none(row, m);
    for (const struct field *row = f; row < behind && !is_none; row++)
        field_put(to, row, m);
}

static void tags_put(struct buf *to, const struct field *f, const void *m)
{
    struct buf content = {0};
    size_t count_at = to->size;
    buf_put_byte(to, 0); /* fewer than TAGS_MAX */
    for (; f->name; f = behind_tag(f)) {
        buf_clear(&content);
        content_put(&content, f, m);
        if (content.size) {
            to->data[count_at]++;
            varint_put(to, f->tag);
            octets_put(to, buf_bytes(&content));
        }
    }
    buf_free(&content);
}

static void table_put(struct buf *to, const struct field *f, const void *m)
{
    for (; f->name && !f->tag; f++)
        field_put(to, f, m);
    if (f->name)
        tags_put(to, f, m);
}

void layout_put(struct buf *to, const struct layout *layout, const void *m)
{
    table_put(to, layout->fields, m);
}

/* ---- reading ---- */

static uint64_t number_of(struct fields *r, const struct field *f)
{
    uint64_t number = fields_number(r);
    if (f->max && (number < f->min || number > f->max))
        fields_fail(r, ERR_MALFORMED);
    return number;
}

static void constant_take(struct fields *r, uint64_t number)
{
    if (fields_number(r) != number)
        fields_fail(r, ERR_MALFORMED);
}

static void keys_take(struct fields *r, struct admitted *keys)
{
    size_t count = fields_count(r, KEY_SIZE);
    if (count > ADMITTED_MAX)
        fields_fail(r, ERR_TOO_LARGE);
    for (size_t i = 0; i < count && !r->error; i++) {
        struct key key = fields_key(r);
        if (!r->error && !admitted_add(keys, &key, KEY_WORKER))
            fields_fail(r, ERR_MALFORMED);
    }
}

static void table_take(struct fields *r, const struct field *f, void *m);

/* The fewest octets that an item of these fields takes. */
static size_t least_octets(const struct field *f)
{
    size_t least = 0;
    for (; f->name; f++)
        least += field_sizes[f->kind].least;
    return least;
}

static void list_take(struct fields *r, const struct field *f, void *m)
{
    size_t count = fields_count(r, least_octets(f->fields));
    if (f->max && count > f->max) {
        fields_fail(r, ERR_MALFORMED);
        count = 0;
    }
    uint8_t *items = count ? xcalloc(count, f->item_size) : NULL;
    list_set(f, m, items, count);
    for (size_t i = 0; i < count && !r->error; i++)
        table_take(r, f->fields, items + i * f->item_size);
}

static void field_take(struct fields *r, const struct field *f, void *m)
{
    void *at = field_at(f, m);
    switch (f->kind) {
    case FIELD_NUMBER:
    case FIELD_FLAGS:
        *(uint64_t *)at = number_of(r, f);
        break;
    case FIELD_NUMBER32:
        *(uint32_t *)at = fields_number32(r);
        break;
    case FIELD_U64:
        *(uint64_t *)at = fields_u64(r);
        break;
    case FIELD_CHOICE:
        *(unsigned *)at = (unsigned)number_of(r, f);
        break;
    case FIELD_BIT:
        *(bool *)at = fields_number(r) & 1;
        break;
    case FIELD_CONSTANT:
        constant_take(r, f->min);
        break;
    case FIELD_TEXT:
    case FIELD_OCTETS:
        *(struct bytes *)at = fields_octets(r);
        break;
    case FIELD_REST:
        *(struct bytes *)at = fields_rest(r);
        break;
    case FIELD_RANGES:
        fields_ranges(r, at);
        break;
    case FIELD_ATTEMPT:
        *(struct attempt *)at = fields_attempt(r);
        break;
    case FIELD_HASH:
        *(struct hash *)at = fields_hash(r);
        break;
    case FIELD_TOKEN:
        fields_fixed(r, at, TOKEN_SIZE);
        break;
    case FIELD_KEY:
        *(struct key *)at = fields_key_or_none(r);
        break;
    case FIELD_KEYS:
        keys_take(r, at);
        break;
    case FIELD_STRUCT:
        table_take(r, f->fields, at);
        break;
    case FIELD_LIST:
        list_take(r, f, m);
        break;
    }
}

/* The value that means nothing. Sets and lists have it from the start. */
static void field_clear(const struct field *f, void *m)
{
    memset(field_at(f, m), 0, field_sizes[f->kind].size);
    for (const struct field *row = f->kind == FIELD_STRUCT ? f->fields : NULL; row && row->name;
         row++)
        field_clear(row, field_at(f, m));
}

static void tags_take(struct fields *r, const struct field *f, void *m)
{
    struct bytes contents[TAGS_MAX] = {{0}};
    fields_tags(r, contents, TAGS_MAX);
    while (f->name) {
        const struct field *behind = behind_tag(f);
        struct bytes content = contents[f->tag];
        struct fields inside = fields_of(content);
        for (; f < behind; f++)
            if (content.data)
                field_take(&inside, f, m);
            else
                field_clear(f, m);
        if (content.data)
            fields_tag_end(r, &inside);
    }
}

static void table_take(struct fields *r, const struct field *f, void *m)
{
    for (; f->name && !f->tag; f++)
        field_take(r, f, m);
    if (f->name)
        tags_take(r, f, m);
}

enum error layout_take(struct bytes body, const struct layout *layout, void *m)
{
    struct fields r = fields_of(body);
    table_take(&r, layout->fields, m);
    if (!r.error && layout->makes_sense && !layout->makes_sense(m))
        fields_fail(&r, ERR_MALFORMED);
    return fields_end(&r);
}

/* ---- freeing ---- */

static void table_free(const struct field *f, void *m)
{
    for (; f->name; f++) {
        void *at = field_at(f, m);
        if (f->kind == FIELD_RANGES)
            seqset_free(at);
        else if (f->kind == FIELD_KEYS)
            admitted_free(at);
        else if (f->kind == FIELD_STRUCT)
            table_free(f->fields, at);
        else if (f->kind == FIELD_LIST) {
            uint8_t *items; /* NULL, whatever the count says: they have another owner */
            memcpy(&items, at, sizeof items);
            for (size_t i = 0; items && i < field_list_of(f, m).count; i++)
                table_free(f->fields, items + i * f->item_size);
            free(items);
            list_set(f, m, NULL, 0);
        }
    }
}

void layout_free(const struct layout *layout, void *m)
{
    table_free(layout->fields, m);
}
