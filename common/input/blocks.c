/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/blocks.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

/* No place in what was read. The very first one is a place: where a record begins, of which what stood
 * before it was read over. */
#define NOWHERE SIZE_MAX

struct blocks {
    struct reader *readers;
    size_t count, current;
    struct buf border; /* recend and then recstart: the border is between them */
    size_t recend_size, recstart_size;
    size_t block, block_max;
    struct buf data;    /* what was read and is not behind us, from `at` on */
    size_t at;          /* where the current block starts */
    size_t cut;         /* where it ends, if `is_cut` */
    size_t scanned;     /* no border from `at` + block up to here */
    uint64_t read_over; /* bytes of the current block that were not kept */
    bool is_cut, ended;
};

/* Appends `text` with \n \t \r \0 \' \" \\ as GNU parallel takes them. */
static void put_unescaped(struct buf *to, const char *text)
{
    static const char letters[] = "ntr0'\"\\", values[] = "\n\t\r\0'\"\\";
    for (; *text; text++) {
        const char *letter = *text == '\\' && text[1] ? strchr(letters, text[1]) : NULL;
        buf_put_byte(to, (uint8_t)(letter ? values[letter - letters] : *text));
        text += letter != NULL;
    }
}

static enum error blocks_check(const struct inputs *inputs, const struct blocks_options *options,
                               struct why *why)
{
    size_t standard = 0;
    if (options->block > options->block_max)
        return fail(why, ERR_INVALID,
                    "--block %zu is more than a task may have, %zu bytes; give a smaller one",
                    options->block, options->block_max);
    for (size_t i = 0; i < inputs->count; i++) {
        const struct input *input = &inputs->list[i];
        if (!input->path)
            return fail(
                why, ERR_INVALID,
                "--pipe cuts files or standard input into blocks and takes no values (:::); "
                "give :::: FILE");
        if (input->linked)
            return fail(why, ERR_INVALID,
                        "--pipe reads its files one after the other; give :::: instead of ::::+");
        standard += strcmp(input->path, "-") == 0;
    }
    if (standard > 1)
        return fail(why, ERR_INVALID,
                    "standard input (-) is named twice as a source of tasks and can be read only "
                    "once; save it to a file first");
    return ERR_NONE;
}

enum error blocks_open(struct blocks **blocks, const struct inputs *inputs,
                       const struct blocks_options *options, struct why *why)
{
    enum error error = blocks_check(inputs, options, why);
    if (error)
        return error;
    struct blocks *b = xcalloc(1, sizeof *b);
    b->readers = xcalloc(inputs->count, sizeof *b->readers);
    for (; b->count < inputs->count && !error; b->count += !error)
        error = reader_open(&b->readers[b->count], inputs->list[b->count].path, '\n',
                            options->block_max, why);
    if (error) {
        blocks_close(&b);
        return error;
    }
    const char *unsaid = options->recstart ? "" : "\n";
    put_unescaped(&b->border, options->recend ? options->recend : unsaid);
    b->recend_size = b->border.size;
    put_unescaped(&b->border, options->recstart ? options->recstart : "");
    b->recstart_size = b->border.size - b->recend_size;
    b->block_max = options->block_max;
    b->block = options->block ? options->block : options->block_max;
    *blocks = b;
    return ERR_NONE;
}

void blocks_close(struct blocks **blocks)
{
    struct blocks *b = *blocks;
    *blocks = NULL;
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        reader_close(&b->readers[i]);
    free(b->readers);
    buf_free(&b->border);
    buf_free(&b->data);
    free(b);
}

/* READER_VALUE: there are more bytes. READER_END: after the last file. */
static enum reader_state blocks_read_more(struct blocks *b, struct why *why)
{
    while (b->current < b->count) {
        size_t size;
        uint8_t *room = buf_reserve(&b->data, READER_SIZE);
        enum reader_state state =
            reader_read(&b->readers[b->current], room, READER_SIZE, &size, why);
        if (state == READER_VALUE)
            b->data.size += size;
        if (state != READER_END)
            return state;
        reader_close(&b->readers[b->current++]);
    }
    b->ended = true;
    return READER_END;
}

/* Where the last border is in (at, at + block], or NOWHERE. */
static size_t last_border(const struct blocks *b)
{
    const uint8_t *data = b->data.data;
    size_t most = b->at + b->block, size = b->border.size;
    if (!size)
        return most;
    if (b->data.size - b->at < size)
        return NOWHERE;
    if (most + b->recstart_size > b->data.size)
        most = b->data.size - b->recstart_size;
    size_t lowest = b->at + (b->recend_size ? 0 : 1); /* of the border's own first byte */
    /* One past the last place where recend may begin. */
    size_t behind = most + 1 > b->recend_size ? most + 1 - b->recend_size : 0;
    while (behind > lowest) {
        const uint8_t *found = memrchr(data + lowest, b->border.data[0], behind - lowest);
        if (!found)
            return NOWHERE;
        if (memcmp(found, b->border.data, size) == 0)
            return (size_t)(found - data) + b->recend_size;
        behind = (size_t)(found - data);
    }
    return NOWHERE;
}

/* Where the first border is behind at + block, from `scanned` on; NOWHERE: not in what was read. */
static size_t first_border(struct blocks *b)
{
    size_t from = b->at + b->block + 1;
    from = from > b->recend_size + b->at ? from - b->recend_size : b->at;
    if (b->read_over)
        from = b->at;
    if (b->scanned > from)
        from = b->scanned;
    if (from >= b->data.size)
        return NOWHERE;
    const uint8_t *found =
        memmem(b->data.data + from, b->data.size - from, b->border.data, b->border.size);
    if (found)
        return (size_t)(found - b->data.data) + b->recend_size;
    size_t kept = b->border.size - 1; /* a border may have begun there */
    b->scanned = b->data.size > from + kept ? b->data.size - kept : from;
    return NOWHERE;
}

/* Drops what is held of a block that is too long, but for what may begin a border. */
static void blocks_read_over(struct blocks *b)
{
    size_t kept = b->border.size - 1;
    b->read_over += b->data.size - b->at - kept;
    b->at = b->scanned = b->data.size - kept;
}

/* Finds where the current block ends in what was read, if that is enough to tell. */
static bool find_cut(struct blocks *b)
{
    size_t held = b->data.size - b->at, cut = NOWHERE;
    bool is_last = b->ended && !b->read_over && held <= b->block;
    size_t ahead =
        b->recstart_size ? b->recstart_size : 1; /* tells whether the input ends with it */
    if (!b->read_over && !b->ended && held < b->block + ahead)
        return false;
    if (!b->read_over && !is_last)
        cut = last_border(b);
    if (cut == NOWHERE && !is_last)
        cut = first_border(b);
    if (cut == NOWHERE && b->ended)
        cut = b->data.size;
    b->cut = cut;
    return cut != NOWHERE;
}

enum reader_state blocks_peek(struct blocks *b, struct bytes *block, struct why *why)
{
    while (!b->is_cut) {
        if (b->ended && b->data.size == b->at && !b->read_over)
            return READER_END;
        b->is_cut = find_cut(b);
        if (b->is_cut)
            break;
        if (b->data.size - b->at > b->block_max + b->border.size)
            blocks_read_over(b);
        buf_drop_front(&b->data, b->at);
        b->scanned = b->scanned > b->at ? b->scanned - b->at : 0;
        b->at = 0;
        enum reader_state state = blocks_read_more(b, why);
        if (state == READER_WAIT || state == READER_FAILED)
            return state;
    }
    size_t size = b->cut - b->at;
    bool is_held = !b->read_over && size <= b->block_max;
    *block = (struct bytes){is_held ? b->data.data + b->at : NULL, b->read_over + size};
    return READER_VALUE;
}

void blocks_skip(struct blocks *b)
{
    if (!b->is_cut)
        return;
    b->at = b->scanned = b->cut;
    b->is_cut = false;
    b->read_over = 0;
}

int blocks_fd(const struct blocks *b)
{
    return b->current < b->count ? b->readers[b->current].fd : -1;
}
