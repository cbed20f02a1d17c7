/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/err.h"

const char *err_name(enum err err)
{
    static const char *const names[ERR_WAYS] = {[ERR_TRAILING_OCTET] = "trailing octet",
                                                [ERR_TASK_ZERO] = "task 0",
                                                [ERR_WRONG_JOB] = "wrong job",
                                                [ERR_NO_RESULTS] = "no results",
                                                [ERR_SOME_RESULTS] = "some results",
                                                [ERR_NO_RETURNED] = "no RETURNED",
                                                [ERR_OLD_INCARNATION] = "old incarnation",
                                                [ERR_SENSELESS_JOIN] = "senseless JOIN"};
    return names[err];
}

static struct block *drop(struct block *block)
{
    block_release(&block);
    return NULL;
}

static void flip(struct buf *message, size_t at)
{
    if (at < message->size)
        message->data[at] ^= 1;
}

/* Where the first run of a RESULTS has its task's number. */
static size_t first_task_at(struct bytes message)
{
    struct frame_head head;
    struct results_head results;
    struct bytes body, runs;
    if (frame_take(message, &head, &body) || results_take(body, &results, &runs))
        return 0;
    return (size_t)(runs.data - message.data);
}

static struct block *spoil(struct block *block, enum err err)
{
    struct buf copy = {0};
    buf_put_bytes(&copy, block_bytes(block));
    if (err == ERR_TRAILING_OCTET)
        buf_put_byte(&copy, 0);
    else if (err == ERR_TASK_ZERO)
        copy.data[first_task_at(buf_bytes(&copy))] = 0;
    else if (err == ERR_WRONG_JOB)
        flip(&copy, 9);
    else if (err == ERR_OLD_INCARNATION)
        flip(&copy, 17);
    else if (err == ERR_SENSELESS_JOIN)
        copy.size--;
    block_release(&block);
    return block_new(&copy);
}

struct block *err_spoil(struct node *worker, struct block *block)
{
    struct sim *sim = worker->sim;
    uint8_t kind = block_bytes(block).data[0];
    if (sim->now_ns >= worker->errs_until_ns)
        return block;
    switch ((enum err)worker->err) {
    case ERR_TRAILING_OCTET:
    case ERR_TASK_ZERO:
    case ERR_WRONG_JOB:
        return kind == KIND_RESULTS ? spoil(block, (enum err)worker->err) : block;
    case ERR_NO_RESULTS:
        return kind == KIND_RESULTS ? drop(block) : block;
    case ERR_SOME_RESULTS:
        return kind == KIND_RESULTS && rng_chance(&sim->network, 50) ? drop(block) : block;
    case ERR_NO_RETURNED:
        return kind == KIND_RETURNED ? drop(block) : block;
    case ERR_OLD_INCARNATION:
        return kind == KIND_CREDIT || kind == KIND_HEARTBEAT ? spoil(block, (enum err)worker->err)
                                                             : block;
    case ERR_SENSELESS_JOIN:
        return kind == KIND_JOIN ? spoil(block, (enum err)worker->err) : block;
    case ERR_WAYS:
        break;
    }
    return block;
}
