/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_COLLECTOR_STATE_H
#define ZFARM_COLLECTOR_STATE_H

#include "common/base/throttle.h"
#include "sink/core/ending.h"
#include "sink/core/halting.h"
#include "sink/core/intake.h"
#include "sink/core/membership.h"
#include "sink/core/outgoing.h"

/* The inside of the collector, for its three files: collector.c (its interface and turn),
 * collector_inbox.c (what the ventilator says) and collector_say.c (what it says to the ventilator
 * and to users). */
struct collector {
    struct collector_options options;
    struct collector_counts counts;
    struct intake intake;
    struct membership membership;
    struct ending ending;
    struct halting halting;
    bool halt_told;  /* HALT was sent in this session */
    bool is_careful; /* a session was given up for silence: what is large may have taken too long */
    struct outgoing outgoing;
    struct admitted admitted; /* workers, as the ventilator told last */
    bool admitted_told;
    bool begun;       /* BEGIN was said */
    bool gone;        /* EXIT was said */
    bool stopping;    /* an early end is wanted */
    bool was_closed;  /* in an earlier life, until a ventilator opens the job again */
    uint64_t opening; /* of the store; 0: there is none */
    bool order_full;
    enum collector_output output;
    uint64_t written_bytes; /* to the output */
    uint64_t written_ns;    /* when it last took something, or did not have to */
    bool unread;            /* it has taken nothing for unread_after_ns */
    uint64_t held_ns;       /* since when no results are read; NEVER: they are */
    bool is_held;           /* for held_after_ns */
    uint64_t arrivals_ns;   /* when a note last said what has arrived */
    uint64_t flags_told;    /* enum stored_flag: what the last note said */
    uint64_t asked_ns;      /* when the last heartbeat was sent; 0: none in this session */
    unsigned lacking;       /* DONEs in a row that named what never came */
    struct throttle protests;
    uint64_t noted_ns;   /* when the last note was sent */
    uint64_t retried_ns; /* when intake_retry was last called */
    uint64_t due_ns;     /* what collector_deadline was at the end of the last turn */
    uint64_t moved_ns;
};

/* Takes a message that came on control. The error, if any, is that of a message to be dropped and
 * counted. */
enum error collector_take(struct collector *c, struct bytes message, uint64_t now_ns);

uint64_t collector_flags(const struct collector *c); /* enum stored_flag, of a note */

void collector_say_join(struct collector *c);
void collector_say_heartbeat(struct collector *c, uint64_t now_ns);
void collector_say_leave(struct collector *c);
void collector_say_halt(struct collector *c);
void collector_say_closed(struct collector *c);
/* A message of results makes no sense: the ventilator is told, which tells its worker. */
void collector_say_protest(struct collector *c, struct bytes message, enum error error,
                           uint64_t now_ns);
/* Results of the session were not taken, since it was never handed these tasks. */
void collector_say_strange(struct collector *c, const struct session_tasks *strange,
                           uint64_t now_ns);
void collector_say_hashes(struct collector *c, uint64_t from);
/* What the intake has as news, and the gaps; an empty note if there is nothing. */
void collector_say_stored(struct collector *c, uint64_t now_ns);
bool collector_has_news(const struct collector *c);
/* When a note is to say what was taken from whom, though nothing of it is stored; NEVER: nothing was. */
uint64_t collector_origins_due(const struct collector *c);
/* When a heartbeat is to be sent for those results that wait to be named, besides the usual ones; NEVER: none is. */
uint64_t collector_ask_due(const struct collector *c);
/* When a note is to say what has arrived since the last one; NEVER: nothing has. */
uint64_t collector_arrivals_due(const struct collector *c);

/* By how much this turn is late. */
uint64_t collector_late_ns(const struct collector *c, uint64_t now_ns);
/* Closes the connection and makes a new one after the back-off. */
void collector_rejoin(struct collector *c, uint64_t now_ns);
void collector_exit(struct collector *c, int status, const struct why *why);
int collector_status(const struct collector *c, struct why *why); /* as ending_status */
void collector_exit_by_counts(struct collector *c);

#endif
