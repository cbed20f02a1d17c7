/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"
#include "sink/core/collector.h"
#include "tests/sim/cable.h"
#include "tests/sim/err.h"
#include "tests/sim/record.h"

/* The sink's shell, with an output that may be slow or pause. */
enum { RECORD_OVERHEAD = 16, MESSAGES_A_TURN = 256 };

struct unread {
    struct cable *cable;
    struct block *block;
};

/* A result on its way into the output, with what the model is to be told of it then. */
struct accepted {
    struct result result; /* without slices but `out`, which is copied */
    uint64_t position;
};

enum { RECENT_MAX = 32 };

/* What survives the sink: with a store, what was committed. */
struct disk {
    uint64_t recent[RECENT_MAX]; /* final results that this life committed last */
    size_t recent_count;
    struct seqset stored;
    uint64_t ok, failed, lost, doubled;
    uint64_t incarnation;
    uint64_t opening;
    bool closed;
    uint64_t total;
};

struct sink_node {
    struct node node; /* first */
    struct collector *core;
    struct cable *control;
    struct unread *unread; /* a queue */
    size_t unread_first;
    size_t unread_count;
    size_t unread_capacity;
    uint64_t given;   /* bytes put to the output */
    uint64_t written; /* of these */
    uint64_t paused_until_ns;
    struct accepted *accepted; /* a queue: what is not written */
    size_t accepted_first;
    size_t accepted_count;
    size_t accepted_capacity;
    struct seqset finals;
    bool flushing;
    struct disk disk;
};

static struct sink_node *of(struct node *node)
{
    return (struct sink_node *)node;
}

/* The output has it: now it counts, whatever becomes of the process. */
static void settle(struct sink_node *s, const struct result *result)
{
    struct sim *sim = s->node.sim;
    struct disk *disk = &s->disk;
    const char *wrong = model_accept(&sim->model, result);
    if (wrong)
        sim_violation(sim, "G1: %s", wrong);
    if (!result->final)
        return;
    seqset_add(&sim->model.stored, result->seq, result->seq);
    seqset_add(&disk->stored, result->seq, result->seq);
    if (disk->recent_count == RECENT_MAX)
        memmove(disk->recent, disk->recent + 1, --disk->recent_count * sizeof *disk->recent);
    disk->recent[disk->recent_count++] = result->seq;
    disk->ok += result->status == RESULT_OK;
    disk->lost += result->status == RESULT_LOST;
    disk->failed += result->status != RESULT_OK && result->status != RESULT_LOST;
}

static void push_accepted(struct sink_node *s, const struct result *result)
{
    if (s->accepted_first + s->accepted_count == s->accepted_capacity) {
        s->accepted_capacity = s->accepted_capacity ? s->accepted_capacity * 2 : 64;
        s->accepted = xrealloc(s->accepted, s->accepted_capacity * sizeof *s->accepted);
    }
    struct result copy = *result;
    copy.out.data = result->out.size ? xmemdup(result->out.data, result->out.size) : NULL;
    copy.err = copy.task = copy.command = copy.worker = (struct bytes){0};
    s->accepted[s->accepted_first + s->accepted_count++] = (struct accepted){copy, s->given};
}

static struct accepted pop_accepted(struct sink_node *s)
{
    struct accepted first = s->accepted[s->accepted_first++];
    if (--s->accepted_count == 0)
        s->accepted_first = 0;
    return first;
}

static void accept(void *context, const struct result *result)
{
    struct sink_node *s = context;
    struct sim *sim = s->node.sim;
    sim_trace(sim, &s->node, "accepts %llu/%u %s%s", (unsigned long long)result->seq,
              result->attempt.number, result_status_word(result->status),
              result->final ? "" : ", not final");
    s->given += result->out.size + RECORD_OVERHEAD;
    if (result->final)
        seqset_add(&s->finals, result->seq, result->seq);
    push_accepted(s, result);
}

static bool begin_life(void *context, uint64_t incarnation)
{
    struct sink_node *s = context;
    bool may_fail = !s->node.sim->healed_ns && !s->node.sim->plan.one_stall;
    if (may_fail && rng_chance(&s->node.sim->fate, 5)) {
        sim_disturb(s->node.sim, 4 * NS_PER_S); /* the disk is full just now */
        return false;
    }
    if (incarnation < s->disk.incarnation)
        sim_violation(s->node.sim, "the ventilator goes back from life %llu to %llu",
                      (unsigned long long)s->disk.incarnation, (unsigned long long)incarnation);
    s->disk.incarnation = incarnation;
    s->disk.closed = false;
    return true;
}

static struct hash hash_of(const struct sim *sim, uint64_t seq)
{
    const struct plan_task *planned = &sim->plan.tasks[seq - 1];
    struct buf record = {0};
    struct task task;
    struct hash hash = {0};
    if (planned->nature == NATURE_TOO_LARGE)
        return hash;
    record_put(&record, seq, planned->size);
    struct bytes bytes = buf_bytes(&record);
    if (!task_take(&bytes, &task))
        hash = task_hash(task);
    buf_free(&record);
    return hash;
}

static size_t hashes(void *context, uint64_t from, struct hashed_task to[static HASHES_MAX])
{
    struct sink_node *s = context;
    size_t count = 0, most = HASHES_MAX;
    struct range r;
    for (uint64_t at = from; count < most && seqset_next(&s->disk.stored, at, UINT64_MAX - 1, &r);
         at = r.first + 1, count++)
        to[count] = (struct hashed_task){r.first, hash_of(s->node.sim, r.first)};
    return count;
}

static void start(struct node *node)
{
    struct sink_node *s = of(node);
    struct sim *sim = node->sim;
    bool has_store = sim->plan.has_store;
    struct collector_past past = {.stored = &s->disk.stored,
                                  .incarnation = s->disk.incarnation,
                                  .closed = s->disk.closed,
                                  .total = s->disk.total,
                                  .opening = ++s->disk.opening,
                                  .ok = s->disk.ok,
                                  .failed = s->disk.failed,
                                  .lost = s->disk.lost,
                                  .doubled = s->disk.doubled};
    struct collector_options options = {.peer = {.instance = node->life,
                                                 .name = bytes_of("sink"),
                                                 .host = bytes_of("here"),
                                                 .release = bytes_of("0.1.0")},
                                        .job = 77,
                                        .results = "tcp://127.0.0.1:5558",
                                        .wants = sim->seed % 2 ? WANT_ALL : 0,
                                        .is_volatile = !has_store,
                                        .past = has_store ? &past : NULL,
                                        .window_max_bytes = sim->plan.window_max_bytes,
                                        .give_up_ns = 60 * NS_PER_S,
                                        .random_seed = rng_next(&sim->fate),
                                        .halt = sim->plan.halt,
                                        .strict_results = err_sink_is_strict(sim),
                                        .context = s,
                                        .accept = accept,
                                        .begin_life = has_store ? begin_life : NULL,
                                        .hashes = has_store ? hashes : NULL};
    s->core = collector_new(&options, sim->now_ns);
    seqset_copy(&s->finals, &s->disk.stored);
    s->disk.recent_count = 0; /* that it was opened is safe, and all before it */
}

/* What the process had in memory is gone. */
static void stop(struct node *node)
{
    struct sink_node *s = of(node);
    for (size_t i = 0; i < s->unread_count; i++)
        block_release(&s->unread[s->unread_first + i].block);
    while (s->accepted_count)
        free((void *)(uintptr_t)pop_accepted(s).result.out.data);
    free(s->unread);
    free(s->accepted);
    s->unread = NULL;
    s->accepted = NULL;
    s->unread_first = s->unread_count = s->unread_capacity = 0;
    s->accepted_first = s->accepted_capacity = 0;
    s->given = s->written = s->paused_until_ns = 0;
    s->control = NULL;
    s->flushing = false;
    seqset_free(&s->finals);
    collector_destroy(&s->core);
}

void sink_node_forget(struct node *node, size_t count)
{
    struct disk *disk = &of(node)->disk;
    struct sim *sim = node->sim;
    for (; count && disk->recent_count; count--) {
        uint64_t seq = disk->recent[--disk->recent_count];
        const struct truth *t = &sim->model.truths[seq];
        disk->ok -= t->status == RESULT_OK;
        disk->lost -= t->status == RESULT_LOST;
        disk->failed -= t->status != RESULT_OK && t->status != RESULT_LOST;
        seqset_remove(&disk->stored, seq, seq);
        model_forget(&sim->model, seq);
        sim->store_forgot = true;
        disk->closed = false;
        sim_trace(sim, node, "has lost the result of task %llu", (unsigned long long)seq);
    }
}

void sink_node_free_disk(struct node *node)
{
    seqset_free(&of(node)->disk.stored);
}

void sink_node_stop_job(struct node *node)
{
    if (!node->up)
        return;
    node->sim->interrupted = true;
    sim_trace(node->sim, node, "is interrupted");
    collector_stop(of(node)->core, node->sim->now_ns);
    node_wake(node, node->sim->now_ns);
}

/* ---- what comes in ---- */

static void put_unread(struct sink_node *s, const struct news *news)
{
    if (s->unread_first + s->unread_count == s->unread_capacity) {
        s->unread_capacity = s->unread_capacity ? s->unread_capacity * 2 : 16;
        s->unread = xrealloc(s->unread, s->unread_capacity * sizeof *s->unread);
    }
    s->unread[s->unread_first + s->unread_count++] = (struct unread){news->cable, news->block};
}

static void hear_control(struct sink_node *s, const struct news *news)
{
    uint64_t now_ns = s->node.sim->now_ns;
    if (news->kind == NEWS_ACCEPTED) {
        collector_control_accepted(s->core, now_ns);
    } else if (news->kind == NEWS_UP) {
        collector_control_up(s->core, now_ns);
    } else if (news->kind == NEWS_MESSAGE) {
        collector_control_message(s->core, block_bytes(news->block), now_ns);
    } else {
        s->control = NULL;
        collector_control_down(s->core, now_ns);
    }
}

static void take_news(struct sink_node *s)
{
    struct node *node = &s->node;
    for (size_t i = 0; i < node->inbox_count; i++) {
        struct news *news = &node->inbox[i];
        if (news->cable == s->control) {
            hear_control(s, news);
        } else if (news->kind == NEWS_MESSAGE && news->cable->kind == CABLE_RESULTS) {
            put_unread(s, news);
            continue;
        }
        block_release(&news->block);
    }
    node->inbox_count = 0;
}

static void take_results(struct sink_node *s)
{
    uint64_t now_ns = s->node.sim->now_ns;
    for (int i = 0; i < MESSAGES_A_TURN && s->unread_count &&
                    collector_wants_results(s->core, s->given - s->written);
         i++) {
        struct unread unread = s->unread[s->unread_first++];
        if (--s->unread_count == 0)
            s->unread_first = 0;
        collector_results_message(s->core, block_bytes(unread.block), now_ns);
        block_release(&unread.block);
        unread.cable->unread--;
        node_wake(unread.cable->ends[0].node, now_ns + NS_PER_MS / 10);
    }
}

/* ---- the output ---- */

static void note_stored(struct sink_node *s)
{
    while (s->accepted_count && s->accepted[s->accepted_first].position <= s->written) {
        struct accepted a = pop_accepted(s);
        settle(s, &a.result);
        free((void *)(uintptr_t)a.result.out.data);
    }
}

static bool pauses(struct sink_node *s)
{
    struct sim *sim = s->node.sim;
    uint64_t deaf_until_ns = sim->began_ns + sim->plan.deaf_until_ns;
    if (sim->now_ns >= sim->began_ns + sim->plan.deaf_from_ns && sim->now_ns < deaf_until_ns)
        s->paused_until_ns = deaf_until_ns;
    if (s->paused_until_ns <= sim->now_ns && s->given > s->written && !sim->healed_ns &&
        rng_chance(&sim->fate, sim->plan.output_pauses))
        s->paused_until_ns = sim->now_ns + rng_below(&sim->fate, 2 * NS_PER_S);
    return s->paused_until_ns > sim->now_ns;
}

/* With an order, what is accepted counts as stored: there is a spool for it. */
static void write_output(struct sink_node *s)
{
    const struct plan *plan = &s->node.sim->plan;
    uint64_t left = s->given - s->written;
    if (plan->order_max && !plan->has_store)
        s->written = s->given;
    else if (!pauses(s))
        s->written +=
            plan->output_a_turn && plan->output_a_turn < left ? plan->output_a_turn : left;
    note_stored(s);
    bool is_blocked = s->given > s->written && s->paused_until_ns > s->node.sim->now_ns;
    collector_set_output(s->core, is_blocked ? OUTPUT_BLOCKED : OUTPUT_FLOWS, s->written,
                         s->node.sim->now_ns);
    collector_mark(s->core, s->given);
    collector_reached(s->core, s->written);
    if (plan->order_max) {
        struct range first = {0};
        seqset_next(&s->finals, 1, UINT64_MAX - 1, &first);
        uint64_t in_order = first.first == 1 ? first.last : 0;
        collector_set_order_full(s->core, s->finals.members - in_order > plan->order_max);
    }
    if (s->flushing && s->written == s->given) {
        s->flushing = false;
        s->disk.closed = true;
        s->disk.recent_count = 0; /* this commit survives a loss of power, and all before it */
        s->disk.total = collector_total(s->core);
        s->disk.doubled = collector_counts(s->core)->doubled;
        collector_flushed(s->core, s->node.sim->now_ns);
    }
}

static void wake_for_output(struct sink_node *s)
{
    struct sim *sim = s->node.sim;
    if (s->given > s->written || s->flushing)
        node_wake(&s->node, s->paused_until_ns > sim->now_ns
                                ? s->paused_until_ns
                                : sim->now_ns + rng_between(&sim->fate, 100, 3000) * NS_PER_US);
}

/* ---- actions ---- */

void sink_node_check_end(struct node *node)
{
    const struct job_counts *counts = collector_counts(of(node)->core);
    struct sim *sim = node->sim;
    const struct model *m = &sim->model;
    bool told = collector_is_done(of(node)->core);         /* what was not run */
    if (sim->store_noticed || (sim->interrupted && !told)) /* in the middle of its work */
        return;
    if (counts->ok != m->ok || counts->failed != m->failed || counts->lost != m->lost)
        sim_violation(sim, "G2: the sink counts %llu ok, %llu failed, %llu lost",
                      (unsigned long long)counts->ok, (unsigned long long)counts->failed,
                      (unsigned long long)counts->lost);
    uint64_t sum = counts->ok + counts->failed + counts->lost + counts->not_run;
    if (!sim->interrupted && (counts->not_run || counts->total != m->read || sum != m->read))
        sim_violation(sim, "G2: of %llu tasks the sink knows %llu, %llu of them not run",
                      (unsigned long long)m->read, (unsigned long long)counts->total,
                      (unsigned long long)counts->not_run);
    if (sim->interrupted && sum != counts->total)
        sim_violation(sim, "G2: %llu tasks and the sum of all is %llu",
                      (unsigned long long)counts->total, (unsigned long long)sum);
}

static void do_action(struct sink_node *s, struct collector_action *action)
{
    struct node *node = &s->node;
    switch (action->kind) {
    case COLLECTOR_OPEN_CONTROL:
        s->control = cable_open(node, node->sim->ventilator, CABLE_CONTROL);
        break;
    case COLLECTOR_CLOSE_CONTROL:
        if (s->control)
            cable_close(s->control, node, false);
        s->control = NULL;
        break;
    case COLLECTOR_SEND_CONTROL:
        if (s->control)
            cable_send(s->control, node, action->block);
        else
            block_release(&action->block);
        break;
    case COLLECTOR_BEGIN: /* its store is only changed by results */
        break;
    case COLLECTOR_FLUSH:
        s->flushing = true;
        break;
    case COLLECTOR_EXIT:
        if (action->why.text[0])
            sim_trace(node->sim, node, "says: %s", action->why.text);
        sink_node_check_end(node);
        node_exit(node, action->status);
        break;
    }
}

static void note_halt(struct sink_node *s)
{
    const struct halt *halt = collector_halt(s->core);
    struct sim *sim = s->node.sim;
    if (halt->when == HALT_NEVER)
        return;
    sim->interrupted = sim->halted = true;
    sim->halted_status = (int)halt->status;
}

static void turn(struct node *node)
{
    struct sink_node *s = of(node);
    take_news(s);
    take_results(s);
    note_halt(s);
    write_output(s);
    collector_set_reading(s->core, collector_wants_results(s->core, s->given - s->written),
                          node->sim->now_ns);
    collector_turn(s->core, node->sim->now_ns);
    struct collector_action action;
    while (node->up && collector_next_action(s->core, &action))
        do_action(s, &action);
    if (!node->up)
        return;
    wake_for_output(s);
    if (s->unread_count && collector_wants_results(s->core, s->given - s->written))
        node_wake(node, node->sim->now_ns);
    uint64_t deadline_ns = collector_deadline(s->core);
    if (deadline_ns != NEVER)
        node_wake(node, deadline_ns + rng_below(&node->sim->fate, NS_PER_MS));
}

static const struct node_class class = {start, turn, stop};

struct node *sink_node_new(struct sim *sim)
{
    struct sink_node *s = xcalloc(1, sizeof *s);
    s->node = (struct node){
        .sim = sim, .class = &class, .role = ROLE_NODE_SINK, .name = "S", .wake_ns = NEVER};
    return &s->node;
}
