/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FIELDS_H
#define ZFARM_FIELDS_H

#include "common/base/error.h"
#include "common/base/key.h"
#include "common/base/seqset.h"
#include "common/wire/task.h"

/* The fields that messages are made of (docs/protocol.md, 3), octet by octet.
 *
 * Owns nothing: slices point into what is read. Decides what of one field is malformed. Called by layout.c for messages
 * with a table, and by wire_batches.c and result.c, which are written by hand. Calls varint.h.
 *
 * Reading: a cursor over a body. The first error sticks; after it every read gives zeros, so that a
 * message is read field by field and looked at once, in fields_end. */
struct fields {
    const uint8_t *at;
    const uint8_t *end;
    enum error error;
};

struct fields fields_of(struct bytes body);
void fields_fail(struct fields *f, enum error error);
enum error fields_end(struct fields *f); /* ERR_TRAILING if something is left */

uint64_t fields_number(struct fields *f);
uint32_t fields_number32(struct fields *f); /* ERR_MALFORMED if it is larger */
uint64_t fields_seq(struct fields *f);      /* likewise if it is no task's number */
uint64_t fields_u64(struct fields *f);
struct bytes fields_octets(struct fields *f);
struct bytes fields_rest(struct fields *f);
struct attempt fields_attempt(struct fields *f);
struct hash fields_hash(struct fields *f);
void fields_fixed(struct fields *f, uint8_t *to, size_t size); /* octets without their size */
struct key fields_key(struct fields *f);
struct key fields_key_or_none(struct fields *f);
/* A count of things of which each takes at least `item_size` bytes: more than fit is an error at
 * once, so that a lying count costs no memory. */
size_t fields_count(struct fields *f, size_t item_size);
void fields_ranges(struct fields *f, struct seqset *set); /* adds to `set`, also before an error */
/* A tagged part: how many, then each: tag, its content. The contents of tags 1 .. count - 1 go into
 * `contents`, whose data stays NULL for one that is not there; other tags are skipped.
 * ERR_MALFORMED if a tag is not larger than the one before. */
void fields_tags(struct fields *f, struct bytes *contents, size_t count);
/* Ends the content of a tag: ERR_MALFORMED for `f` if it could not be read, or goes on. */
void fields_tag_end(struct fields *f, struct fields *content);
uint64_t fields_tag_number(struct fields *f, struct bytes content); /* 0 if it is not there */

/* Writing. */
void u64_put(struct buf *to, uint64_t value);
void octets_put(struct buf *to, struct bytes octets);
void attempt_put(struct buf *to, struct attempt attempt);
void hash_put(struct buf *to, struct hash hash);
void key_put(struct buf *to, const struct key *key);
void key_or_none_put(struct buf *to, const struct key *key);
void ranges_put(struct buf *to, const struct seqset *set);
/* A tagged part: tag by tag in growing order, and then the whole. Zero-initialised has none. */
struct tagged {
    struct buf parts;
    uint64_t count;
};
void tagged_add(struct tagged *t, unsigned tag, struct bytes content);
void tagged_put(struct buf *to, struct tagged *t); /* frees it */

#endif
