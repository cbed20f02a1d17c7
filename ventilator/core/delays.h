/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_DELAYS_H
#define ZFARM_DELAYS_H

#include "common/base/seqset.h"

/* Tasks whose last try failed and that wait before the next one (--retry-delay), and until when. A
 * binary heap by time, next to the set of their numbers. Zero-initialised is empty; embed it by
 * value. */
struct delay {
    uint64_t due_ns;
    uint64_t seq;
};

struct delays {
    struct seqset tasks;
    struct delay *heap;
    size_t count; /* the same as tasks.members */
    size_t capacity;
};

enum { RETRY_DELAY_MAX_S = 3600 };

/* How long a task waits that has failed `fails` times: `first_ns`, doubled with each further try up
 * to RETRY_DELAY_MAX_S (or first_ns, if that is longer); of that half to all by chance, so that what
 * failed together does not come back together. 0 is always 0. */
uint64_t delay_after(uint64_t first_ns, uint32_t fails, uint64_t *random);

void delays_free(struct delays *d);
void delays_add(struct delays *d, uint64_t seq, uint64_t due_ns); /* not in it yet */
void delays_remove(struct delays *d, uint64_t first, uint64_t last);
/* Takes out a task that is due; 0: none is. */
uint64_t delays_take(struct delays *d, uint64_t now_ns);
uint64_t delays_next_ns(const struct delays *d); /* NEVER: nothing waits */

#endif
