/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/record.h"

#include <string.h>

static uint64_t number_of(const uint8_t *octets)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | octets[i];
    return number;
}

void record_output(struct buf *to, uint64_t seq, size_t size)
{
    uint8_t *place = buf_reserve(to, size);
    memset(place, 'x', size);
    for (int i = 0; i < 8; i++)
        place[i] = (uint8_t)(seq >> (56 - 8 * i));
    to->size += size;
}

void record_put(struct buf *to, uint64_t seq, size_t size)
{
    struct buf line = {0};
    record_output(&line, seq, size);
    task_put_line(to, buf_bytes(&line));
    buf_free(&line);
}

size_t record_size(size_t size)
{
    size_t head = 1;
    for (size_t rest = size * 2; rest >= 128; rest >>= 7)
        head++;
    return head + size;
}

bool record_take(struct bytes *records, uint64_t seq, size_t size)
{
    struct task task;
    return !task_take(records, &task) && !task.many && task.body.size == size &&
           number_of(task.body.data) == seq;
}
