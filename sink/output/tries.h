/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_TRIES_H
#define ZFARM_TRIES_H

#include "common/base/bytes.h"
#include "common/base/error.h"

/* What is to be printed of tries that failed, kept until their task has its result: in memory up to a
 * limit, and beyond it in a temporary file. How many tasks wait for another try is bounded by the
 * ventilator's --queue-max. Zero-initialised but for `tmpdir` and `memory_max` it is empty. Blocks
 * for the disk only. */
struct tries_item;

struct tries {
    const char *tmpdir;
    size_t memory_max;         /* bytes that are in memory, unless the disk has no room */
    struct tries_item **table; /* open hashing by the task's number */
    size_t table_size, count;
    size_t memory; /* bytes in memory */
    int fd;        /* of the file, when file_size is not 0 */
    uint64_t file_size;
    struct tries_item *over; /* what is to go to the file, and did not */
};

void tries_free(struct tries *t);

/* Keeps a copy of the bytes, which are of try `number` of the task. Never fails: what finds no room in the
 * file stays in memory, and tries_is_stuck says so. */
void tries_put(struct tries *t, uint64_t seq, uint32_t number, struct bytes bytes);
/* Another attempt for what found no room. ERR_DISK_FULL, ERR_IO with words: it stays. */
enum error tries_unstick(struct tries *t, struct why *why);
bool tries_is_stuck(const struct tries *t); /* give it no more before tries_unstick */

/* Appends what was kept of the task, by the tries' numbers and with commas between, and forgets it.
 * Nothing if nothing was. What the file does not give back any more is left out. */
void tries_take(struct tries *t, uint64_t seq, struct buf *to);

#endif
