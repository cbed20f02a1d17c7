/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/gate/gate.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/unit/gate_rig.h"

TestSuite(gate, .timeout = 60, .init = sockets_start, .fini = sockets_end);

Test(gate, a_lane_carries_small_and_large_messages_in_order)
{
    struct rig rig;
    rig_open(&rig, 8);
    struct worker worker = join(&rig);
    for (unsigned i = 1; i <= 20; i++) {
        send_filled(&rig, worker.lane, (uint8_t)i, i);
        send_filled(&rig, worker.lane, (uint8_t)i, NET_FRAME_MAX - i);
    }
    for (unsigned i = 1; i <= 20; i++) {
        expect_filled(&rig, &worker, (uint8_t)i, i);
        expect_filled(&rig, &worker, (uint8_t)i, NET_FRAME_MAX - i);
    }
    cr_assert_eq(strncmp(gate_peer(rig.gate, worker.lane), "127.0.0.1:", 10), 0);
    cr_assert_eq(files_in(rig.dir.path), 1, "its lock alone: the lane's path is unlinked");
    leave(&worker);
    rig_close(&rig);
}

Test(gate, what_is_sent_at_once_when_a_lane_opens_is_delivered)
{
    struct rig rig;
    rig_open(&rig, 8);
    struct worker worker = knock(&rig);
    eventually_in(&rig, rig.opened_count == 1);
    send_filled(&rig, rig.opened[0], 'h', 18);
    expect_filled(&rig, &worker, 'h', 18);
    leave(&worker);
    rig_close(&rig);
}

Test(gate, every_lane_has_a_number_and_a_token_of_its_own)
{
    struct rig rig;
    struct gate_event first, second, none;
    rig_open(&rig, 1);
    struct worker one = knock(&rig);
    eventually((gate_turn(rig.gate, 0), gate_next(rig.gate, &first)));
    gate_close(rig.gate, first.lane);
    cr_assert_not(gate_next(rig.gate, &none), "closing it oneself is no event");
    struct worker two = knock(&rig);
    eventually((gate_turn(rig.gate, 0), gate_next(rig.gate, &second)));
    cr_assert_neq(first.lane, second.lane);
    cr_assert_neq(memcmp(&first.token, &second.token, sizeof first.token), 0);
    send_filled(&rig, first.lane, 'x', 10); /* to a lane that is gone: nothing happens */
    gate_claim(rig.gate, first.lane);
    gate_close(rig.gate, first.lane);
    cr_assert_eq(gate_lanes(rig.gate), 1);
    cr_assert_str_eq(gate_peer(rig.gate, first.lane), "");
    leave(&one);
    leave(&two);
    rig_close(&rig);
}

Test(gate, a_closed_lane_is_seen_by_its_worker)
{
    struct rig rig;
    rig_open(&rig, 8);
    struct worker worker = join(&rig);
    gate_close(rig.gate, worker.lane);
    eventually((link_turn(&worker.link), !worker.link.up));
    leave(&worker);
    rig_close(&rig);
}

Test(gate, a_worker_that_closes_is_noticed)
{
    struct rig rig;
    rig_open(&rig, 8);
    struct worker worker = join(&rig);
    leave(&worker);
    eventually_in(&rig, rig.closed_count == 1);
    cr_assert_eq(rig.closed[0], worker.lane);
    cr_assert_eq(gate_lanes(rig.gate), 0);
    rig_close(&rig);
}

/* A worker that is a process of its own: it reads the gate's port from its input, connects, and
 * never reads what comes. ZeroMQ must not be in use yet when it is forked. */
static pid_t fork_worker(int *port_to)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        char endpoint[ENDPOINT_TEXT_SIZE] = "";
        void *pull;
        net_start(0);
        if (read(ends[0], endpoint, sizeof endpoint - 1) <= 0)
            _exit(1);
        net_open(&pull, NET_LANE_RECEIVER, NULL);
        int one = 1;
        zmq_setsockopt(pull, ZMQ_RCVHWM, &one, sizeof one);
        net_connect(pull, endpoint, NULL);
        for (;;)
            pause();
    }
    close(ends[0]);
    *port_to = ends[1];
    return child;
}

static void expect_death_is_known(size_t queued_messages, struct block *message)
{
    struct rig rig;
    int port_to;
    pid_t child = fork_worker(&port_to);
    net_start(0);
    rig_open(&rig, 8);
    cr_assert_gt(write(port_to, rig.endpoint, strlen(rig.endpoint)), 0);
    eventually_in(&rig, rig.opened_count == 1);
    gate_claim(rig.gate, rig.opened[0]);
    for (size_t i = 0; i < queued_messages; i++) {
        struct block *held = block_hold(message);
        gate_send(rig.gate, rig.opened[0], &held);
    }
    for (unsigned i = 0; i < 200; i++) { /* until the worker's side is full */
        struct pollfd ready = {.fd = gate_fd(rig.gate), .events = POLLIN};
        poll(&ready, 1, 1);
        turn(&rig);
    }
    kill(child, SIGKILL);
    uint64_t killed_ns = clock_now_ns();
    eventually_in(&rig, rig.closed_count == 1);
    cr_assert_lt(clock_now_ns() - killed_ns, NS_PER_S);
    cr_assert_eq(rig.closed[0], rig.opened[0]);
    waitpid(child, NULL, 0);
    close(port_to);
    rig_close(&rig);
    net_end(NET_END_LIMIT_MS, 99);
}

Test(gate_death, a_killed_worker_is_known_at_once, .timeout = 60)
{
    expect_death_is_known(0, NULL);
}

Test(gate_death, a_killed_worker_is_known_at_once_with_much_queued, .timeout = 60)
{
    struct block *message = filled('q', 1024 * 1024);
    expect_death_is_known(64, message);
    block_release(&message);
}

Test(gate, listens_on_a_unix_socket_and_sweeps_its_directory)
{
    struct rig rig = {0};
    char left_over[ENDPOINT_TEXT_SIZE];
    cr_assert_eq(private_dir_make(&rig.dir, NULL), ERR_NONE);
    snprintf(left_over, sizeof left_over, "%s/lane-77", rig.dir.path);
    close(open(left_over, O_CREAT | O_WRONLY, 0600));
    snprintf(rig.endpoint, sizeof rig.endpoint, "ipc://%s/gate", rig.dir.path);
    rig_open_at(&rig, rig.endpoint, 8);
    cr_assert_eq(files_in(rig.dir.path), 2, "its lock and the gate's own");
    cr_assert_eq(gate_port(rig.gate), 0);
    struct worker worker = join(&rig);
    send_filled(&rig, worker.lane, 'u', 100000);
    expect_filled(&rig, &worker, 'u', 100000);
    cr_assert_eq(strncmp(gate_peer(rig.gate, worker.lane), "process ", 8), 0);
    leave(&worker);
    gate_free(&rig.gate);
    cr_assert_eq(files_in(rig.dir.path), 1);
    rig_close(&rig);
}
