/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_THROTTLE_H
#define ZFARM_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

/* How often something may happen that a stranger can cause: `burst` times at once, and from then on
 * once each `interval_ns` (a token bucket). What is over that is counted. Zero-initialised is new
 * and full; embed it by value. */
struct throttle {
    uint64_t full_at_ns; /* then it has all its tokens again */
    uint64_t left_out;   /* since throttle_words */
};

bool throttle_take(struct throttle *t, uint64_t burst, uint64_t interval_ns, uint64_t now_ns);
/* The same for what counts as much as `times` of it. */
bool throttle_take_many(struct throttle *t, uint64_t times, uint64_t burst, uint64_t interval_ns,
                        uint64_t now_ns);

/* For lines to users: a number of them a minute. */
bool throttle_line(struct throttle *t, unsigned lines_a_minute, uint64_t now_ns);
/* What the next line that may be written ends with: "; 20 more were left out", or "". Counting
 * begins anew. */
enum { THROTTLE_WORDS_SIZE = 48 };
const char *throttle_words(struct throttle *t, char words[static THROTTLE_WORDS_SIZE]);

#endif
