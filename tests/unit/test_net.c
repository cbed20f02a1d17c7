/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net.h"

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

#include "common/link.h"
#include "common/listener.h"
#include "tests/unit/eventually.h"

static void start(void)
{
    net_start(0);
}

static void end(void)
{
    net_end(NET_END_LIMIT_MS, 99); /* a socket that was forgotten shows as status 99 */
}

TestSuite(net, .timeout = 60, .init = start, .fini = end);

static void *open_socket(enum net_role role)
{
    void *socket;
    struct why why;
    cr_assert_eq(net_open(&socket, role, &why), ERR_NONE, "%s", why.text);
    return socket;
}

static void *bind_socket(enum net_role role, char bound[static ENDPOINT_TEXT_SIZE])
{
    void *socket = open_socket(role);
    struct why why;
    cr_assert_eq(net_bind(socket, "tcp://127.0.0.1:*", &why), ERR_NONE, "%s", why.text);
    net_bound(socket, bound);
    return socket;
}

static void *connect_socket(enum net_role role, const char *endpoint)
{
    void *socket = open_socket(role);
    struct why why;
    cr_assert_eq(net_connect(socket, endpoint, &why), ERR_NONE, "%s", why.text);
    return socket;
}

static void send_text(void *socket, const char *text)
{
    struct block *message = block_copy(bytes_of(text));
    eventually(net_send(socket, message) == ERR_NONE);
    block_release(&message);
}

static struct block *receive(void *socket)
{
    struct block *message;
    eventually((message = net_receive(socket)));
    return message;
}

static struct block *receive_from(void *router, struct net_sender *sender)
{
    struct block *message;
    eventually((message = net_receive_from(router, sender)));
    return message;
}

static void expect_text(struct block *message, const char *text)
{
    cr_assert(bytes_equal(block_bytes(message), bytes_of(text)));
    block_release(&message);
}

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
    link_open(&link, dealer, NULL);
    net_connect(dealer, endpoint, NULL);
    eventually((fd = accept(listener.fd, NULL, NULL)) >= 0);
    cr_assert_gt(send(fd, greeting, sizeof greeting - 1, MSG_NOSIGNAL), 0);
    eventually((link_turn(&link), link.refused));
    cr_assert_not(link.up);
    close(fd);
    listener_close(&listener);
    link_close(&link, dealer);
    net_close(&dealer, 0);
}

static void expect_no_bind(const char *endpoint, enum error error, const char *words)
{
    struct why why = {""};
    void *socket = open_socket(NET_RESULTS_RECEIVER);
    cr_assert_eq(net_bind(socket, endpoint, &why), error, "%s: %s", endpoint, why.text);
    cr_assert(strstr(why.text, words), "%s", why.text);
    cr_assert(strstr(why.text, endpoint), "the sentence names the endpoint: %s", why.text);
    net_close(&socket, 0);
}

Test(net, an_endpoint_that_cannot_be_had_is_refused_in_words)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    void *other = bind_socket(NET_RESULTS_RECEIVER, endpoint);
    expect_no_bind(endpoint, ERR_IN_USE, "another program");
    expect_no_bind("tcp://192.0.2.1:5000", ERR_NOT_FOUND, "no such address");
    expect_no_bind("tcp://no.such.host.invalid:5000", ERR_NOT_FOUND, "no such address");
    expect_no_bind("tcp://127.0.0.1:99999", ERR_INVALID, "65535");
    expect_no_bind("carrier pigeon", ERR_INVALID, "tcp://");
    expect_no_bind("ipc:///no/such/directory/x", ERR_IO, "No such file");
    net_close(&other, 0);
}

Test(net, nonsense_is_not_connected_to)
{
    struct why why = {""};
    void *socket = open_socket(NET_CONTROL_CLIENT);
    cr_assert_eq(net_connect(socket, "tcp://127.0.0.1", &why), ERR_INVALID);
    cr_assert(strstr(why.text, "port"), "%s", why.text);
    cr_assert_eq(net_connect(socket, "tcp://*:5556", &why), ERR_INVALID);
    net_close(&socket, 0);
}

static void expect_way(const char *server, const char *client_host)
{
    char bound[ENDPOINT_TEXT_SIZE], client[ENDPOINT_TEXT_SIZE];
    struct why why;
    struct net_sender sender;
    void *router = open_socket(NET_CONTROL_SERVER);
    cr_assert_eq(net_bind(router, server, &why), ERR_NONE, "%s", why.text);
    net_bound(router, bound);
    snprintf(client, sizeof client, "tcp://%s%s", client_host, strrchr(bound, ':'));
    void *dealer = connect_socket(NET_CONTROL_CLIENT, client);
    send_text(dealer, "hello");
    expect_text(receive_from(router, &sender), "hello");
    cr_assert_neq(strncmp(sender.address, "::ffff:", 7), 0);
    net_close(&dealer, 0);
    net_close(&router, 0);
}

Test(net, every_way_to_write_this_machine_connects)
{
    expect_way("tcp://127.0.0.1:*", "127.0.0.1");
    expect_way("tcp://127.0.0.1:*", "localhost");
    expect_way("tcp://localhost:*", "localhost");
    expect_way("tcp://*:*", "127.0.0.1");
    expect_way("tcp://lo:*", "127.0.0.1");
    if (access("/proc/net/if_inet6", R_OK) == 0) {
        expect_way("tcp://[::1]:*", "[::1]");
        expect_way("tcp://*:*", "[::1]");
    }
}

Test(net, running_out_of_descriptors_is_an_error_and_not_the_end)
{
    struct rlimit limit, tight = {40, 40};
    void *sockets[64] = {NULL};
    struct why why = {""};
    unsigned count = 0;
    getrlimit(RLIMIT_NOFILE, &limit);
    tight.rlim_max = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &tight);
    while (count < 64 && net_open(&sockets[count], NET_LANE_SENDER, &why) == ERR_NONE)
        count++;
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_assert_lt(count, 64);
    cr_assert(strstr(why.text, "ulimit"), "%s", why.text);
    for (unsigned i = 0; i < count; i++)
        net_close(&sockets[i], 0);
}

Test(net_end, what_lingers_is_delivered_before_the_end, .timeout = 60)
{
    char directory[] = "/tmp/zfarm-net-XXXXXX", endpoint[ENDPOINT_TEXT_SIZE];
    cr_assert_not_null(mkdtemp(directory));
    snprintf(endpoint, sizeof endpoint, "ipc://%s/results", directory);
    pid_t child = fork();
    if (child == 0) {
        void *push;
        net_start(0);
        net_open(&push, NET_RESULTS_SENDER, NULL);
        net_connect(push, endpoint, NULL);
        struct block *message = block_copy(bytes_of("the last words"));
        net_send(push, message);
        net_close(&push, 5000);
        net_end(NET_END_LIMIT_MS, 99);
        _exit(0);
    }
    net_start(0);
    void *pull = open_socket(NET_RESULTS_RECEIVER);
    cr_assert_eq(net_bind(pull, endpoint, NULL), ERR_NONE);
    expect_text(receive(pull), "the last words");
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    net_close(&pull, 0);
    net_end(NET_END_LIMIT_MS, 99);
    unlink(endpoint + strlen("ipc://"));
    rmdir(directory);
}

Test(net_end, a_process_that_cannot_finish_ends_with_its_status, .timeout = 60)
{
    pid_t child = fork();
    if (child == 0) {
        void *push;
        net_start(0);
        net_open(&push, NET_RESULTS_SENDER, NULL);
        net_connect(push, "tcp://127.0.0.1:1", NULL);
        struct block *message = block_copy(bytes_of("for nobody"));
        net_send(push, message);
        net_close(&push, -1);
        net_end(50, 7);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 7);
}
