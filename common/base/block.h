/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_BLOCK_H
#define ZFARM_BLOCK_H

#include "common/base/bytes.h"

/* A message's bytes with a count of those who hold them.
 *
 * The ledger and the worker's kept results hold the very bytes that were given to libzmq. libzmq
 * lets go of them on its own thread, so the count is atomic; it is the one thing that threads
 * share. The bytes are written before the block is given away and never after. */
struct block;

/* A block that takes over the memory of `*content`, which is empty afterwards. Count 1. */
struct block *block_new(struct buf *content);
struct block *block_copy(struct bytes content); /* a block with a copy. Count 1. */
/* A block around memory that another owner made (a received message): when the last holder lets go,
 * `release (owner)` is called, on that holder's thread. Count 1. */
struct block *block_adopt(struct bytes content, void (*release)(void *owner), void *owner);
/* A block around a file's mapping of `content.size` bytes, which is unmapped at the end. Count 1. */
struct block *block_map(struct bytes content);
/* `part` of it will not be read soon: where it is a mapping its pages are given back, for they count as
 * this process's once they were read. They can be read again. */
void block_cool(const struct block *block, struct bytes part);
struct block *block_hold(struct block *block); /* one holder more; returns block */
/* True if the block has another holder besides the caller. */
bool block_is_shared(const struct block *block);
void block_release(struct block **block); /* one holder less; sets *block to NULL; takes NULL */
struct bytes block_bytes(const struct block *block); /* valid while held */
/* block_release in the shape of zmq_free_fn: `hint` is the block, `data` is ignored. */
void block_release_message(void *data, void *hint);

#endif
