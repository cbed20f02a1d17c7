/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/session_end.h"

#include "ventilator/core/charges.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/handed.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/sessions.h"
#include "ventilator/core/standing.h"
#include "ventilator/core/transfer.h"

static void take_everything_back(struct dispatcher *d, struct session *s)
{
    while (!seqset_empty(&s->out))
        pending_take_back(d, s, seqset_min(&s->out));
}

/* An entry may still name the session as the home of tasks that are not its own any more: all of
 * those have stories or are stored, so the name is only taken out. */
static void forget_home(struct dispatcher *d, const struct session *s)
{
    for (size_t i = d->ledger.head; i < d->ledger.end; i++)
        if (d->ledger.places[i].entry && d->ledger.places[i].entry->home == s)
            d->ledger.places[i].entry->home = NULL;
}

static void say_ended(struct dispatcher *d, uint64_t session)
{
    if (!d->sink.connection)
        return;
    struct buf m = {0};
    wire_begin(&m, KIND_ENDED, dispatcher_head(d, KIND_ENDED, d->sink.session));
    number_put(&m, session);
    dispatcher_send(d, d->sink.connection, &m);
}

void session_end(struct dispatcher *d, struct session *s, bool charge, uint64_t now_ns)
{
    if (charge)
        charges_add(d, s, now_ns);
    take_everything_back(d, s);
    forget_home(d, s);
    handed_tell(d);
    sessions_remove(d, s);
    say_ended(d, s->id);
    session_free(s);
    dispatcher_moved(d, now_ns);
}

void session_end_say_again(struct dispatcher *d, uint64_t connection, uint64_t session)
{
    struct again m = {session, AGAIN_UNKNOWN_SESSION, bytes_of("the session is over: join again")};
    dispatcher_again(d, connection, &m);
}

void session_end_all(struct dispatcher *d, uint64_t now_ns)
{
    while (d->sessions.count) {
        struct session *s = d->sessions.items[0];
        if (s->connection)
            session_end_say_again(d, s->connection, s->id);
        session_end(d, s, false, now_ns);
    }
}

void session_end_lane(struct dispatcher *d, struct session *s)
{
    if (s->ended || !s->lane)
        return;
    transfer_take_back(d, s);
    s->transfer.cut = 0; /* END says that as well */
    struct buf m = {0};
    wire_begin(&m, KIND_END, dispatcher_head(d, KIND_END, s->id));
    number_put(&m, s->batch);
    dispatcher_send_lane(d, s->lane, block_new(&m));
    s->ended = true;
    s->ended_at_ns = d->turned_at_ns;
    standing_note(d, s);
}
