/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_GATE_RIG_H
#define ZFARM_GATE_RIG_H

#include "common/net/link.h"
#include "common/sys/private_dir.h"
#include "tests/unit/sockets.h"
#include "ventilator/gate/gate.h"

/* A gate, what it told, and a clock that the test may set forward. */
struct rig {
    struct private_dir dir;
    struct gate *gate;
    char endpoint[ENDPOINT_TEXT_SIZE];
    uint64_t later_ns;
    uint64_t opened[256], closed[256];
    size_t opened_count, closed_count;
};

/* eventually, with the gate at work all the time. */
#define eventually_in(rig, condition) eventually((turn(rig) && (condition)))

struct worker {
    void *pull;
    struct link link;
    uint64_t lane;
};

void rig_open_at(struct rig *rig, const char *endpoint, size_t lanes_max);
void rig_open(struct rig *rig, size_t lanes_max);
void rig_close(struct rig *rig);
bool turn(struct rig *rig);
struct worker knock(struct rig *rig);
struct worker join(struct rig *rig);
void leave(struct worker *worker);
void send_filled(struct rig *rig, uint64_t lane, uint8_t byte, size_t size);
void expect_filled(struct rig *rig, struct worker *worker, uint8_t byte, size_t size);
int connect_plainly(const struct rig *rig);

#endif
