/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/ventilator.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/sys/beacon.h"
#include "common/base/clock.h"
#include "common/base/endpoint.h"
#include "common/cli/farm_input.h"
#include "common/net/far.h"
#include "common/base/log.h"
#include "common/net/monitor.h"
#include "common/net/net.h"
#include "common/net/poller.h"
#include "common/sys/private_dir.h"
#include "common/base/random.h"
#include "common/sys/ready.h"
#include "common/sys/shortage.h"
#include "common/sys/signals.h"
#include "common/base/stall.h"
#include "common/base/xalloc.h"
#include "common/wire/trace.h"
#include "ventilator/core/dispatcher.h"
#include "ventilator/door.h"
#include "ventilator/gate/gate.h"
#include "ventilator/gate/outboxes.h"

/* One turn of the loop, in this order:
 *
 *     1. read the clock
 *     2. signals
 *     3. the door: keys that were admitted or revoked, then handshakes; control: the messages that
 *        are there, then the connections that closed
 *     4. the gate: lanes that came and went
 *     5. the dispatcher's turn: deadlines, what is queued
 *     6. the input, as far as somebody takes it
 *     7. actions, then whatever can be sent
 *     8. sleep until something happens or the dispatcher's next deadline
 */

enum {
    DESCRIPTORS_WANTED = 65536,
    DESCRIPTORS_OWN = 400, /* for everything but workers */
    DESCRIPTORS_A_WORKER = 6,
    GUEST_BYTES_MAX = 8 << 20, /* sent by them, all together */
    GUESTS_MAX = 128,          /* connections to control beyond those of workers */
    WORKERS_MOST = 1000,
    MESSAGES_A_TURN = 1000,
    MESSAGES_BYTES_A_TURN = 4 << 20,
    BATCHES_A_TURN = 64,
    OUTBOXES_MAX = 8 << 20, /* of all that peers do not read */
    QUEUE_MAX_USUAL = 16 << 20,
    QUEUE_TASKS = 4,
    LINGER_MS = 1000
};
#define UNSENT_NS (10 * NS_PER_MS)
#define BACKGROUND_NS (500 * NS_PER_MS)
#define GUEST_NS (30 * NS_PER_S) /* one may be slow; what is too many is closed at once */

struct ventilator {
    const struct farm_options *options;
    struct source_options source_options;
    struct signals signals;
    struct private_dir dir;
    struct far_means means;
    struct door door; /* in a farm with keys */
    void *control;
    struct watch control_watch, monitor_watch;
    struct monitor *monitor;
    struct gate *gate;
    struct source *source;
    struct dispatcher *dispatcher;
    struct outboxes outboxes;
    bool queued;        /* something was put into them since they were flushed */
    uint64_t unsent_ns; /* when to try again what was not taken; NEVER: all was */
    struct stall stall;
    struct trace trace;
    bool input_waits; /* the source has nothing now: poll its descriptor */
    struct requests requests;
    bool on_terminal; /* its input is there */
    bool held;        /* by ^Z in the terminal of our parent */
    uint64_t
        background_at_ns; /* when to look whether we may read the terminal again; NEVER: we may */
    bool over;
    int status;
};

/* The dispatcher's number for a connection: libzmq's, moved so that 0 stays free. */
static uint64_t connection_of(uint32_t peer)
{
    return (uint64_t)peer + 1;
}

static uint32_t peer_of(uint64_t connection)
{
    return (uint32_t)(connection - 1);
}

/* ---- what comes in ---- */

static void ventilator_take_signals(struct ventilator *v, uint64_t now_ns)
{
    for (int number; (number = signals_next(&v->signals)) != 0;) {
        enum request request = requests_take(&v->requests, number, now_ns);
        if (number == SIGCHLD) {
            while (waitpid(-1, NULL, WNOHANG) > 0)
                ; /* as process 1 of a container it inherits orphans */
        } else if (number == SIGNAL_HOLD) {
            v->held = true;
            dispatcher_hold(v->dispatcher, now_ns);
            signals_tell_held(&v->signals);
        } else if (number == SIGNAL_GO) {
            v->held = false;
            dispatcher_go(v->dispatcher, now_ns);
        } else if (request == REQUEST_END) {
            if (number != SIGNAL_END_NOW && !v->options->parent)
                log_line("interrupted a second time: what runs is given up");
            v->over = true;
            v->status = 255;
        } else if (request == REQUEST_LEAVE) {
            if (!v->options->parent)
                log_line("stopping: what runs may finish; a second TERM or INT, a second later or "
                         "more, ends it at once");
            dispatcher_stop(v->dispatcher, "interrupted by a signal", now_ns);
        }
    }
}

static void ventilator_take_messages(struct ventilator *v, uint64_t now_ns)
{
    struct net_sender sender;
    size_t size_bytes = 0;
    for (int i = 0; i < MESSAGES_A_TURN && size_bytes < MESSAGES_BYTES_A_TURN; i++) {
        if (!v->control_watch.look)
            return;
        struct block *message = net_receive_from(v->control, &sender);
        if (!message) {
            v->control_watch.look = false;
            return;
        }
        struct bytes bytes = block_bytes(message);
        size_bytes += bytes.size;
        struct origin from = {connection_of(sender.peer), sender.address, sender.key};
        trace_message(&v->trace, TRACE_HEARD, "control", from.connection, bytes, now_ns);
        bool admitted = !v->means.keys || door_admits(&v->door, &sender.key);
        if (admitted && bytes.size && bytes.data[0] == KIND_JOIN)
            monitor_join(v->monitor, &sender, now_ns);
        if (admitted)
            dispatcher_control_message(v->dispatcher, &from, bytes, now_ns);
        else
            net_cut(&sender); /* its key was revoked, after its handshake */
        block_release(&message);
    }
}

static void ventilator_take_control(struct ventilator *v, uint64_t now_ns)
{
    if (v->means.keys && door_turn(&v->door, now_ns))
        dispatcher_admitted_changed(v->dispatcher, now_ns);
    ventilator_take_messages(v, now_ns);
    if (v->monitor_watch.look || now_ns >= monitor_deadline(v->monitor))
        monitor_turn(v->monitor, now_ns);
    monitor_weigh(v->monitor, GUEST_BYTES_MAX, now_ns);
    v->monitor_watch.look = false;
    for (uint32_t peer; monitor_next(v->monitor, &peer);)
        dispatcher_control_closed(v->dispatcher, connection_of(peer), now_ns);
}

static void take_lanes(struct ventilator *v, uint64_t now_ns)
{
    struct why why;
    gate_turn(v->gate, now_ns);
    if (gate_turned_away(v->gate, &why))
        log_line("%s", why.text);
    for (struct gate_event event; gate_next(v->gate, &event);)
        if (event.opened)
            dispatcher_lane_opened(v->dispatcher, event.lane, event.token, &event.key, now_ns);
        else
            dispatcher_lane_closed(v->dispatcher, event.lane, now_ns);
}

static void tell_looks(struct ventilator *v)
{
    struct source_looks looks = source_looks(v->source);
    dispatcher_input_looks(v->dispatcher, (looks.crlf ? STATUS_INPUT_CRLF : 0) |
                                              (looks.bom ? STATUS_INPUT_BOM : 0));
}

/* Returns false when the source has nothing to give now. */
static bool take_tasks(struct ventilator *v, size_t tasks_max, size_t bytes_max, uint64_t now_ns)
{
    size_t tasks = 0;
    struct why why;
    switch (source_take(v->source, dispatcher_room(v->dispatcher), tasks_max, bytes_max, &tasks,
                        &why)) {
    case SOURCE_TOOK:
        tell_looks(v);
        dispatcher_add_tasks(v->dispatcher, tasks, now_ns);
        return true;
    case SOURCE_TOO_LARGE:
        dispatcher_add_too_large(v->dispatcher, now_ns);
        return true;
    case SOURCE_WAIT:
        v->input_waits = true;
        return false;
    case SOURCE_END:
        dispatcher_input_ended(v->dispatcher, now_ns);
        return false;
    case SOURCE_FAILED:
        log_line("%s", why.text);
        dispatcher_input_failed(v->dispatcher, why.text, now_ns);
        return false;
    }
    return false;
}

/* After `bg` the terminal's input is for another process: to read would stop us, or fail. */
static bool is_in_background(struct ventilator *v, uint64_t now_ns)
{
    int fd = source_fd(v->source);
    pid_t foreground = v->options->parent && fd >= 0 ? tcgetpgrp(fd) : -1;
    bool is = foreground >= 0 && foreground != getpgrp();
    v->background_at_ns = is ? now_ns + BACKGROUND_NS : NEVER;
    return is;
}

static void take_input(struct ventilator *v, uint64_t now_ns)
{
    size_t tasks_max, bytes_max;
    v->input_waits = false;
    if (v->on_terminal && is_in_background(v, now_ns))
        return;
    for (int i = 0; i < BATCHES_A_TURN; i++)
        if (!dispatcher_wants_tasks(v->dispatcher, &tasks_max, &bytes_max) ||
            !take_tasks(v, tasks_max, bytes_max, now_ns))
            return;
}

/* ---- what goes out ---- */

static void send_control(struct ventilator *v, uint64_t connection, struct block *block,
                         uint64_t now_ns)
{
    uint32_t given_up;
    v->queued = true;
    trace_message(&v->trace, TRACE_SAID, "control", connection, block_bytes(block), now_ns);
    if (outboxes_put(&v->outboxes, peer_of(connection), &block, &given_up))
        /* it reads nothing: over for us, and it is told to join again if it ever speaks */
        dispatcher_control_closed(v->dispatcher, connection_of(given_up), now_ns);
}

/* A ROUTER does not tell when a peer takes more. */
static void flush_control(struct ventilator *v, uint64_t now_ns)
{
    if (!v->queued && now_ns < v->unsent_ns)
        return;
    v->queued = false;
    v->control_watch.look |= v->outboxes.by_peer.count > 0; /* sending may take in what came */
    v->unsent_ns = outboxes_flush(&v->outboxes) ? now_ns + UNSENT_NS : NEVER;
}

static void ventilator_do_actions(struct ventilator *v, uint64_t now_ns)
{
    struct dispatcher_action action;
    while (dispatcher_next_action(v->dispatcher, &action))
        switch (action.kind) {
        case DISPATCHER_SEND_CONTROL:
            send_control(v, action.connection, action.block, now_ns);
            break;
        case DISPATCHER_SEND_LANE:
            trace_message(&v->trace, TRACE_SAID, "lane", action.lane, block_bytes(action.block),
                          now_ns);
            gate_send(v->gate, action.lane, &action.block);
            break;
        case DISPATCHER_CLAIM_LANE:
            gate_claim(v->gate, action.lane);
            break;
        case DISPATCHER_CLOSE_LANE:
            gate_close(v->gate, action.lane);
            break;
        case DISPATCHER_CUT_CONTROL:
            monitor_cut(v->monitor, peer_of(action.connection), now_ns);
            break;
        case DISPATCHER_SAY:
            log_line("%s", action.why.text);
            break;
        case DISPATCHER_EXIT:
            if (action.why.text[0])
                log_line("%s", action.why.text);
            v->status = action.status;
            v->over = true;
            break;
        }
}

/* ---- sleeping ---- */

static void ventilator_say_trace(struct ventilator *v)
{
    const char *trouble = trace_trouble(&v->trace);
    if (trouble)
        log_line("%s", trouble);
}

static void ventilator_say_stall(struct ventilator *v, uint64_t now_ns)
{
    struct why why;
    if (!v->held && stall_due(&v->stall, dispatcher_moved_at(v->dispatcher), now_ns) &&
        dispatcher_waits_for(v->dispatcher, now_ns, &why))
        log_line("waiting: %s", why.text);
}

static void ventilator_wait_for_events(struct ventilator *v)
{
    struct poller poller = {0};
    poller_add_fd(&poller, v->signals.fd, POLLIN);
    poller_add_fd(&poller, gate_fd(v->gate), POLLIN);
    poller_add(&poller, &v->control_watch);
    poller_add(&poller, &v->monitor_watch);
    if (v->input_waits && source_fd(v->source) >= 0)
        poller_add_fd(&poller, source_fd(v->source), POLLIN);
    uint64_t due_ns = clock_earlier(dispatcher_deadline(v->dispatcher), gate_deadline(v->gate));
    due_ns = clock_earlier(due_ns, monitor_deadline(v->monitor));
    if (v->means.keys) {
        poller_add(&poller, zap_watch(v->door.zap));
        due_ns = clock_earlier(due_ns, door_deadline(&v->door));
    }
    due_ns = clock_earlier(due_ns, stall_deadline(&v->stall, dispatcher_moved_at(v->dispatcher)));
    due_ns = clock_earlier(due_ns, v->background_at_ns);
    poller_wait(&poller, clock_earlier(due_ns, v->unsent_ns));
}

static void ventilator_loop(struct ventilator *v)
{
    while (!v->over) {
        uint64_t now_ns = clock_now_ns();
        ventilator_take_signals(v, now_ns);
        ventilator_take_control(v, now_ns);
        take_lanes(v, now_ns);
        dispatcher_turn(v->dispatcher, now_ns);
        take_input(v, now_ns);
        ventilator_do_actions(v, now_ns);
        ventilator_say_stall(v, now_ns);
        ventilator_say_trace(v);
        flush_control(v, now_ns);
        if (!v->over)
            ventilator_wait_for_events(v);
    }
}

/* ---- beginning and end ---- */

static enum error open_gate(struct ventilator *v, const struct endpoint *control, size_t workers,
                            struct why *why)
{
    char text[ENDPOINT_TEXT_SIZE];
    struct endpoint lanes = *control;
    if (v->options->lanes) {
        enum error error = far_check(v->options->lanes, ENDPOINT_BIND, v->means, why);
        if (error)
            return error;
        snprintf(text, sizeof text, "%s", v->options->lanes);
    } else if (control->ipc) {
        snprintf(text, sizeof text, "ipc://%s/gate", v->dir.path);
    } else {
        enum error error = endpoint_next_port(control, &lanes, why);
        if (error)
            return error;
        endpoint_format(&lanes, text);
    }
    enum error error = gate_new(&v->gate, text, v->dir.path, workers, why);
    if (!error && v->means.keys) {
        gate_use_keys(v->gate, &v->door.keys.own);
        v->door.gate = v->gate;
    }
    return error;
}

/* What workers are told: a port, or the path of the unix socket. */
static void lanes_text(const struct ventilator *v, char text[static ENDPOINT_TEXT_SIZE])
{
    if (gate_port(v->gate))
        snprintf(text, ENDPOINT_TEXT_SIZE, "%u", gate_port(v->gate));
    else if (v->options->lanes)
        snprintf(text, ENDPOINT_TEXT_SIZE, "%s", v->options->lanes);
    else
        snprintf(text, ENDPOINT_TEXT_SIZE, "ipc://%s/gate", v->dir.path);
}

/* Where others reach what is bound at `bound`, in sentences that say how to start them: this machine by its
 * name where it is bound to all its addresses. `zfarm run` starts them itself: NULL. */
static const char *reached_at(const struct ventilator *v, const char *bound,
                              char text[static ENDPOINT_TEXT_SIZE])
{
    struct endpoint endpoint;
    char name[HOST_NAME_MAX + 1] = "";
    snprintf(text, ENDPOINT_TEXT_SIZE, "%s", bound);
    if (endpoint_parse(bound, ENDPOINT_BIND, &endpoint, NULL) == ERR_NONE &&
        endpoint_is_wildcard(&endpoint) && gethostname(name, sizeof name - 1) == 0 &&
        endpoint_set_host(&endpoint, name, NULL) == ERR_NONE)
        endpoint_format(&endpoint, text);
    return v->options->parent ? NULL : text;
}

/* So that, if tasks are large, some can be at workers at a time. */
static uint64_t queue_max(const struct ventilator *v)
{
    size_t task_max = v->source_options.task_max;
    if (v->options->queue_max_bytes)
        return v->options->queue_max_bytes;
    return task_max > QUEUE_MAX_USUAL / QUEUE_TASKS ? QUEUE_TASKS * task_max : QUEUE_MAX_USUAL;
}

static void make_dispatcher(struct ventilator *v, size_t workers)
{
    char lanes[ENDPOINT_TEXT_SIZE], bound[ENDPOINT_TEXT_SIZE], reached[ENDPOINT_TEXT_SIZE];
    lanes_text(v, lanes);
    net_bound(v->control, bound);
    struct dispatcher_options options = {.incarnation = clock_realtime_us(),
                                         .retries = (unsigned)v->options->retries,
                                         .retry_delay_ns = v->options->retry_delay_ns,
                                         .hedge = v->options->hedge,
                                         .random_seed = random_u64(),
                                         .queue_max_bytes = queue_max(v),
                                         .task_max_bytes = v->source_options.task_max,
                                         .heartbeat_ns = v->options->heartbeat_ns,
                                         .limit_ns = v->options->heartbeat_ns * 6,
                                         .give_up_ns = v->options->give_up_ns,
                                         .kill_after_ns = v->options->kill_after_ns,
                                         .workers_max = (unsigned)workers,
                                         .lanes = lanes,
                                         .endpoint = reached_at(v, bound, reached),
                                         .input = source_name(v->source),
                                         .fingerprint = source_fingerprint(v->source),
                                         .total = source_total(v->source),
                                         .supervised = v->options->parent,
                                         .is_first = v->options->first_life,
                                         .admitted = v->means.keys ? &v->door.admitted : NULL};
    v->dispatcher = dispatcher_new(&options, clock_now_ns());
    struct why why;
    if (beacon_light(&v->dir, bound, (pid_t)v->options->parent, &why))
        log_line("%s", why.text);
    ready_tell((int)v->options->ready_fd, bound);
}

static enum error ventilator_start(struct ventilator *v, struct why *why)
{
    struct endpoint control;
    enum error error = far_take(&v->means, v->options->keys, v->options->insecure, why);
    error = error ? error : far_check(v->options->bind, ENDPOINT_BIND, v->means, why);
    error = error ? error : endpoint_parse(v->options->bind, ENDPOINT_BIND, &control, why);
    error = error ? error : source_open(&v->source, &v->source_options, why);
    v->on_terminal = !error && source_fd(v->source) >= 0 && isatty(source_fd(v->source));
    error = error ? error : signals_open(&v->signals, (pid_t)v->options->parent, why);
    error = error ? error : shortage_check(SHORTAGE_DESCRIPTORS_LEAST, NET_THREADS, why);
    error = error ? error : private_dir_make(&v->dir, why);
    if (error)
        return error;
    size_t descriptors = net_start(DESCRIPTORS_WANTED);
    size_t workers =
        descriptors > DESCRIPTORS_OWN ? (descriptors - DESCRIPTORS_OWN) / DESCRIPTORS_A_WORKER : 1;
    if (workers > WORKERS_MOST && !v->options->workers_max)
        workers = WORKERS_MOST;
    if (v->options->workers_max && v->options->workers_max < workers)
        workers = (size_t)v->options->workers_max;
    if (v->means.keys)
        error = door_open(&v->door, v->options->keys, clock_now_ns(), why);
    error = error ? error : net_open(&v->control, NET_CONTROL_SERVER, why);
    if (!error && v->means.keys)
        net_serve_keys(v->control, &v->door.keys.own, DOOR_CONTROL);
    struct monitor_limits limits = {workers + GUESTS_MAX, GUEST_NS};
    error = error ? error : monitor_new(&v->monitor, v->control, limits, why);
    error = error ? error : net_bind(v->control, v->options->bind, why);
    error = error ? error : open_gate(v, &control, workers, why);
    if (!error) {
        outboxes_init(&v->outboxes, v->control, OUTBOXES_MAX);
        v->control_watch = watch_of(v->control);
        v->monitor_watch = watch_of(monitor_socket(v->monitor));
        make_dispatcher(v, workers);
    }
    return error;
}

static void ventilator_finish(struct ventilator *v)
{
    outboxes_free(&v->outboxes);
    dispatcher_destroy(&v->dispatcher);
    gate_free(&v->gate);
    monitor_free(&v->monitor);
    net_close(&v->control, LINGER_MS);
    door_close(&v->door);
    source_close(&v->source);
    private_dir_remove(&v->dir);
    trace_close(&v->trace);
    net_end(NET_END_LIMIT_MS, v->status);
}

int ventilator_run(const struct farm_options *options, const struct inputs *inputs)
{
    struct ventilator v = {.options = options,
                           .source_options = farm_source(options, inputs),
                           .unsent_ns = NEVER,
                           .background_at_ns = NEVER,
                           .status = 255};
    struct why why;
    trace_open(&v.trace, options->trace, "ventilator", clock_now_ns());
    if (ventilator_start(&v, &why))
        log_line("%s", why.text);
    else
        ventilator_loop(&v);
    ventilator_finish(&v);
    return v.status;
}
