/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/gate.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "common/link.h"
#include "common/net.h"
#include "common/private_dir.h"
#include "tests/unit/eventually.h"

/* A gate, what it told, and a clock that the test may set forward. */
struct rig {
    struct private_dir dir;
    struct gate *gate;
    char endpoint[ENDPOINT_TEXT_SIZE];
    uint64_t later_ns;
    uint64_t opened[256], closed[256];
    size_t opened_count, closed_count;
};

static void start(void)
{
    net_start(0);
}

static void end(void)
{
    net_end(NET_END_LIMIT_MS, 99);
}

TestSuite(gate, .timeout = 60, .init = start, .fini = end);

static void rig_open_at(struct rig *rig, const char *endpoint, size_t lanes_max)
{
    struct why why = {""};
    cr_assert_eq(gate_new(&rig->gate, endpoint, rig->dir.path, lanes_max, &why), ERR_NONE, "%s",
                 why.text);
}

static void rig_open(struct rig *rig, size_t lanes_max)
{
    *rig = (struct rig){0};
    cr_assert_eq(private_dir_make(&rig->dir, NULL), ERR_NONE);
    rig_open_at(rig, "tcp://127.0.0.1:*", lanes_max);
    snprintf(rig->endpoint, sizeof rig->endpoint, "tcp://127.0.0.1:%u",
             (unsigned)gate_port(rig->gate));
}

static void rig_close(struct rig *rig)
{
    gate_free(&rig->gate);
    private_dir_remove(&rig->dir);
}

static bool turn(struct rig *rig)
{
    struct gate_event event;
    gate_turn(rig->gate, clock_now_ns() + rig->later_ns);
    while (gate_next(rig->gate, &event)) {
        if (event.opened)
            rig->opened[rig->opened_count++ % 256] = event.lane;
        else
            rig->closed[rig->closed_count++ % 256] = event.lane;
    }
    return true;
}

/* eventually, with the gate at work all the time. */
#define eventually_in(rig, condition) eventually((turn(rig) && (condition)))

struct worker {
    void *pull;
    struct link link;
    uint64_t lane;
};

static struct worker knock(struct rig *rig)
{
    struct worker worker;
    cr_assert_eq(net_open(&worker.pull, NET_LANE_RECEIVER, NULL), ERR_NONE);
    cr_assert_eq(link_open(&worker.link, worker.pull, NULL), ERR_NONE);
    cr_assert_eq(net_connect(worker.pull, rig->endpoint, NULL), ERR_NONE);
    return worker;
}

/* A worker with a claimed lane whose handshake is done. */
static struct worker join(struct rig *rig)
{
    size_t before = rig->opened_count;
    struct worker worker = knock(rig);
    eventually_in(rig, rig->opened_count > before);
    worker.lane = rig->opened[before % 256];
    gate_claim(rig->gate, worker.lane);
    eventually_in(rig, (link_turn(&worker.link), worker.link.up));
    return worker;
}

static void leave(struct worker *worker)
{
    link_close(&worker->link, worker->pull);
    net_close(&worker->pull, 0);
}

static struct block *filled(uint8_t byte, size_t size)
{
    struct buf content = {0};
    memset(buf_reserve(&content, size), byte, size);
    content.size = size;
    return block_new(&content);
}

static void send_filled(struct rig *rig, uint64_t lane, uint8_t byte, size_t size)
{
    struct block *message = filled(byte, size);
    gate_send(rig->gate, lane, &message);
    cr_assert_null(message);
}

static void expect_filled(struct rig *rig, struct worker *worker, uint8_t byte, size_t size)
{
    struct block *message;
    eventually_in(rig, (message = net_receive(worker->pull)));
    struct bytes bytes = block_bytes(message);
    cr_assert_eq(bytes.size, size);
    cr_assert_eq(bytes.data[0], byte);
    cr_assert_eq(bytes.data[size - 1], byte);
    block_release(&message);
}

static size_t files_in(const char *path)
{
    size_t count = 0;
    DIR *files = opendir(path);
    while (readdir(files))
        count++;
    closedir(files);
    return count - 2; /* . and .. */
}

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
    cr_assert_eq(files_in(rig.dir.path), 0, "the lane's path is unlinked");
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

static size_t resident_bytes(void)
{
    size_t pages = 0, ignored;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert_eq(fscanf(file, "%zu %zu", &ignored, &pages), 2);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

Test(gate, a_worker_that_does_not_read_costs_little_memory_and_loses_nothing)
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

Test(gate, a_connection_over_the_cap_is_closed_at_once)
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

Test(gate, a_lane_that_nobody_claims_is_closed_after_five_seconds)
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

static int connect_plainly(const struct rig *rig)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(gate_port(rig->gate)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

Test(gate, garbage_and_strangers_do_no_harm)
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

Test(gate, a_flood_from_a_worker_is_parked_and_not_taken_into_memory)
{
    struct rig rig;
    static const uint8_t greeting[64] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                         1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    static const uint8_t ready[] = "\x04\x19\x05READY\x0bSocket-Type\0\0\0\4PULL";
    static const uint8_t frames[64 * 1024] = {0}; /* empty messages, two bytes each */
    rig_open(&rig, 8);
    int fd = connect_plainly(&rig);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    cr_assert_eq(send(fd, greeting, sizeof greeting, 0), sizeof greeting);
    cr_assert_eq(send(fd, ready, sizeof ready - 1, 0), (ssize_t)sizeof ready - 1);
    eventually_in(&rig, rig.opened_count == 1);
    size_t before = resident_bytes(), refused_in_a_row = 0, sent = 0;
    while (refused_in_a_row < 100 && sent < (size_t)64 * 1024 * 1024) {
        ssize_t got = send(fd, frames, sizeof frames, MSG_NOSIGNAL);
        sent += got > 0 ? (size_t)got : 0;
        refused_in_a_row = got > 0 ? 0 : refused_in_a_row + 1;
        if (got < 0)
            poll(NULL, 0, 1);
        turn(&rig);
    }
    cr_assert_lt(resident_bytes() - before, (size_t)8 * 1024 * 1024);
    close(fd);
    eventually_in(&rig, gate_lanes(rig.gate) == 0);
    rig_close(&rig);
}

Test(gate, a_hundred_joins_and_leaves_leak_no_descriptor)
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
    cr_assert_eq(files_in(rig.dir.path), 0);
    rig_close(&rig);
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
    cr_assert_eq(files_in(rig.dir.path), 1, "only the gate's own");
    cr_assert_eq(gate_port(rig.gate), 0);
    struct worker worker = join(&rig);
    send_filled(&rig, worker.lane, 'u', 100000);
    expect_filled(&rig, &worker, 'u', 100000);
    cr_assert_eq(strncmp(gate_peer(rig.gate, worker.lane), "process ", 8), 0);
    leave(&worker);
    gate_free(&rig.gate);
    cr_assert_eq(files_in(rig.dir.path), 0);
    rig_close(&rig);
}

Test(gate, a_socket_that_a_dead_gate_left_behind_is_taken_over_and_a_live_one_is_not)
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
    cr_assert_eq(files_in(rig.dir.path), 1);
    rig_open_at(&rig, rig.endpoint, 8);
    cr_assert_eq(gate_new(&second, rig.endpoint, rig.dir.path, 8, &why), ERR_IN_USE);
    cr_assert_null(second);
    cr_assert(strstr(why.text, rig.endpoint), "%s", why.text);
    rig_close(&rig);
}

Test(gate, a_port_in_use_is_refused_in_words)
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

Test(gate, running_out_of_descriptors_closes_connections_and_not_the_process)
{
    enum { KNOCKS = 40 };
    struct rig rig;
    struct rlimit limit, tight;
    int fds[KNOCKS];
    rig_open(&rig, 64);
    struct worker worker = join(&rig);
    for (size_t i = 0; i < KNOCKS; i++)
        fds[i] = connect_plainly(&rig); /* they wait in the backlog */
    getrlimit(RLIMIT_NOFILE, &limit);
    tight = limit;
    tight.rlim_cur = files_in("/proc/self/fd") + 6;
    setrlimit(RLIMIT_NOFILE, &tight);
    for (size_t i = 0; i < KNOCKS + 1; i++)
        turn(&rig);
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
