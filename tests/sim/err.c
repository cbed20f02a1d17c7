/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/err.h"

bool err_sink_is_strict(const struct sim *sim)
{
    return sim->seed % 3 == 1;
}

const char *err_name(enum err err)
{
    static const char *const names[ERR_WAYS] = {[ERR_TRAILING_OCTET] = "trailing octet",
                                                [ERR_TASK_ZERO] = "task 0",
                                                [ERR_WRONG_JOB] = "wrong job",
                                                [ERR_NO_RESULTS] = "no results",
                                                [ERR_SOME_RESULTS] = "some results",
                                                [ERR_NO_RETURNED] = "no RETURNED",
                                                [ERR_OLD_INCARNATION] = "old incarnation",
                                                [ERR_SENSELESS_JOIN] = "senseless JOIN",
                                                [ERR_STRANGE_RESULTS] = "strange results"};
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

/* What it makes up is of a task that nobody has ever, or of a session that never was: a result that is made up in time
 * for a task that the session is about to get cannot be told from one that it has run. */
static struct block *add_strange(struct node *worker, struct block *block)
{
    enum { SESSION_AT = 18 };
    struct sim *sim = worker->sim;
    bool is_forged = rng_chance(&sim->network, 30);
    uint64_t tasks = sim->plan.task_count;
    uint64_t seq = is_forged && tasks ? rng_between(&sim->network, 1, tasks) : tasks + 1;
    struct result r = {.final = true, .out = bytes_of("made up")};
    struct buf copy = {0}, record = {0};
    if (!err_sink_is_strict(sim))
        return block;
    buf_put_bytes(&copy, block_bytes(block));
    result_put(&record, &r);
    struct result_run run = {
        .first = seq, .count = 1, .attempt = {1, 1}, .tries = 1, .records = buf_bytes(&record)};
    result_run_put(&copy, &run);
    buf_free(&record);
    if (is_forged)
        flip(&copy, SESSION_AT);
    block_release(&block);
    return block_new(&copy);
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
    case ERR_STRANGE_RESULTS:
        return kind == KIND_RESULTS ? add_strange(worker, block) : block;
    case ERR_WAYS:
        break;
    }
    return block;
}
