/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/connection.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/sys/signals.h"
#include "common/base/xalloc.h"
#include "tests/unit/eventually.h"

TestSuite(connection, .timeout = 60);

static void meet_as(void **server, enum net_role server_role, struct connection *c,
                    enum net_role role)
{
    static struct signals signals;
    char endpoint[ENDPOINT_TEXT_SIZE];
    signals_open(&signals, 0, NULL);
    net_start(1024);
    cr_assert_eq(net_open(server, server_role, NULL), ERR_NONE);
    cr_assert_eq(net_bind(*server, "tcp://127.0.0.1:*", NULL), ERR_NONE);
    net_bound(*server, endpoint);
    cr_assert_eq(connection_open(c, role, endpoint, NULL, NULL), ERR_NONE);
    eventually((c->link_watch.look = true) && connection_turn(c) == CONNECTION_UP);
}

/* A server that never reads, and a connection to it. */
static void meet(void **server, struct connection *c)
{
    meet_as(server, NET_CONTROL_SERVER, c, NET_CONTROL_CLIENT);
}

static bool is_readable(int fd)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) > 0;
}

static void send_large(struct connection *c)
{
    struct buf content = {0};
    buf_reserve(&content, 1 << 20);
    content.size = 1 << 20;
    memset(content.data, 0, content.size);
    struct block *block = block_new(&content);
    connection_send(c, &block);
    cr_assert_null(block);
}

Test(connection, whose_peer_reads_nothing_is_over_when_too_much_waits)
{
    void *server;
    struct connection c = {0};
    meet(&server, &c);
    for (int i = 0; i < 64; i++)
        send_large(&c);
    cr_assert_eq(connection_turn(&c), CONNECTION_SAME);
    cr_assert_eq(connection_pending_bytes(&c), 64 << 20);
    send_large(&c);
    cr_assert_eq(connection_pending_bytes(&c), 64 << 20);
    cr_assert_eq(connection_turn(&c), CONNECTION_DOWN);
    connection_close(&c, 0);
    cr_assert_eq(connection_turn(&c), CONNECTION_SAME);
    net_close(&server, 0);
    net_end(NET_END_LIMIT_MS, 0);
}

static void exchange(struct connection *c, void *server)
{
    struct block *block = block_copy(bytes_of("a result"));
    connection_send(c, &block);
    connection_flush(c);
    eventually((block = net_receive(server)) != NULL);
    block_release(&block);
}

/* Left readable it kept the worker's loop busy. */
Test(connection, that_only_sends_takes_in_what_its_descriptor_tells)
{
    void *server;
    struct connection c = {0};
    meet_as(&server, NET_RESULTS_RECEIVER, &c, NET_RESULTS_SENDER);
    for (int i = 0; i < 3; i++) {
        eventually((exchange(&c, server), is_readable(c.watch.fd)));
        c.watch.look = true;
        cr_assert_null(connection_receive(&c));
        cr_assert_not(is_readable(c.watch.fd));
        cr_assert_not(c.watch.look);
    }
    connection_close(&c, 0);
    net_close(&server, 0);
    net_end(NET_END_LIMIT_MS, 0);
}

/* One round of its owner's loop, but for the sleep: whether it would have slept. */
static bool turn(struct connection *c)
{
    struct poller poller = {0};
    struct block *message;
    while ((message = connection_receive(c)) != NULL)
        block_release(&message);
    connection_turn(c);
    connection_flush(c);
    connection_poll(c, &poller);
    poller_wait(&poller, 0);
    return !c->watch.look && !c->link_watch.look;
}

/* It kept the worker's loop busy as long as the sink was slower. */
static void sleeps_while_nobody_reads(enum net_role server_role, enum net_role role)
{
    enum { MESSAGES = 64 };
    void *server;
    struct connection c = {0};
    meet_as(&server, server_role, &c, role);
    for (int i = 0; i < MESSAGES; i++)
        send_large(&c);
    eventually(turn(&c) && turn(&c) && turn(&c));
    cr_assert_gt(connection_pending_bytes(&c), 0);
    for (int got = 0; got < MESSAGES;) {
        struct block *message = net_receive(server);
        got += message != NULL;
        block_release(&message);
        struct poller poller = {0};
        connection_poll(&c, &poller);
        poller_wait(&poller, clock_now_ns() + NS_PER_MS);
        turn(&c);
    }
    cr_assert_eq(connection_pending_bytes(&c), 0);
    eventually(turn(&c) && turn(&c) && turn(&c));
    connection_close(&c, 0);
    net_close(&server, 0);
    net_end(NET_END_LIMIT_MS, 0);
}

Test(connection, for_results_sleeps_while_the_sink_reads_nothing)
{
    sleeps_while_nobody_reads(NET_RESULTS_RECEIVER, NET_RESULTS_SENDER);
}

Test(connection, for_control_sleeps_while_the_ventilator_reads_nothing)
{
    sleeps_while_nobody_reads(NET_CONTROL_SERVER, NET_CONTROL_CLIENT);
}
