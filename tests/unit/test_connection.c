/* SPDX-License-Identifier: MPL-2.0 */
#include "common/connection.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/signals.h"
#include "common/xalloc.h"
#include "tests/unit/eventually.h"

TestSuite(connection, .timeout = 60);

/* A server that never reads, and a connection to it. */
static void meet(void **server, struct connection *c)
{
    static struct signals signals;
    char endpoint[ENDPOINT_TEXT_SIZE];
    signals_open(&signals, 0, NULL);
    net_start(1024);
    cr_assert_eq(net_open(server, NET_CONTROL_SERVER, NULL), ERR_NONE);
    cr_assert_eq(net_bind(*server, "tcp://127.0.0.1:*", NULL), ERR_NONE);
    net_bound(*server, endpoint);
    cr_assert_eq(connection_open(c, NET_CONTROL_CLIENT, endpoint, NULL, NULL), ERR_NONE);
    eventually((c->link_watch.look = true) && connection_turn(c) == CONNECTION_UP);
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
