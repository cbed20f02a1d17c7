/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/refusals.h"

static bool refusals_is_known(const struct refusals *r, const struct key *key)
{
    for (size_t i = 0; i < REFUSALS_KNOWN && i < r->count; i++)
        if (key_equal(&r->known[i], key))
            return true;
    return false;
}

bool refusals_say(struct refusals *r, const struct key *key, const char *what, const char *address,
                  uint64_t now_ns, struct why *why)
{
    char fingerprint[KEY_FINGERPRINT_SIZE], more[THROTTLE_WORDS_SIZE];
    if (refusals_is_known(r, key))
        return false;
    r->known[r->count++ % REFUSALS_KNOWN] = *key;
    if (!throttle_line(&r->lines, REFUSALS_A_MINUTE, now_ns))
        return false;
    key_fingerprint(key, fingerprint);
    fail(why, ERR_ACCESS, "refused %s, its key is not admitted for that key=%s%s%s%s", what,
         fingerprint, address[0] ? " from=" : "", address, throttle_words(&r->lines, more));
    return true;
}
