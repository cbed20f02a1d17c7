/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/task.h"

#include <assert.h>
#include <xxhash.h>

#include "common/base/varint.h"

void task_put_line(struct buf *records, struct bytes line)
{
    uint8_t *to = buf_reserve(records, VARINT_SIZE_MAX + line.size);
    records->size += varint_write(to, (uint64_t)line.size << 1);
    buf_put_bytes(records, line);
}

static size_t varint_size(uint64_t value)
{
    uint8_t scratch[VARINT_SIZE_MAX];
    return varint_write(scratch, value);
}

void task_put_args(struct buf *records, const struct bytes *args, size_t count)
{
    assert(count >= 1);
    if (count == 1) {
        task_put_line(records, args[0]);
        return;
    }
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += varint_size(args[i].size) + args[i].size;
    varint_put(records, (uint64_t)size << 1 | 1);
    for (size_t i = 0; i < count; i++) {
        varint_put(records, args[i].size);
        buf_put_bytes(records, args[i]);
    }
}

static enum error take_head(const uint8_t **at, const uint8_t *end, uint64_t *head)
{
    if (!varint_take(at, end, head) || *head >> 1 > (uint64_t)(end - *at))
        return ERR_TRUNCATED;
    return ERR_NONE;
}

static bool is_list(struct bytes body)
{
    const uint8_t *at = body.data, *end = body.data + body.size;
    if (at == end)
        return false;
    while (at < end) {
        uint64_t size;
        if (!varint_take(&at, end, &size) || size > (uint64_t)(end - at))
            return false;
        at += size;
    }
    return true;
}

enum error task_take(struct bytes *records, struct task *task)
{
    const uint8_t *at = records->data, *end = at + records->size;
    uint64_t head;
    enum error error = take_head(&at, end, &head);
    if (error)
        return error;
    task->many = head & 1;
    task->body = (struct bytes){at, (size_t)(head >> 1)};
    if (task->many && !is_list(task->body))
        return ERR_MALFORMED;
    at += task->body.size;
    *records = (struct bytes){at, (size_t)(end - at)};
    return ERR_NONE;
}

enum error task_skip(struct bytes *records, uint64_t count)
{
    const uint8_t *at = records->data, *end = at + records->size;
    while (count--) {
        uint64_t head;
        if (take_head(&at, end, &head))
            return ERR_TRUNCATED;
        at += head >> 1;
    }
    *records = (struct bytes){at, (size_t)(end - at)};
    return ERR_NONE;
}

bool task_next_arg(struct task task, size_t *at, struct bytes *arg)
{
    if (!task.many) {
        *arg = task.body;
        return (*at)++ == 0;
    }
    if (*at >= task.body.size)
        return false;
    const uint8_t *from = task.body.data + *at, *end = task.body.data + task.body.size;
    uint64_t size = 0;
    bool whole = varint_take(&from, end, &size);
    assert(whole && size <= (uint64_t)(end - from)); /* task_take has looked */
    *arg = (struct bytes){from, (size_t)size};
    *at = (size_t)(from - task.body.data) + (size_t)size;
    return true;
}

size_t task_arg_count(struct task task)
{
    size_t count = 0, at = 0;
    struct bytes arg;
    while (task_next_arg(task, &at, &arg))
        count++;
    return count;
}

void task_join(struct task task, struct buf *to)
{
    size_t at = 0;
    struct bytes arg;
    for (bool first = true; task_next_arg(task, &at, &arg); first = false) {
        if (!first)
            buf_put_byte(to, ' ');
        buf_put_bytes(to, arg);
    }
}

struct hash task_hash(struct task task)
{
    XXH128_hash_t h = XXH3_128bits_withSeed(task.body.data, task.body.size, task.many);
    return (struct hash){h.high64, h.low64};
}

bool attempt_equal(struct attempt a, struct attempt b)
{
    return a.incarnation == b.incarnation && a.number == b.number;
}

bool hash_equal(struct hash a, struct hash b)
{
    return a.high == b.high && a.low == b.low;
}
