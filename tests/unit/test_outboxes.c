/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/gate/outboxes.h"

#include <criterion/criterion.h>
#include <zmq.h>

#include "common/net/net.h"
#include "tests/unit/sockets.h"

enum { MAX = 4 << 20, PEERS = 3 };

struct hall {
    void *router;
    struct outboxes outboxes;
    void *clients[PEERS];
    uint32_t peers[PEERS];
};

TestSuite(outboxes, .timeout = 60, .init = sockets_start, .fini = sockets_end);

/* Clients that read no more than libzmq takes in for them, which is little. */
static void hall_open(struct hall *h)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    int one = 1, small = 4096;
    cr_assert_eq(net_open(&h->router, NET_CONTROL_SERVER, NULL), ERR_NONE);
    zmq_setsockopt(h->router, ZMQ_SNDBUF, &small, sizeof small);
    cr_assert_eq(net_bind(h->router, "tcp://127.0.0.1:*", NULL), ERR_NONE);
    net_bound(h->router, endpoint);
    outboxes_init(&h->outboxes, h->router, MAX);
    for (int i = 0; i < PEERS; i++) {
        struct net_sender sender;
        struct block *hello = block_copy(bytes_of("hello")), *heard;
        net_open(&h->clients[i], NET_CONTROL_CLIENT, NULL);
        zmq_setsockopt(h->clients[i], ZMQ_RCVHWM, &one, sizeof one);
        zmq_setsockopt(h->clients[i], ZMQ_RCVBUF, &small, sizeof small);
        net_connect(h->clients[i], endpoint, NULL);
        cr_assert_eq(net_send(h->clients[i], hello), ERR_NONE);
        block_release(&hello);
        eventually((heard = net_receive_from(h->router, &sender)));
        block_release(&heard);
        h->peers[i] = sender.peer;
    }
}

static void hall_close(struct hall *h)
{
    outboxes_free(&h->outboxes);
    for (int i = 0; i < PEERS; i++)
        net_close(&h->clients[i], 0);
    net_close(&h->router, 0);
}

static bool put(struct hall *h, uint32_t peer, size_t size, uint32_t *given_up)
{
    struct block *message = filled('x', size);
    bool full = outboxes_put(&h->outboxes, peer, &message, given_up);
    cr_assert_null(message);
    return full;
}

Test(outboxes, whoever_reads_least_is_given_up_when_too_much_waits_for_all)
{
    struct hall h;
    uint32_t given_up = 0;
    size_t puts = 0;
    hall_open(&h);
    for (int i = 0; i < 100; i++) {
        cr_assert_not(put(&h, h.peers[0], 10000, &given_up));
        cr_assert_not(put(&h, h.peers[2], 10000, &given_up));
    }
    while (!put(&h, h.peers[1], 10000, &given_up))
        cr_assert_lt(++puts, (size_t)2 * MAX / 10000);
    cr_assert_eq(given_up, h.peers[1]);
    cr_assert_leq(h.outboxes.size_bytes, (size_t)MAX);
    cr_assert_eq(outboxes_flush(&h.outboxes), 2);
    hall_close(&h);
}

Test(outboxes, empty_messages_fill_it_too)
{
    struct hall h;
    uint32_t given_up = 0;
    size_t puts = 0;
    hall_open(&h);
    while (!put(&h, h.peers[0], 1, &given_up))
        cr_assert_lt(++puts, (size_t)MAX / 16);
    cr_assert_eq(given_up, h.peers[0]);
    hall_close(&h);
}

Test(outboxes, whoever_reads_gets_all_of_it_in_order)
{
    struct hall h;
    uint32_t given_up;
    hall_open(&h);
    for (unsigned i = 0; i < 200; i++) {
        struct block *message = filled((uint8_t)i, 1000);
        cr_assert_not(outboxes_put(&h.outboxes, h.peers[0], &message, &given_up));
    }
    for (unsigned i = 0; i < 200; i++) {
        struct block *message;
        eventually((outboxes_flush(&h.outboxes), message = net_receive(h.clients[0])));
        cr_assert_eq(block_bytes(message).data[0], (uint8_t)i);
        block_release(&message);
    }
    eventually(outboxes_flush(&h.outboxes) == 0);
    hall_close(&h);
}
