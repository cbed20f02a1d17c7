/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PIECES_H
#define ZFARM_PIECES_H

#include "common/base/block.h"
#include "common/wire/task.h"

/* The assembly of a payload that was too large for one frame and arrives as pieces, in order.
 *
 * A session sends one large payload at a time, so its receiver keeps one struct pieces a session.
 * Small payloads are put together in memory, larger ones in an unlinked temporary file; a peer that
 * only announces a size costs nothing until it sends the bytes. */
struct pieces_limits {
    size_t memory_max; /* a payload above it goes to a file */
    uint64_t size_max; /* a payload above it is refused */
    const char *tmpdir;
};

/* One piece, as it came. */
struct pieces_part {
    uint64_t seq;
    struct attempt attempt;
    uint64_t offset; /* of `bytes` in the payload */
    uint64_t total;  /* size of the payload; the same in all of its pieces */
    struct bytes bytes;
};

/* Zero-initialised is empty; embed it by value. */
struct pieces {
    bool open; /* an assembly is under way */
    bool in_file;
    int fd; /* when in_file */
    uint64_t seq;
    struct attempt attempt;
    uint64_t total;
    uint64_t received;
    struct buf memory;
    void *map; /* the complete payload, when it was in a file; or NULL */
    size_t map_size;
};

/* Adds a piece. One with offset 0 begins an assembly and drops the one that was under way.
 *
 * On ERR_NONE `*complete` says whether the payload is whole; then `*payload` is valid until the
 * next call with this struct. ERR_TOO_LARGE: over size_max. ERR_MALFORMED: it does not continue
 * what is under way (wrong task, attempt, offset or total), or is empty without being the whole:
 * the assembly has been dropped, the sender is not to be believed. ERR_DISK_FULL, ERR_IO: the
 * temporary file; nothing has changed, and the same piece may be added again later. Blocks for the
 * disk only. */
enum error pieces_add(struct pieces *p, const struct pieces_limits *limits,
                      const struct pieces_part *part, bool *complete, struct bytes *payload,
                      struct why *why);
/* The payload that has just become complete, if it is in a file, as a block that stays when `p` goes
 * on; the caller's. NULL: it is in memory. */
struct block *pieces_hold(struct pieces *p);
/* Forgets what is under way, or what was complete, and frees all: the session has ended, or another
 * attempt is final. */
void pieces_drop(struct pieces *p);

#endif
