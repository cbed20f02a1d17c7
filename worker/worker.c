/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/input/command_line.h"
#include "common/net/connection.h"
#include "common/net/far.h"
#include "common/net/keys.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/sys/ready.h"
#include "common/net/rebuff.h"
#include "common/sys/shortage.h"
#include "common/sys/signals.h"
#include "common/base/stall.h"
#include "common/wire/trace.h"
#include "worker/exec/command.h"
#include "worker/exec/drain.h"
#include "worker/exec/guard.h"
#include "worker/exec/coprocess.h"
#include "worker/exec/plugin.h"
#include "worker/scheduling.h"
#include "worker/core/slots.h"

/* One turn of the loop, in this order:
 *
 *     1. read the clock
 *     2. signals; children that have exited
 *     3. control, then the lane, then the results link
 *     4. the executor: what children wrote, what runs out of time
 *     5. the slots' turn and its actions; what the guard must know
 *     6. sleep until something happens or the next deadline
 */

enum { DESCRIPTORS_WANTED = 65536, KEPT_MAX = 16 << 20, LINGER_MS = 2000, PROCESSES_KEPT = 8 };
static const char own_program[] = "/proc/self/exe";

struct worker {
    const struct farm_options *options;
    char *const *words; /* COMMAND and its arguments */
    struct signals signals;
    struct guard *guard;
    struct executor_options executor_options; /* must stay valid while the executor lives */
    struct executor *executor;
    struct slots *slots;
    struct connection control, lane, results;
    struct far_means means;
    struct keys keys;     /* in a farm with keys */
    char results_at[256]; /* the endpoint of the results connection */
    struct rebuff control_rebuff, results_rebuff;
    struct stall stall;
    struct trace trace;
    char host[256];
    char name[300];
    uint64_t now_ns;
    struct requests requests;
    bool held;
    bool over;
    int status;
};

/* ---- the executor's events ---- */

static void worker_finished(void *context, const struct outcome *outcome)
{
    struct worker *w = context;
    slots_finished(w->slots, outcome, w->now_ns);
}

static void finished_run(void *context, const struct outcome_run *run)
{
    struct worker *w = context;
    slots_finished_run(w->slots, run, w->now_ns);
}

static void worker_returned(void *context, unsigned slot, uint64_t first, uint32_t count)
{
    struct worker *w = context;
    slots_returned(w->slots, slot, first, count, w->now_ns);
}

static void cancelled(void *context, unsigned slot, uint64_t seq)
{
    struct worker *w = context;
    slots_cancelled(w->slots, slot, seq, w->now_ns);
}

static void held_up(void *context, const char *why)
{
    struct worker *w = context;
    slots_held_up(w->slots, why, w->now_ns);
}

static void broken(void *context, const char *why)
{
    struct worker *w = context;
    slots_broken(w->slots, why, w->now_ns);
}

static void stopped(void *context, unsigned slot, bool is_stopped)
{
    struct worker *w = context;
    slots_stopped(w->slots, slot, is_stopped);
}

static void held(void *context, unsigned slot, pid_t pid, const char *name)
{
    struct worker *w = context;
    slots_held(w->slots, slot, (uint64_t)pid, name);
}

/* ---- what comes in ---- */

static void reap_own(struct worker *w, pid_t pid)
{
    if (pid == guard_pid(w->guard))
        log_line("the guard has died: if this worker is killed now, its tasks run on");
    else if (pid == drain_pid(guard_drain(w->guard)))
        drain_ended(guard_drain(w->guard));
}

static void worker_reap(struct worker *w)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0;)
        if (WIFSTOPPED(status) || WIFCONTINUED(status))
            executor_child_stopped(w->executor, pid, WIFSTOPPED(status));
        else if (!executor_child_exited(w->executor, pid, status, w->now_ns))
            reap_own(w, pid);
}

static bool anything_runs(const struct worker *w)
{
    uint64_t since_ns;
    for (unsigned slot = 0; slot < w->executor_options.slots; slot++)
        if (executor_running(w->executor, slot, &since_ns))
            return true;
    return false;
}

/* ^Z in the terminal of our parent, and what comes after it. */
static void worker_hold(struct worker *w, bool holds)
{
    if (holds && !w->held)
        executor_hold(w->executor, w->now_ns);
    else if (!holds && w->held)
        executor_go(w->executor, w->now_ns);
    w->held = holds;
    slots_hold(w->slots, holds);
    if (holds)
        signals_tell_held(&w->signals);
}

static void worker_take_signals(struct worker *w)
{
    for (int number; (number = signals_next(&w->signals)) != 0;) {
        enum request request = requests_take(&w->requests, number, w->now_ns);
        if (number == SIGCHLD) {
            worker_reap(w);
        } else if (number == SIGNAL_HOLD || number == SIGNAL_GO) {
            worker_hold(w, number == SIGNAL_HOLD);
        } else if (request == REQUEST_END) {
            slots_abort(w->slots, w->now_ns);
        } else if (request == REQUEST_LEAVE) {
            if (anything_runs(w) && !w->options->parent)
                log_line("leaving when what runs is done; a second TERM or INT, a second later or "
                         "more, kills it");
            slots_drain(w->slots, w->now_ns);
        }
    }
}

typedef void message_fn(struct slots *s, struct bytes message, uint64_t now_ns);

static void worker_take_messages(struct worker *w, struct connection *c, const char *name,
                                 message_fn *take)
{
    struct block *message;
    while ((message = connection_receive(c))) {
        trace_message(&w->trace, TRACE_HEARD, name, 0, block_bytes(message), w->now_ns);
        take(w->slots, block_bytes(message), w->now_ns);
        block_release(&message);
    }
}

static struct connection_keys keys_to(const struct worker *w, const struct key *server)
{
    return (struct connection_keys){&w->keys.own, server};
}

/* Says why a connection is refused, if it is because of keys. */
static void worker_say_rebuff(struct worker *w, struct rebuff *rebuff, enum connection_event event,
                              const struct connection *c, const char *what, const char *endpoint)
{
    struct connection_keys keys = keys_to(w, NULL);
    char named[300];
    struct why why;
    if (event == CONNECTION_SAME)
        return;
    snprintf(named, sizeof named, "%s at %s", what, endpoint);
    if (rebuff_say(rebuff, event, c, named, w->means.keys ? &keys : NULL, &why))
        log_line("%s", why.text);
}

static void take_connections(struct worker *w)
{
    enum connection_event event = connection_turn(&w->control);
    worker_say_rebuff(w, &w->control_rebuff, event, &w->control, "the ventilator",
                      w->options->connect);
    if (event == CONNECTION_ACCEPTED)
        slots_control_accepted(w->slots, w->now_ns);
    if (event == CONNECTION_UP)
        slots_control_up(w->slots, w->now_ns);
    worker_take_messages(w, &w->control, "control", slots_control_message);
    if (event == CONNECTION_DOWN) {
        connection_close(&w->control, 0);
        slots_control_down(w->slots, w->now_ns);
    }
    event = connection_turn(&w->lane);
    if (event == CONNECTION_ACCEPTED || event == CONNECTION_UP)
        slots_lane_accepted(w->slots, w->now_ns);
    worker_take_messages(w, &w->lane, "lane", slots_lane_message);
    if (event == CONNECTION_DOWN) {
        connection_close(&w->lane, 0);
        slots_lane_down(w->slots, w->now_ns);
    }
    event = connection_turn(&w->results);
    worker_say_rebuff(w, &w->results_rebuff, event, &w->results, "the sink", w->results_at);
    block_release(&(struct block *){connection_receive(&w->results)}); /* nobody sends there */
    if (event == CONNECTION_ACCEPTED)
        slots_results_accepted(w->slots, w->now_ns);
    if (event == CONNECTION_UP)
        slots_results_up(w->slots, w->now_ns);
    if (event == CONNECTION_DOWN) {
        connection_close(&w->results, 0);
        slots_results_down(w->slots, w->now_ns);
    }
    slots_results_pending(w->slots, connection_pending_bytes(&w->results));
}

/* ---- actions ---- */

typedef void down_fn(struct slots *s, uint64_t now_ns);

/* A farm that has keys has them everywhere: without the key of who is at the other end nothing is
 * opened. */
static void open_connection(struct worker *w, struct connection *c, enum net_role role,
                            const char *endpoint, const struct key *server, down_fn *down)
{
    struct why why;
    struct connection_keys keys = keys_to(w, server);
    enum error error = far_allowed(endpoint, w->means, &why);
    if (!error && w->means.keys && key_is_none(server))
        error = fail(&why, ERR_ACCESS, "the ventilator tells no key of the sink at %s", endpoint);
    error = error ? error : connection_open(c, role, endpoint, w->means.keys ? &keys : NULL, &why);
    if (!error)
        return;
    log_line("%s", why.text);
    down(w->slots, w->now_ns);
}

static void worker_send(struct worker *w, struct connection *c, const char *name,
                        struct block **block)
{
    trace_message(&w->trace, TRACE_SAID, name, 0, block_bytes(*block), w->now_ns);
    connection_send(c, block);
}

static void worker_do_action(struct worker *w, struct slots_action *action)
{
    switch (action->kind) {
    case SLOTS_OPEN_CONTROL:
        open_connection(w, &w->control, NET_CONTROL_CLIENT, action->endpoint, &w->keys.ventilator,
                        slots_control_down);
        break;
    case SLOTS_CLOSE_CONTROL:
        connection_close(&w->control, LINGER_MS);
        break;
    case SLOTS_SEND_CONTROL:
        worker_send(w, &w->control, "control", &action->block);
        break;
    case SLOTS_OPEN_LANE:
        open_connection(w, &w->lane, NET_LANE_RECEIVER, action->endpoint, &w->keys.ventilator,
                        slots_lane_down);
        break;
    case SLOTS_CLOSE_LANE:
        connection_close(&w->lane, 0);
        break;
    case SLOTS_OPEN_RESULTS:
        snprintf(w->results_at, sizeof w->results_at, "%s", action->endpoint);
        open_connection(w, &w->results, NET_RESULTS_SENDER, action->endpoint, &action->sink,
                        slots_results_down);
        break;
    case SLOTS_CLOSE_RESULTS:
        connection_close(&w->results, 0);
        break;
    case SLOTS_SEND_RESULTS:
        worker_send(w, &w->results, "results", &action->block);
        break;
    case SLOTS_START:
        w->executor_options.want_command = slots_wants(w->slots) & WANT_COMMAND;
        executor_start(w->executor, &action->assignment, w->now_ns);
        break;
    case SLOTS_CANCEL:
        executor_cancel(w->executor, action->slot, action->seq, w->now_ns);
        break;
    case SLOTS_SAY:
        log_line("%s", action->why.text);
        break;
    case SLOTS_HURRY:
        executor_hurry(w->executor);
        break;
    case SLOTS_EXIT:
        if (action->why.text[0])
            log_line("%s", action->why.text);
        w->status = action->status;
        w->over = true;
        break;
    }
}

static void worker_do_actions(struct worker *w)
{
    struct slots_action action;
    while (slots_next_action(w->slots, &action))
        worker_do_action(w, &action);
    connection_flush(&w->results); /* first what a peer waits for */
    connection_flush(&w->control);
    guard_flush(w->guard);
}

/* ---- the loop ---- */

static void worker_say_stall(struct worker *w)
{
    struct why why;
    if (!w->held && stall_due(&w->stall, slots_moved_at(w->slots), w->now_ns) &&
        slots_waits_for(w->slots, w->now_ns, &why))
        log_line("waiting: %s", w->control_rebuff.said ? w->control_rebuff.why.text : why.text);
}

static void worker_say_trace(struct worker *w)
{
    const char *trouble = trace_trouble(&w->trace);
    if (trouble)
        log_line("%s", trouble);
}

static void worker_wait_for_events(struct worker *w)
{
    struct poller poller = {0};
    poller_add_fd(&poller, w->signals.fd, POLLIN);
    poller_add_fd(&poller, executor_fd(w->executor), POLLIN);
    connection_poll(&w->control, &poller);
    connection_poll(&w->lane, &poller);
    connection_poll(&w->results, &poller);
    uint64_t due_ns = clock_earlier(slots_deadline(w->slots), executor_deadline(w->executor));
    poller_wait(&poller,
                clock_earlier(due_ns, stall_deadline(&w->stall, slots_moved_at(w->slots))));
}

static void worker_loop(struct worker *w)
{
    while (!w->over) {
        w->now_ns = clock_now_ns();
        worker_take_signals(w);
        take_connections(w);
        executor_turn(w->executor, w->now_ns);
        slots_turn(w->slots, w->now_ns);
        worker_do_actions(w);
        worker_say_stall(w);
        worker_say_trace(w);
        if (!w->over)
            worker_wait_for_events(w);
    }
}

/* ---- beginning and end ---- */

static void name_it(struct worker *w)
{
    if (gethostname(w->host, sizeof w->host - 1))
        snprintf(w->host, sizeof w->host, "localhost");
    if (w->options->name)
        snprintf(w->name, sizeof w->name, "%s", w->options->name);
    else
        snprintf(w->name, sizeof w->name, "%s:%d", w->host, (int)getpid());
}

static const struct executor_kind *kind_of(const struct farm_options *o)
{
    return o->plugin ? &plugin_kind : o->coprocess ? &coprocess_kind : &command_kind;
}

static enum error make_executor(struct worker *w, unsigned slots, struct why *why)
{
    const struct farm_options *o = w->options;
    struct executor_events events = {w,         worker_finished, finished_run, worker_returned,
                                     cancelled, broken,          held_up,      stopped,
                                     held};
    w->executor_options = (struct executor_options){.slots = slots,
                                                    .timeout = o->timeout,
                                                    .kill_after_ns = o->kill_after_ns,
                                                    .linger_ns = o->linger_ns,
                                                    .output_max = o->output_max_bytes,
                                                    .patience_ns = PATIENCE_NS,
                                                    .tmpdir = o->tmpdir,
                                                    .worker = w->name,
                                                    .guard = w->guard,
                                                    .program = own_program,
                                                    .words = w->words,
                                                    .plugin = o->plugin,
                                                    .shell = o->shell,
                                                    .pipe = o->pipe,
                                                    .null = o->null,
                                                    .replacement = o->replace,
                                                    .ok_exit = o->ok_exit};
    return executor_new(kind_of(o), &w->executor_options, &events, &w->executor, why);
}

/* Told in JOIN, so that users can see who executes what. */
static struct hash executor_hash(const struct worker *w)
{
    const struct farm_options *o = w->options;
    struct command_line line = {.plugin = o->plugin,
                                .shell = o->shell,
                                .coprocess = o->coprocess,
                                .pipe = o->pipe,
                                .null = o->null,
                                .replacement = o->replace,
                                .words = w->words};
    while (line.words && line.words[line.count])
        line.count++;
    return command_line_hash(&line);
}

static void make_slots(struct worker *w, unsigned slots)
{
    const struct farm_options *o = w->options;
    struct slots_options options = {.slots = slots,
                                    .batch_max = executor_batch_max(w->executor),
                                    .peer = {.instance = random_u64(),
                                             .name = bytes_of(w->name),
                                             .host = bytes_of(w->host),
                                             .release = bytes_of(ZFARM_VERSION),
                                             .pid = (uint64_t)getpid()},
                                    .executor = executor_hash(w),
                                    .kept_max_bytes = KEPT_MAX,
                                    .tmpdir = o->tmpdir,
                                    .give_up_ns = o->give_up_ns,
                                    .supervised = o->parent,
                                    .grace_ns = o->grace_ns,
                                    .stay = o->stay,
                                    .lanes = o->lanes_at,
                                    .results = o->results_at,
                                    .connect = o->connect,
                                    .random_seed = random_u64()};
    w->now_ns = clock_now_ns();
    w->slots = slots_new(&options, w->now_ns);
}

/* As many slots as the limits of this process allow, of descriptors and of processes, of which a task has
 * one and needs another as a rule. */
static enum error fewer_slots(unsigned *slots, struct why *why)
{
    uint32_t free = shortage_processes(), by_files = jobs_most();
    uint32_t by_processes = free < PROCESSES_KEPT + 2 ? 0 : (free - PROCESSES_KEPT) / 2;
    uint32_t most = by_files < by_processes ? by_files : by_processes;
    if (!most)
        return fail(why, ERR_LIMIT,
                    "this user may have %u processes more, too few to run a task: raise the limit "
                    "(ulimit -u)",
                    free);
    if (most < *slots) {
        log_line("runs %u task%s at a time and not %u: that is what the limit of %s allows; ulimit "
                 "%s raises it",
                 most, most == 1 ? "" : "s", *slots, most == by_files ? "open files" : "processes",
                 most == by_files ? "-n" : "-u");
        *slots = most;
    }
    return ERR_NONE;
}

static enum error worker_start(struct worker *w, struct why *why)
{
    name_it(w);
    signal(SIGXFSZ, SIG_IGN);
    trace_open(&w->trace, w->options->trace, "worker", clock_now_ns());
    scheduling_run_soon();
    const struct farm_options *o = w->options;
    enum error error = far_take(&w->means, o->keys, o->insecure, why);
    error = error ? error : far_check(o->connect, ENDPOINT_CONNECT, w->means, why);
    if (!error && w->means.keys)
        error = keys_load(&w->keys, o->keys, "worker", why);
    error = error ? error : signals_open(&w->signals, (pid_t)o->parent, why);
    error = error ? error : shortage_check(SHORTAGE_DESCRIPTORS_LEAST, NET_THREADS, why);
    error = error ? error : guard_new(&w->guard, own_program, why);
    if (error)
        return error;
    net_start(DESCRIPTORS_WANTED);
    unsigned slots = jobs_count(o->jobs, jobs_cores(), jobs_most());
    error = fewer_slots(&slots, why);
    if (error)
        return error;
    error = make_executor(w, slots, why);
    if (error)
        return error;
    make_slots(w, slots);
    ready_tell((int)o->ready_fd, w->name);
    return ERR_NONE;
}

static void worker_finish(struct worker *w)
{
    connection_close(&w->lane, 0);
    connection_close(&w->results, LINGER_MS);
    connection_close(&w->control, LINGER_MS);
    executor_destroy(&w->executor);
    slots_destroy(&w->slots);
    guard_destroy(&w->guard);
    trace_close(&w->trace);
    net_end(NET_END_LIMIT_MS, w->status);
}

int worker_run(const struct farm_options *options, char *const *words)
{
    struct worker w = {.options = options, .words = words, .status = 255};
    struct why why;
    if (worker_start(&w, &why))
        log_line("%s", why.text);
    else
        worker_loop(&w);
    worker_finish(&w);
    return w.status;
}
