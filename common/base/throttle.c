/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/throttle.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"

bool throttle_take_many(struct throttle *t, uint64_t times, uint64_t burst, uint64_t interval_ns,
                        uint64_t now_ns)
{
    uint64_t full_at_ns = t->full_at_ns > now_ns ? t->full_at_ns : now_ns;
    if (full_at_ns + times * interval_ns > now_ns + burst * interval_ns) {
        t->left_out++;
        return false;
    }
    t->full_at_ns = full_at_ns + times * interval_ns;
    return true;
}

bool throttle_take(struct throttle *t, uint64_t burst, uint64_t interval_ns, uint64_t now_ns)
{
    return throttle_take_many(t, 1, burst, interval_ns, now_ns);
}

bool throttle_line(struct throttle *t, unsigned lines_a_minute, uint64_t now_ns)
{
    return throttle_take(t, lines_a_minute, 60 * NS_PER_S / lines_a_minute, now_ns);
}

const char *throttle_words(struct throttle *t, char words[static THROTTLE_WORDS_SIZE])
{
    words[0] = '\0';
    if (t->left_out)
        snprintf(words, THROTTLE_WORDS_SIZE, "; %" PRIu64 " more were left out", t->left_out);
    t->left_out = 0;
    return words;
}
