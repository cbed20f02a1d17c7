/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/monitor.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/net/net.h"
#include "common/sys/private_dir.h"
#include "tests/unit/sockets.h"

struct control {
    void *router;
    struct monitor *monitor;
    char endpoint[ENDPOINT_TEXT_SIZE];
};

TestSuite(monitor, .timeout = 60, .init = sockets_start, .fini = sockets_end);

static struct control limited(const char *endpoint, struct monitor_limits limits)
{
    struct control c;
    cr_assert_eq(net_open(&c.router, NET_CONTROL_SERVER, NULL), ERR_NONE);
    cr_assert_eq(monitor_new(&c.monitor, c.router, limits, NULL), ERR_NONE);
    cr_assert_eq(net_bind(c.router, endpoint, NULL), ERR_NONE);
    net_bound(c.router, c.endpoint);
    return c;
}

static struct control control_open(const char *endpoint)
{
    return limited(endpoint, (struct monitor_limits){.connections_max = 10000});
}

static void control_close(struct control *c)
{
    monitor_free(&c->monitor);
    net_close(&c->router, 0);
}

/* A client that has written one message; the message is in the ROUTER but not read yet. */
static void *client_open(const struct control *c)
{
    void *client;
    struct block *message = block_copy(bytes_of("JOIN"));
    net_open(&client, NET_CONTROL_CLIENT, NULL);
    net_connect(client, c->endpoint, NULL);
    cr_assert_eq(net_send(client, message), ERR_NONE);
    block_release(&message);
    return client;
}

static struct net_sender read_message(const struct control *c)
{
    struct net_sender sender;
    struct block *message;
    eventually((message = net_receive_from(c->router, &sender)));
    block_release(&message);
    return sender;
}

static uint32_t join(struct control *c)
{
    struct net_sender sender = read_message(c);
    monitor_join(c->monitor, &sender, clock_now_ns());
    return sender.peer;
}

static bool turn_and_next(struct control *c, uint32_t *peer)
{
    monitor_turn(c->monitor, clock_now_ns());
    return monitor_next(c->monitor, peer);
}

static void expect_end_of_first_of_two(const char *endpoint)
{
    struct control c = control_open(endpoint);
    uint32_t closed;
    void *one = client_open(&c);
    uint32_t first = join(&c);
    void *two = client_open(&c);
    uint32_t second = join(&c);
    cr_assert_not(turn_and_next(&c, &closed));
    net_close(&one, 0);
    eventually(turn_and_next(&c, &closed));
    cr_assert_eq(closed, first);
    cr_assert_not(turn_and_next(&c, &closed));
    net_close(&two, 0);
    eventually(turn_and_next(&c, &closed));
    cr_assert_eq(closed, second);
    control_close(&c);
}

Test(monitor, tells_which_peer_has_gone)
{
    expect_end_of_first_of_two("tcp://127.0.0.1:*");
}

Test(monitor, works_on_a_unix_socket_too)
{
    struct private_dir dir;
    char endpoint[ENDPOINT_TEXT_SIZE];
    cr_assert_eq(private_dir_make(&dir, NULL), ERR_NONE);
    snprintf(endpoint, sizeof endpoint, "ipc://%s/control", dir.path);
    expect_end_of_first_of_two(endpoint);
    private_dir_remove(&dir);
}

Test(monitor, says_nothing_of_who_never_joined)
{
    struct control c = control_open("tcp://127.0.0.1:*");
    uint32_t closed;
    void *stranger = client_open(&c);
    read_message(&c);
    net_close(&stranger, 0);
    void *friend = client_open(&c);
    uint32_t peer = join(&c);
    net_close(&friend, 0);
    eventually(turn_and_next(&c, &closed));
    cr_assert_eq(closed, peer);
    cr_assert_not(turn_and_next(&c, &closed));
    control_close(&c);
}

Test(monitor, a_new_peer_on_the_descriptor_of_a_dead_one_is_not_taken_for_it)
{
    struct control c = control_open("tcp://127.0.0.1:*");
    bool used_again = false;
    for (int i = 0; i < 50; i++) {
        uint32_t closed, peer;
        void *old = client_open(&c);
        struct net_sender dead = read_message(&c);
        monitor_join(c.monitor, &dead, clock_now_ns());
        net_close(&old, 0);
        void *new = client_open(&c); /* before anything was told of the old one's end */
        struct net_sender alive = read_message(&c);
        used_again |= alive.descriptor == dead.descriptor;
        monitor_join(c.monitor, &alive, clock_now_ns());
        eventually(turn_and_next(&c, &closed));
        cr_assert_eq(closed, dead.peer);
        cr_assert_not(turn_and_next(&c, &peer), "the new one is alive");
        net_close(&new, 0);
        eventually(turn_and_next(&c, &closed));
        cr_assert_eq(closed, alive.peer);
    }
    if (!used_again)
        cr_log_warn("no descriptor was used again in this run");
    control_close(&c);
}

Test(monitor, a_join_read_after_its_connection_ended_is_told_at_once)
{
    struct control c = control_open("tcp://127.0.0.1:*");
    uint32_t closed;
    void *client = client_open(&c);
    struct net_sender sender = read_message(&c);
    net_close(&client, 0);
    struct block *answer = block_copy(bytes_of("WELCOME"));
    eventually(net_send_to(c.router, sender.peer, answer) == ERR_CLOSED);
    block_release(&answer);
    monitor_join(c.monitor, &sender, clock_now_ns());
    eventually(turn_and_next(&c, &closed));
    cr_assert_eq(closed, sender.peer);
    control_close(&c);
}

static int connect_plainly(const struct control *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(strrchr(c->endpoint, ':') + 1)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static bool connections_are(struct control *c, size_t count)
{
    monitor_turn(c->monitor, clock_now_ns());
    return monitor_connections(c->monitor) == count;
}

/* Whether the other end has closed it; what it says before that is read over. */
static bool is_over(int fd)
{
    char bytes[256];
    ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN);
}

Test(monitor, of_more_connections_than_may_be_the_oldest_guest_goes_and_no_member)
{
    struct control c = limited("tcp://127.0.0.1:*", (struct monitor_limits){.connections_max = 3});
    uint32_t closed;
    void *member = client_open(&c);
    join(&c);
    int old = connect_plainly(&c), young;
    eventually(connections_are(&c, 2));
    young = connect_plainly(&c);
    eventually(connections_are(&c, 3));
    void *next = client_open(&c);
    eventually((turn_and_next(&c, &closed), is_over(old)));
    join(&c);
    cr_assert_eq(monitor_connections(c.monitor), 3);
    void *last = client_open(&c);
    eventually((turn_and_next(&c, &closed), is_over(young)));
    uint32_t third = join(&c);
    int late = connect_plainly(&c); /* all are members: it is the oldest guest itself */
    eventually((turn_and_next(&c, &closed), is_over(late)));
    cr_assert_eq(monitor_connections(c.monitor), 3);
    net_close(&last, 0);
    eventually(turn_and_next(&c, &closed));
    cr_assert_eq(closed, third);
    cr_assert_eq(monitor_connections(c.monitor), 2);
    close(old);
    close(young);
    close(late);
    net_close(&next, 0);
    net_close(&member, 0);
    control_close(&c);
}

Test(monitor, a_guest_that_says_nothing_is_shown_out_after_its_time)
{
    struct control c = limited("tcp://127.0.0.1:*", (struct monitor_limits){10, 5 * NS_PER_S});
    uint64_t now_ns = clock_now_ns();
    uint32_t closed;
    void *member = client_open(&c);
    uint32_t peer = join(&c);
    int guest = connect_plainly(&c);
    eventually((monitor_turn(c.monitor, now_ns), monitor_connections(c.monitor) == 2));
    monitor_weigh(c.monitor, UINT64_MAX, now_ns + 5 * NS_PER_S - 1);
    cr_assert_eq(monitor_deadline(c.monitor), now_ns + 5 * NS_PER_S);
    monitor_turn(c.monitor, now_ns + 5 * NS_PER_S - 1);
    cr_assert_eq(monitor_connections(c.monitor), 2);
    monitor_turn(c.monitor, now_ns + 5 * NS_PER_S);
    cr_assert_eq(monitor_connections(c.monitor), 1);
    cr_assert_eq(monitor_deadline(c.monitor), NEVER);
    eventually(is_over(guest));
    cr_assert_not(turn_and_next(&c, &closed));
    net_close(&member, 0);
    eventually(turn_and_next(&c, &closed));
    cr_assert_eq(closed, peer);
    close(guest);
    control_close(&c);
}

Test(monitor, the_time_of_a_guest_that_is_told_of_late_begins_then)
{
    struct control c = limited("tcp://127.0.0.1:*", (struct monitor_limits){10, 5 * NS_PER_S});
    monitor_turn(c.monitor, 1);
    int guest = connect_plainly(&c);
    void *member = client_open(&c);
    struct net_sender sender = read_message(&c); /* so both have been accepted */
    monitor_join(c.monitor, &sender, 100 * NS_PER_S);
    monitor_turn(c.monitor, 101 * NS_PER_S);
    cr_assert_eq(monitor_connections(c.monitor), 2);
    close(guest);
    net_close(&member, 0);
    control_close(&c);
}

/* The beginning of a frame of 2 MiB, of which the end never comes. */
static int half_a_frame(const struct control *c, size_t size)
{
    static const uint8_t greeting[64] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                         1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    static const uint8_t ready[] = "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\6DEALER";
    static const uint8_t frame[2 << 20] = {2, 0, 0, 0, 0, 0, 0x20, 0, 0};
    int fd = connect_plainly(c);
    cr_assert_eq(send(fd, greeting, sizeof greeting, 0), sizeof greeting);
    cr_assert_eq(send(fd, ready, sizeof ready - 1, 0), (ssize_t)sizeof ready - 1);
    cr_assert_eq(send(fd, frame, size, 0), (ssize_t)size);
    return fd;
}

static size_t left_of(struct control *c, uint64_t now_ns)
{
    monitor_turn(c->monitor, 1);
    monitor_weigh(c->monitor, 16 << 20, now_ns);
    return monitor_connections(c->monitor);
}

Test(monitor, guests_that_hold_back_the_end_of_large_frames_are_shown_out)
{
    enum { GUESTS = 40, SIZE = 1 << 20 };
    struct control c = control_open("tcp://127.0.0.1:*");
    int guests[GUESTS];
    uint64_t now_ns = 1;
    void *member = client_open(&c);
    join(&c);
    int modest = half_a_frame(&c, 1000);
    size_t before = resident_bytes();
    for (int i = 0; i < GUESTS; i++) {
        guests[i] = half_a_frame(&c, SIZE);
        left_of(&c, now_ns += NS_PER_S);
    }
    eventually(left_of(&c, now_ns += NS_PER_S) <= 2 + 16);
    cr_assert_geq(monitor_connections(c.monitor), 2, "and not those that sent little");
    cr_assert_not(is_over(modest));
    cr_assert_lt(resident_bytes() - before, (size_t)32 * SIZE);
    for (int i = 0; i < GUESTS; i++)
        close(guests[i]);
    close(modest);
    net_close(&member, 0);
    control_close(&c);
}

Test(monitor, whoever_is_vouched_for_may_stay)
{
    struct control c = limited("tcp://127.0.0.1:*", (struct monitor_limits){1, 5 * NS_PER_S});
    uint32_t closed;
    void *friend = client_open(&c);
    struct net_sender sender = read_message(&c);
    monitor_vouch(c.monitor, &sender, clock_now_ns());
    cr_assert_eq(monitor_deadline(c.monitor), NEVER);
    int stranger = connect_plainly(&c);
    eventually((turn_and_next(&c, &closed), is_over(stranger)));
    cr_assert_eq(monitor_connections(c.monitor), 1);
    close(stranger);
    net_close(&friend, 0);
    eventually(connections_are(&c, 0));
    cr_assert_not(turn_and_next(&c, &closed), "its end is nobody's business");
    control_close(&c);
}

/* libzmq's thread blocks when a monitor's queue is full, and with it every socket of the process.
 */
Test(monitor, a_flood_of_connections_that_nobody_reads_about_stalls_nothing)
{
    struct control c = control_open("tcp://127.0.0.1:*");
    for (unsigned i = 0; i < 1500; i++) {
        int fd = connect_plainly(&c);
        close(fd);
    }
    uint32_t closed, peer;
    void *client = client_open(&c);
    peer = join(&c);
    net_close(&client, 0);
    eventually(turn_and_next(&c, &closed));
    cr_assert_eq(closed, peer);
    control_close(&c);
}
