/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SESSIONS_H
#define ZFARM_SESSIONS_H

#include "ventilator/core/dispatcher.h"
#include "ventilator/core/index.h"
#include "ventilator/core/session.h"

struct dispatcher;

/* Who is in. It owns the list of sessions and its indexes, and the lanes that no session has claimed. joins adds
 * sessions, session_end removes them, workers ask for lanes; it calls standing. */

/* A lane that no session has claimed yet. */
struct opened_lane {
    uint64_t lane;
    struct token token;
    struct key key;
};

struct sessions {
    struct session **items;
    size_t count;
    size_t capacity;
    struct index by_connection;
    struct index by_id;
    struct index by_lane;
    struct index by_instance;
    struct index opened; /* lane -> struct opened_lane *, until it is claimed or closed */
    struct index opened_by_token;
    TAILQ_HEAD(, session) to_flush;
    uint64_t flushed_at_ns; /* RELEASED and CANCEL were passed on */
    struct index seen;      /* instances that got a task */
    uint64_t workers_seen;
    uint64_t last_id; /* of sessions, the sink's too */
};

void sessions_add(struct dispatcher *d, struct session *s);
/* The session is over; the caller frees it. */
void sessions_remove(struct dispatcher *d, struct session *s);
void sessions_free(struct dispatcher *d);
void sessions_note_use(struct dispatcher *d, struct session *s); /* it has a task */
/* The lane that was opened with this token and is not claimed, or NULL. */
const struct opened_lane *sessions_opened(const struct dispatcher *d, const struct token *token);
void sessions_forget_opened(struct dispatcher *d, uint64_t lane);
/* It has one. The session is over, unless its worker joins again within the limit. */
void sessions_close_lane(struct dispatcher *d, struct session *s, uint64_t now_ns);
/* There is something to be passed on to it: RELEASED, CANCEL, RESEND. */
void sessions_want_flush(struct dispatcher *d, struct session *s);

#endif
