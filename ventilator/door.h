/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_DOOR_H
#define ZFARM_DOOR_H

#include "common/net/keys.h"
#include "common/base/refusals.h"
#include "common/net/zap.h"
#include "ventilator/gate/gate.h"

/* Whom the ventilator lets in, in a farm with keys: its own keys, those that are admitted, and the answer to
 * each handshake on control and on lanes. Part of the shell: it writes lines for users.
 *
 * The directory of admitted keys is looked at each second: a file that comes admits a key, one that goes
 * revokes it. The calling loop, each turn:
 *
 *     if (door_turn (door, now_ns))  admitted has changed
 *     poll zap_watch (door->zap), until door_deadline */
struct door {
    struct keys keys;
    struct admitted admitted;
    char *directory;    /* of admitted keys */
    uint64_t signature; /* of what is in it */
    uint64_t look_ns;   /* when it is looked at next */
    bool unreadable;    /* and that was said */
    struct zap *zap;
    struct gate *gate; /* which is told whose a lane is; NULL: there is none yet */
    struct refusals refusals;
    uint64_t now_ns;
};

#define DOOR_CONTROL "control" /* the domain of control */

/* Loads what is in `keys`, the ventilator's directory. Fails as keys_load and zap_new do. Free it with
 * door_close in any case. Must not move afterwards. */
enum error door_open(struct door *door, const char *keys, uint64_t now_ns, struct why *why);
void door_close(struct door *door); /* after all server sockets */

bool door_turn(struct door *door, uint64_t now_ns);
uint64_t door_deadline(const struct door *door);
/* Whether the key is admitted as anything, now. */
bool door_admits(const struct door *door, const struct key *key);

#endif
