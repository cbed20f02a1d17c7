/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/tap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/xalloc.h"
#include "common/wire/print.h"
#include "tests/sim/cable.h"
#include "tests/sim/digest.h"

void tap_init(struct tap *tap, size_t tasks)
{
    *tap = (struct tap){.alone = xcalloc(tasks + 1, sizeof *tap->alone),
                        .died_with = xcalloc(tasks + 1, sizeof *tap->died_with),
                        .suspect = xcalloc(tasks + 1, sizeof *tap->suspect),
                        .fails = xcalloc(tasks + 1, sizeof *tap->fails)};
}

void tap_free(struct tap *tap)
{
    for (size_t i = 0; i < tap->session_count; i++)
        seqset_free(&tap->sessions[i].out);
    free(tap->sessions);
    free(tap->alone);
    free(tap->died_with);
    free(tap->suspect);
    free(tap->fails);
    seqset_free(&tap->told);
}

void tap_death_is_seen(struct tap *tap, uint64_t life, size_t tasks)
{
    for (size_t seq = 1; seq <= tasks; seq++)
        tap->suspect[seq] = tap->suspect[seq] || tap->died_with[seq] == life;
}

void tap_forget(struct tap *tap, size_t tasks)
{
    for (size_t i = 0; i < tap->session_count; i++) {
        seqset_free(&tap->sessions[i].out);
        tap->sessions[i] = (struct tap_session){0};
    }
    for (size_t seq = 0; seq <= tasks; seq++) {
        tap->alone[seq] = (struct attempt){0};
        tap->died_with[seq] = 0;
        tap->suspect[seq] = false;
        tap->fails[seq] = (struct tap_fails){0};
    }
}

static struct tap_session *session_of(struct tap *tap, uint64_t id)
{
    size_t count = tap->session_count;
    if (id >= count) {
        tap->session_count = (size_t)id * 2 + 16;
        tap->sessions = xrealloc(tap->sessions, tap->session_count * sizeof *tap->sessions);
        for (; count < tap->session_count; count++)
            tap->sessions[count] = (struct tap_session){0};
    }
    return &tap->sessions[id];
}

/* ---- for people ---- */

static void trace(const struct cable *c, const struct node *from, const struct frame_head *head,
                  struct bytes body)
{
    struct buf text = {0};
    wire_print_body(&text, head->kind, body);
    sim_trace(c->sim, from, "-> %s s%" PRIu64 " %.*s%s", cable_other(c, from)->name, head->session,
              (int)text.size, (const char *)text.data, cable_is_live(c) ? "" : " (lost)");
    buf_free(&text);
}

/* ---- rules ---- */

/* A task that is likely to have killed a worker travels alone. */
static void check_company(struct cable *c, uint64_t incarnation, const struct task_run *run)
{
    struct sim *sim = c->sim;
    if (run->flags & TASK_ALONE)
        sim->tap.alone[run->first] = (struct attempt){incarnation, run->number};
    for (uint64_t seq = run->first; seq < run->first + run->count; seq++)
        if (sim->tap.suspect[seq] && !(run->flags & TASK_ALONE) && !sim->model.truths[seq].finals)
            sim_violation(sim, "task %" PRIu64 " is handed out in company after a death", seq);
}

/* What has failed waits before it is handed out again, unless the word of it may be on its way while
 * the ventilator has the task run a second time. */
static void check_patience(struct sim *sim, const struct task_run *run)
{
    for (uint64_t seq = run->first; seq < run->first + run->count; seq++) {
        const struct tap_fails *f = &sim->tap.fails[seq];
        if (!f->count || sim->model.disturbed || sim->plan.hedge)
            continue;
        uint64_t least_ns = (sim->plan.retry_delay_ns << (f->count - 1)) / 2;
        if (sim->now_ns < f->last_ns + least_ns)
            sim_violation(sim, "task %" PRIu64 " failed and is handed out %.3f s later", seq,
                          (double)(sim->now_ns - f->last_ns) / 1e9);
    }
}

/* One large task at a time, in order from its first byte. */
static void check_piece(struct cable *c, const struct frame_head *head, struct bytes body)
{
    struct tap_session *s = session_of(&c->sim->tap, head->session);
    struct piece m;
    if (piece_take(body, &m))
        sim_violation(c->sim, "session %" PRIu64 " is sent a piece that is none", head->session);
    bool goes_on = m.offset && m.seq == s->piece.seq && m.offset == s->piece_end &&
                   attempt_equal(m.attempt, s->piece.attempt) && m.total == s->piece.total;
    if (m.offset && !goes_on)
        sim_violation(c->sim,
                      "session %" PRIu64 " is sent a piece of task %" PRIu64 " that fits nothing",
                      head->session, m.seq);
    if (!m.offset)
        s->piece_was_first = seqset_empty(&s->out);
    s->piece = m;
    s->piece_end = m.offset + m.content.size;
}

/* The task that its pieces are said to have brought; returns what it counts. */
static uint64_t check_pieces(struct cable *c, const struct tap_session *s,
                             const struct task_run *run)
{
    if (run->count != 1 || s->piece.seq != run->first || s->piece.attempt.number != run->number ||
        s->piece_end != s->piece.total)
        sim_violation(c->sim, "task %" PRIu64 " is said to be there, and its pieces are not",
                      run->first);
    return task_pieces_credit(s->piece.total);
}

static void check_credit(struct cable *c, const struct frame_head *head, struct bytes runs)
{
    struct tap_session *s = session_of(&c->sim->tap, head->session);
    struct task_run run;
    uint64_t tasks = 0, bytes = 0;
    bool was_empty = seqset_empty(&s->out);
    struct seqset sent = {0};
    while (runs.size && !task_run_take(&runs, &run)) {
        tasks += run.count;
        bytes += run.flags & TASK_PIECES ? check_pieces(c, s, &run) : run.records.size;
        was_empty = run.flags & TASK_PIECES ? s->piece_was_first : was_empty;
        seqset_add(&sent, run.first, run.first + run.count - 1);
        check_company(c, head->incarnation, &run);
        check_patience(c->sim, &run);
    }
    seqset_add_all(&s->out, &sent);
    seqset_add_all(worker_node_had(c->ends[0].node), &sent);
    /* Sent to who is dead already: charged as if it had begun, the ventilator cannot know. */
    if (!cable_end_lives(c, c->ends[0].node))
        model_death(&c->sim->model, &sent);
    seqset_free(&sent);
    s->tasks += tasks;
    s->size_bytes += bytes;
    uint64_t most = s->granted.tasks > s->granted.reserve ? s->granted.tasks : s->granted.reserve;
    if (s->tasks > most)
        sim_violation(c->sim, "G4: session %" PRIu64 " was sent %" PRIu64 " tasks of %" PRIu64,
                      head->session, s->tasks, most);
    if (s->size_bytes > s->granted.size_bytes && s->tasks > s->granted.reserve &&
        !(was_empty && tasks == 1))
        sim_violation(c->sim, "G4: session %" PRIu64 " was sent %" PRIu64 " bytes of %" PRIu64,
                      head->session, s->size_bytes, s->granted.size_bytes);
}

static void check_stored(struct cable *c, const struct seqset *told, uint64_t last,
                         const char *kind)
{
    struct range missing;
    /* A late result is released though it never counted, or it was lost with the power. */
    if (c->sim->interrupted || c->sim->store_forgot)
        return;
    /* One that is made up, of a task that does not exist, is late when all else is stored. */
    if (last > c->sim->plan.task_count)
        last = c->sim->plan.task_count;
    for (size_t i = 0; i < told->count && told->ranges[i].first <= last; i++)
        if (seqset_next_gap(&c->sim->model.stored, told->ranges[i].first,
                            told->ranges[i].last < last ? told->ranges[i].last : last, &missing))
            sim_violation(c->sim, "G1: %s names task %" PRIu64 ", which is not stored", kind,
                          missing.first);
}

static void forget_out(struct sim *sim, const struct seqset *tasks)
{
    for (size_t i = 0; i < sim->tap.session_count; i++)
        if (!seqset_empty(&sim->tap.sessions[i].out))
            seqset_remove_all(&sim->tap.sessions[i].out, tasks);
}

static void check_note(struct cable *c, struct bytes body)
{
    struct stored_note m = {0};
    if (!stored_note_take(body, &m)) {
        check_stored(c, &m.tasks, UINT64_MAX - 1, "STORED");
        forget_out(c->sim, &m.tasks);
        seqset_add_all(&c->sim->tap.told, &m.tasks);
    }
    stored_note_free(&m);
}

static void check_released(struct cable *c, struct bytes body)
{
    struct released m = {0};
    if (!released_take(body, &m))
        check_stored(c, &m.tasks, UINT64_MAX - 1, "RELEASED");
    released_free(&m);
}

static void check_welcome(struct cable *c, struct bytes body)
{
    struct worker_welcome m = {0};
    if (c->ends[0].node->role == ROLE_NODE_WORKER && !worker_welcome_take(body, &m))
        /* What was not read in this life is let go, and will be run again. */
        check_stored(c, &m.have, ventilator_node_has_read(c->sim->ventilator), "WELCOME");
    worker_welcome_free(&m);
    c->joining = false;
}

static void note_returned(struct cable *c, const struct frame_head *head, struct bytes body)
{
    struct returned m = {0};
    if (!returned_take(body, &m))
        seqset_remove_all(&session_of(&c->sim->tap, head->session)->out, &m.tasks);
    returned_free(&m);
}

static void note_failed(struct cable *c, const struct frame_head *head, struct bytes body)
{
    struct attempt_list m = {0};
    struct tap_session *s = session_of(&c->sim->tap, head->session);
    if (!attempt_list_take(body, &m))
        for (size_t i = 0; i < m.count; i++) {
            struct tap_fails *f = &c->sim->tap.fails[m.items[i].seq];
            seqset_remove(&s->out, m.items[i].seq, m.items[i].seq);
            *f = (struct tap_fails){f->count + 1, c->sim->now_ns};
        }
    attempt_list_free(&m);
}

static void note_credit(struct cable *c, const struct frame_head *head, struct bytes body)
{
    struct credit m;
    struct credit *granted = &session_of(&c->sim->tap, head->session)->granted;
    if (credit_take(body, &m))
        return;
    granted->tasks = m.tasks > granted->tasks ? m.tasks : granted->tasks;
    granted->size_bytes = m.size_bytes > granted->size_bytes ? m.size_bytes : granted->size_bytes;
    granted->reserve = m.reserve > granted->reserve ? m.reserve : granted->reserve;
}

static void check_client(struct cable *c, const struct node *from, const struct frame_head *head,
                         struct bytes body)
{
    if (c->joining)
        sim_violation(c->sim, "%s says %s while its JOIN is unanswered", from->name,
                      wire_kind_name(head->kind));
    if (head->kind == KIND_FINISHED || head->kind == KIND_FAILED || head->kind == KIND_RETURNED)
        c->ends[0].node->reported_ns = c->sim->now_ns;
    if (head->kind == KIND_JOIN) {
        c->joining = true;
        c->sim->tap.joins++;
    } else if (head->kind == KIND_CREDIT) {
        note_credit(c, head, body);
    } else if (head->kind == KIND_RETURNED) {
        note_returned(c, head, body);
    } else if (head->kind == KIND_FAILED) {
        note_failed(c, head, body);
    } else if (head->kind == KIND_STORED) {
        check_note(c, body);
    }
}

/* Who does not err is not told so. */
static void check_protest(struct cable *c, struct bytes body)
{
    struct protest m;
    if (!c->ends[0].node->errs_until_ns && !protest_take(body, &m))
        sim_violation(c->sim, "%s does not err and is told: %.*s", c->ends[0].node->name,
                      (int)m.sentence.size, (const char *)m.sentence.data);
}

static void check_server(struct cable *c, const struct frame_head *head, struct bytes body)
{
    if (head->kind == KIND_WELCOME)
        check_welcome(c, body);
    else if (head->kind == KIND_RELEASED)
        check_released(c, body);
    else if (head->kind == KIND_PROTEST)
        check_protest(c, body);
}

void tap_sent(struct cable *c, const struct node *from, struct bytes message)
{
    struct frame_head head;
    struct bytes body, runs;
    uint64_t batch;
    if (message.size > FRAME_MAX)
        sim_violation(c->sim, "%s sends a frame of %zu bytes", from->name, message.size);
    if (frame_take(message, &head, &body)) {
        sim_violation(c->sim, "%s sends what is no message", from->name);
        return;
    }
    if (c->sim->traced)
        trace(c, from, &head, body);
    digest_message(&c->sim->digest, c->sim->now_ns, from->name, cable_other(c, from)->name, &head,
                   body);
    if (c->kind != CABLE_RESULTS && c->ends[1].life != c->sim->ventilator->life)
        return; /* to an earlier life of the ventilator */
    if (c->kind == CABLE_CONTROL && from == c->ends[0].node)
        check_client(c, from, &head, body);
    else if (c->kind == CABLE_CONTROL)
        check_server(c, &head, body);
    else if (head.kind == KIND_TASKS && !tasks_take(body, &batch, &runs))
        check_credit(c, &head, runs);
    else if (head.kind == KIND_PIECE && c->kind == CABLE_LANE)
        check_piece(c, &head, body);
}
