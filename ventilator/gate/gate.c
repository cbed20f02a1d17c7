/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/gate/gate.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/net/listener.h"
#include "common/net/net.h"
#include "common/sys/private_dir.h"
#include "common/sys/shortage.h"
#include "common/base/throttle.h"
#include "common/base/xalloc.h"
#include "ventilator/gate/lane.h"

enum {
    EVENTS_A_TURN = 256,
    ACCEPTS_A_TURN = 64,
    LANES_A_SECOND = 200,
    SHORT_LINES_A_MINUTE = 10, /* about connections that are turned away for want of something */
};

struct gate {
    struct listener listener;
    int epoll;
    int spare; /* given up for a moment to accept and close when descriptors have run out */
    char *private_dir;
    const struct key_pair *own; /* NULL: no keys */
    uint64_t opened;            /* lanes so far */
    size_t count;               /* lanes now */
    size_t lanes_max;           /* size of `lanes` */
    struct throttle throttle;   /* of lanes that are opened */
    struct lane **lanes;        /* a lane stands at its number modulo lanes_max */
    TAILQ_HEAD(, lane) unclaimed;
    SLIST_HEAD(, lane) shut;
    struct throttle short_lines;
    struct why turned_away; /* for users, until they are told; or "" */
    struct gate_event *events;
    size_t events_first, events_count, events_capacity;
    uint8_t chunk[LANE_CHUNK_BYTES];
};

static enum error watch_listener(struct gate *gate, struct why *why)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    gate->epoll = epoll_create1(EPOLL_CLOEXEC);
    gate->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (gate->epoll < 0 || gate->spare < 0 ||
        epoll_ctl(gate->epoll, EPOLL_CTL_ADD, gate->listener.fd, &event) != 0)
        return fail(why, ERR_IO, "cannot watch the gate's socket: %s", strerror(errno));
    return ERR_NONE;
}

enum error gate_new(struct gate **made, const char *endpoint, const char *private_dir,
                    size_t lanes_max, struct why *why)
{
    *made = NULL;
    assert(lanes_max > 0);
    if (strlen(private_dir) + PRIVATE_NAME_MAX > ENDPOINT_PATH_MAX)
        return fail(
            why, ERR_TOO_LARGE,
            "the directory \"%.200s\" is too long a name to hold unix sockets; use a shorter "
            "one",
            private_dir);
    struct gate *gate = xcalloc(1, sizeof *gate);
    gate->listener.fd = gate->epoll = gate->spare = -1;
    gate->private_dir = xstrdup(private_dir);
    gate->lanes_max = lanes_max;
    gate->lanes = xcalloc(lanes_max, sizeof *gate->lanes);
    TAILQ_INIT(&gate->unclaimed);
    SLIST_INIT(&gate->shut);
    private_dir_sweep(private_dir, "lane-");
    enum error error = listener_open(&gate->listener, endpoint, why);
    if (!error)
        error = watch_listener(gate, why);
    if (error)
        gate_free(&gate);
    *made = gate;
    return error;
}

static void free_shut(struct gate *gate)
{
    while (!SLIST_EMPTY(&gate->shut)) {
        struct lane *lane = SLIST_FIRST(&gate->shut);
        SLIST_REMOVE_HEAD(&gate->shut, shut_next);
        lane_free(lane);
    }
}

static void shut(struct gate *gate, struct lane *lane)
{
    if (!lane->claimed)
        TAILQ_REMOVE(&gate->unclaimed, lane, unclaimed);
    gate->lanes[lane->id % gate->lanes_max] = NULL;
    gate->count--;
    lane_shut(lane);
    SLIST_INSERT_HEAD(&gate->shut, lane, shut_next);
}

void gate_free(struct gate **pointer)
{
    struct gate *gate = *pointer;
    *pointer = NULL;
    if (!gate)
        return;
    for (size_t i = 0; i < gate->lanes_max; i++)
        if (gate->lanes[i])
            shut(gate, gate->lanes[i]);
    free_shut(gate);
    listener_close(&gate->listener);
    if (gate->epoll >= 0)
        close(gate->epoll);
    if (gate->spare >= 0)
        close(gate->spare);
    free(gate->private_dir);
    free(gate->lanes);
    free(gate->events);
    free(gate);
}

void gate_use_keys(struct gate *gate, const struct key_pair *own)
{
    gate->own = own;
}

int gate_fd(const struct gate *gate)
{
    return gate->epoll;
}

uint16_t gate_port(const struct gate *gate)
{
    return gate->listener.port;
}

size_t gate_lanes(const struct gate *gate)
{
    return gate->count;
}

uint64_t gate_deadline(const struct gate *gate)
{
    const struct lane *oldest = TAILQ_FIRST(&gate->unclaimed);
    return oldest ? oldest->opened_ns + GATE_CLAIM_NS : NEVER;
}

static void put_event(struct gate *gate, struct gate_event event)
{
    if (gate->events_first + gate->events_count == gate->events_capacity) {
        gate->events_capacity = gate->events_capacity ? 2 * gate->events_capacity : 16;
        gate->events = xrealloc(gate->events, gate->events_capacity * sizeof *gate->events);
    }
    gate->events[gate->events_first + gate->events_count++] = event;
}

bool gate_next(struct gate *gate, struct gate_event *event)
{
    if (gate->events_count == 0) {
        gate->events_first = 0;
        return false;
    }
    *event = gate->events[gate->events_first++];
    gate->events_count--;
    return true;
}

/* A number never used before whose place is free; there is one, or the connection had been refused.
 */
static uint64_t next_number(struct gate *gate)
{
    do
        gate->opened++;
    while (gate->lanes[gate->opened % gate->lanes_max]);
    return gate->opened;
}

static void note_turned_away(struct gate *gate, const struct why *why, uint64_t now_ns)
{
    char more[THROTTLE_WORDS_SIZE];
    bool is_noted = gate->turned_away.text[0];
    if (!is_noted && throttle_line(&gate->short_lines, SHORT_LINES_A_MINUTE, now_ns))
        fail(&gate->turned_away, ERR_LIMIT,
             "connections of workers, which try again, are closed: %s%s", why->text,
             throttle_words(&gate->short_lines, more));
}

bool gate_turned_away(struct gate *gate, struct why *why)
{
    if (!gate->turned_away.text[0])
        return false;
    *why = gate->turned_away;
    gate->turned_away.text[0] = '\0';
    return true;
}

static void open_lane(struct gate *gate, int fd, uint64_t now_ns)
{
    struct why why;
    struct lane *lane =
        lane_open(next_number(gate), fd, gate->epoll, gate->private_dir, gate->own, &why);
    if (!lane) {
        note_turned_away(gate, &why, now_ns);
        return;
    }
    lane->opened_ns = now_ns;
    gate->lanes[lane->id % gate->lanes_max] = lane;
    gate->count++;
    TAILQ_INSERT_TAIL(&gate->unclaimed, lane, unclaimed);
    if (!gate->own)
        put_event(gate,
                  (struct gate_event){.opened = true, .lane = lane->id, .token = lane->token});
}

/* Out of descriptors: what waits is closed, or the listener would be readable for ever. */
static void turn_away(struct gate *gate, uint64_t now_ns)
{
    struct why why;
    shortage_fail(&why, TRIED_SOCKET, errno);
    note_turned_away(gate, &why, now_ns);
    close(gate->spare);
    int fd = accept4(gate->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    gate->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void close_unasked(struct gate *gate, struct lane *lane)
{
    put_event(gate, (struct gate_event){.lane = lane->id});
    shut(gate, lane);
}

/* Whoever claims its lane at once gets one, however many strangers hold some: the oldest of those
 * that nobody has claimed makes room. */
static bool gate_has_room(struct gate *gate, uint64_t now_ns)
{
    uint64_t burst = gate->lanes_max + LANES_A_SECOND;
    bool full = gate->count == gate->lanes_max;
    if ((full && TAILQ_EMPTY(&gate->unclaimed)) ||
        !throttle_take(&gate->throttle, burst, NS_PER_S / LANES_A_SECOND, now_ns))
        return false;
    if (full)
        close_unasked(gate, TAILQ_FIRST(&gate->unclaimed));
    return true;
}

static void accept_lanes(struct gate *gate, uint64_t now_ns)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(gate->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && gate_has_room(gate, now_ns))
            open_lane(gate, fd, now_ns);
        else if (fd >= 0)
            close(fd);
        else if (errno != EAGAIN && shortage_cause(TRIED_SOCKET, errno) == CAUSE_PASSES)
            turn_away(gate, now_ns);
        else if (errno != ECONNABORTED)
            return;
    }
}

void gate_turn(struct gate *gate, uint64_t now_ns)
{
    struct epoll_event ready[EVENTS_A_TURN];
    int count = epoll_wait(gate->epoll, ready, EVENTS_A_TURN, 0);
    for (int i = 0; i < count; i++) {
        struct lane_end *end = ready[i].data.ptr;
        struct why why;
        why.text[0] = '\0';
        if (!end)
            accept_lanes(gate, now_ns);
        else if (!end->lane->shut && !lane_turn(end, ready[i].events, gate->chunk, &why))
            close_unasked(gate, end->lane);
        if (why.text[0])
            note_turned_away(gate, &why, now_ns);
    }
    while (gate_deadline(gate) <= now_ns)
        close_unasked(gate, TAILQ_FIRST(&gate->unclaimed));
    free_shut(gate);
}

static struct lane *gate_find(const struct gate *gate, uint64_t number)
{
    struct lane *lane = gate->lanes[number % gate->lanes_max];
    return lane && lane->id == number ? lane : NULL;
}

void gate_send(struct gate *gate, uint64_t number, struct block **message)
{
    struct lane *lane = gate_find(gate, number);
    if (lane)
        net_send(lane->push, *message); /* without a mark it fails only if the connection is gone */
    block_release(message);
}

void gate_claim(struct gate *gate, uint64_t number)
{
    struct lane *lane = gate_find(gate, number);
    if (!lane || lane->claimed)
        return;
    lane->claimed = true;
    TAILQ_REMOVE(&gate->unclaimed, lane, unclaimed);
}

bool gate_authenticated(struct gate *gate, uint64_t number, const struct key *key)
{
    struct lane *lane = gate_find(gate, number);
    if (!lane || lane->authenticated)
        return false;
    lane->authenticated = true;
    put_event(gate, (struct gate_event){
                        .opened = true, .lane = number, .token = lane->token, .key = *key});
    return true;
}

void gate_close(struct gate *gate, uint64_t number)
{
    struct lane *lane = gate_find(gate, number);
    if (lane)
        shut(gate, lane);
}

const char *gate_peer(const struct gate *gate, uint64_t number)
{
    const struct lane *lane = gate_find(gate, number);
    return lane ? lane->peer : "";
}
