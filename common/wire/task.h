/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_TASK_H
#define ZFARM_TASK_H

#include "common/base/bytes.h"
#include "common/base/error.h"

/* A task is a list of one or more byte strings (its arguments), usually one: a line of the input.
 *
 * Its record, the form in which it is kept and sent:
 *
 *     record = varint (size of body * 2 + many) body
 *     body   = the one argument                       when many is 0
 *            / *( varint (size of argument) argument) when many is 1
 *
 * so that a ten byte line takes eleven bytes. Records follow each other without anything between.
 */
enum {
    TASK_SIZE_MAX = 1 << 30,
    TASK_SIZE_USUAL = 1 << 20
}; /* of --task-max: most, and unless said */

struct task {
    bool many;
    struct bytes body;
};

/* Name of one execution of a task: which life of the ventilator handed it out, and a number that
 * grows with each hand-out of that task in that life, from 1. */
struct attempt {
    uint64_t incarnation;
    uint32_t number;
};

/* XXH3, 128 bits, of `many` and the body. Guards against mistakes, not against malice. */
struct hash {
    uint64_t high;
    uint64_t low;
};

void task_put_line(struct buf *records, struct bytes line);
/* `count` is at least 1; with 1 this is task_put_line. */
void task_put_args(struct buf *records, const struct bytes *args, size_t count);

/* Takes the first record off `*records` and moves `*records` behind it. `task` points into it.
 * ERR_TRUNCATED: the bytes end too early; ERR_MALFORMED: the body is no list, or an empty one. Then
 * `*records` is as before, and what it came from is to be thrown away whole. */
enum error task_take(struct bytes *records, struct task *task);

/* Moves `*records` behind `count` records without looking into their bodies. ERR_TRUNCATED. */
enum error task_skip(struct bytes *records, uint64_t count);

size_t task_arg_count(struct task task);
/* Walks the arguments: `*at` is 0 before the first and is moved. Returns false after the last. */
bool task_next_arg(struct task task, size_t *at, struct bytes *arg);
/* Appends the arguments joined by one blank. */
void task_join(struct task task, struct buf *to);
struct hash task_hash(struct task task);

bool attempt_equal(struct attempt a, struct attempt b);
bool hash_equal(struct hash a, struct hash b);

#endif
