/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_MEMBERSHIP_H
#define ZFARM_MEMBERSHIP_H

#include "common/member/member.h"

/* The sink's membership: that of member.h, and what a sink has beyond it.
 * It owns the member and what WELCOME said to the sink. It decides when the ventilator is silent although it is heard,
 * and when it is given up for good. uplink.h drives it. It calls member.h. Embed it by value. */
struct membership {
    struct member member;
    uint64_t epoch; /* of the last WELCOME, as is the fingerprint; 0: none yet */
    struct hash fingerprint;
    uint64_t incarnation_max;
    uint64_t answer_ns; /* when a heartbeat was answered last, or since when one could be */
    uint64_t give_up_ns;
    bool refused; /* the last attempt to connect found no ventilator, at once */
};

void membership_init(struct membership *m, uint64_t give_up_ns, uint64_t seed, uint64_t now_ns);
/* As member_up: JOIN is sent. */
void membership_up(struct membership *m, uint64_t own_ns, uint64_t now_ns);
/* The connection ended, or could not be made. */
void membership_down(struct membership *m, uint64_t now_ns);
/* The connection is not silent: JOIN was answered, or anything was said to a sink that has joined. A ventilator that
 * takes this sink for welcomed says other things for ever, which end no wait for the answer. */
void membership_heard(struct membership *m, uint64_t own_ns, uint64_t now_ns);
/* A HEARTBEAT has come: what was said here was heard there. */
void membership_answered(struct membership *m, uint64_t now_ns);
/* ERR_MALFORMED: a field has no sense. */
enum error membership_welcome(struct membership *m, const struct frame_head *head,
                              const struct sink_welcome *welcome, uint64_t now_ns);
/* The process itself did nothing for so long, so what is late is no reason to judge: the limit
 * begins anew. */
void membership_slept(struct membership *m, uint64_t slept_ns, uint64_t now_ns);
bool membership_is_given_up(const struct membership *m,
                            uint64_t now_ns); /* nothing was heard for give_up */
/* As member_turn. */
enum member_due membership_turn(struct membership *m, uint64_t now_ns);
uint64_t membership_deadline(const struct membership *m);

#endif
