/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/gate/gate.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/unit/gate_rig.h"

TestSuite(gate_limits, .timeout = 60, .init = sockets_start, .fini = sockets_end);

Test(gate_limits, a_worker_that_does_not_read_costs_little_memory_and_loses_nothing)
{
    enum { MESSAGES = 100, SIZE = 1024 * 1024 };
    struct rig rig;
    int one = 1;
    rig_open(&rig, 8);
    struct worker stalled = {0};
    net_open(&stalled.pull, NET_LANE_RECEIVER, NULL);
    zmq_setsockopt(stalled.pull, ZMQ_RCVHWM, &one, sizeof one); /* so that it reads no further */
    link_open(&stalled.link, stalled.pull, NULL);
    net_connect(stalled.pull, rig.endpoint, NULL);
    eventually_in(&rig, rig.opened_count == 1);
    stalled.lane = rig.opened[0];
    gate_claim(rig.gate, stalled.lane);

    struct block *message = filled('m', SIZE); /* one block many times: the queue itself is free */
    size_t before = resident_bytes();
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct block *held = block_hold(message);
        gate_send(rig.gate, stalled.lane, &held);
    }
    struct worker other = join(&rig);
    for (unsigned i = 0; i < 100; i++) { /* another lane goes on meanwhile */
        send_filled(&rig, other.lane, (uint8_t)i, 1000);
        expect_filled(&rig, &other, (uint8_t)i, 1000);
    }
    struct pollfd ready = {.fd = gate_fd(rig.gate), .events = POLLIN};
    while (poll(&ready, 1, 100) > 0) /* until it has taken all that it will */
        turn(&rig);
    size_t grown = resident_bytes() - before;
    cr_assert_lt(grown, (size_t)24 * SIZE, "the pump held %zu bytes", grown);
    for (unsigned i = 0; i < MESSAGES; i++)
        expect_filled(&rig, &stalled, 'm', SIZE);
    cr_assert_eq(rig.closed_count, 0);
    block_release(&message);
    leave(&stalled);
    leave(&other);
    rig_close(&rig);
}

Test(gate_limits, a_connection_over_the_cap_is_closed_at_once)
{
    struct rig rig;
    rig_open(&rig, 2);
    struct worker one = join(&rig), two = join(&rig);
    struct worker three = knock(&rig);
    eventually_in(&rig, (link_turn(&three.link), three.link.failed > 0));
    cr_assert_eq(rig.opened_count, 2);
    send_filled(&rig, one.lane, '1', 10);
    expect_filled(&rig, &one, '1', 10);
    leave(&three);
    leave(&two);
    eventually_in(&rig, gate_lanes(rig.gate) == 1);
    struct worker four = join(&rig);
    send_filled(&rig, four.lane, '4', 10);
    expect_filled(&rig, &four, '4', 10);
    leave(&one);
    leave(&four);
    rig_close(&rig);
}

Test(gate_limits, strangers_that_hold_all_lanes_make_room_for_a_worker)
{
    struct rig rig;
    rig_open(&rig, 3);
    struct worker member = join(&rig);
    int first = connect_plainly(&rig);
    eventually_in(&rig, rig.opened_count == 2);
    int second = connect_plainly(&rig);
    eventually_in(&rig, rig.opened_count == 3);
    struct worker late = join(&rig);
    cr_assert_eq(rig.closed_count, 1);
    cr_assert_eq(rig.closed[0], rig.opened[1], "the oldest that nobody has claimed");
    cr_assert_eq(gate_lanes(rig.gate), 3);
    send_filled(&rig, member.lane, 'm', 10);
    expect_filled(&rig, &member, 'm', 10);
    send_filled(&rig, late.lane, 'l', 10);
    expect_filled(&rig, &late, 'l', 10);
    close(first);
    close(second);
    leave(&member);
    leave(&late);
    rig_close(&rig);
}

static bool is_closed(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN);
}

Test(gate_limits, more_lanes_a_second_than_may_be_are_not_opened)
{
    enum { BURST = 4 + 200, KNOCKS = 400 };
    struct rig rig;
    rig_open(&rig, 4);
    uint64_t now_ns = clock_now_ns();
    struct gate_event event;
    size_t opened = 0;
    for (size_t i = 0; i < KNOCKS; i++) {
        int fd = connect_plainly(&rig);
        struct pollfd ready = {.fd = gate_fd(rig.gate), .events = POLLIN};
        cr_assert_gt(poll(&ready, 1, 10000), 0);
        gate_turn(rig.gate, now_ns);
        while (gate_next(rig.gate, &event))
            opened += event.opened;
        close(fd);
    }
    cr_assert_eq(opened, BURST);
    eventually_in(&rig, gate_lanes(rig.gate) == 0);
    rig.later_ns = 1 * NS_PER_S;
    struct worker worker = join(&rig);
    leave(&worker);
    int fd = connect_plainly(&rig);
    cr_assert_not(is_closed(fd));
    close(fd);
    rig_close(&rig);
}

Test(gate_limits, a_lane_that_nobody_claims_is_closed_after_five_seconds)
{
    struct rig rig;
    rig_open(&rig, 8);
    cr_assert_eq(gate_deadline(rig.gate), NEVER);
    struct worker claimed = join(&rig);
    struct worker silent = knock(&rig);
    eventually_in(&rig, rig.opened_count == 2);
    uint64_t deadline_ns = gate_deadline(rig.gate);
    cr_assert_lt(deadline_ns, clock_now_ns() + GATE_CLAIM_NS + 1);
    gate_turn(rig.gate, deadline_ns - 1);
    cr_assert_eq(gate_lanes(rig.gate), 2);
    rig.later_ns = GATE_CLAIM_NS;
    eventually_in(&rig, rig.closed_count == 1);
    cr_assert_eq(rig.closed[0], rig.opened[1]);
    cr_assert_eq(gate_deadline(rig.gate), NEVER);
    send_filled(&rig, claimed.lane, 'c', 10);
    expect_filled(&rig, &claimed, 'c', 10);
    leave(&claimed);
    leave(&silent);
    rig_close(&rig);
}

Test(gate_limits, garbage_and_strangers_do_no_harm)
{
    static const char *const garbage[] = {"GET / HTTP/1.1\r\n\r\n", "\x01",
                                          "\xff\0\0\0\0\0\0\0\1\x7f\3\0",
                                          "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"};
    struct rig rig;
    rig_open(&rig, 64);
    struct worker worker = join(&rig);
    for (size_t i = 0; i < 40; i++) {
        const char *bytes = garbage[i % 4];
        int fd = connect_plainly(&rig);
        cr_assert_geq(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), 0);
        turn(&rig);
        if (i % 2)
            close(fd); /* the others stay and are silent */
    }
    void *push; /* the wrong kind of socket */
    net_open(&push, NET_RESULTS_SENDER, NULL);
    net_connect(push, rig.endpoint, NULL);
    eventually_in(&rig, rig.opened_count >= 42);
    rig.later_ns = GATE_CLAIM_NS;
    net_close(&push, 0);
    eventually_in(&rig, gate_lanes(rig.gate) == 1);
    send_filled(&rig, worker.lane, 'w', 1000);
    expect_filled(&rig, &worker, 'w', 1000);
    leave(&worker);
    rig_close(&rig);
}

static size_t receive_any(int fd)
{
    uint8_t bytes[256];
    ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    return got > 0 ? (size_t)got : 0;
}

/* A worker that says it is one, and then sends where it has nothing to send. */
Test(gate_limits, a_flood_from_a_worker_is_parked_and_not_taken_into_memory)
{
    struct rig rig;
    static const uint8_t greeting[64] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                         1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    static const uint8_t ready[] = "\x04\x1a\x05READY\x0bSocket-Type\0\0\0\4PULL";
    static const uint8_t frames[64 * 1024] = {0}; /* empty messages, two bytes each */
    size_t answered_bytes = 0;
    rig_open(&rig, 8);
    int fd = connect_plainly(&rig);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    cr_assert_eq(send(fd, greeting, sizeof greeting, 0), sizeof greeting);
    cr_assert_eq(send(fd, ready, sizeof ready - 1, 0), (ssize_t)sizeof ready - 1);
    eventually_in(&rig, (answered_bytes += receive_any(fd)) > sizeof greeting);
    size_t before = resident_bytes(), refused_in_a_row = 0, sent = 0;
    while (refused_in_a_row < 100 && sent < (size_t)64 * 1024 * 1024) {
        ssize_t got = send(fd, frames, sizeof frames, MSG_NOSIGNAL);
        sent += got > 0 ? (size_t)got : 0;
        refused_in_a_row = got > 0 ? 0 : refused_in_a_row + 1;
        if (got < 0)
            poll(NULL, 0, 1);
        turn(&rig);
    }
    cr_assert_eq(refused_in_a_row, 100, "the flood must come to a stand");
    cr_assert_eq(gate_lanes(rig.gate), 1, "and not because the lane was closed");
    cr_assert_lt(resident_bytes() - before, (size_t)8 * 1024 * 1024);
    close(fd);
    rig.later_ns = GATE_CLAIM_NS;
    eventually_in(&rig, gate_lanes(rig.gate) == 0);
    rig_close(&rig);
}

Test(gate_limits, a_hundred_joins_and_leaves_leak_no_descriptor)
{
    struct rig rig;
    rig_open(&rig, 4);
    struct worker first = join(&rig);
    leave(&first);
    eventually_in(&rig, gate_lanes(rig.gate) == 0);
    size_t before = files_in("/proc/self/fd");
    for (unsigned i = 0; i < 100; i++) {
        struct worker worker = join(&rig);
        send_filled(&rig, worker.lane, 'l', 100);
        expect_filled(&rig, &worker, 'l', 100);
        if (i % 2)
            gate_close(rig.gate, worker.lane);
        leave(&worker);
        eventually_in(&rig, gate_lanes(rig.gate) == 0);
    }
    eventually(files_in("/proc/self/fd") <= before); /* libzmq closes in the background */
    cr_assert_eq(files_in(rig.dir.path), 1);
    rig_close(&rig);
}

Test(gate_limits, a_socket_that_a_dead_gate_left_behind_is_taken_over_and_a_live_one_is_not)
{
    struct rig rig = {0};
    struct gate *second;
    struct why why = {""};
    cr_assert_eq(private_dir_make(&rig.dir, NULL), ERR_NONE);
    snprintf(rig.endpoint, sizeof rig.endpoint, "ipc://%s/gate", rig.dir.path);
    pid_t child = fork();
    if (child == 0) {
        struct gate *dead;
        gate_new(&dead, rig.endpoint, rig.dir.path, 8, NULL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    cr_assert_eq(files_in(rig.dir.path), 2);
    rig_open_at(&rig, rig.endpoint, 8);
    cr_assert_eq(gate_new(&second, rig.endpoint, rig.dir.path, 8, &why), ERR_IN_USE);
    cr_assert_null(second);
    cr_assert(strstr(why.text, rig.endpoint), "%s", why.text);
    rig_close(&rig);
}

Test(gate_limits, a_port_in_use_is_refused_in_words)
{
    struct rig rig;
    struct gate *second;
    struct why why = {""};
    rig_open(&rig, 8);
    cr_assert_eq(gate_new(&second, rig.endpoint, rig.dir.path, 8, &why), ERR_IN_USE);
    cr_assert(strstr(why.text, rig.endpoint) && strstr(why.text, "another"), "%s", why.text);
    cr_assert_eq(gate_new(&second, "tcp://nonsense", rig.dir.path, 8, &why), ERR_INVALID);
    cr_assert_eq(gate_new(&second, "tcp://192.0.2.1:77", rig.dir.path, 8, &why), ERR_NOT_FOUND);
    char deep[200];
    memset(deep, 'd', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    cr_assert_eq(gate_new(&second, "tcp://127.0.0.1:*", deep, 8, &why), ERR_TOO_LARGE);
    rig_close(&rig);
}

/* Lowers the limit of descriptors and takes all but `free_count` of what is left under it. */
static void use_up_descriptors(size_t free_count, struct rlimit *before)
{
    struct rlimit tight;
    int copy, copies[16];
    size_t count = 0;
    getrlimit(RLIMIT_NOFILE, before);
    tight = *before;
    tight.rlim_cur = files_in("/proc/self/fd") + 8;
    setrlimit(RLIMIT_NOFILE, &tight);
    while (count < 16 && (copy = dup(STDIN_FILENO)) >= 0)
        copies[count++] = copy;
    cr_assert(count < 16 && count >= free_count, "%zu", count);
    for (size_t i = 0; i < free_count; i++)
        close(copies[--count]);
}

/* Said once for all connections that were closed together, since users are told a few times a minute. */
static void expect_words(struct rig *rig)
{
    struct why why;
    cr_assert(gate_turned_away(rig->gate, &why));
    cr_assert(strstr(why.text, "connections of workers, which try again, are closed: ") &&
                  strstr(why.text, "Too many open files; ulimit -n raises the limit"),
              "%s", why.text);
    cr_assert_not(gate_turned_away(rig->gate, &why));
}

static void expect_survival(size_t free_descriptors)
{
    enum { KNOCKS = 40 };
    struct rig rig;
    struct rlimit limit;
    int fds[KNOCKS];
    rig_open(&rig, 64);
    struct worker worker = join(&rig);
    for (size_t i = 0; i < KNOCKS; i++)
        fds[i] = connect_plainly(&rig); /* they wait in the backlog */
    use_up_descriptors(free_descriptors, &limit);
    struct pollfd ready = {.fd = gate_fd(rig.gate), .events = POLLIN};
    eventually_in(&rig, poll(&ready, 1, 20) == 0); /* nothing waits, or the loop would spin */
    expect_words(&rig);
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_assert_lt(gate_lanes(rig.gate), KNOCKS);
    for (size_t i = 0; i < KNOCKS; i++)
        close(fds[i]);
    eventually_in(&rig, gate_lanes(rig.gate) == 1);
    send_filled(&rig, worker.lane, 'a', 100);
    expect_filled(&rig, &worker, 'a', 100);
    struct worker next = join(&rig);
    leave(&next);
    leave(&worker);
    rig_close(&rig);
}

Test(gate_limits, running_out_of_descriptors_closes_connections_and_not_the_process)
{
    expect_survival(0); /* not even one to accept with */
}

Test(gate_limits, running_short_of_descriptors_closes_connections_and_not_the_process)
{
    expect_survival(5); /* enough for one lane, or for the half of two */
}
