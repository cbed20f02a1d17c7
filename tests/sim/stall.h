/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_STALL_H
#define ZFARM_SIM_STALL_H

#include "tests/sim/node.h"

/* Connections that stall, for a while or for ever, one direction or both (cable.h). Nobody is told. */

/* One live connection; the way of its node, and the next connection, are as they were. */
void stall_connection(struct sim *sim, struct cable *cable);
/* A node's way to one of the ports: a firewall that drops. */
void stall_way(struct sim *sim, struct node *node, enum cable_kind kind, bool may_last);
/* Only large messages are lost there: a small MTU, and nobody says so. */
void stall_large(struct sim *sim, struct node *node, enum cable_kind kind, bool may_last);
/* A way is as it should be again; `all`: also one that was to stay so for ever. */
void stall_end(struct node *node, bool all);
/* It has a way that will never be as it should be. */
bool stall_is_for_ever(const struct node *node);

#endif
