/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/steps.h"
#include "common/input/blocks.h"
#include "common/input/colsep.h"

/* How the input is split, whatever is in it and in whatever portions it comes: into values, blocks and
 * columns. All values or blocks together must be the input, and where it is cut depend on it alone.
 *
 * An octet chooses, one is a limit, one says how much comes at a time; the rest is the input. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PORTIONS_MAX = 8, PIPE_MAX = 60000, CUTS_MAX = PIPE_MAX };

/* A pipe that is written to while it is read. */
struct feed {
    int to;
    char path[32]; /* of its reading end, for a reader of its own */
    int from;
    struct bytes left;
    size_t portion;
};

static void feed_open(struct feed *feed, struct bytes input, size_t portion)
{
    int ends[2];
    int wrong = pipe(ends);
    assert(!wrong);
    *feed = (struct feed){.to = ends[1], .from = ends[0], .left = input, .portion = portion};
    snprintf(feed->path, sizeof feed->path, "/proc/self/fd/%d", ends[0]);
}

/* There is more, or the end. */
static void feed_more(struct feed *feed)
{
    size_t size = feed->left.size < feed->portion ? feed->left.size : feed->portion;
    assert(feed->to >= 0); /* nobody waits behind the end */
    if (size) {
        ssize_t written = write(feed->to, feed->left.data, size);
        assert(written == (ssize_t)size);
        feed->left = (struct bytes){feed->left.data + size, feed->left.size - size};
    }
    if (!feed->left.size) {
        close(feed->to);
        feed->to = -1;
    }
}

static void feed_close(struct feed *feed)
{
    if (feed->to >= 0)
        close(feed->to);
    close(feed->from);
}

/* ---- columns ---- */

/* Each is compiled once: that takes longer than all the rest. */
static const struct colsep *separators(unsigned which)
{
    static const char *const patterns[] = {",", "\\t", " +", "[,;]|ab*", "x*", "^a|b$"};
    enum { PATTERNS = sizeof patterns / sizeof *patterns };
    static struct colsep all[PATTERNS];
    static bool open[PATTERNS];
    which %= PATTERNS;
    if (!open[which]) {
        struct why why;
        enum error error = colsep_open(&all[which], patterns[which], &why);
        assert(!error);
        open[which] = true;
    }
    return &all[which];
}

static void try_columns(unsigned which, struct bytes in_buffer)
{
    struct buf copy = {
        0}; /* the sanitizer's regexec wants a NUL behind it, whatever REG_STARTEND */
    buf_put_bytes(&copy, in_buffer);
    buf_put_byte(&copy, '\0');
    struct bytes value = {copy.data, in_buffer.size}, column;
    size_t at = 0, columns = 0, behind = 0;
    while (colsep_next(separators(which), value, &at, &column)) {
        size_t from = columns ? (size_t)(column.data - value.data) : 0;
        assert(from + column.size <= value.size && (!columns || from > behind));
        behind = from + column.size;
        columns++;
    }
    assert(columns && behind == value.size);
    buf_free(&copy);
}

/* ---- values ---- */

/* The next value by the book. False: there is none. */
static bool expected_value(struct bytes *left, uint8_t separator, struct bytes *value)
{
    if (!left->size)
        return false;
    const uint8_t *found = memchr(left->data, separator, left->size);
    size_t size = found ? (size_t)(found - left->data) : left->size, taken = size + (found != NULL);
    *value = (struct bytes){left->data, size};
    *left = (struct bytes){left->data + taken, left->size - taken};
    return true;
}

static void try_values(struct bytes input, unsigned bits, size_t limit, size_t portion)
{
    struct feed feed;
    struct reader reader;
    struct why why;
    struct bytes value, expected, left = input;
    uint8_t separator = bits & 16 ? '\0' : '\n';
    feed_open(&feed, input, portion);
    enum error error = reader_open(&reader, feed.path, separator, limit, &why);
    assert(!error);
    enum reader_state state;
    while ((state = reader_peek(&reader, &value, &why)) != READER_END) {
        assert(state != READER_FAILED);
        if (state == READER_WAIT) {
            feed_more(&feed);
            continue;
        }
        bool found = expected_value(&left, separator, &expected);
        assert(found && value.size == expected.size);
        assert(value.size > limit || bytes_equal(value, expected));
        if (bits & 32 && value.size <= limit)
            try_columns(bits >> 5, value);
        reader_skip(&reader);
    }
    assert(!left.size);
    reader_close(&reader);
    feed_close(&feed);
}

/* ---- blocks ---- */

struct cuts {
    uint16_t at[CUTS_MAX];
    size_t count;
};

static void cut(struct bytes input, const struct blocks_options *options, size_t portion,
                struct cuts *cuts)
{
    struct feed feed;
    struct blocks *blocks;
    struct bytes block;
    struct why why;
    size_t at = 0;
    feed_open(&feed, input, portion);
    struct input file = {.path = feed.path};
    struct inputs inputs = {&file, 1};
    enum error error = blocks_open(&blocks, &inputs, options, &why);
    assert(!error);
    cuts->count = 0;
    enum reader_state state;
    while ((state = blocks_peek(blocks, &block, &why)) != READER_END) {
        assert(state != READER_FAILED);
        if (state == READER_WAIT) {
            feed_more(&feed);
            continue;
        }
        assert(block.size && block.size <= input.size - at &&
               (block.data || block.size > options->block_max));
        assert(!block.data || memcmp(block.data, input.data + at, block.size) == 0);
        at += block.size;
        cuts->at[cuts->count++] = (uint16_t)at;
        blocks_skip(blocks);
    }
    assert(at == input.size);
    blocks_close(&blocks);
    feed_close(&feed);
}

static void try_blocks(struct bytes input, unsigned bits, size_t limit, size_t portion)
{
    static const char *const marks[] = {NULL, "", "\\n", "aa", ">", "\\0", "aba", "\\n\\n"};
    static struct cuts slow, fast;
    struct blocks_options options = {.recend = marks[bits >> 2 & 7],
                                     .recstart = marks[bits >> 5],
                                     .block = limit / 2 ? limit / 2 : 1,
                                     .block_max = limit};
    cut(input, &options, portion, &slow);
    cut(input, &options, input.size, &fast);
    assert(slow.count == fast.count);
    assert(memcmp(slow.at, fast.at, slow.count * sizeof *slow.at) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct steps steps = {data, data + size};
    unsigned bits = next_octet(&steps);
    size_t limit = 1 + next_octet(&steps), portion = 1 + next_octet(&steps);
    struct bytes input = {steps.at, (size_t)(steps.end - steps.at)};
    if (input.size > PIPE_MAX)
        return 0;
    if (portion < input.size / PORTIONS_MAX)
        portion = input.size / PORTIONS_MAX;
    if (bits & 1)
        try_values(input, bits, limit, portion);
    else
        try_blocks(input, bits, limit, portion);
    return 0;
}
