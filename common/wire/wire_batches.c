/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/wire.h"

#include <assert.h>
#include <string.h>

#include "common/wire/fields.h"
#include "common/wire/layout_rows.h"
#include "common/base/varint.h"

/* Tasks and results: what a lane and the results connection carry. */

void tasks_begin(struct buf *to, uint64_t batch)
{
    varint_put(to, batch);
}

void task_run_put(struct buf *to, const struct task_run *run)
{
    varint_put(to, run->first);
    varint_put(to, run->count);
    varint_put(to, run->number);
    varint_put(to, run->tries);
    varint_put(to, run->flags);
    if (run->flags & TASK_TAGGED)
        octets_put(to, run->tagged);
    octets_put(to, run->records);
}

void tasks_head_write(struct buf *message, struct frame_head head, uint64_t batch,
                      const struct task_run *run)
{
    assert(message->size >= TASKS_HEAD_SIZE && run->flags < TASK_TAGGED);
    struct buf frame = {0};
    wire_begin(&frame, KIND_TASKS, head);
    memcpy(message->data, frame.data, FRAME_HEAD_SIZE);
    buf_free(&frame);
    uint8_t *at = message->data + FRAME_HEAD_SIZE;
    varint_write_padded(at, batch, 10);
    varint_write_padded(at + 10, run->first, 10);
    varint_write_padded(at + 20, run->count, 10);
    varint_write_padded(at + 30, run->number, 5);
    varint_write_padded(at + 35, run->tries, 5);
    varint_write_padded(at + 40, run->flags, 1);
    varint_write_padded(at + 41, message->size - TASKS_HEAD_SIZE, 10);
}

enum error tasks_take(struct bytes body, uint64_t *batch, struct bytes *runs)
{
    struct fields r = fields_of(body);
    *batch = fields_number(&r);
    *runs = fields_rest(&r);
    return r.error;
}

/* What task runs and result runs share: consecutive numbers that stay below the largest one. */
static void read_run_numbers(struct fields *r, uint64_t *first, uint64_t *count)
{
    *first = fields_seq(r);
    *count = fields_number(r);
    if (*count == 0 || *count >= UINT64_MAX - *first)
        fields_fail(r, ERR_MALFORMED);
}

/* Only its form: no tag has a meaning yet. */
static struct bytes read_tagged(struct fields *r)
{
    struct bytes tagged = fields_octets(r);
    struct fields content = fields_of(tagged);
    fields_tags(&content, NULL, 0);
    fields_tag_end(r, &content);
    return tagged;
}

enum error task_run_take(struct bytes *runs, struct task_run *run)
{
    struct fields r = fields_of(*runs);
    read_run_numbers(&r, &run->first, &run->count);
    run->number = fields_number32(&r);
    run->tries = fields_number32(&r);
    run->flags = fields_number(&r);
    run->tagged = run->flags & TASK_TAGGED ? read_tagged(&r) : (struct bytes){0};
    run->records = fields_octets(&r);
    struct bytes rest = fields_rest(&r);
    if (r.error)
        return r.error;
    bool in_pieces = run->flags & TASK_PIECES;
    if (in_pieces && run->count != 1)
        return ERR_MALFORMED;
    struct bytes records = run->records;
    struct task task;
    for (uint64_t i = 0; i < run->count && !in_pieces; i++) {
        enum error error = task_take(&records, &task);
        if (error)
            return error;
    }
    if (records.size)
        return ERR_TRAILING;
    *runs = rest;
    return ERR_NONE;
}

/* ---- results ---- */

void results_begin(struct buf *to, const struct results_head *m)
{
    varint_put(to, m->batch);
    varint_put(to, m->floor);
    octets_put(to, m->worker);
}

void result_run_put(struct buf *to, const struct result_run *run)
{
    varint_put(to, run->first);
    varint_put(to, run->count);
    attempt_put(to, run->attempt);
    varint_put(to, run->tries);
    octets_put(to, run->records);
}

enum error results_take(struct bytes body, struct results_head *m, struct bytes *runs)
{
    struct fields r = fields_of(body);
    m->batch = fields_number(&r);
    m->floor = fields_number(&r);
    m->worker = fields_octets(&r);
    *runs = fields_rest(&r);
    return r.error;
}

enum error result_run_take(struct bytes *runs, struct result_run *run)
{
    struct fields r = fields_of(*runs);
    read_run_numbers(&r, &run->first, &run->count);
    run->attempt = fields_attempt(&r);
    run->tries = fields_number32(&r);
    run->records = fields_octets(&r);
    struct bytes rest = fields_rest(&r);
    if (!r.error && run->count > run->records.size) /* a record takes two bytes at least */
        fields_fail(&r, ERR_TRUNCATED);
    if (!r.error)
        *runs = rest;
    return r.error;
}

static bool piece_makes_sense(const void *m)
{
    const struct piece *p = m;
    return p->offset <= p->total && p->content.size <= p->total - p->offset;
}

static const struct field piece_fields[] = {{TEXT(piece, worker)},     {SEQ(piece, seq)},
                                            {ATTEMPT(piece, attempt)}, {NUMBER32(piece, tries)},
                                            {NUMBER(piece, offset)},   {NUMBER(piece, total)},
                                            {OCTETS(piece, content)},  {0}};
const struct layout piece_layout = {"piece", sizeof(struct piece), piece_fields, piece_makes_sense};
