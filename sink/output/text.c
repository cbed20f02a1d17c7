/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/text.h"

#include <inttypes.h>
#include <string.h>

#define PROGRAM "zfarm: " /* what a line of ours begins with */
enum { PROGRAM_SIZE = sizeof PROGRAM - 1 };

static void put_tag(struct buf *to, const struct result *r)
{
    struct bytes records = r->task;
    struct task task;
    if (r->task.size == 0 || task_take(&records, &task))
        return;
    task_join(task, to);
    buf_put_byte(to, '\t');
}

static void text_put_tagged(struct buf *to, const struct result *r, struct bytes output)
{
    size_t tag_at = to->size;
    if (output.size)
        put_tag(to, r);
    size_t tag_size = to->size - tag_at;
    while (output.size) {
        const uint8_t *newline = memchr(output.data, '\n', output.size);
        size_t line = newline ? (size_t)(newline - output.data) + 1 : output.size;
        buf_put(to, output.data, line);
        output = (struct bytes){output.data + line, output.size - line};
        if (output.size) {
            uint8_t *next = buf_reserve(to, tag_size); /* may move the bytes, so copied after it */
            memcpy(next, to->data + tag_at, tag_size);
            to->size += tag_size;
        }
    }
}

static bool has_reason(const struct result *r)
{
    return r->status != RESULT_OK && r->status != RESULT_EXITED;
}

/* The ventilator's words about a task that never ran: they are the reason, and no output. */
static bool err_is_reason(const struct result *r)
{
    return r->status == RESULT_TASK_TOO_LARGE && r->err.size > PROGRAM_SIZE &&
           memcmp(r->err.data, PROGRAM, PROGRAM_SIZE) == 0 && r->err.data[r->err.size - 1] == '\n';
}

void text_put(struct text *text, const struct result *r, struct buf *out, struct buf *err)
{
    struct bytes err_bytes = err_is_reason(r) ? (struct bytes){0} : r->err;
    if (text->tag) {
        text_put_tagged(out, r, r->out);
        text_put_tagged(err, r, err_bytes);
    } else {
        buf_put_bytes(out, r->out);
        buf_put_bytes(err, err_bytes);
    }
    text_put_end(text, r, err);
}

void text_put_end(struct text *text, const struct result *r, struct buf *err)
{
    if (!has_reason(r) && !r->cut)
        return;
    if (r->err.size && r->err.data[r->err.size - 1] != '\n')
        buf_put_byte(err, '\n'); /* the reason is a line of its own */
    text_put_reason(text, r, err);
}

/* It is no failure, so it is told of besides. */
__attribute__((noinline)) static void text_put_cut(struct text *text, const struct result *r,
                                                   struct buf *err)
{
    text->cuts++;
    if (text->cuts == TEXT_REASONS_MAX + 1)
        buf_put_text(err,
                     "zfarm: more outputs were cut (--linger); from here on that is not told\n");
    if (text->cuts > TEXT_REASONS_MAX)
        return;
    buf_printf(err, "zfarm: task %" PRIu64 ": its output was cut: when --linger was over, ",
               r->seq);
    if (r->cut_pid)
        buf_printf(err, "process %" PRIu64 " of the task still held it\n", r->cut_pid);
    else
        buf_put_text(err, "a process that it had left running still held it\n");
}

__attribute__((noinline)) static void put_failure(struct text *text, const struct result *r,
                                                  struct buf *err)
{
    text->reasons++;
    if (text->reasons == TEXT_REASONS_MAX + 1)
        buf_put_text(err, "zfarm: more tasks failed; from here on they are only counted\n");
    if (text->reasons > TEXT_REASONS_MAX)
        return;
    const char *signal = r->status == RESULT_SIGNALED ? sigabbrev_np((int)r->code) : NULL;
    buf_printf(err, "zfarm: task %" PRIu64 " failed: ", r->seq);
    if (err_is_reason(r))
        buf_put(err, r->err.data + PROGRAM_SIZE, r->err.size - PROGRAM_SIZE);
    else if (signal)
        buf_printf(err, "it was ended by SIG%s\n", signal);
    else if (r->status == RESULT_SIGNALED)
        buf_printf(err, "it was ended by signal %u\n", r->code);
    else
        buf_printf(err, "%s\n", result_status_meaning(r->status));
}

void text_put_reason(struct text *text, const struct result *r, struct buf *err)
{
    if (r->cut)
        text_put_cut(text, r, err);
    if (has_reason(r))
        put_failure(text, r, err);
}

uint64_t text_reasons_hidden(const struct text *text)
{
    return text->reasons > TEXT_REASONS_MAX ? text->reasons - TEXT_REASONS_MAX : 0;
}
