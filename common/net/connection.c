/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/connection.h"

enum { OUTBOX_MAX = 64 << 20 };

enum error connection_open(struct connection *c, enum net_role role, const char *endpoint,
                           const struct connection_keys *keys, struct why *why)
{
    *c = (struct connection){.only_sends = role == NET_RESULTS_SENDER};
    enum error error = net_open(&c->socket, role, why);
    if (error)
        return error;
    if (keys)
        net_call_keys(c->socket, keys->own, keys->server);
    outbox_init(&c->outbox, c->socket, OUTBOX_MAX);
    error = link_open(&c->link, c->socket, why);
    if (!error) {
        c->watch = watch_of(c->socket);
        c->link_watch = watch_of(c->link.events);
    }
    error = error ? error : net_connect(c->socket, endpoint, why);
    if (error)
        connection_close(c, 0);
    return error;
}

bool connection_refused(const struct connection *c, const char *endpoint,
                        const struct connection_keys *keys, struct why *why)
{
    char fingerprint[KEY_FINGERPRINT_SIZE] = "";
    if (keys)
        key_fingerprint(&keys->own->public, fingerprint);
    switch (c->socket ? c->link.refusal : REFUSAL_NONE) {
    case REFUSAL_NONE:
        return false;
    case REFUSAL_KEY:
        fail(why, ERR_ACCESS,
             "%s refuses our key: put its public part into the ventilator's directory admitted, or "
             "use another one key=%s",
             endpoint, fingerprint);
        break;
    case REFUSAL_MECHANISM:
        fail(
            why, ERR_ACCESS,
            keys
                ? "%s has no keys, so nothing is said to it: start the ventilator with --keys DIR, "
                  "or leave that out here"
                : "%s takes only peers with keys: give --keys DIR",
            endpoint);
        break;
    case REFUSAL_SILENT:
        fail(why, ERR_ACCESS,
             keys
                 ? "%s breaks off the handshake: has it keys at all, and is its public key the one "
                   "in our ventilator.cert?"
                 : "%s breaks off the handshake: if it takes only peers with keys, give --keys DIR",
             endpoint);
        break;
    }
    return true;
}

void connection_close(struct connection *c, int linger_ms)
{
    if (!c->socket)
        return;
    outbox_free(&c->outbox);
    link_close(&c->link, c->socket);
    net_close(&c->socket, linger_ms);
}

enum connection_event connection_turn(struct connection *c)
{
    if (!c->socket)
        return CONNECTION_SAME;
    if (c->link_watch.look)
        link_turn(&c->link);
    c->link_watch.look = false;
    if (!c->told_up && c->link.made) {
        c->told_up = true;
        return CONNECTION_UP;
    }
    if (c->link.failed || c->link.refusal || c->overflowed)
        return CONNECTION_DOWN;
    bool is_news = c->link.accepted && !c->told_accepted && !c->told_up;
    c->told_accepted |= is_news;
    return is_news ? CONNECTION_ACCEPTED : CONNECTION_SAME;
}

struct block *connection_receive(struct connection *c)
{
    if (!c->socket || !c->watch.look)
        return NULL;
    struct block *message = c->only_sends ? NULL : net_receive(c->socket);
    if (message)
        return message;
    if (c->only_sends || c->full)
        c->full = !net_has_room(c->socket) && c->full;
    c->watch.look = false;
    return NULL;
}

void connection_send(struct connection *c, struct block **block)
{
    if (c->socket && outbox_put(&c->outbox, block))
        c->overflowed = true;
    block_release(block);
}

void connection_flush(struct connection *c)
{
    if (!c->socket || !outbox_pending(&c->outbox) || c->full)
        return;
    outbox_flush(&c->outbox);
    c->full = outbox_pending(&c->outbox);
    c->watch.look = true; /* it may have taken in that there is something to read */
}

size_t connection_pending_bytes(const struct connection *c)
{
    return c->socket ? c->outbox.size_bytes : 0;
}

void connection_poll(struct connection *c, struct poller *poller)
{
    if (!c->socket)
        return;
    poller_add(poller, &c->link_watch);
    poller_add(poller, &c->watch);
}
