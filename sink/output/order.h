/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_ORDER_H
#define ZFARM_SINK_ORDER_H

#include "common/base/block.h"
#include "common/base/error.h"

/* The order window of -k: results come in any order and leave in order of their numbers.
 *
 * What must wait is in memory first. When memory_max is reached, all that waits there goes, sorted,
 * into a temporary file as one run (spool.h), and the memory begins anew.
 *
 * Memory, however many results wait: memory_max, for a moment up to once more while what is in it
 * is sorted or tidied, and for each run its entry of about 100 bytes and, once it has begun to
 * leave, 16 KiB or its largest result. A run holds memory_max bytes of results,
 * counting 24 bytes more for each, so a spool of 10 GiB with 8 MiB in memory has some 1,300 runs,
 * and 10,000 (one MiB of memory) if all results are empty. Ten million tiny results behind one that
 * never ends are about forty runs.
 *
 * Numbers begin with 1. Each is put or skipped once; it is the caller's bug to do it twice. */
struct order_options {
    size_t memory_max;  /* bytes; ORDER_MEMORY_MAX unless a test wants less */
    uint64_t spool_max; /* bytes in the file past which order_full is true (--spool-max) */
    const char *tmpdir; /* must stay valid (--tmpdir) */
};

enum { ORDER_MEMORY_MAX = 8 << 20 };

/* Takes the next result in order. The bytes are valid during the call, or lie in `holder` if that is
 * not NULL. It must not call the order. */
typedef void order_release_fn(void *context, uint64_t seq, struct bytes out, struct bytes err,
                              struct block *holder);

struct order;

struct order *order_new(const struct order_options *options, order_release_fn *release,
                        void *context);
void order_destroy(struct order **order); /* what waits is gone; takes NULL */

/* Gives it the formatted result of task `seq`, and copies it if it must wait. When it is the one
 * that is waited for it goes straight to `release` and touches neither memory nor disk; what it
 * sets free leaves by order_release. ERR_DISK_FULL, ERR_IO: it had to go to the file and could not:
 * nothing has changed, the result is not in the window, so keep the message that it came in and put
 * it again later (each second). Then nothing behind it is read either; that is the one case in
 * which order holds up the reading of results, and the stall line must say it. Blocks for the disk
 * only. */
enum error order_put(struct order *order, uint64_t seq, struct bytes out, struct bytes err,
                     struct why *why);

/* The same for a large result whose bytes lie in `holder`, a file: it waits there and is not copied.
 * Its size counts as spooled. */
void order_put_held(struct order *order, uint64_t seq, struct bytes out, struct bytes err,
                    struct block *holder);

/* The short way for the hot path: the caller has itself written the result of the task that is
 * waited for (order_waiting_for) where `release` would have. */
void order_pass(struct order *order);

/* Tasks first..last will never come: they were not run. */
void order_skip(struct order *order, uint64_t first, uint64_t last);

/* Releases what is ready, until at least `max_bytes` (counting 16 more for each result, so that a
 * turn with empty ones ends too) have been released or nothing is ready. ERR_IO: the temporary file
 * cannot be read; the output cannot be completed. Blocks for the disk only. */
enum error order_release(struct order *order, size_t max_bytes, struct why *why);
bool order_ready(const struct order *order); /* order_release has something to release */

uint64_t order_waiting_for(const struct order *order);   /* number of the next to leave */
uint64_t order_waiting(const struct order *order);       /* how many wait behind it */
uint64_t order_spooled_bytes(const struct order *order); /* on disk */
/* More waits than may: the reading of input has to stop. Results are taken all the same, of what
 * has been handed out already. */
bool order_full(const struct order *order);
/* Bytes of memory it holds at the moment, for the bound above. */
size_t order_memory_bytes(const struct order *order);

#endif
