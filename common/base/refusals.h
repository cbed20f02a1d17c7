/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_REFUSALS_H
#define ZFARM_REFUSALS_H

#include "common/base/error.h"
#include "common/base/key.h"
#include "common/base/throttle.h"

/* Which refused keys users have been told of. Each is told once, and no more than a few a minute,
 * so that a peer that makes up keys fills no log. Zero-initialised is new; embed it by value. */
enum { REFUSALS_KNOWN = 256, REFUSALS_A_MINUTE = 10 };

struct refusals {
    struct key known[REFUSALS_KNOWN]; /* a ring */
    uint64_t count;                   /* put into it so far */
    struct throttle lines;
};

/* Whether a line is to be written now: then `why` is it. `what` is what the key was refused as ("a
 * connection to control"), `address` where it comes from, or "". */
bool refusals_say(struct refusals *r, const struct key *key, const char *what, const char *address,
                  uint64_t now_ns, struct why *why);

#endif
