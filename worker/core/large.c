/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/large.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sys/tempfile.h"
#include "common/base/xalloc.h"

enum { OVERHEAD_BYTES = 256 };

static void output_close(const struct output *output)
{
    if (output->fd >= 0)
        close(output->fd);
}

void outcome_discard(const struct outcome *outcome)
{
    output_close(&outcome->out);
    output_close(&outcome->err);
}

static uint64_t output_size(const struct output *output)
{
    return output->fd >= 0 ? output->size : output->bytes.size;
}

static void output_keep(struct output *to, const struct output *from)
{
    *to = *from;
    if (from->fd < 0)
        to->bytes.data = from->bytes.size ? xmemdup(from->bytes.data, from->bytes.size) : NULL;
}

static void output_let_go(struct output *output)
{
    if (output->fd < 0)
        free((void *)output->bytes.data);
    output_close(output);
}

static uint64_t in_file(const struct output *output)
{
    return output->fd >= 0 ? output->size : 0;
}

static void result_let_go(struct large *l, struct large_result *r)
{
    l->size_bytes -= r->size_bytes;
    l->file_bytes -= in_file(&r->out) + in_file(&r->err);
    buf_free(&r->head);
    block_release(&r->block);
    output_let_go(&r->out);
    output_let_go(&r->err);
}

void large_free(struct large *l)
{
    for (size_t i = 0; i < l->count; i++)
        result_let_go(l, &l->results[i]);
    free(l->results);
    seqset_free(&l->tasks);
    *l = (struct large){0};
}

bool large_full(const struct large *l)
{
    return l->count >= LARGE_RESULTS_MAX || l->file_bytes > LARGE_FILE_BYTES_MAX;
}

bool large_fits(const struct result *result, const struct output *out, const struct output *err,
                size_t inline_max)
{
    enum { HEAD_MAX = 128 }; /* the fields of a record that are not bytes */
    return out->fd >= 0 || err->fd >= 0 ||
           HEAD_MAX + result->task.size + result->command.size + out->bytes.size + err->bytes.size >
               inline_max;
}

void large_put(struct large *l, const struct result *result, const struct output *out,
               const struct output *err, struct block *block)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 4;
        l->results = xrealloc(l->results, l->capacity * sizeof *l->results);
    }
    struct large_result *r = &l->results[l->count++];
    *r = (struct large_result){.seq = result->seq,
                               .attempt = result->attempt,
                               .tries = result->tries,
                               .final = result->final,
                               .ok = result->status == RESULT_OK};
    if (block && result->task.size) {
        r->block = block_hold(block);
        r->task = result->task;
        r->task_at =
            result_put_head_around_task(&r->head, result, output_size(out), output_size(err));
    } else {
        result_put_head(&r->head, result, output_size(out), output_size(err));
    }
    output_keep(&r->out, out);
    output_keep(&r->err, err);
    r->total = r->head.size + r->task.size + output_size(out) + output_size(err);
    r->size_bytes = OVERHEAD_BYTES + r->head.size + (out->fd < 0 ? out->bytes.size : 0) +
                    (err->fd < 0 ? err->bytes.size : 0);
    l->size_bytes += r->size_bytes;
    l->file_bytes += in_file(out) + in_file(err);
    if (r->final)
        seqset_add(&l->tasks, r->seq, r->seq);
}

/* Appends what [from, from + size) of the record has in common with one of its parts, which begins
 * at `at` and has `part` bytes. */
static enum error put_part(struct buf *to, const struct output *output, uint64_t at, uint64_t part,
                           uint64_t from, uint64_t size, struct why *why)
{
    uint64_t begin = from > at ? from : at;
    uint64_t end = from + size < at + part ? from + size : at + part;
    if (begin >= end)
        return ERR_NONE;
    size_t count = (size_t)(end - begin);
    uint8_t *place = buf_reserve(to, count);
    if (output->fd >= 0) {
        enum error error = tempfile_read(output->fd, place, count, begin - at, why);
        if (error)
            return error;
    } else {
        memcpy(place, output->bytes.data + (begin - at), count);
    }
    to->size += count;
    return ERR_NONE;
}

static enum error put_content(struct buf *to, const struct large_result *r, uint64_t from,
                              uint64_t size, struct why *why)
{
    const struct output before = {.bytes = {r->head.data, r->task_at}, .fd = -1};
    const struct output task = {.bytes = r->task, .fd = -1};
    const struct output behind = {.bytes = {r->head.data + r->task_at, r->head.size - r->task_at},
                                  .fd = -1};
    const struct output *const parts[] = {&before, &task, &behind, &r->out, &r->err};
    uint64_t at = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint64_t part = output_size(parts[i]);
        enum error error = put_part(to, parts[i], at, part, from, size, why);
        if (error)
            return error;
        at += part;
    }
    if (r->block)
        block_cool(r->block, r->task);
    return ERR_NONE;
}

static void large_erase(struct large *l, size_t at)
{
    result_let_go(l, &l->results[at]);
    memmove(l->results + at, l->results + at + 1, (l->count - at - 1) * sizeof *l->results);
    l->count--;
    if (at == l->next)
        l->offset = 0;
    else if (at < l->next)
        l->next--;
}

static struct block *make_message(const struct large_result *r, struct frame_head head,
                                  struct bytes worker, uint64_t offset, struct bytes content)
{
    struct buf message = {0};
    wire_begin(&message, KIND_PIECE, head);
    piece_put(&message, &(struct piece){.worker = worker,
                                        .seq = r->seq,
                                        .attempt = r->attempt,
                                        .tries = r->tries,
                                        .offset = offset,
                                        .total = r->total,
                                        .content = content});
    return block_new(&message);
}

enum error large_piece(struct large *l, struct frame_head head, struct bytes worker,
                       struct block **piece, struct large_sent *sent, struct why *why)
{
    *piece = NULL;
    *sent = (struct large_sent){0};
    if (l->next == l->count)
        return ERR_NONE;
    const struct large_result *r = &l->results[l->next];
    uint64_t left = r->total - l->offset;
    size_t most = l->piece_max ? l->piece_max : PIECE_BYTES_MAX;
    uint64_t size = left < most ? left : most;
    struct buf content = {0};
    struct why cause = {0};
    enum error error = put_content(&content, r, l->offset, size, &cause);
    if (!error)
        *piece = make_message(r, head, worker, l->offset, buf_bytes(&content));
    buf_free(&content);
    if (error)
        return fail(why, ERR_IO, "the output of task %llu cannot be sent: %s",
                    (unsigned long long)r->seq, cause.text);
    sent->size_bytes = (size_t)size;
    l->offset += size;
    if (l->offset < r->total)
        return ERR_NONE;
    *sent = (struct large_sent){(size_t)size, true, r->seq, r->final, r->ok};
    l->offset = 0;
    if (r->final)
        l->next++;
    else
        large_erase(l, l->next);
    return ERR_NONE;
}

void large_restart(struct large *l)
{
    l->next = 0;
    l->offset = 0;
}

void large_report(struct large *l, struct seqset *finished, uint64_t *not_ok)
{
    for (size_t i = 0; i < l->count; i++) {
        struct large_result *r = &l->results[i];
        if (!r->final || r->reported)
            continue;
        r->reported = true;
        if (seqset_add(finished, r->seq, r->seq))
            *not_ok += !r->ok;
    }
}

uint64_t large_release(struct large *l, const struct seqset *tasks)
{
    uint64_t freed = 0;
    for (size_t i = l->count; i > 0; i--) {
        const struct large_result *r = &l->results[i - 1];
        if (r->final && seqset_has(tasks, r->seq)) {
            seqset_remove(&l->tasks, r->seq, r->seq);
            large_erase(l, i - 1);
            freed++;
        }
    }
    return freed;
}
