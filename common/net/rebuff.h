/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_REBUFF_H
#define ZFARM_REBUFF_H

#include "common/net/connection.h"

/* What users are told when a connection is refused, probably because of keys: once for each reason, and not
 * the first time, which may be a peer that was just starting or ending. Until there is a connection;
 * then anew. Zero-initialised is new; embed it by value. */
struct rebuff {
    unsigned times;
    unsigned said;  /* a bit for each enum link_refusal; 0: there is nothing to say */
    struct why why; /* the last that was said */
};

/* Call it with each event of connection_turn, before the connection is closed. Whether a line is to be
 * written now: then `why` is it. */
bool rebuff_say(struct rebuff *r, enum connection_event event, const struct connection *c,
                const char *endpoint, const struct connection_keys *keys, struct why *why);

#endif
