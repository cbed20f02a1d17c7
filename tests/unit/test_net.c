/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/net.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "common/net/link.h"
#include "common/net/listener.h"
#include "tests/unit/sockets.h"

TestSuite(net, .timeout = 60, .init = sockets_start, .fini = sockets_end);

Test(net, a_router_answers_the_peer_that_wrote_to_it)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    struct net_sender first, second;
    void *router = bind_socket(NET_CONTROL_SERVER, endpoint);
    void *one = connect_socket(NET_CONTROL_CLIENT, endpoint);
    void *two = connect_socket(NET_CONTROL_CLIENT, endpoint);
    send_text(one, "from one");
    expect_text(receive_from(router, &first), "from one");
    send_text(two, "from two");
    expect_text(receive_from(router, &second), "from two");
    cr_assert_neq(first.peer, second.peer);
    cr_assert_neq(first.descriptor, second.descriptor);
    cr_assert_str_eq(first.address, "127.0.0.1");
    struct block *answer = block_copy(bytes_of("to one"));
    cr_assert_eq(net_send_to(router, first.peer, answer), ERR_NONE);
    expect_text(receive(one), "to one");
    cr_assert_eq(net_send_to(router, first.peer + second.peer, answer), ERR_CLOSED);
    net_close(&one, 0);
    eventually(net_send_to(router, first.peer, answer) == ERR_CLOSED);
    block_release(&answer);
    net_close(&two, 0);
    net_close(&router, 0);
}

Test(net, what_is_not_one_frame_comes_as_an_empty_block)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    struct net_sender sender;
    void *router = bind_socket(NET_CONTROL_SERVER, endpoint);
    void *dealer = connect_socket(NET_CONTROL_CLIENT, endpoint);
    zmq_send(dealer, "two", 3, ZMQ_SNDMORE);
    zmq_send(dealer, "frames", 6, 0);
    send_text(dealer, "one frame");
    expect_text(receive_from(router, &sender), "");
    expect_text(receive_from(router, &sender), "one frame");
    net_close(&dealer, 0);
    net_close(&router, 0);
}

Test(net, a_peer_with_an_identity_of_its_own_is_not_heard)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    struct net_sender sender;
    void *router = bind_socket(NET_CONTROL_SERVER, endpoint);
    void *dealer = open_socket(NET_CONTROL_CLIENT);
    zmq_setsockopt(dealer, ZMQ_ROUTING_ID, "myself", 6);
    net_connect(dealer, endpoint, NULL);
    send_text(dealer, "hello");
    expect_text(receive_from(router, &sender), "");
    cr_assert_eq(sender.peer, 0);
    net_close(&dealer, 0);
    net_close(&router, 0);
}

Test(net, a_large_message_is_kept_without_its_socket)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    struct buf content = {0};
    memset(buf_reserve(&content, NET_FRAME_MAX), 'x', NET_FRAME_MAX);
    content.size = NET_FRAME_MAX;
    struct block *sent = block_new(&content);
    void *pull = bind_socket(NET_RESULTS_RECEIVER, endpoint);
    void *push = connect_socket(NET_RESULTS_SENDER, endpoint);
    cr_assert_eq(net_send(push, sent), ERR_NONE);
    struct block *received = receive(pull);
    net_close(&push, 0);
    net_close(&pull, 0);
    cr_assert(bytes_equal(block_bytes(received), block_bytes(sent)));
    block_release(&received);
    block_release(&sent);
}

Test(net, a_message_over_the_limit_cuts_its_sender_off_and_nobody_else)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    struct link link;
    void *pull = bind_socket(NET_RESULTS_RECEIVER, endpoint);
    void *good = connect_socket(NET_RESULTS_SENDER, endpoint);
    void *bad = open_socket(NET_RESULTS_SENDER);
    link_open(&link, bad, NULL);
    net_connect(bad, endpoint, NULL);
    void *huge = calloc(1, NET_MESSAGE_MAX + 1);
    zmq_send(bad, huge, NET_MESSAGE_MAX + 1, 0);
    free(huge);
    eventually((link_turn(&link), link.failed > 0));
    send_text(good, "still here");
    expect_text(receive(pull), "still here");
    link_close(&link, bad);
    net_close(&bad, 0);
    net_close(&good, 0);
    net_close(&pull, 0);
}

/* With an endless mark on the reader's side the paused sink would take it all into memory; with
 * heartbeats it would be cut off and lose what was queued. */
Test(net, a_paused_sink_stops_its_workers_and_loses_nothing)
{
    enum { MESSAGES = 2000, SIZE = 16384 };
    char endpoint[ENDPOINT_TEXT_SIZE];
    void *pull = bind_socket(NET_RESULTS_RECEIVER, endpoint);
    void *push = connect_socket(NET_RESULTS_SENDER, endpoint);
    struct buf content = {0};
    memset(buf_reserve(&content, SIZE), 'r', SIZE);
    content.size = SIZE;
    struct block *message = block_new(&content);
    unsigned sent = 0, received = 0, refused_in_a_row = 0;
    while (refused_in_a_row < 100) { /* nobody reads: 100 ms without room is the pause */
        if (net_send(push, message) == ERR_NONE) {
            sent++;
            refused_in_a_row = 0;
        } else {
            refused_in_a_row++;
            poll(NULL, 0, 1);
        }
    }
    cr_assert_lt(sent, MESSAGES, "the mark must stop the sender, it took %u", sent);
    uint64_t end_ns = clock_now_ns() + 30 * NS_PER_S;
    while (received < MESSAGES && clock_now_ns() < end_ns) {
        if (sent < MESSAGES && net_send(push, message) == ERR_NONE)
            sent++;
        struct block *got = net_receive(pull);
        if (got && block_bytes(got).size == SIZE)
            received++;
        block_release(&got);
    }
    cr_assert_eq(received, MESSAGES);
    block_release(&message);
    net_close(&push, 0);
    net_close(&pull, 0);
}

Test(net, a_link_tells_connection_loss_and_connection_made_anew)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    struct link link;
    void *push = open_socket(NET_RESULTS_SENDER);
    void *pull = bind_socket(NET_RESULTS_RECEIVER, endpoint);
    cr_assert_eq(link_open(&link, push, NULL), ERR_NONE);
    net_connect(push, endpoint, NULL);
    eventually((link_turn(&link), link.up));
    cr_assert_eq(link.made, 1);
    net_close(&pull, 0);
    eventually((link_turn(&link), !link.up));
    cr_assert_geq(link.failed, 1);
    pull = open_socket(NET_RESULTS_RECEIVER);
    eventually(net_bind(pull, endpoint, NULL) ==
               ERR_NONE); /* the old one closes in the background */
    eventually((link_turn(&link), link.up));
    cr_assert_eq(link.made, 2);
    send_text(push, "after it");
    expect_text(receive(pull), "after it");
    link_close(&link, push);
    net_close(&push, 0);
    net_close(&pull, 0);
}

Test(net, a_lane_receiver_that_finds_nobody_fails_once_and_for_good)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    struct link link;
    struct listener listener;
    cr_assert_eq(listener_open(&listener, "tcp://127.0.0.1:*", NULL), ERR_NONE);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", (unsigned)listener.port);
    listener_close(&listener);
    void *pull = open_socket(NET_LANE_RECEIVER);
    link_open(&link, pull, NULL);
    net_connect(pull, endpoint, NULL);
    eventually((link_turn(&link), link.failed > 0));
    cr_assert_eq(listener_open(&listener, endpoint, NULL), ERR_NONE);
    struct pollfd waits = {.fd = listener.fd, .events = POLLIN};
    cr_assert_eq(poll(&waits, 1, 300), 0, "it must not try again");
    listener_close(&listener);
    link_close(&link, pull);
    net_close(&pull, 0);
}

Test(net, a_peer_of_the_wrong_kind_gets_no_connection)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    struct link link;
    void *router = bind_socket(NET_CONTROL_SERVER, endpoint);
    void *pull = open_socket(NET_LANE_RECEIVER);
    link_open(&link, pull, NULL);
    net_connect(pull, endpoint, NULL);
    eventually((link_turn(&link), link.failed > 0));
    cr_assert_eq(link.made, 0);
    link_close(&link, pull);
    net_close(&pull, 0);
    net_close(&router, 0);
}

Test(net, a_server_that_speaks_something_else_is_refused)
{
    static const char greeting[] =
        "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3 and some more bytes, 64\r\n";
    char endpoint[ENDPOINT_TEXT_SIZE];
    struct link link;
    struct listener listener;
    int fd;
    cr_assert_eq(listener_open(&listener, "tcp://127.0.0.1:*", NULL), ERR_NONE);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", (unsigned)listener.port);
    void *dealer = open_socket(NET_CONTROL_CLIENT);
    zmq_setsockopt(dealer, ZMQ_HANDSHAKE_IVL, &(int){300}, sizeof(int)); /* ms; usually far more */
    link_open(&link, dealer, NULL);
    net_connect(dealer, endpoint, NULL);
    eventually((fd = accept(listener.fd, NULL, NULL)) >= 0);
    cr_assert_gt(send(fd, greeting, sizeof greeting - 1, MSG_NOSIGNAL), 0);
    eventually((link_turn(&link), link.refusal));
    cr_assert_not(link.up);
    close(fd);
    listener_close(&listener);
    link_close(&link, dealer);
    net_close(&dealer, 0);
}

/* No heartbeat of ours ends the connection of a silent sink. */
Test(net, a_machine_that_is_gone_without_a_word_is_noticed_at_the_ventilators_control)
{
    void *socket;
    struct why why;
    int on = 0, again_s = 0;
    size_t size = sizeof on;
    cr_assert_eq(net_open(&socket, NET_CONTROL_SERVER, &why), ERR_NONE, "%s", why.text);
    cr_assert_eq(zmq_getsockopt(socket, ZMQ_TCP_KEEPALIVE, &on, &size), 0);
    cr_assert_eq(on, 1);
    cr_assert_eq(zmq_getsockopt(socket, ZMQ_TCP_KEEPALIVE_INTVL, &again_s, &size), 0);
    cr_assert_leq(again_s, 10);
    net_close(&socket, 0);
}
