/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/gate_rig.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void rig_open_at(struct rig *rig, const char *endpoint, size_t lanes_max)
{
    struct why why = {""};
    cr_assert_eq(gate_new(&rig->gate, endpoint, rig->dir.path, lanes_max, &why), ERR_NONE, "%s",
                 why.text);
}

void rig_open(struct rig *rig, size_t lanes_max)
{
    *rig = (struct rig){0};
    cr_assert_eq(private_dir_make(&rig->dir, NULL), ERR_NONE);
    rig_open_at(rig, "tcp://127.0.0.1:*", lanes_max);
    snprintf(rig->endpoint, sizeof rig->endpoint, "tcp://127.0.0.1:%u",
             (unsigned)gate_port(rig->gate));
}

void rig_close(struct rig *rig)
{
    gate_free(&rig->gate);
    private_dir_remove(&rig->dir);
}

bool turn(struct rig *rig)
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

struct worker knock(struct rig *rig)
{
    struct worker worker;
    cr_assert_eq(net_open(&worker.pull, NET_LANE_RECEIVER, NULL), ERR_NONE);
    cr_assert_eq(link_open(&worker.link, worker.pull, NULL), ERR_NONE);
    cr_assert_eq(net_connect(worker.pull, rig->endpoint, NULL), ERR_NONE);
    return worker;
}

/* A worker with a claimed lane whose handshake is done. */
struct worker join(struct rig *rig)
{
    size_t before = rig->opened_count;
    struct worker worker = knock(rig);
    eventually_in(rig, rig->opened_count > before);
    worker.lane = rig->opened[before % 256];
    gate_claim(rig->gate, worker.lane);
    eventually_in(rig, (link_turn(&worker.link), worker.link.up));
    return worker;
}

void leave(struct worker *worker)
{
    link_close(&worker->link, worker->pull);
    net_close(&worker->pull, 0);
}

void send_filled(struct rig *rig, uint64_t lane, uint8_t byte, size_t size)
{
    struct block *message = filled(byte, size);
    gate_send(rig->gate, lane, &message);
    cr_assert_null(message);
}

void expect_filled(struct rig *rig, struct worker *worker, uint8_t byte, size_t size)
{
    struct block *message;
    eventually_in(rig, (message = net_receive(worker->pull)));
    struct bytes bytes = block_bytes(message);
    cr_assert_eq(bytes.size, size);
    cr_assert_eq(bytes.data[0], byte);
    cr_assert_eq(bytes.data[size - 1], byte);
    block_release(&message);
}

int connect_plainly(const struct rig *rig)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(gate_port(rig->gate)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}
