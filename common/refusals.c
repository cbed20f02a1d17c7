/* SPDX-License-Identifier: MPL-2.0 */
#include "common/refusals.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"

#define MINUTE_NS (60 * NS_PER_S)

static bool is_known(const struct refusals *r, const struct key *key)
{
    for (size_t i = 0; i < REFUSALS_KNOWN && i < r->count; i++)
        if (key_equal(&r->known[i], key))
            return true;
    return false;
}

static bool may_say(struct refusals *r, uint64_t now_ns)
{
    if (r->minute_ns == 0 || now_ns >= r->minute_ns + MINUTE_NS) {
        r->minute_ns = now_ns;
        r->said = 0;
    }
    return r->said++ < REFUSALS_A_MINUTE;
}

bool refusals_say(struct refusals *r, const struct key *key, const char *what, const char *address,
                  uint64_t now_ns, struct why *why)
{
    char fingerprint[KEY_FINGERPRINT_SIZE], more[64] = "";
    if (is_known(r, key))
        return false;
    r->known[r->count++ % REFUSALS_KNOWN] = *key;
    if (!may_say(r, now_ns)) {
        r->unsaid++;
        return false;
    }
    key_fingerprint(key, fingerprint);
    if (r->unsaid)
        snprintf(more, sizeof more, "; %" PRIu64 " more were not told of", r->unsaid);
    r->unsaid = 0;
    fail(why, ERR_ACCESS, "refused %s, its key is not admitted for that key=%s%s%s%s", what,
         fingerprint, address[0] ? " from=" : "", address, more);
    return true;
}
