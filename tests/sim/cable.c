/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/cable.h"

#include <stdlib.h>

#include "common/base/xalloc.h"

static bool end_lives(const struct cable_end *end)
{
    return !end->shut && end->node->up && end->node->life == end->life;
}

static size_t end_of(const struct cable *c, const struct node *node)
{
    return c->ends[0].node == node ? 0 : 1;
}

struct node *cable_other(const struct cable *c, const struct node *node)
{
    return c->ends[1 - end_of(c, node)].node;
}

bool cable_end_lives(const struct cable *c, const struct node *node)
{
    return end_lives(&c->ends[end_of(c, node)]);
}

bool cable_is_live(const struct cable *c)
{
    return c->made && !c->cut && end_lives(&c->ends[0]) && end_lives(&c->ends[1]);
}

static void shut(struct cable_end *end)
{
    end->shut = true;
    for (size_t i = 0; i < end->count; i++)
        block_release(&end->coming[end->first + i].block);
    end->count = 0;
}

void cable_free(struct cable *c)
{
    for (size_t i = 0; i < 2; i++) {
        shut(&c->ends[i]);
        free(c->ends[i].coming);
    }
    free(c);
}

/* ---- messages ---- */

static uint64_t delay_of(struct sim *sim)
{
    uint64_t delay_ns = rng_between(&sim->network, sim->plan.delay_min_ns, sim->plan.delay_max_ns);
    return sim->now_ns < sim->slow_until_ns ? delay_ns + rng_below(&sim->network, 400 * NS_PER_MS)
                                            : delay_ns;
}

static uint64_t latest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- stalls ---- */

static struct way *way_of(const struct cable *c)
{
    return &c->ends[0].node->ways[c->kind];
}

static uint64_t stalled_until(const struct cable *c, uint64_t to)
{
    return latest(c->ends[to].hold_ns, way_of(c)->stalled_until_ns[to]);
}

/* Without acknowledgements of what has arrived nothing more is sent, before long. */
static uint64_t held_until(const struct cable *c, uint64_t to)
{
    bool is_full = c->ends[to].unacknowledged >= CABLE_UNACKNOWLEDGED_MAX;
    return latest(stalled_until(c, to), is_full ? stalled_until(c, 1 - to) : 0);
}

static void note_large(struct cable *c, uint64_t to)
{
    struct cable_end *end = &c->ends[to];
    const struct way *way = way_of(c);
    const struct block *block = end->coming[end->first].block;
    if (block && way->large_max && block_bytes(block).size > way->large_max)
        end->hold_ns = latest(end->hold_ns, way->large_until_ns);
}

/* The sender tries again more and more rarely: what was lost may come as late again as the stall was long. */
static void hold_back(struct cable *c, uint64_t to, uint64_t until_ns)
{
    struct cable_end *end = &c->ends[to];
    if (until_ns != NEVER && end->hold_ns < until_ns)
        end->hold_ns = until_ns + rng_below(&c->sim->network, until_ns - c->sim->now_ns);
}

void cable_hold(struct cable *c, uint64_t until_ns)
{
    for (size_t i = 0; i < 2; i++)
        c->ends[i].hold_ns = latest(c->ends[i].hold_ns, until_ns);
}

void cable_let_go(struct cable *c)
{
    for (size_t i = 0; i < 2; i++)
        if (c->ends[i].hold_ns != NEVER && c->ends[i].hold_ns > c->sim->now_ns)
            c->ends[i].hold_ns = c->sim->now_ns;
}

/* Does it again when nothing holds it up; returns false if that is now. */
static bool put_off(struct cable *c, uint64_t to, uint64_t until_ns, agenda_function *again)
{
    if (until_ns <= c->sim->now_ns)
        return false;
    if (until_ns != NEVER)
        agenda_add(&c->sim->agenda, until_ns, again, c, to);
    return true;
}

static void note_arrival(struct cable *c, uint64_t to, const struct block *block)
{
    struct cable_end *end = &c->ends[to];
    if (stalled_until(c, 1 - to) <= c->sim->now_ns)
        end->unacknowledged = 0;
    else if (block)
        end->unacknowledged += block_bytes(block).size;
}

static void arrive(void *context, uint64_t to)
{
    struct cable *c = context;
    struct cable_end *end = &c->ends[to];
    if (end->count == 0)
        return;
    note_large(c, to);
    hold_back(c, to, held_until(c, to));
    if (put_off(c, to, held_until(c, to), arrive))
        return;
    struct packet packet = end->coming[end->first++];
    if (--end->count == 0)
        end->first = 0;
    note_arrival(c, to, packet.block);
    if (!end_lives(end)) {
        block_release(&packet.block);
    } else if (packet.block) {
        node_tell(end->node, (struct news){NEWS_MESSAGE, c, packet.block});
    } else {
        shut(end);
        node_tell(end->node, (struct news){NEWS_CLOSED, c, NULL});
    }
}

static void push(struct cable *c, size_t to, struct block *block)
{
    struct cable_end *end = &c->ends[to];
    uint64_t at_ns = latest(end->last_ns, c->sim->now_ns + delay_of(c->sim));
    if (block)
        at_ns += block_bytes(block).size * c->sim->plan.byte_ns;
    if (end->hold_ns != NEVER)
        at_ns = latest(at_ns, end->hold_ns);
    end->last_ns = at_ns;
    if (end->first + end->count == end->capacity) {
        for (size_t i = 0; i < end->count; i++)
            end->coming[i] = end->coming[end->first + i];
        end->first = 0;
        if (end->count == end->capacity) {
            end->capacity = end->capacity ? end->capacity * 2 : 8;
            end->coming = xrealloc(end->coming, end->capacity * sizeof *end->coming);
        }
    }
    end->coming[end->first + end->count++] = (struct packet){block, at_ns};
    agenda_add(&c->sim->agenda, at_ns, arrive, c, to);
}

void cable_send(struct cable *c, const struct node *from, struct block *block)
{
    size_t me = end_of(c, from);
    tap_sent(c, from, block_bytes(block));
    if (c->ends[me].shut || c->ends[1 - me].shut || c->cut || !c->made)
        block_release(&block);
    else
        push(c, 1 - me, block);
}

/* ---- the end of a connection ---- */

static void drop_behind(struct cable_end *end, uint64_t at_ns)
{
    while (end->count && end->coming[end->first + end->count - 1].at_ns > at_ns)
        block_release(&end->coming[end->first + --end->count].block);
}

static void notice(void *context, uint64_t which)
{
    struct cable *c = context;
    struct cable_end *end = &c->ends[which];
    if (!end_lives(end))
        return;
    if (put_off(c, which, stalled_until(c, which), notice))
        return;
    shut(end);
    node_tell(end->node, (struct news){NEWS_CLOSED, c, NULL});
}

/* The ventilator does not judge a silent sink: when nobody is at the other end any more, and its word of that
 * is lost, TCP notices, some time (keepalive; here sooner than in life). */
#define KEEPALIVE_NS (9 * NS_PER_S)
static void keepalive(void *context, uint64_t which)
{
    struct cable *c = context;
    struct cable_end *end = &c->ends[which];
    if (!end_lives(end))
        return;
    shut(end);
    node_tell(end->node, (struct news){NEWS_CLOSED, c, NULL});
}

void cable_close(struct cable *c, const struct node *who, bool abrupt)
{
    size_t me = end_of(c, who);
    if (c->ends[me].shut)
        return;
    shut(&c->ends[me]);
    if (!c->made || c->cut || c->ends[1 - me].shut)
        return;
    if (c->ends[me].node->role == ROLE_NODE_SINK && held_until(c, 1 - me) == NEVER)
        sim_at(c->sim, KEEPALIVE_NS, keepalive, c, 1 - me);
    if (abrupt) {
        uint64_t rest_ns = rng_below(&c->sim->network, c->sim->plan.delay_max_ns);
        bool is_held = held_until(c, 1 - me) > c->sim->now_ns;
        if (!is_held)
            drop_behind(&c->ends[1 - me], c->sim->now_ns + rest_ns);
        else if (rng_chance(&c->sim->network, 50))
            drop_behind(&c->ends[1 - me], 0);
    }
    push(c, 1 - me, NULL);
}

void cable_cut(struct cable *c, uint64_t client_ns, uint64_t server_ns)
{
    const uint64_t delays_ns[] = {client_ns, server_ns};
    if (!c->made || c->cut)
        return;
    c->cut = true;
    for (size_t i = 0; i < 2; i++) {
        uint64_t rest_ns = rng_below(&c->sim->network, c->sim->plan.delay_max_ns);
        drop_behind(&c->ends[i], c->sim->now_ns + (rng_chance(&c->sim->network, 50) ? rest_ns : 0));
        if (delays_ns[i] != NEVER)
            sim_at(c->sim, latest(delays_ns[i], rest_ns + 1), notice, c, i);
    }
}

/* ---- and its beginning ---- */

static bool is_asleep(const struct node *node)
{
    return node->up && node->frozen;
}

static void accept_it(struct cable *c)
{
    struct node *server = c->ends[1].node;
    if (c->accepted_by || !is_asleep(server))
        return;
    c->accepted_by = server->life;
    node_tell(c->ends[0].node, (struct news){NEWS_ACCEPTED, c, NULL});
}

/* The system of a frozen server accepts, the handshake needs both ends awake; its initiator decides for how long it
 * tries. */
static void establish(void *context, uint64_t unused)
{
    (void)unused;
    struct cable *c = context;
    struct node *client = c->ends[0].node, *server = c->ends[1].node;
    uint64_t now_ns = c->sim->now_ns;
    if (!end_lives(&c->ends[0]))
        return;
    bool barred = c->kind == CABLE_RESULTS && client->no_results_until_ns > now_ns;
    bool stalled = latest(stalled_until(c, 0), stalled_until(c, 1)) > now_ns;
    bool dark = latest(client->dark_until_ns, server->dark_until_ns) > now_ns;
    if (!barred && !stalled && !dark)
        accept_it(c);
    if (barred || stalled || dark || is_asleep(client) || is_asleep(server)) {
        sim_at(c->sim, rng_between(&c->sim->network, 20, 100) * NS_PER_MS, establish, c, 0);
        return;
    }
    if (!server->up || (c->accepted_by && c->accepted_by != server->life)) {
        shut(&c->ends[0]);
        node_tell(client, (struct news){NEWS_CLOSED, c, NULL});
        return;
    }
    c->made = true;
    client->connections[c->kind]++;
    c->ends[1].life = server->life;
    node_tell(client, (struct news){NEWS_UP, c, NULL});
    if (c->kind == CABLE_LANE)
        node_tell(server, (struct news){NEWS_OPENED, c, NULL});
}

struct cable *cable_open(struct node *client, struct node *server, enum cable_kind kind)
{
    struct sim *sim = client->sim;
    struct cable *c = xcalloc(1, sizeof *c);
    c->sim = sim;
    c->id = ++sim->last_id;
    c->kind = kind;
    c->ends[0].node = client;
    c->ends[0].life = client->life;
    c->ends[1].node = server;
    if (sim->cable_count == sim->cable_capacity) {
        sim->cable_capacity = sim->cable_capacity ? sim->cable_capacity * 2 : 64;
        sim->cables = xrealloc(sim->cables, sim->cable_capacity * sizeof *sim->cables);
    }
    sim->cables[sim->cable_count++] = c;
    sim_at(sim, 2 * delay_of(sim) + NS_PER_MS / 5, establish, c, 0);
    return c;
}
