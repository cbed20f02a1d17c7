/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/stub/spoil.h"
#include "common/base/clock.h"
#include "common/net/connection.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/sys/signals.h"
#include "common/base/xalloc.h"
#include "worker/core/slots.h"

/* stub CONTROL WORKERS [ERR]
 *
 * Many workers in one process: each has the worker's own core, its own session and its own three connections, and
 * nothing that runs a task. Each task is answered at once with what it is. So what a farm of many workers costs the
 * ventilator and the sink can be measured on one machine. Ends with 0 when all have left as they should. With ERR
 * (spoil.h) they err in this way. */

enum {
    SLOTS = 1,
    BATCH_MAX = 4096,
    KEPT_MAX = 16 << 20,
    CONNECTIONS = 3,
    WATCHES = 2 * CONNECTIONS, /* each connection has its own and that of its link */
    DESCRIPTORS_WANTED = 65536,
    EVENTS_A_TURN = 256,
    LINGER_MS = 2000
};
#define GIVE_UP_NS (60 * NS_PER_S)

/* In the order in which a turn looks at them. */
enum which { CONTROL, LANE, RESULTS };

struct member {
    struct slots *slots;
    struct connection connections[CONNECTIONS];
    struct assignment todo; /* count 0: nothing */
    char name[32];
    bool queued; /* has something to look at in this turn */
    bool over;
    int status;
};

struct stub {
    const char *control;
    struct spoil spoil;
    struct signals signals;
    int epoll;
    struct member *members;
    uint64_t *due_ns; /* of each: the next deadline */
    struct member **queue;
    size_t count, queued, left;
    uint64_t now_ns;
};

/* ---- connections ---- */

static struct watch *watch_at(struct member *m, size_t number)
{
    struct connection *c = &m->connections[number / 2];
    return number % 2 ? &c->link_watch : &c->watch;
}

static void watch(struct stub *stub, struct member *m, enum which which, int operation)
{
    for (size_t number = 2 * which; number < 2 * which + 2; number++) {
        struct epoll_event event = {.events = EPOLLIN,
                                    .data.u64 = (uint64_t)(m - stub->members) * WATCHES + number};
        epoll_ctl(stub->epoll, operation, watch_at(m, number)->fd, &event);
    }
}

static void shut(struct stub *stub, struct member *m, enum which which, int linger_ms)
{
    if (m->connections[which].socket)
        watch(stub, m, which, EPOLL_CTL_DEL);
    connection_close(&m->connections[which], linger_ms);
}

typedef void down_fn(struct slots *s, uint64_t now_ns);
static down_fn *const tell_down[] = {slots_control_down, slots_lane_down, slots_results_down};

static void open_connection(struct stub *stub, struct member *m, enum which which,
                            const char *endpoint)
{
    static const enum net_role roles[] = {NET_CONTROL_CLIENT, NET_LANE_RECEIVER,
                                          NET_RESULTS_SENDER};
    struct why why;
    if (!connection_open(&m->connections[which], roles[which], endpoint, NULL, &why)) {
        watch(stub, m, which, EPOLL_CTL_ADD);
        return;
    }
    log_line("%s: %s", m->name, why.text);
    tell_down[which](m->slots, stub->now_ns);
}

static void take_messages(struct stub *stub, struct member *m, enum which which)
{
    struct block *message;
    while ((message = connection_receive(&m->connections[which]))) {
        if (which == CONTROL)
            slots_control_message(m->slots, block_bytes(message), stub->now_ns);
        else if (which == LANE)
            slots_lane_message(m->slots, block_bytes(message), stub->now_ns);
        block_release(&message);
    }
}

static void take_connection(struct stub *stub, struct member *m, enum which which)
{
    enum connection_event event = connection_turn(&m->connections[which]);
    if (event == CONNECTION_UP && which == CONTROL)
        slots_control_up(m->slots, stub->now_ns);
    if (event == CONNECTION_UP && which == RESULTS)
        slots_results_up(m->slots, stub->now_ns);
    take_messages(stub, m, which);
    if (event == CONNECTION_DOWN) {
        shut(stub, m, which, 0);
        tell_down[which](m->slots, stub->now_ns);
    }
}

static void send(struct stub *stub, struct member *m, enum which which, struct block *message)
{
    struct block *sent = spoil_message(&stub->spoil, message);
    if (sent)
        connection_send(&m->connections[which], &sent);
}

/* ---- tasks ---- */

static void answer(struct stub *stub, struct member *m)
{
    enum { HANGS_FROM = 200 };
    if (stub->spoil.way == SPOIL_NO_RETURNED && m->todo.first > HANGS_FROM)
        m->todo.count = 0; /* it runs for ever */
    struct bytes records = m->todo.records;
    struct buf line = {0};
    struct task task;
    for (uint32_t i = 0; i < m->todo.count && !task_take(&records, &task); i++) {
        buf_clear(&line);
        buf_put_bytes(&line, task.body);
        buf_put_byte(&line, '\n');
        struct outcome outcome = {.slot = m->todo.slot,
                                  .seq = m->todo.first + i,
                                  .status = RESULT_OK,
                                  .out = {.bytes = buf_bytes(&line), .fd = -1},
                                  .err = {.fd = -1}};
        slots_finished(m->slots, &outcome, stub->now_ns);
    }
    buf_free(&line);
    m->todo.count = 0;
}

static void do_action(struct stub *stub, struct member *m, struct slots_action *action)
{
    switch (action->kind) {
    case SLOTS_OPEN_CONTROL:
        open_connection(stub, m, CONTROL, action->endpoint);
        break;
    case SLOTS_OPEN_LANE:
        open_connection(stub, m, LANE, action->endpoint);
        break;
    case SLOTS_OPEN_RESULTS:
        open_connection(stub, m, RESULTS, action->endpoint);
        break;
    case SLOTS_CLOSE_CONTROL:
        shut(stub, m, CONTROL, LINGER_MS);
        break;
    case SLOTS_CLOSE_LANE:
        shut(stub, m, LANE, 0);
        break;
    case SLOTS_CLOSE_RESULTS:
        shut(stub, m, RESULTS, 0);
        break;
    case SLOTS_SEND_CONTROL:
        send(stub, m, CONTROL, action->block);
        break;
    case SLOTS_SEND_RESULTS:
        send(stub, m, RESULTS, action->block);
        break;
    case SLOTS_START:
        m->todo = action->assignment; /* answered in the same turn, before the core's next */
        break;
    case SLOTS_CANCEL: /* what is answered at once cannot be cancelled */
    case SLOTS_HURRY:
        break;
    case SLOTS_SAY:
        log_line("%s: %s", m->name, action->why.text);
        break;
    case SLOTS_EXIT:
        if (action->why.text[0])
            log_line("%s: %s", m->name, action->why.text);
        m->status = action->status;
        m->over = true;
        break;
    }
}

/* ---- turns ---- */

static bool has_news(const struct member *m)
{
    bool news = m->todo.count > 0;
    for (enum which which = CONTROL; which <= RESULTS; which++) {
        const struct connection *c = &m->connections[which];
        news = news || (c->socket && (c->watch.look || c->link_watch.look));
    }
    return news;
}

static void leave(struct stub *stub, struct member *m)
{
    shut(stub, m, LANE, 0);
    shut(stub, m, RESULTS, LINGER_MS);
    shut(stub, m, CONTROL, LINGER_MS);
    slots_destroy(&m->slots);
    stub->left--;
}

static void member_turn(struct stub *stub, struct member *m)
{
    struct slots_action action;
    do {
        for (enum which which = CONTROL; which <= RESULTS; which++)
            take_connection(stub, m, which);
        slots_results_pending(m->slots, connection_pending_bytes(&m->connections[RESULTS]));
        answer(stub, m);
        slots_turn(m->slots, stub->now_ns);
        while (slots_next_action(m->slots, &action))
            do_action(stub, m, &action);
        connection_flush(&m->connections[CONTROL]);
        connection_flush(&m->connections[RESULTS]);
    } while (!m->over && has_news(m));
    stub->due_ns[m - stub->members] = m->over ? NEVER : slots_deadline(m->slots);
    if (m->over)
        leave(stub, m);
}

static void enqueue(struct stub *stub, struct member *m)
{
    if (m->queued || m->over)
        return;
    m->queued = true;
    stub->queue[stub->queued++] = m;
}

static int timeout_ms(const struct stub *stub)
{
    uint64_t due_ns = NEVER, now_ns = clock_now_ns();
    for (size_t i = 0; i < stub->count; i++)
        if (stub->due_ns[i] < due_ns)
            due_ns = stub->due_ns[i];
    if (due_ns == NEVER)
        return -1;
    return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / NS_PER_MS + 1);
}

static void find_due(struct stub *stub)
{
    for (size_t i = 0; i < stub->count; i++)
        if (stub->due_ns[i] <= stub->now_ns)
            enqueue(stub, &stub->members[i]);
}

static void take_event(struct stub *stub, uint64_t number)
{
    if (number == UINT64_MAX) {
        while (signals_next(&stub->signals))
            for (size_t i = 0; i < stub->count; i++) {
                enqueue(stub, &stub->members[i]);
                if (!stub->members[i].over)
                    slots_drain(stub->members[i].slots, stub->now_ns);
            }
        return;
    }
    struct member *m = &stub->members[number / WATCHES];
    watch_at(m, number % WATCHES)->look = true;
    enqueue(stub, m);
}

static void loop(struct stub *stub)
{
    struct epoll_event events[EVENTS_A_TURN];
    while (stub->left > 0) {
        int count = epoll_wait(stub->epoll, events, EVENTS_A_TURN, timeout_ms(stub));
        stub->now_ns = clock_now_ns();
        for (int i = 0; i < count; i++)
            take_event(stub, events[i].data.u64);
        find_due(stub);
        for (size_t i = 0; i < stub->queued; i++) {
            stub->queue[i]->queued = false;
            stub->now_ns = clock_now_ns();
            member_turn(stub, stub->queue[i]);
        }
        stub->queued = 0;
    }
}

/* ---- beginning and end ---- */

static void make_member(struct stub *stub, size_t at)
{
    struct member *m = &stub->members[at];
    snprintf(m->name, sizeof m->name, "stub-%zu", at + 1);
    struct slots_options options = {.slots = SLOTS,
                                    .batch_max = BATCH_MAX,
                                    .peer = {.instance = random_u64(),
                                             .name = bytes_of(m->name),
                                             .host = bytes_of("localhost"),
                                             .release = bytes_of(ZFARM_VERSION),
                                             .pid = (uint64_t)getpid()},
                                    .kept_max_bytes = KEPT_MAX,
                                    .give_up_ns = GIVE_UP_NS,
                                    .connect = stub->control,
                                    .random_seed = random_u64()};
    m->slots = slots_new(&options, stub->now_ns);
}

static int run(struct stub *stub)
{
    struct epoll_event signal_event = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    struct why why;
    stub->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (signals_open(&stub->signals, 0, &why)) {
        log_line("%s", why.text);
        return 255;
    }
    epoll_ctl(stub->epoll, EPOLL_CTL_ADD, stub->signals.fd, &signal_event);
    net_start(DESCRIPTORS_WANTED);
    stub->now_ns = clock_now_ns();
    for (size_t i = 0; i < stub->count; i++)
        make_member(stub, i);
    loop(stub);
    int status = 0;
    for (size_t i = 0; i < stub->count; i++)
        if (stub->members[i].status > status)
            status = stub->members[i].status;
    net_end(NET_END_LIMIT_MS, status);
    return status;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    unsigned long count = argc >= 3 ? strtoul(argv[2], &end, 10) : 0;
    struct spoil spoil = {0};
    if (count == 0 || *end || argc > 4 || (argc == 4 && !spoil_parse(argv[3], &spoil))) {
        fprintf(stderr, "usage: stub CONTROL WORKERS [ERR]\n");
        return 255;
    }
    struct stub stub = {.control = argv[1],
                        .spoil = spoil,
                        .count = count,
                        .left = count,
                        .members = xcalloc(count, sizeof *stub.members),
                        .due_ns = xcalloc(count, sizeof *stub.due_ns),
                        .queue = xcalloc(count, sizeof(struct member *))};
    int status = run(&stub);
    free(stub.members);
    free(stub.due_ns);
    free(stub.queue);
    return status;
}
