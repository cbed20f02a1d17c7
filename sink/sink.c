/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/sink.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/net/connection.h"
#include "common/net/far.h"
#include "common/net/keys.h"
#include "common/base/log.h"
#include "common/net/monitor.h"
#include "common/net/net.h"
#include "common/base/random.h"
#include "common/sys/ready.h"
#include "common/net/rebuff.h"
#include "common/base/refusals.h"
#include "common/sys/shortage.h"
#include "common/sys/signals.h"
#include "common/base/stall.h"
#include "common/net/zap.h"
#include "common/wire/trace.h"
#include "sink/core/collector.h"
#include "sink/outputs.h"
#include "sink/output/input_hint.h"
#include "sink/output/progress.h"
#include "sink/output/summary.h"

/* One turn of the loop, in this order:
 *
 *     1. read the clock
 *     2. signals
 *     3. control: its link, then its messages; handshakes of workers
 *     4. results, as long as the window has room
 *     5. outputs: what can be written; what is stored by it
 *     6. the collector's turn and its actions
 *     7. sleep until something happens or the next deadline
 */

enum { COMMAND_SHOWN = 200 };
enum {
    DESCRIPTORS_WANTED = 4096,
    CONNECTIONS_MAX = 2048,     /* for results; or half of the descriptors */
    GUEST_BYTES_MAX = 16 << 20, /* sent by those who have sent nothing of this job, together */
    MESSAGES_A_TURN = 256,
    WINDOW_MAX = 16 << 20,
    LINGER_MS = 1000
};
#define RETRY_NS (1 * NS_PER_S)
#define LOOK_NS (1 * NS_PER_S) /* how often the output files are looked at */

struct sink {
    const struct farm_options *options;
    struct signals signals;
    struct connection control;
    struct far_means means;
    struct keys keys; /* in a farm with keys, as all of these: */
    struct zap *zap;
    struct rebuff rebuff;
    struct refusals refusals;
    void *results;
    struct monitor *monitor; /* of results: strangers hold no more connections than may be */
    struct watch results_watch, monitor_watch;
    struct outputs outputs;
    struct collector *collector;
    struct progress progress;
    struct stall stall;
    struct trace trace;
    char host[256];
    char advertised[ENDPOINT_TEXT_SIZE];
    uint64_t began_ns;
    uint64_t retry_at_ns; /* the disk is full until then */
    uint64_t looked_ns;   /* when the output files were looked at */
    struct why trouble;   /* what cannot be written; empty if all is well */
    bool flushing;        /* the collector waits for everything to be written */
    bool cut;             /* a consumer gone or a signal: the status is 255 */
    bool halt_said;
    struct input_hint input_hint;
    bool stall_said;         /* why large results are not taken now */
    struct buf last_command; /* with --halt: of the last final result, until it halts */
    bool last_ok;
    struct requests requests;
    bool held; /* by ^Z in the terminal of our parent: nothing is written or drawn */
    bool over;
    int status;
};

/* ---- control ---- */

static void open_control(struct sink *s, uint64_t now_ns)
{
    struct why why;
    struct connection_keys keys = {&s->keys.own, &s->keys.ventilator};
    if (connection_open(&s->control, NET_CONTROL_CLIENT, s->options->connect,
                        s->means.keys ? &keys : NULL, &why)) {
        log_line("%s", why.text);
        collector_control_down(s->collector, now_ns);
    }
}

static void sink_say_rebuff(struct sink *s, enum connection_event event)
{
    struct connection_keys keys = {&s->keys.own, &s->keys.ventilator};
    char named[ENDPOINT_TEXT_SIZE + 32];
    struct why why;
    if (event == CONNECTION_SAME)
        return;
    snprintf(named, sizeof named, "the ventilator at %s", s->options->connect);
    if (rebuff_say(&s->rebuff, event, &s->control, named, s->means.keys ? &keys : NULL, &why))
        log_line("%s", why.text);
}

static void sink_take_control(struct sink *s, uint64_t now_ns)
{
    enum connection_event event = connection_turn(&s->control);
    sink_say_rebuff(s, event);
    if (event == CONNECTION_ACCEPTED)
        collector_control_accepted(s->collector, now_ns);
    if (event == CONNECTION_UP)
        collector_control_up(s->collector, now_ns);
    struct block *message;
    while ((message = connection_receive(&s->control))) {
        trace_message(&s->trace, TRACE_HEARD, "control", 0, block_bytes(message), now_ns);
        collector_control_message(s->collector, block_bytes(message), now_ns);
        block_release(&message);
    }
    if (event == CONNECTION_DOWN) {
        connection_close(&s->control, 0);
        collector_control_down(s->collector, now_ns);
    }
}

/* ---- handshakes of workers ---- */

static bool sink_admits(const struct sink *s, const struct key *key)
{
    const struct admitted *admitted = collector_admitted(s->collector);
    return admitted && admitted_roles(admitted, key) & KEY_WORKER;
}

static bool sink_decide(void *context, const struct zap_request *request)
{
    struct sink *s = context;
    struct why why;
    if (sink_admits(s, &request->key))
        return true;
    /* Before the ventilator has told, nobody is known, and that is no news. */
    if (collector_admitted(s->collector) &&
        refusals_say(&s->refusals, &request->key, "a connection for results", request->address,
                     clock_now_ns(), &why))
        log_line("%s", why.text);
    return false;
}

/* ---- results and outputs ---- */

/* The command of the one that halts the job, in the end. */
__attribute__((noinline)) static void note_last(struct sink *s, const struct result *result)
{
    if (!result->final || collector_halt(s->collector)->when != HALT_NEVER)
        return;
    buf_clear(&s->last_command);
    buf_put(&s->last_command, result->command.data,
            result->command.size < COMMAND_SHOWN ? result->command.size : COMMAND_SHOWN);
    s->last_ok = result->status == RESULT_OK;
}

static void accept(void *context, const struct result *result)
{
    struct sink *s = context;
    outputs_accept(&s->outputs, result);
}

/* With --halt, which names the result that halts the job. */
static void accept_and_note(void *context, const struct result *result)
{
    struct sink *s = context;
    note_last(s, result);
    outputs_accept(&s->outputs, result);
}

static bool wants_results(struct sink *s)
{
    return !outputs_is_stuck(&s->outputs) &&
           collector_wants_results(s->collector, outputs_pending_bytes(&s->outputs));
}

static void sink_take_results(struct sink *s, uint64_t now_ns)
{
    bool reads = wants_results(s); /* else even a member cannot show what it is */
    if (s->monitor_watch.look)
        monitor_turn(s->monitor, now_ns);
    s->monitor_watch.look = false;
    for (int i = 0; i < MESSAGES_A_TURN && s->results_watch.look && wants_results(s); i++) {
        struct net_sender sender = {0};
        struct block *message = net_receive_signed(s->results, &sender);
        if (message)
            trace_message(&s->trace, TRACE_HEARD, "results", 0, block_bytes(message), now_ns);
        if (!message)
            s->results_watch.look = false;
        else if (s->means.keys && !sink_admits(s, &sender.key))
            net_cut(&sender); /* its key was revoked, after its handshake */
        else if (collector_results_message(s->collector, block_bytes(message), now_ns))
            monitor_vouch(s->monitor, &sender, now_ns);
        block_release(&message);
    }
    monitor_weigh(s->monitor, reads ? GUEST_BYTES_MAX : UINT64_MAX, now_ns);
}

static void sink_stop(struct sink *s, uint64_t now_ns)
{
    s->cut = true;
    collector_stop(s->collector, now_ns);
}

/* Says once what cannot be written, and once that it goes on. */
static void sink_note_trouble(struct sink *s, enum error error, const struct why *why,
                              uint64_t now_ns)
{
    if (error == ERR_DISK_FULL) {
        if (!s->trouble.text[0])
            log_line("%s; it goes on when there is room", why->text);
        s->trouble = *why;
        s->retry_at_ns = now_ns + RETRY_NS;
        return;
    }
    if (!error && s->trouble.text[0]) {
        log_line("there is room again, it goes on");
        s->trouble.text[0] = '\0';
    }
    s->retry_at_ns = 0;
    if (error && s->outputs.stored && stored_has_failed(s->outputs.stored)) {
        log_line("%s",
                 why->text); /* nothing can be stored any more, and nobody may believe it is */
        s->status = 255;
        s->over = true;
    } else if (error) {
        log_line("%s", why->text);
        sink_stop(s, now_ns);
    }
}

/* Whether what was written is still there. */
static void look_at_files(struct sink *s, uint64_t now_ns)
{
    struct why why;
    s->looked_ns = now_ns;
    if (!outputs_check_files(&s->outputs, &why))
        return;
    outputs_break(&s->outputs);
    log_line("%s", why.text);
    sink_stop(s, now_ns);
}

/* All is written: now the store says that the job is over, and then the ventilator is told. */
static void close_job(struct sink *s, uint64_t now_ns)
{
    const struct job_counts *c = collector_counts(s->collector);
    struct store_closing closing = {collector_total(s->collector), c->not_run, c->doubled,
                                    c->workers, c->input_cut};
    struct why why;
    look_at_files(s, now_ns);
    struct stored *stored = s->outputs.stored;
    enum error error = stored ? stored_finish(stored, &closing, &why) : ERR_NONE;
    sink_note_trouble(s, error, &why, now_ns);
    if (error)
        return;
    s->flushing = false;
    collector_flushed(s->collector, now_ns);
}

static void tell_output(struct sink *s, uint64_t now_ns)
{
    int fds[FILES_MAX];
    enum collector_output output = s->trouble.text[0]                          ? OUTPUT_NO_ROOM
                                   : outputs_blocked_fds(&s->outputs, fds) > 0 ? OUTPUT_BLOCKED
                                                                               : OUTPUT_FLOWS;
    collector_set_output(s->collector, output, outputs_written_bytes(&s->outputs), now_ns);
}

static void write_outputs(struct sink *s, uint64_t now_ns)
{
    if (s->held || now_ns < s->retry_at_ns)
        return;
    if (outputs_goes_to_terminal(&s->outputs))
        progress_clear(&s->progress);
    struct why why;
    if (now_ns - s->looked_ns >= LOOK_NS)
        look_at_files(s, now_ns);
    sink_note_trouble(s, outputs_flush(&s->outputs, &why), &why, now_ns);
    collector_mark(s->collector, outputs_given(&s->outputs));
    collector_reached(s->collector, outputs_stored(&s->outputs));
    collector_set_order_full(s->collector, outputs_order_full(&s->outputs));
    if (s->flushing && outputs_empty(&s->outputs))
        close_job(s, now_ns);
    tell_output(s, now_ns);
}

/* ---- the store ---- */

static void note_command(struct sink *s)
{
    struct stored *stored = s->outputs.stored;
    if (stored && stored_note_command(stored, collector_counts(s->collector)->status.executor))
        log_line("the workers run another COMMAND than the one whose results are in the store %s; "
                 "what is stored is not run again",
                 s->options->store);
}

static bool begin_life(void *context, uint64_t incarnation)
{
    struct sink *s = context;
    return stored_begin_life(s->outputs.stored, incarnation) == ERR_NONE;
}

static void sink_mark_strange(void *context, const struct seqset *tasks)
{
    struct sink *s = context;
    stored_mark_strange(s->outputs.stored, tasks);
}

static size_t hashes(void *context, uint64_t from, struct hashed_task to[static HASHES_MAX])
{
    struct sink *s = context;
    return stored_hashes(s->outputs.stored, from, to);
}

/* ---- actions ---- */

static void sink_do_actions(struct sink *s, uint64_t now_ns)
{
    struct collector_action action;
    while (collector_next_action(s->collector, &action))
        switch (action.kind) {
        case COLLECTOR_OPEN_CONTROL:
            open_control(s, now_ns);
            break;
        case COLLECTOR_CLOSE_CONTROL:
            connection_close(&s->control, LINGER_MS);
            break;
        case COLLECTOR_SEND_CONTROL:
            trace_message(&s->trace, TRACE_SAID, "control", 0, block_bytes(action.block), now_ns);
            connection_send(&s->control, &action.block);
            break;
        case COLLECTOR_BEGIN:
            outputs_begin(&s->outputs);
            break;
        case COLLECTOR_FLUSH:
            outputs_begin(&s->outputs);
            outputs_skip(&s->outputs, collector_not_run(s->collector));
            s->flushing = true;
            break;
        case COLLECTOR_EXIT:
            if (action.why.text[0])
                log_line("%s", action.why.text);
            s->status = action.status;
            s->over = true;
            break;
        }
    connection_flush(&s->control);
}

static void sink_take_signals(struct sink *s, uint64_t now_ns)
{
    for (int number; (number = signals_next(&s->signals)) != 0;) {
        enum request request = requests_take(&s->requests, number, now_ns);
        if (number == SIGCHLD) {
            while (waitpid(-1, NULL, WNOHANG) > 0)
                ; /* as process 1 of a container it inherits orphans */
        } else if (number == SIGNAL_HOLD) {
            progress_clear(&s->progress);
            s->held = true;
            signals_tell_held(&s->signals);
        } else if (number == SIGNAL_GO) {
            s->held = false;
        } else if (request == REQUEST_END) {
            s->status = 255;
            s->over = true;
        } else if (request == REQUEST_LEAVE) {
            if (!s->options->parent)
                log_line("stopping: what runs may finish; a second TERM or INT, a second later or "
                         "more, ends it at once");
            sink_stop(s, now_ns);
        }
    }
}

/* ---- telling ---- */

static void hint_at_input(struct sink *s)
{
    const struct job_counts *c = collector_counts(s->collector);
    struct why why;
    if (!s->options->quiet && input_hint_due(&s->input_hint, &c->status, c->failed, &why))
        log_line("%s", why.text);
}

static void say_halt(struct sink *s)
{
    const struct halt *halt = collector_halt(s->collector);
    if (halt->when == HALT_NEVER || s->halt_said)
        return;
    s->halt_said = true;
    bool named = s->last_command.size;
    log_line("halted by task %" PRIu64 ": nothing more is begun, and what runs %s%s%.*s", halt->seq,
             halt->when == HALT_NOW ? "is killed" : "may finish",
             !named       ? ""
             : s->last_ok ? "; it was ok: "
                          : "; it failed: ",
             (int)s->last_command.size, (const char *)s->last_command.data);
}

/* Once when it begins: the ventilator only knows that the sink cannot write. */
static void say_stalled(struct sink *s)
{
    const struct why *why = collector_stalled(s->collector);
    if (why && !s->stall_said)
        log_line("%s; it is tried again each second", why->text);
    s->stall_said = why;
}

static void sink_tell(struct sink *s, uint64_t now_ns)
{
    const char *untraced = trace_trouble(&s->trace);
    if (untraced)
        log_line("%s", untraced);
    if (s->held)
        return;
    say_stalled(s);
    struct why why;
    bool due = stall_due(&s->stall, collector_moved_at(s->collector), now_ns);
    if (due && s->trouble.text[0])
        log_line("waiting: %s", s->trouble.text);
    else if (due && outputs_pending_bytes(&s->outputs))
        log_line("waiting: whoever reads the output does not read on pending=%zu",
                 outputs_pending_bytes(&s->outputs));
    else if (due && collector_waits_for(s->collector, now_ns, &why))
        log_line("waiting: %s", s->rebuff.said ? s->rebuff.why.text : why.text);
    say_halt(s);
    hint_at_input(s);
    struct progress_numbers n = progress_numbers_of(collector_counts(s->collector));
    progress_draw(&s->progress, &n, now_ns);
}

/* A job that was refused has nothing to be told of: what is stored is not its own. */
static bool has_summary(const struct sink *s)
{
    return !s->options->quiet && (outputs_has_begun(&s->outputs) || s->status != 255);
}

static void sum_up(struct sink *s)
{
    const struct store_past *past = s->outputs.stored ? stored_past(s->outputs.stored) : NULL;
    struct summary summary = summary_of(collector_counts(s->collector));
    summary.from_store = past ? past->ok + past->failed + past->lost : 0;
    summary.reasons_hidden = text_reasons_hidden(&s->outputs.formatter.text);
    summary.elapsed_ns = clock_now_ns() - s->began_ns;
    summary.halted_by = collector_halt(s->collector)->seq;
    struct buf line = {0};
    progress_clear(&s->progress);
    hint_at_input(s);
    if (has_summary(s)) {
        failures_put_line(&line, &s->outputs.failures, s->options->store, s->options->joblog);
        summary_put(&line, &summary);
        ssize_t ignored = write(STDERR_FILENO, line.data, line.size);
        (void)ignored;
    }
    buf_free(&line);
    if (s->cut || summary_is_wrong(&summary))
        s->status = 255;
}

/* ---- the loop ---- */

static uint64_t next_deadline(const struct sink *s)
{
    uint64_t due_ns = collector_deadline(s->collector);
    due_ns = clock_earlier(due_ns, monitor_deadline(s->monitor));
    if (s->held)
        return due_ns;
    due_ns = clock_earlier(due_ns, progress_due_ns(&s->progress));
    due_ns = clock_earlier(due_ns, stall_deadline(&s->stall, collector_moved_at(s->collector)));
    return s->retry_at_ns ? clock_earlier(due_ns, s->retry_at_ns) : due_ns;
}

static void sink_wait_for_events(struct sink *s)
{
    struct poller poller = {0};
    int fds[FILES_MAX];
    size_t blocked = s->retry_at_ns || s->held ? 0 : outputs_blocked_fds(&s->outputs, fds);
    poller_add_fd(&poller, s->signals.fd, POLLIN);
    connection_poll(&s->control, &poller);
    poller_add(&poller, &s->monitor_watch);
    if (s->zap)
        poller_add(&poller, zap_watch(s->zap));
    if (wants_results(s))
        poller_add(&poller, &s->results_watch);
    for (size_t i = 0; i < blocked; i++)
        poller_add_fd(&poller, fds[i], POLLOUT);
    bool ready = outputs_ready(&s->outputs) || (s->flushing && outputs_empty(&s->outputs));
    if (ready && !s->held)
        poller.at_once = true;
    poller_wait(&poller, next_deadline(s));
}

static void sink_loop(struct sink *s)
{
    while (!s->over) {
        uint64_t now_ns = clock_now_ns();
        sink_take_signals(s, now_ns);
        sink_take_control(s, now_ns);
        zap_turn(s->zap);
        sink_take_results(s, now_ns);
        write_outputs(s, now_ns);
        collector_set_reading(s->collector, wants_results(s), now_ns);
        collector_turn(s->collector, now_ns);
        note_command(s);
        sink_do_actions(s, now_ns);
        sink_tell(s, now_ns);
        if (!s->over)
            sink_wait_for_events(s);
    }
}

/* ---- beginning and end ---- */

static enum error advertise(struct sink *s, struct why *why)
{
    net_bound(s->results, s->advertised);
    if (!s->options->advertise)
        return ERR_NONE;
    struct endpoint endpoint;
    enum error error = endpoint_parse(s->advertised, ENDPOINT_BIND, &endpoint, why);
    error = error ? error : endpoint_set_host(&endpoint, s->options->advertise, why);
    if (!error)
        endpoint_format(&endpoint, s->advertised);
    return error;
}

static void make_collector(struct sink *s)
{
    if (gethostname(s->host, sizeof s->host - 1))
        snprintf(s->host, sizeof s->host, "localhost");
    static const struct store_past none;
    bool has_store = s->outputs.stored;
    const struct store_past *p = has_store ? stored_past(s->outputs.stored) : &none;
    struct collector_past past = {.stored = &p->stored,
                                  .incarnation = p->incarnation,
                                  .closed = p->closed,
                                  .total = p->total,
                                  .input_cut = p->input_cut,
                                  .opening = p->opening,
                                  .ok = p->ok,
                                  .failed = p->failed,
                                  .lost = p->lost,
                                  .doubled = p->doubled};
    struct collector_options options = {
        .peer = {.instance = random_u64(),
                 .name = bytes_of("sink"),
                 .host = bytes_of(s->host),
                 .release = bytes_of(ZFARM_VERSION),
                 .pid = (uint64_t)getpid()},
        .job = has_store ? p->job : random_u64(),
        .results = s->advertised,
        .wants = outputs_wants(s->options) | (s->options->halt.when ? WANT_COMMAND : 0U),
        .supervised = s->options->parent,
        .is_volatile = !has_store,
        .past = has_store ? &past : NULL,
        .tmpdir = s->options->tmpdir,
        .window_max_bytes = WINDOW_MAX,
        .give_up_ns = s->options->give_up_ns,
        .random_seed = random_u64(),
        .halt = s->options->halt,
        .strict_results = s->options->strict_results,
        .context = s,
        .accept = s->options->halt.when == HALT_NEVER ? accept : accept_and_note,
        .begin_life = has_store ? begin_life : NULL,
        .strange = has_store ? sink_mark_strange : NULL,
        .hashes = has_store ? hashes : NULL};
    s->collector = collector_new(&options, s->began_ns);
}

static enum error sink_start(struct sink *s, struct why *why)
{
    const struct farm_options *o = s->options;
    bool drawn =
        o->bar == BAR_SHOWN || (o->bar == BAR_ON_TERMINAL && !o->quiet && isatty(STDERR_FILENO));
    progress_init(&s->progress, drawn ? STDERR_FILENO : -1);
    if (drawn)
        log_set_prefix_sequence(PROGRESS_CLEAR_SEQUENCE);
    signal(SIGXFSZ, SIG_IGN);
    enum error error = far_take(&s->means, o->keys, o->insecure, why);
    error = error ? error : far_check(o->bind, ENDPOINT_BIND, s->means, why);
    error = error ? error : far_check(o->connect, ENDPOINT_CONNECT, s->means, why);
    if (!error && s->means.keys)
        error = keys_load(&s->keys, o->keys, "sink", why);
    uint64_t job = random_u64() >> 1; /* SQLite's numbers have a sign */
    error = error ? error : outputs_open(&s->outputs, o, job, why);
    error = error ? error : signals_open(&s->signals, (pid_t)o->parent, why);
    error = error ? error : shortage_check(SHORTAGE_DESCRIPTORS_LEAST, NET_THREADS, why);
    if (error)
        return error;
    size_t allowed = net_start(DESCRIPTORS_WANTED);
    if (s->means.keys)
        error = zap_new(&s->zap, sink_decide, s, why);
    error = error ? error : net_open(&s->results, NET_RESULTS_RECEIVER, why);
    if (!error && s->means.keys)
        net_serve_keys(s->results, &s->keys.own, "results");
    struct monitor_limits limits = {.connections_max = allowed / 2};
    if (limits.connections_max > CONNECTIONS_MAX)
        limits.connections_max = CONNECTIONS_MAX;
    error = error ? error : monitor_new(&s->monitor, s->results, limits, why);
    error = error ? error : net_bind(s->results, o->bind, why);
    error = error ? error : advertise(s, why);
    if (!error) {
        s->results_watch = watch_of(s->results);
        s->monitor_watch = watch_of(monitor_socket(s->monitor));
        make_collector(s);
        ready_tell((int)o->ready_fd, s->advertised);
    }
    return error;
}

int sink_run(const struct farm_options *options)
{
    struct sink s = {.options = options, .status = 255, .began_ns = clock_now_ns()};
    struct why why;
    trace_open(&s.trace, options->trace, "sink", s.began_ns);
    if (sink_start(&s, &why)) {
        log_line("%s", why.text);
    } else {
        sink_loop(&s);
        sum_up(&s);
    }
    connection_close(&s.control, LINGER_MS);
    monitor_free(&s.monitor);
    net_close(&s.results, 0);
    zap_free(&s.zap);
    collector_destroy(&s.collector);
    outputs_close(&s.outputs);
    buf_free(&s.last_command);
    trace_close(&s.trace);
    net_end(NET_END_LIMIT_MS, s.status);
    return s.status;
}
