/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/rebuff.h"

bool rebuff_say(struct rebuff *r, enum connection_event event, const struct connection *c,
                const char *endpoint, const struct connection_keys *keys, struct why *why)
{
    if (event == CONNECTION_UP)
        *r = (struct rebuff){0};
    if (event != CONNECTION_DOWN || !connection_refused(c, endpoint, keys, why))
        return false;
    unsigned reason = 1U << c->link.refusal;
    if (++r->times == 1 || r->said & reason)
        return false;
    r->said |= reason;
    r->why = *why;
    return true;
}
