/* SPDX-License-Identifier: MPL-2.0 */
#include "bench/stub/spoil.h"

#include <stdlib.h>
#include <string.h>

#include "common/wire/wire.h"

enum { JOB_AT = 2, INCARNATION_AT = 10, NUMBER_SIZE = 8 };

bool spoil_parse(const char *word, struct spoil *spoil)
{
    static const struct {
        const char *word;
        enum spoil_way way;
    } ways[] = {
        {"trailing-octet", SPOIL_TRAILING_OCTET}, {"task-0", SPOIL_TASK_ZERO},
        {"wrong-job", SPOIL_WRONG_JOB},           {"no-results", SPOIL_NO_RESULTS},
        {"no-returned", SPOIL_NO_RETURNED},       {"old-incarnation", SPOIL_OLD_INCARNATION},
        {"senseless-join", SPOIL_SENSELESS_JOIN}};
    static const char strange[] = "strange=";
    char *end = NULL;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strcmp(word, ways[i].word) == 0) {
            *spoil = (struct spoil){.way = ways[i].way};
            return true;
        }
    if (strncmp(word, strange, sizeof strange - 1) != 0)
        return false;
    *spoil = (struct spoil){SPOIL_STRANGE, strtoull(word + sizeof strange - 1, &end, 10)};
    return *end == '\0' && spoil->seq;
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

static void add_result(struct buf *message, uint64_t seq)
{
    struct result r = {.final = true, .out = bytes_of("made up\n")};
    struct buf record = {0};
    result_put(&record, &r);
    struct result_run run = {
        .first = seq, .count = 1, .attempt = {1, 1}, .tries = 1, .records = buf_bytes(&record)};
    result_run_put(message, &run);
    buf_free(&record);
}

static struct block *change(const struct spoil *spoil, struct block *block)
{
    struct buf copy = {0};
    buf_put_bytes(&copy, block_bytes(block));
    if (spoil->way == SPOIL_TRAILING_OCTET)
        buf_put_byte(&copy, 0);
    else if (spoil->way == SPOIL_TASK_ZERO)
        copy.data[first_task_at(buf_bytes(&copy))] = 0;
    else if (spoil->way == SPOIL_WRONG_JOB)
        copy.data[JOB_AT + NUMBER_SIZE - 1] ^= 1;
    else if (spoil->way == SPOIL_OLD_INCARNATION)
        copy.data[INCARNATION_AT + NUMBER_SIZE - 1] ^= 1;
    else if (spoil->way == SPOIL_SENSELESS_JOIN)
        copy.size--;
    else if (spoil->way == SPOIL_STRANGE)
        add_result(&copy, spoil->seq);
    block_release(&block);
    return block_new(&copy);
}

static bool concerns(enum spoil_way way, uint8_t kind)
{
    switch (way) {
    case SPOIL_TRAILING_OCTET:
    case SPOIL_TASK_ZERO:
    case SPOIL_WRONG_JOB:
    case SPOIL_NO_RESULTS:
    case SPOIL_STRANGE:
        return kind == KIND_RESULTS;
    case SPOIL_NO_RETURNED:
        return kind == KIND_RETURNED;
    case SPOIL_OLD_INCARNATION:
        return kind == KIND_CREDIT || kind == KIND_HEARTBEAT;
    case SPOIL_SENSELESS_JOIN:
        return kind == KIND_JOIN;
    case SPOIL_NOTHING:
        break;
    }
    return false;
}

struct block *spoil_message(const struct spoil *spoil, struct block *block)
{
    if (!concerns(spoil->way, block_bytes(block).data[0]))
        return block;
    if (spoil->way != SPOIL_NO_RESULTS && spoil->way != SPOIL_NO_RETURNED)
        return change(spoil, block);
    block_release(&block);
    return NULL;
}
