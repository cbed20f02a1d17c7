/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_LAYOUT_ROWS_H
#define ZFARM_LAYOUT_ROWS_H

#include "common/wire/layout.h"

/* The words that tables of fields are written in: field f of struct s, which has to be of the type that the word says.
 * Owns and decides nothing; for the files with tables alone, since the names are short. */

/* Does not compile if the field is of another type. */
#define OFFSET_OF(type, s, f) _Generic(((struct s *)NULL)->f, type : offsetof(struct s, f))
#define FIELD_AT(type, s, f) .name = #f, .offset = OFFSET_OF(type, s, f)
#define NUMBER(s, f) FIELD_AT(uint64_t, s, f), .kind = FIELD_NUMBER
#define SEQ(s, f) NUMBER(s, f), .min = 1, .max = UINT64_MAX - 1 /* a task's number */
#define NUMBER32(s, f) FIELD_AT(uint32_t, s, f), .kind = FIELD_NUMBER32
#define U64(s, f) FIELD_AT(uint64_t, s, f), .kind = FIELD_U64
#define FLAGS(s, f, list) FIELD_AT(uint64_t, s, f), .kind = FIELD_FLAGS, WORDS(list)
#define CHOICE(s, f, least, most, list)                                                            \
    FIELD_AT(unsigned, s, f), .kind = FIELD_CHOICE, .min = least, .max = most, WORDS(list)
#define BIT(s, f) FIELD_AT(bool, s, f), .kind = FIELD_BIT
#define CONSTANT(word, number) .name = word, .kind = FIELD_CONSTANT, .min = number
#define TEXT(s, f) FIELD_AT(struct bytes, s, f), .kind = FIELD_TEXT
#define OCTETS(s, f) FIELD_AT(struct bytes, s, f), .kind = FIELD_OCTETS
#define REST(s, f) FIELD_AT(struct bytes, s, f), .kind = FIELD_REST
#define RANGES(s, f) FIELD_AT(struct seqset, s, f), .kind = FIELD_RANGES
#define ATTEMPT(s, f) FIELD_AT(struct attempt, s, f), .kind = FIELD_ATTEMPT
#define HASH(s, f) FIELD_AT(struct hash, s, f), .kind = FIELD_HASH
#define KEY(s, f) FIELD_AT(struct key, s, f), .kind = FIELD_KEY
#define STRUCT(s, f, type)                                                                         \
    FIELD_AT(struct type, s, f), .kind = FIELD_STRUCT, .fields = type##_fields
#define LIST(s, f, how_many, type) LIST_AT(#f, s, f, how_many, type)
#define LIST_AT(word, s, f, how_many, type)                                                        \
    .name = word, .kind = FIELD_LIST, .offset = OFFSET_OF(struct type *, s, f),                    \
    .fields = type##_fields, .item_size = sizeof(struct type),                                     \
    .count_offset = OFFSET_OF(size_t, s, how_many)
#define WORDS(list) .words = list, .word_count = sizeof list / sizeof *list

#endif
