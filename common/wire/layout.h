/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_LAYOUT_H
#define ZFARM_LAYOUT_H

#include <stddef.h>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/key.h"
#include "common/base/seqset.h"
#include "common/wire/task.h"

/* How the body of a message is made of fields: a table of rows, and what goes through it.
 *
 * Owns nothing; a layout is constant. Decides what of a body is malformed.
 * Called by wire.h, which has a layout for each message and functions of its type. Calls fields.h, octet by octet.
 *
 *     static const struct field credit_fields[] = {
 *         {NUMBER(credit, tasks)},
 *         {NUMBER(credit, received_batch), .tag = 1},
 *         {0}};
 *
 * NUMBER and the like are those of layout_rows.h. Rows stand in the order of the body. Rows with a tag come last, in
 * growing order: they are the tagged part, in which rows of one tag are one content. It is not sent when all its rows
 * have the value that means nothing: 0, an empty set or list; and they have that value when it was not. */

enum field_kind {
    FIELD_NUMBER,   /* uint64_t from `min` to `max`; max 0: any */
    FIELD_FLAGS,    /* uint64_t, a set of bits */
    FIELD_NUMBER32, /* uint32_t */
    FIELD_U64,      /* uint64_t of 8 octets */
    FIELD_CHOICE,   /* an enum, from `min` to `max` */
    FIELD_BIT,      /* bool: the lowest bit of a number */
    FIELD_CONSTANT, /* `min`, which is no field of the struct */
    FIELD_TEXT,     /* struct bytes that are UTF-8 */
    FIELD_OCTETS,   /* struct bytes that are not */
    FIELD_REST,     /* struct bytes: a text up to the end, without its size */
    FIELD_RANGES,   /* struct seqset */
    FIELD_ATTEMPT,
    FIELD_HASH,
    FIELD_TOKEN,  /* TOKEN_SIZE octets that nobody else may know */
    FIELD_KEY,    /* struct key, or none */
    FIELD_KEYS,   /* struct admitted: those of its keys that are of workers */
    FIELD_STRUCT, /* a struct in the struct, of `fields`; it means nothing if its first field does */
    FIELD_LIST,   /* how many, at most `max` (0: any), then each of `fields` */
};

enum { TOKEN_SIZE = 16 };

struct field {
    const char *name; /* NULL: the row behind the last */
    enum field_kind kind;
    unsigned tag;  /* 0: none */
    size_t offset; /* in the struct; of FIELD_LIST that of a pointer to the items */
    uint64_t min, max;
    const char *const *
        words; /* what a number, or each bit of flags, is called; NULL entries are called nothing */
    size_t word_count;
    const struct field *fields;
    /* FIELD_LIST. */
    size_t item_size, count_offset;
    size_t capacity_offset; /* 0: there is none */
};

struct layout {
    const char *name; /* of the struct */
    size_t size;      /* of the struct */
    const struct field *fields;
    bool (*makes_sense)(const void *m); /* what holds between fields; NULL: nothing does */
};

/* `m` is the struct of the layout. layout_take: zero-initialised, if it has sets or lists; slices point into `body`.
 * ERR_TRUNCATED, ERR_MALFORMED, ERR_TOO_LARGE, ERR_TRAILING: what it holds is of no use, and layout_free is due all the
 * same. layout_free leaves sets and lists empty, and everything else as it was. */
void layout_put(struct buf *to, const struct layout *layout, const void *m);
enum error layout_take(struct bytes body, const struct layout *layout, void *m);
void layout_free(const struct layout *layout, void *m);

/* ---- for those that go through a table themselves ---- */

/* Whether the row has the value that means nothing. */
bool field_is_none(const struct field *f, const void *m);
struct field_list {
    const uint8_t *items;
    size_t count;
};
struct field_list field_list_of(const struct field *f, const void *m);

#endif
