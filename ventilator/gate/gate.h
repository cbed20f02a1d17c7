/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_GATE_H
#define ZFARM_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/block.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/key.h"
#include "common/wire/wire.h"

/* The gate: one listening socket through which every worker reaches a PUSH of its own.
 *
 * Each accepted connection becomes a lane, which lives as long as that connection. The gate moves
 * the bytes and understands none of them: ZMTP, and CURVE, run between the worker and the lane's
 * PUSH. A lane that nobody claims within GATE_CLAIM_NS is closed. Nothing here blocks; the calling
 * loop:
 *
 *     poll gate_fd for input, until gate_deadline
 *     gate_turn (gate, now_ns);
 *     while (gate_next (gate, &event))  the lane is new, or gone
 */
#define GATE_CLAIM_NS (30 * NS_PER_S)

struct gate;

struct gate_event {
    bool opened; /* else closed */
    uint64_t lane;
    struct token token; /* random; set when opened */
    struct key key;     /* whose it is, likewise; none without keys */
};

/* Listens at `endpoint` (tcp with an address or name, or `*`, port 0 for any; or ipc) for at most
 * `lanes_max` lanes at a time; for a connection over that the oldest lane that nobody has claimed is
 * closed, or else the connection itself; and so is one of too many a second. `private_dir` is a
 * directory that nobody else can enter (private_dir.h); left-overs of a gate in it are removed.
 * libzmq ends the process when descriptors run out, so let lanes_max be under a sixth of what
 * net_start returned. Fails with ERR_INVALID, ERR_IN_USE, ERR_ACCESS, ERR_NOT_FOUND or ERR_IO, as
 * net_bind does, or ERR_TOO_LARGE (private_dir). May look a name up. */
enum error gate_new(struct gate **gate, const char *endpoint, const char *private_dir,
                    size_t lanes_max, struct why *why);
/* Lanes of connections that come from now on are encrypted, each a server (net_serve_keys) whose domain is
 * GATE_DOMAIN and its number. `own` must outlive the gate. Such a lane is opened, as far as gate_next
 * tells, when gate_authenticated has told whose it is. */
#define GATE_DOMAIN "lane:"
void gate_use_keys(struct gate *gate, const struct key_pair *own);
void gate_free(struct gate **gate); /* closes all lanes; sets *gate to NULL; takes NULL */

int gate_fd(const struct gate *gate);        /* readable when gate_turn has something to do */
uint16_t gate_port(const struct gate *gate); /* the one it listens on; 0 for ipc */
size_t gate_lanes(const struct gate *gate);
uint64_t
gate_deadline(const struct gate *gate); /* when gate_turn must be called anyway, or NEVER */

/* Accepts, moves bytes (a bounded amount), notices what closed, closes what nobody claimed. */
void gate_turn(struct gate *gate, uint64_t now_ns);
/* Whether connections were closed for want of descriptors or the like since the last call: `why` says so, for users,
 * a few times a minute. */
bool gate_turned_away(struct gate *gate, struct why *why);
/* What happened in turns so far, in order; false when that was all. */
bool gate_next(struct gate *gate, struct gate_event *event);

/* The rest takes the number of a lane that may be gone: then nothing happens, its event says so. */

/* Sends a message and takes over the caller's hold (*message becomes NULL). It is queued without
 * limit, credit is the limit. */
void gate_send(struct gate *gate, uint64_t lane, struct block **message);
void gate_claim(struct gate *gate, uint64_t lane);
/* The worker at its other end has proven that `key` is its own. False: the lane is gone, or has an
 * owner already. */
bool gate_authenticated(struct gate *gate, uint64_t lane, const struct key *key);
/* Closes the lane at once and loses what is queued. No event follows. */
void gate_close(struct gate *gate, uint64_t lane);
/* Who is at the other end, for users: "10.0.0.7:41234"; "" if the lane is gone. Valid until
 * gate_turn or gate_close. */
const char *gate_peer(const struct gate *gate, uint64_t lane);

#endif
