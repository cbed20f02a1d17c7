/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/uplink.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"

bool uplink_is_joined(const struct uplink *u)
{
    return u->membership.member.state == MEMBER_JOINED;
}

bool uplink_is_over(const struct uplink *u)
{
    return u->outgoing.has_exit;
}

/* ---- the connection ---- */

void uplink_up(struct uplink *u, uint64_t own_ns, uint64_t now_ns)
{
    membership_up(&u->membership, own_ns, now_ns);
}

void uplink_down(struct uplink *u, uint64_t now_ns)
{
    outgoing_drop_sends(&u->outgoing);
    membership_down(&u->membership, now_ns);
}

void uplink_rejoin(struct uplink *u, uint64_t now_ns)
{
    outgoing_drop_sends(&u->outgoing);
    outgoing_add(&u->outgoing, COLLECTOR_CLOSE_CONTROL, NULL);
    member_leave(&u->membership.member, now_ns);
}

enum error uplink_welcome(struct uplink *u, const struct frame_head *head,
                          const struct sink_welcome *welcome, uint64_t now_ns)
{
    enum error error = membership_welcome(&u->membership, head, welcome, now_ns);
    if (!error)
        u->asked_ns = 0;
    return error;
}

bool uplink_turn(struct uplink *u, uint64_t now_ns)
{
    if (membership_is_given_up(&u->membership, now_ns))
        return false;
    switch (membership_turn(&u->membership, now_ns)) {
    case MEMBER_DUE_OPEN:
        outgoing_add(&u->outgoing, COLLECTOR_OPEN_CONTROL, NULL);
        break;
    case MEMBER_DUE_SILENT:
        u->is_careful |= uplink_is_joined(u);
        uplink_rejoin(u, now_ns);
        break;
    case MEMBER_DUE_HEARTBEAT:
        uplink_say_heartbeat(u, now_ns);
        break;
    case MEMBER_DUE_NOTHING:
        break;
    }
    return true;
}

/* ---- what is said ---- */

void uplink_begin(const struct uplink *u, struct buf *message, enum wire_kind kind)
{
    wire_begin(message, kind,
               (struct frame_head){.job = u->job,
                                   .incarnation = u->membership.member.head.incarnation,
                                   .session = u->membership.member.head.session});
}

void uplink_send(struct uplink *u, struct buf *message)
{
    outgoing_add(&u->outgoing, COLLECTOR_SEND_CONTROL, block_new(message));
}

void uplink_say_heartbeat(struct uplink *u, uint64_t now_ns)
{
    struct heartbeat m = {.clock_ns = now_ns};
    struct buf message = {0};
    u->asked_ns = now_ns;
    uplink_begin(u, &message, KIND_HEARTBEAT);
    heartbeat_put(&message, &m);
    uplink_send(u, &message);
}

void uplink_say_leave(struct uplink *u)
{
    struct buf message = {0};
    uplink_begin(u, &message, KIND_LEAVE);
    leave_put(&message, &(struct leave){bytes_of("the sink was interrupted")});
    uplink_send(u, &message);
}

void uplink_say_protest(struct uplink *u, const struct protest *protest, uint64_t now_ns)
{
    enum { AT_ONCE = 20 };
    struct buf message = {0};
    if (!uplink_is_joined(u) || !throttle_take(&u->protests, AT_ONCE, NS_PER_S / AT_ONCE, now_ns))
        return;
    uplink_begin(u, &message, KIND_PROTEST);
    protest_put(&message, protest);
    uplink_send(u, &message);
}

void uplink_say_strange(struct uplink *u, const struct session_tasks *strange, uint64_t now_ns)
{
    char sentence[120];
    snprintf(sentence, sizeof sentence,
             "results of tasks that this session was never handed, first of task %" PRIu64,
             seqset_min(&strange->tasks));
    struct protest m = {strange->session, KIND_RESULTS, FRAME_HEAD_SIZE, bytes_of(sentence)};
    uplink_say_protest(u, &m, now_ns);
}
