/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <zmq.h>

#include "common/net/zap.h"
#include "tests/unit/gate_rig.h"

/* A gate in a farm with keys: encrypted end to end through the pump, and opened when it is known whose it is. */
TestSuite(gate_keys, .timeout = 60, .init = sockets_start, .fini = sockets_end);

static struct rig rig;
static struct key_pair own, alpha, stranger;
static struct zap *zap;
static bool twice; /* it was asked for one lane a second time */

static struct key_pair new_pair(void)
{
    struct key_pair pair;
    char public[41], secret[41];
    zmq_curve_keypair(public, secret);
    zmq_z85_decode(pair.public.octets, public);
    zmq_z85_decode(pair.secret.octets, secret);
    return pair;
}

static bool decide(void *context, const struct zap_request *request)
{
    (void)context;
    cr_assert_eq(strncmp(request->domain, GATE_DOMAIN, strlen(GATE_DOMAIN)), 0);
    uint64_t lane = strtoull(request->domain + strlen(GATE_DOMAIN), NULL, 10);
    if (!key_equal(&request->key, &alpha.public))
        return false;
    bool first = gate_authenticated(rig.gate, lane, &request->key);
    twice = gate_authenticated(rig.gate, lane, &request->key);
    return first;
}

static void begin(void)
{
    own = new_pair();
    alpha = new_pair();
    stranger = new_pair();
    rig_open(&rig, 8);
    gate_use_keys(rig.gate, &own);
    cr_assert_eq(zap_new(&zap, decide, NULL, NULL), ERR_NONE);
}

static void end(void)
{
    rig_close(&rig);
    zap_free(&zap);
}

static bool turn_all(void)
{
    zap_watch(zap)->look = true;
    zap_turn(zap);
    return turn(&rig);
}

static struct worker knock_with(const struct key_pair *keys)
{
    struct worker worker;
    cr_assert_eq(net_open(&worker.pull, NET_LANE_RECEIVER, NULL), ERR_NONE);
    if (keys)
        net_call_keys(worker.pull, keys, &own.public);
    cr_assert_eq(link_open(&worker.link, worker.pull, NULL), ERR_NONE);
    cr_assert_eq(net_connect(worker.pull, rig.endpoint, NULL), ERR_NONE);
    return worker;
}

Test(gate_keys, a_lane_opens_when_its_worker_has_proven_its_key_and_is_its_own)
{
    struct gate_event event = {0};
    begin();
    struct worker worker = knock_with(&alpha);
    eventually((zap_watch(zap)->look = true, zap_turn(zap), gate_turn(rig.gate, 0),
                gate_next(rig.gate, &event)));
    cr_assert(event.opened);
    cr_assert(key_equal(&event.key, &alpha.public));
    cr_assert_not(twice);
    gate_claim(rig.gate, event.lane);
    eventually((turn_all(), link_turn(&worker.link), worker.link.up));
    send_filled(&rig, event.lane, 'x', NET_FRAME_MAX);
    expect_filled(&rig, &worker, 'x', NET_FRAME_MAX);
    leave(&worker);
    eventually_in(&rig, rig.closed_count == 1);
    end();
}

static void expect_refused(const struct key_pair *keys)
{
    struct worker worker = knock_with(keys);
    eventually((turn_all(), link_turn(&worker.link), worker.link.refusal));
    cr_assert_eq(rig.opened_count, 0, "nobody hears of its lane");
    leave(&worker);
    eventually_in(&rig, gate_lanes(rig.gate) == 0);
}

Test(gate_keys, a_stranger_opens_no_lane)
{
    begin();
    expect_refused(&stranger);
    end();
}

Test(gate_keys, a_peer_without_keys_opens_no_lane)
{
    begin();
    expect_refused(NULL);
    end();
}

Test(gate_keys, without_a_handler_nobody_opens_a_lane)
{
    begin();
    zap_free(&zap);
    struct worker worker = knock_with(&alpha);
    eventually((turn(&rig), link_turn(&worker.link), worker.link.refusal));
    cr_assert_eq(rig.opened_count, 0);
    leave(&worker);
    rig_close(&rig);
}

Test(gate_keys, a_key_for_a_lane_that_is_gone_is_of_no_use)
{
    begin();
    cr_assert_not(gate_authenticated(rig.gate, 77, &alpha.public));
    end();
}
