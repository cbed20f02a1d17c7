/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/intake.h"

#include <stdlib.h>

#include "common/base/shown.h"
#include "common/base/xalloc.h"

void intake_init(struct intake *in, const struct collector_options *options,
                 struct job_counts *counts, struct halting *halting)
{
    *in = (struct intake){.context = options->context,
                          .accept = options->accept,
                          .counts = counts,
                          .halting = halting,
                          .tmpdir = options->tmpdir ? options->tmpdir : "/tmp",
                          .is_strict = options->strict_results,
                          .last = UINT64_MAX,
                          .early_max_bytes = options->window_max_bytes};
    marks_init(&in->marks);
}

void intake_free(struct intake *in)
{
    marks_free(&in->marks);
    for (size_t i = 0; i < in->stalled_count; i++)
        block_release(&in->stalled[i]);
    free(in->stalled);
    senders_free(&in->senders);
    handed_free(&in->handed);
    seqset_free(&in->accepted);
    seqset_free(&in->stored);
    seqset_free(&in->news);
    seqset_free(&in->beyond);
    ahead_free(&in->ahead);
}

/* ---- stored ---- */

static void intake_settle(struct intake *in)
{
    const struct seqset *tasks;
    while (marks_pop(&in->marks, &tasks)) {
        seqset_add_all(&in->stored, tasks);
        seqset_add_all(&in->news, tasks);
        in->moved = true;
    }
}

void intake_mark(struct intake *in, uint64_t position_bytes)
{
    marks_add(&in->marks, position_bytes);
    intake_settle(in);
}

void intake_reached(struct intake *in, uint64_t position_bytes)
{
    marks_reach(&in->marks, position_bytes);
    intake_settle(in);
}

void intake_begin_session(struct intake *in, uint64_t incarnation, bool is_another_life)
{
    senders_drop_before(&in->senders, incarnation);
    if (is_another_life) {
        handed_forget(&in->handed);
        in->closed = false;
        in->last = UINT64_MAX;
    }
    in->incarnation = incarnation;
    senders_untell(&in->senders);
    seqset_copy(&in->news, &in->stored);
}

/* ---- accepted ---- */

static void add_finals(struct intake *in, uint64_t first, uint64_t last)
{
    seqset_add(&in->accepted, first, last);
    marks_accept(&in->marks, first, last);
}

/* From a session, and not by a verdict. */
static void add_finals_of(struct intake *in, const struct frame_head *head, uint64_t first,
                          uint64_t last)
{
    add_finals(in, first, last);
    senders_take(&in->senders, head->incarnation, head->session, first, last);
}

static uint64_t *count_of(struct intake *in, enum final_kind kind)
{
    struct job_counts *counts = in->counts;
    return kind == FINAL_OK ? &counts->ok : kind == FINAL_LOST ? &counts->lost : &counts->failed;
}

static void count_final(struct intake *in, const struct result *r)
{
    enum final_kind kind = r->status == RESULT_OK     ? FINAL_OK
                           : r->status == RESULT_LOST ? FINAL_LOST
                                                      : FINAL_FAILED;
    ++*count_of(in, kind);
    if (r->seq > in->counts->status.read)
        ahead_add(&in->ahead, kind, r->seq);
}

void intake_read(struct intake *in, uint64_t tasks, bool is_all)
{
    uint64_t behind[FINAL_KINDS];
    ahead_read(&in->ahead, tasks, is_all, behind);
    for (enum final_kind kind = FINAL_OK; kind < FINAL_KINDS; kind++) {
        *count_of(in, kind) -= behind[kind];
        in->counts->strange += behind[kind];
    }
    if (is_all)
        in->last = tasks;
}

static void accept_result(struct intake *in, const struct result *r)
{
    if (r->final)
        count_final(in, r);
    in->moved = true;
    in->accept(in->context, r);
    if (r->final)
        halting_result(in->halting, r, in->counts->status.total);
}

static bool is_over(const struct intake *in, uint64_t seq)
{
    return in->closed || seqset_has(&in->accepted, seq);
}

static bool was_handed(const struct intake *in, const struct frame_head *head, uint64_t first,
                       uint64_t last)
{
    const struct handed_session *s =
        head->incarnation == in->incarnation ? handed_find(&in->handed, head->session) : NULL;
    return s && seqset_count_in(&s->tasks, first, last) == last - first + 1;
}

/* Whether nothing of first..last has to wait for the ventilator to name it. */
static bool is_named(const struct intake *in, const struct frame_head *head, uint64_t first,
                     uint64_t last)
{
    if (!in->is_strict || was_handed(in, head, first, last))
        return true;
    for (uint64_t seq = first; seq <= last; seq++)
        if (!is_over(in, seq) && !was_handed(in, head, seq, seq))
            return false;
    return true;
}

static void intake_wait(struct intake *in, const struct frame_head *head, struct bytes message,
                        bool is_new, uint64_t now_ns)
{
    struct early_results early = {block_copy(message), *head, now_ns, is_new};
    handed_wait(&in->handed, &early);
}

/* A result that comes too late. Its worker may free it when the one that counts is stored; if that
 * is still to come, it will be news then. */
static void drop_late(struct intake *in, uint64_t seq)
{
    in->counts->doubled++;
    if (in->closed || seqset_has(&in->stored, seq))
        seqset_add(&in->news, seq, seq);
}

static enum error check_runs(struct bytes runs)
{
    while (runs.size) {
        struct result_run run;
        struct result scratch;
        enum error error = result_run_take(&runs, &run);
        for (uint64_t i = 0; !error && i < run.count; i++)
            error = result_take(&run.records, &scratch);
        if (error)
            return error;
        if (run.records.size)
            return ERR_TRAILING;
    }
    return ERR_NONE;
}

/* A run that check_runs has seen. Most have nothing in common with what was accepted before, and
 * then their tasks are not looked up one by one. With `strange`, what its session was not handed is not taken,
 * but put there: unless it is the record of a try, which may be of another session, or of an earlier life of the
 * ventilator, that knew of it. */
static void take_run(struct intake *in, const struct frame_head *head, struct result_run run,
                     struct bytes worker, bool is_new, struct seqset *strange)
{
    uint64_t last = run.first + run.count - 1;
    bool overlaps = in->closed || seqset_count_in(&in->accepted, run.first, last);
    struct range finals = {0};
    struct result r = {.attempt = run.attempt, .tries = run.tries, .worker = worker};
    for (r.seq = run.first; r.seq <= last; r.seq++) {
        result_take(&run.records, &r);
        if (overlaps && is_over(in, r.seq)) {
            if (r.final)
                drop_late(in, r.seq);
            continue;
        }
        if (strange && !was_handed(in, head, r.seq, r.seq)) {
            if (r.final)
                seqset_add(strange, r.seq, r.seq);
            continue;
        }
        if (r.seq > in->last) {
            if (r.final)
                seqset_add(&in->beyond, r.seq, r.seq);
            continue;
        }
        if (r.final || is_new) /* what is history comes again with its batch */
            accept_result(in, &r);
        if (!r.final)
            continue;
        if (finals.first && finals.last + 1 != r.seq) {
            add_finals_of(in, head, finals.first, finals.last);
            finals.first = 0;
        }
        finals = (struct range){finals.first ? finals.first : r.seq, r.seq};
    }
    if (finals.first)
        add_finals_of(in, head, finals.first, finals.last);
}

static bool are_named(const struct intake *in, const struct frame_head *head, struct bytes runs)
{
    struct result_run run;
    while (in->is_strict && runs.size && !result_run_take(&runs, &run))
        if (!is_named(in, head, run.first, run.first + run.count - 1))
            return false;
    return true;
}

static void take_runs(struct intake *in, const struct frame_head *head, struct bytes runs,
                      struct bytes worker, bool is_new, struct seqset *strange)
{
    struct result_run run;
    while (runs.size && !result_run_take(&runs, &run))
        take_run(in, head, run, worker, is_new, strange);
}

enum error intake_results(struct intake *in, struct bytes message, uint64_t now_ns)
{
    struct frame_head head;
    struct results_head m;
    struct bytes body, runs;
    enum error error = frame_take(message, &head, &body);
    if (!error)
        error = results_take(body, &m, &runs);
    if (!error && (m.batch == 0 || m.batch == UINT64_MAX))
        error = ERR_MALFORMED;
    if (!error)
        error = check_runs(runs);
    if (error)
        return error;
    bool is_new = senders_add_batch(&in->senders, head.incarnation, head.session, m.batch, m.floor);
    if (are_named(in, &head, runs))
        take_runs(in, &head, runs, m.worker, is_new, NULL);
    else
        intake_wait(in, &head, message, is_new, now_ns);
    return ERR_NONE;
}

size_t intake_fault(struct bytes message)
{
    struct frame_head head;
    struct results_head m;
    struct bytes body, runs;
    struct result_run run;
    struct result scratch;
    enum error error = frame_take(message, &head, &body);
    if (error)
        return error == ERR_KIND ? 0 : error == ERR_VERSION ? 1 : message.size;
    if (head.kind != KIND_RESULTS || results_take(body, &m, &runs))
        return FRAME_HEAD_SIZE;
    const uint8_t *at = runs.data;
    while (runs.size && !result_run_take(&runs, &run)) {
        uint64_t left = run.count;
        for (at = run.records.data; left > 0 && !result_take(&run.records, &scratch); left--)
            at = run.records.data;
        if (left || run.records.size)
            return (size_t)(at - message.data);
        at = runs.data;
    }
    return (size_t)(at - message.data);
}

/* ---- in pieces ---- */

/* Puts the front of a piece away that came before: a worker begins anew on a new connection, and
 * the old one may still deliver. Returns false if the piece does not belong to what is under way.
 */
static bool fit(const struct pieces *p, struct pieces_part *part)
{
    bool same = p->open && p->seq == part->seq && attempt_equal(p->attempt, part->attempt) &&
                p->total == part->total;
    if (!same)
        return part->offset == 0 && (part->bytes.size || part->total == 0);
    if (part->offset > p->received || p->received - part->offset >= part->bytes.size)
        return false;
    uint64_t had = p->received - part->offset;
    part->bytes = (struct bytes){part->bytes.data + had, part->bytes.size - (size_t)had};
    part->offset = p->received;
    return true;
}

static enum error take_whole(struct intake *in, const struct frame_head *head,
                             const struct piece *m, struct bytes record, struct block *holder)
{
    struct result r = {.seq = m->seq,
                       .attempt = m->attempt,
                       .tries = m->tries,
                       .worker = m->worker,
                       .holder = holder};
    enum error error = result_take(&record, &r);
    if (error || record.size)
        return error ? error : ERR_TRAILING;
    accept_result(in, &r);
    if (r.final)
        add_finals_of(in, head, r.seq, r.seq);
    return ERR_NONE;
}

static enum error intake_add_piece(struct intake *in, const struct frame_head *head,
                                   struct pieces *p, const struct piece *m)
{
    const struct pieces_limits limits = {
        .memory_max = INTAKE_PIECES_MEMORY_MAX, .size_max = UINT64_MAX, .tmpdir = in->tmpdir};
    struct pieces_part part = {.seq = m->seq,
                               .attempt = m->attempt,
                               .offset = m->offset,
                               .total = m->total,
                               .bytes = m->content};
    bool complete;
    struct bytes record;
    if (!fit(p, &part))
        return ERR_NONE;
    enum error error = pieces_add(p, &limits, &part, &complete, &record, &in->stalled_why);
    if (error || !complete)
        return error;
    struct block *holder = pieces_hold(p);
    error = take_whole(in, head, m, record, holder);
    if (holder) /* it may wait for long, and the look at it has brought much of it into memory */
        block_cool(holder, block_bytes(holder));
    block_release(&holder);
    pieces_drop(p);
    return error;
}

static bool is_no_room(enum error error)
{
    return error == ERR_DISK_FULL || error == ERR_IO;
}

static enum error take_piece(struct intake *in, struct bytes message)
{
    struct frame_head head;
    struct bytes body;
    struct piece m;
    enum error error = frame_take(message, &head, &body);
    if (error || (error = piece_take(body, &m)))
        return error;
    struct pieces *p = senders_pieces(&in->senders, head.incarnation, head.session);
    if (!p)
        return ERR_NONE;
    if (m.seq > in->last) {
        senders_add_piece(&in->senders, head.incarnation, head.session, m.content.size);
        if (m.offset == 0 && result_is_final(m.content))
            seqset_add(&in->beyond, m.seq, m.seq);
        return ERR_NONE;
    }
    if (!is_over(in, m.seq)) {
        error = intake_add_piece(in, &head, p, &m);
        if (!is_no_room(error))
            senders_add_piece(&in->senders, head.incarnation, head.session, m.content.size);
        return error;
    }
    senders_add_piece(&in->senders, head.incarnation, head.session, m.content.size);
    if (p->open && p->seq == m.seq)
        pieces_drop(p);
    if (m.offset + m.content.size == m.total)
        drop_late(in, m.seq);
    return ERR_NONE;
}

static void stall(struct intake *in, struct bytes message)
{
    if (in->stalled_count == in->stalled_capacity) {
        in->stalled_capacity = in->stalled_capacity ? in->stalled_capacity * 2 : 4;
        in->stalled = xrealloc(in->stalled, in->stalled_capacity * sizeof(struct block *));
    }
    in->stalled[in->stalled_count++] = block_copy(message);
}

static enum error take_or_stall(struct intake *in, struct bytes message)
{
    enum error error = in->stalled_count ? ERR_DISK_FULL : take_piece(in, message);
    if (!is_no_room(error))
        return error;
    stall(in, message);
    return ERR_NONE;
}

enum error intake_piece(struct intake *in, struct bytes message, uint64_t now_ns)
{
    struct frame_head head;
    struct bytes body;
    struct piece m;
    enum error error = frame_take(message, &head, &body);
    if (!error)
        error = piece_take(body, &m);
    if (error || is_named(in, &head, m.seq, m.seq))
        return error ? error : take_or_stall(in, message);
    intake_wait(in, &head, message, false, now_ns);
    return ERR_NONE;
}

void intake_retry(struct intake *in)
{
    size_t done = 0;
    while (done < in->stalled_count) {
        enum error error = take_piece(in, block_bytes(in->stalled[done]));
        if (is_no_room(error))
            break;
        in->counts->dropped_messages += error != ERR_NONE;
        block_release(&in->stalled[done++]);
    }
    in->stalled_count -= done;
    for (size_t i = 0; i < in->stalled_count; i++)
        in->stalled[i] = in->stalled[i + done];
}

/* ---- what was handed to whom ---- */

/* What it was made of was looked at when it came. */
static void take_early(struct intake *in, const struct early_results *early, struct seqset *strange)
{
    struct results_head m;
    struct piece piece;
    struct bytes message = block_bytes(early->message), body, runs;
    struct frame_head head;
    frame_take(message, &head, &body);
    if (head.kind == KIND_RESULTS && !results_take(body, &m, &runs)) {
        take_runs(in, &head, runs, m.worker, early->is_new, strange);
    } else if (head.kind == KIND_PIECE && !piece_take(body, &piece)) {
        if (is_named(in, &head, piece.seq, piece.seq))
            in->counts->dropped_messages += take_or_stall(in, message) != ERR_NONE;
        else if (piece.offset == 0 && result_is_final(piece.content))
            seqset_add(strange, piece.seq, piece.seq);
    }
}

static bool is_early_named(const struct intake *in, const struct early_results *early)
{
    struct results_head m;
    struct piece piece;
    struct bytes body, runs;
    struct frame_head head;
    frame_take(block_bytes(early->message), &head, &body);
    if (head.kind == KIND_RESULTS)
        return !results_take(body, &m, &runs) && are_named(in, &head, runs);
    return !piece_take(body, &piece) && is_named(in, &head, piece.seq, piece.seq);
}

void intake_handed(struct intake *in, const struct session_tasks *m)
{
    struct seqset none = {0};
    handed_add(&in->handed, m, &in->accepted);
    for (size_t i = 0; i < in->handed.early_count;) {
        const struct early_results *next = &in->handed.early[i];
        if (next->head.session != m->session || !is_early_named(in, next)) {
            i++;
            continue;
        }
        struct early_results early = handed_pop(&in->handed, i);
        take_early(in, &early, &none);
        block_release(&early.message);
    }
    seqset_free(&none);
}

bool intake_decide(struct intake *in, uint64_t session, uint64_t before_ns,
                   struct session_tasks *strange)
{
    const struct handed *h = &in->handed;
    size_t i = 0;
    while (i < h->early_count &&
           ((session && h->early[i].head.session != session) || h->early[i].came_ns >= before_ns))
        i++;
    if (i == h->early_count)
        return false;
    struct early_results early = handed_pop(&in->handed, i);
    *strange = (struct session_tasks){.session = early.head.session};
    take_early(in, &early, &strange->tasks);
    block_release(&early.message);
    /* A worker of an earlier life, or of a session that is over, sends again what it keeps. */
    const struct handed_session *of = handed_find(h, early.head.session);
    if (early.head.incarnation != in->incarnation || (of && of->ended))
        seqset_clear(&strange->tasks);
    return true;
}

bool intake_waits_enough(const struct intake *in)
{
    return in->handed.early_count >= HANDED_EARLY_MAX ||
           in->handed.early_bytes >= in->early_max_bytes;
}

/* ---- verdicts ---- */

static enum error check_verdict(const struct verdict *m)
{
    uint64_t tasks = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct verdict_item *item = &m->items[i];
        struct bytes record = item->task;
        struct task task;
        if (record.size && (task_take(&record, &task) || record.size))
            return ERR_MALFORMED;
        if (item->tries > UINT32_MAX || item->last - item->first >= INTAKE_VERDICT_TASKS_MAX)
            return ERR_MALFORMED;
        tasks += item->last - item->first + 1;
        if (tasks > INTAKE_VERDICT_TASKS_MAX)
            return ERR_MALFORMED;
    }
    return ERR_NONE;
}

static void take_verdict(struct intake *in, uint64_t incarnation, const struct verdict_item *item)
{
    struct buf words = {0};
    if (item->workers.size) {
        buf_put_text(&words, "zfarm: ");
        shown_put(&words, item->workers);
        buf_put_byte(&words, '\n');
    }
    struct result r = {.attempt = {.incarnation = incarnation},
                       .tries = (uint32_t)item->tries,
                       .status = item->status,
                       .final = true,
                       .err = buf_bytes(&words),
                       .task = item->task};
    for (r.seq = item->first; r.seq <= item->last; r.seq++) {
        if (!is_over(in, r.seq)) {
            accept_result(in, &r);
            add_finals(in, r.seq, r.seq);
        } else if (in->closed || seqset_has(&in->stored, r.seq)) {
            seqset_add(&in->news, r.seq, r.seq);
        }
    }
    buf_free(&words);
}

enum error intake_verdict(struct intake *in, const struct frame_head *head, struct bytes body)
{
    struct verdict m = {0};
    enum error error = verdict_take(body, &m);
    if (!error)
        error = check_verdict(&m);
    for (size_t i = 0; !error && i < m.count; i++)
        take_verdict(in, head->incarnation, &m.items[i]);
    verdict_free(&m);
    return error;
}
