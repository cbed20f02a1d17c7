/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/standing.h"

void sessions_add(struct dispatcher *d, struct session *s)
{
    if (d->sessions.count == d->sessions.capacity) {
        d->sessions.capacity = d->sessions.capacity ? d->sessions.capacity * 2 : 16;
        d->sessions.items =
            xrealloc(d->sessions.items, d->sessions.capacity * sizeof *d->sessions.items);
    }
    s->at = d->sessions.count;
    d->sessions.items[d->sessions.count++] = s;
    index_set(&d->sessions.by_id, s->id, s);
    index_set(&d->sessions.by_connection, s->connection, s);
    if (s->instance)
        index_set(&d->sessions.by_instance, s->instance, s);
    standing_note(d, s);
}

void sessions_remove(struct dispatcher *d, struct session *s)
{
    standing_note_end(d, s);
    if (s->notices.is_queued)
        TAILQ_REMOVE(&d->sessions.to_flush, s, notices.next);
    struct session *last = d->sessions.items[--d->sessions.count];
    d->sessions.items[s->at] = last;
    last->at = s->at;
    index_remove(&d->sessions.by_id, s->id);
    if (s->instance)
        index_remove(&d->sessions.by_instance, s->instance);
    if (index_get(&d->sessions.by_connection, s->connection) == s)
        index_remove(&d->sessions.by_connection, s->connection);
    if (s->lane) {
        index_remove(&d->sessions.by_lane, s->lane);
        dispatcher_act(d, DISPATCHER_CLOSE_LANE, s->lane);
    }
    if (d->reading.target == s)
        d->reading.target = NULL;
}

void sessions_free(struct dispatcher *d)
{
    for (size_t i = 0; i < d->sessions.count; i++)
        session_free(d->sessions.items[i]);
    for (size_t i = 0; i < d->sessions.opened.capacity; i++)
        free(d->sessions.opened.slots[i].value);
    index_free(&d->sessions.by_connection);
    index_free(&d->sessions.by_id);
    index_free(&d->sessions.by_lane);
    index_free(&d->sessions.by_instance);
    index_free(&d->sessions.opened);
    index_free(&d->sessions.opened_by_token);
    index_free(&d->sessions.seen);
    free(d->sessions.items);
}

void sessions_note_use(struct dispatcher *d, struct session *s)
{
    uint64_t instance = s->instance ? s->instance : s->id;
    if (s->used)
        return;
    s->used = true;
    if (index_get(&d->sessions.seen, instance))
        return;
    index_set(&d->sessions.seen, instance, d);
    d->sessions.workers_seen++;
}

/* The token is random, so its first 8 bytes serve as the hash key (0 is reserved). */
static uint64_t token_key(const struct token *token)
{
    uint64_t key;
    memcpy(&key, token, sizeof key);
    return key ? key : 1;
}

void sessions_forget_opened(struct dispatcher *d, uint64_t lane)
{
    struct opened_lane *opened = index_get(&d->sessions.opened, lane);
    if (!opened)
        return;
    index_remove(&d->sessions.opened, lane);
    if (index_get(&d->sessions.opened_by_token, token_key(&opened->token)) == opened)
        index_remove(&d->sessions.opened_by_token, token_key(&opened->token));
    free(opened);
}

void dispatcher_lane_opened(struct dispatcher *d, uint64_t lane, struct token token,
                            const struct key *key, uint64_t now_ns)
{
    (void)now_ns;
    struct opened_lane opened = {lane, token, *key};
    struct opened_lane *kept = xmemdup(&opened, sizeof opened);
    index_set(&d->sessions.opened, lane, kept);
    index_set(&d->sessions.opened_by_token, token_key(&token), kept);
    struct buf m = {0};
    wire_begin(&m, KIND_HELLO, dispatcher_head(d, KIND_HELLO, 0));
    token_put(&m, &token);
    dispatcher_send_lane(d, lane, block_new(&m));
}

void sessions_close_lane(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    index_remove(&d->sessions.by_lane, s->lane);
    dispatcher_act(d, DISPATCHER_CLOSE_LANE, s->lane);
    s->lane = 0;
    if (s->half_closed_at_ns == NEVER)
        s->half_closed_at_ns = now_ns;
    d->liveness.silent_from_ns = 0;
}

void sessions_want_flush(struct dispatcher *d, struct session *s)
{
    if (s->notices.is_queued)
        return;
    s->notices.is_queued = true;
    TAILQ_INSERT_TAIL(&d->sessions.to_flush, s, notices.next);
}

const struct opened_lane *sessions_opened(const struct dispatcher *d, const struct token *token)
{
    const struct opened_lane *opened = index_get(&d->sessions.opened_by_token, token_key(token));
    return opened && memcmp(&opened->token, token, sizeof *token) == 0 ? opened : NULL;
}
