/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_SPOOL_H
#define ZFARM_SINK_SPOOL_H

#include "common/base/bytes.h"
#include "common/base/error.h"

/* Where the order window (order.h) keeps what has no place in memory: *runs* of results, each
 * sorted by number, in one unlinked temporary file that is made when it is first needed.
 *
 * A run is written in one go and read in one go, through a window of SPOOL_READ_SIZE bytes or its
 * largest result. A run that has left gives its place on the disk back: a hole is punched, an empty
 * file is cut to nothing. Where holes are not to be had, the place counts as taken until the file
 * is empty. */
struct spool;

enum { SPOOL_READ_SIZE = 16 << 10 };

struct spool *spool_new(const char *tmpdir); /* must stay valid; makes no file yet */
void spool_destroy(struct spool **spool);    /* takes NULL */

/* Writing a run: begin, add each result with a larger number than the one before, end. The first
 * that fails (ERR_DISK_FULL, ERR_IO) undoes the run: nothing of it is in the spool. */
enum error spool_begin_run(struct spool *spool, struct why *why);
enum error spool_add(struct spool *spool, uint64_t seq, struct bytes out, struct bytes err,
                     struct why *why);
enum error spool_end_run(struct spool *spool, struct why *why);

bool spool_empty(const struct spool *spool);
uint64_t spool_first(const struct spool *spool); /* smallest number in any run; not when empty */
/* Takes that result out. The slices are valid until the next call. ERR_IO: it cannot be read. */
enum error spool_take(struct spool *spool, struct bytes *out, struct bytes *err, struct why *why);

uint64_t spool_size_bytes(const struct spool *spool); /* on disk */
size_t spool_memory_bytes(const struct spool *spool);

#endif
