/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/coprocess_lines.h"

#include <string.h>

#include "common/base/clock.h"

bool coprocess_lines_put(const struct coprocess_shared *shared, struct coprocess_slot *slot)
{
    struct task task;
    size_t at = slot->lines.size;
    uint64_t seq = slot->batch.assignment.first + slot->given;
    bool good = !task_take(&slot->rest, &task);
    if (good)
        task_join(task, &slot->lines);
    size_t size = slot->lines.size - at;
    good = good && !(size && memchr(slot->lines.data + at, shared->end, size)) &&
           !slot_batch_is_cancelled(&slot->batch, seq);
    if (good)
        buf_put_byte(&slot->lines, shared->end);
    else
        slot->lines.size = at;
    return good;
}

void coprocess_lines_refuse(const struct coprocess_shared *shared, struct coprocess_slot *slot)
{
    struct bytes words = bytes_of(
        shared->end ? "zfarm: a line for the coprocess cannot be made of this task: it has "
                      "more than one; see -0\n"
                    : "zfarm: a record for the coprocess cannot be made of this task: it "
                      "holds a NUL byte\n");
    struct outcome outcome = {.status = RESULT_BAD_TASK,
                              .start_us = clock_realtime_us(),
                              .out = {.fd = -1},
                              .err = {.bytes = words, .fd = -1, .size = words.size}};
    slot_batch_finish(&slot->batch, &outcome);
}

void coprocess_lines_clear(struct coprocess_slot *slot)
{
    slot->lines_at = 0;
    if (slot->lines.capacity > 2 * COPROCESS_LINES_MAX)
        buf_free(&slot->lines);
    else
        buf_clear(&slot->lines);
}

size_t coprocess_lines_count(struct bytes bytes, uint8_t end)
{
    size_t count = 0;
    const uint8_t *at = bytes.data, *last = bytes.data + bytes.size;
    while (at < last && (at = memchr(at, end, (size_t)(last - at)))) {
        count++;
        at++;
    }
    return count;
}
