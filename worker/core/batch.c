/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/batch.h"

#include <assert.h>
#include <string.h>

#include "common/base/varint.h"

enum {
    COUNT_WIDTH = 3, /* a run has at most BATCH_TASKS_MAX tasks */
    BYTES_WIDTH = 4  /* and FRAME_MAX bytes */
};
static_assert(BATCH_TASKS_MAX < 1 << 7 * COUNT_WIDTH, "a run's count fits its room");
static_assert(FRAME_MAX < 1 << 7 * BYTES_WIDTH, "a run's size fits its room");

void batch_free(struct batch *b)
{
    buf_free(&b->message);
    seqset_free(&b->tasks);
    *b = (struct batch){0};
}

static void begin_message(struct batch *b, struct bytes worker)
{
    buf_reserve(&b->message, FRAME_HEAD_SIZE + 2 * VARINT_SIZE_MAX);
    memset(b->message.data, 0, FRAME_HEAD_SIZE + 2 * VARINT_SIZE_MAX);
    b->message.size = FRAME_HEAD_SIZE + 2 * VARINT_SIZE_MAX;
    varint_put(&b->message, worker.size);
    buf_put_bytes(&b->message, worker);
}

/* The run's head as result_run_put writes it, with a fixed width for what is not known yet. */
static size_t run_head_write(uint8_t *to, const struct result_run *run, size_t size)
{
    uint8_t *at = to;
    at += varint_write(at, run->first);
    varint_write_padded(at, run->count, COUNT_WIDTH);
    at += COUNT_WIDTH;
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(run->attempt.incarnation >> shift);
    at += varint_write(at, run->attempt.number);
    at += varint_write(at, run->tries);
    varint_write_padded(at, size, BYTES_WIDTH);
    return (size_t)(at - to) + BYTES_WIDTH;
}

static void begin_run(struct batch *b, const struct result_run *run, bool final)
{
    b->in_run = true;
    b->run_final = final;
    b->run_at = b->message.size;
    b->run = (struct result_run){
        .first = run->first, .count = 0, .attempt = run->attempt, .tries = run->tries};
    uint8_t *to = buf_reserve(&b->message, 4 * VARINT_SIZE_MAX + COUNT_WIDTH + BYTES_WIDTH + 8);
    b->message.size += run_head_write(to, &b->run, 0);
}

static void batch_end_run(struct batch *b)
{
    if (!b->in_run)
        return;
    uint8_t *head = b->message.data + b->run_at;
    size_t head_size = run_head_write(head, &b->run, 0);
    run_head_write(head, &b->run, b->message.size - b->run_at - head_size);
    if (b->run_final)
        seqset_add(&b->tasks, b->run.first, b->run.first + b->run.count - 1);
    b->in_run = false;
}

static bool batch_continues(const struct batch *b, const struct result_run *run, bool final)
{
    return b->in_run && b->run_final == final && run->first == b->run.first + b->run.count &&
           b->run.tries == run->tries && attempt_equal(b->run.attempt, run->attempt);
}

/* Makes the open run one that goes on with `run`. */
static void aim(struct batch *b, struct bytes worker, const struct result_run *run, bool final)
{
    if (b->results == 0)
        begin_message(b, worker);
    if (batch_continues(b, run, final))
        return;
    batch_end_run(b);
    begin_run(b, run, final);
}

void batch_put(struct batch *b, struct bytes worker, const struct result *result)
{
    struct result_run run = {
        .first = result->seq, .attempt = result->attempt, .tries = result->tries};
    aim(b, worker, &run, result->final);
    result_put(&b->message, result);
    b->run.count++;
    b->results++;
    b->failed += result->final && result->status != RESULT_OK;
}

void batch_put_run(struct batch *b, struct bytes worker, const struct result_run *run,
                   size_t failed)
{
    aim(b, worker, run, true);
    buf_put_bytes(&b->message, run->records);
    b->run.count += run->count;
    b->results += run->count;
    b->failed += failed;
}

bool batch_has_open(const struct batch *b, uint64_t first, uint64_t last)
{
    return b->in_run && b->run_final && last >= b->run.first && first < b->run.first + b->run.count;
}

void batch_close(struct batch *b)
{
    batch_end_run(b);
}

void batch_head_write(struct buf *message, struct frame_head head, uint64_t number, uint64_t floor)
{
    struct buf frame = {0};
    wire_begin(&frame, KIND_RESULTS, head);
    memcpy(message->data, frame.data, FRAME_HEAD_SIZE);
    buf_free(&frame);
    varint_write_padded(message->data + FRAME_HEAD_SIZE, number, VARINT_SIZE_MAX);
    varint_write_padded(message->data + FRAME_HEAD_SIZE + VARINT_SIZE_MAX, floor, VARINT_SIZE_MAX);
}
