/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_RECORD_H
#define ZFARM_SIM_RECORD_H

#include "common/wire/task.h"

/* The tasks' content: one argument of `size` bytes, at least 8, that begins with the task's number.
 */
void record_put(struct buf *to, uint64_t seq, size_t size);
size_t record_size(size_t size); /* of the whole record */
/* Whether the first of `*records` is that task, whole; moves behind it. */
bool record_take(struct bytes *records, uint64_t seq, size_t size);
/* `size` bytes of output that begin with the number, in `to`. */
void record_output(struct buf *to, uint64_t seq, size_t size);

#endif
