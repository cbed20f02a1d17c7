/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/combine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

/* Where a held value of a file is in `bytes`; nowhere if its size is above value_max. */
struct combine_place {
    size_t offset;
    size_t size;
};

/* One input. Values of the command line are where they are; a file is streamed by `reader` if it is
 * in the first group, and otherwise held in `bytes` and `places`. */
struct column {
    struct input input;
    struct reader reader;
    struct buf bytes;
    struct combine_place *places;
    size_t capacity; /* of places */
    size_t count;    /* values held, or of the command line */
    size_t index;    /* of the current value, except in a streamed file */
};

struct combine {
    struct column *columns;
    struct bytes *row;
    size_t width;
    size_t lead; /* columns of the first group */
    size_t value_max;
    size_t held_bytes;
    size_t loaded;   /* columns that are held already, from `lead` on */
    bool begun;      /* the first row was made */
    bool lead_valid; /* the lead columns stand at values that are in use */
    int fd;
};

static bool is_file(const struct column *column)
{
    return column->input.path;
}

static enum error open_column(struct combine *c, const struct input *input, uint8_t separator,
                              struct why *why)
{
    struct column *column = &c->columns[c->width];
    *column = (struct column){.input = *input, .count = input->count};
    if (!input->path)
        return ERR_NONE;
    for (size_t i = 0; i < c->width && strcmp(input->path, "-") == 0; i++)
        if (is_file(&c->columns[i]) && strcmp(c->columns[i].input.path, "-") == 0)
            return fail(why, ERR_INVALID,
                        "standard input (-) is named twice as a source of tasks and can be read "
                        "only once; save it to a file first");
    return reader_open(&column->reader, input->path, separator, c->value_max, why);
}

struct combine *combine_open(const struct inputs *inputs, uint8_t separator, size_t value_max,
                             enum error *error, struct why *why)
{
    assert(inputs->count >= 1);
    struct combine *c = xcalloc(1, sizeof *c);
    c->columns = xcalloc(inputs->count, sizeof *c->columns);
    c->row = xcalloc(inputs->count, sizeof *c->row);
    c->value_max = value_max;
    c->fd = -1;
    for (size_t i = 0; i < inputs->count; i++, c->width++) {
        *error = open_column(c, &inputs->list[i], separator, why);
        if (*error) {
            combine_close(&c);
            return NULL;
        }
    }
    for (c->lead = 1; c->lead < c->width && c->columns[c->lead].input.linked;)
        c->lead++;
    c->loaded = c->lead;
    return c;
}

void combine_close(struct combine **combine)
{
    struct combine *c = *combine;
    *combine = NULL;
    if (!c)
        return;
    for (size_t i = 0; i < c->width; i++) {
        struct column *column = &c->columns[i];
        if (is_file(column))
            reader_close(&column->reader);
        buf_free(&column->bytes);
        free(column->places);
    }
    free(c->columns);
    free(c->row);
    free(c);
}

static bool too_much_held(const struct combine *c, struct why *why)
{
    if (c->held_bytes <= COMBINE_HELD_MAX)
        return false;
    fail(why, ERR_TOO_LARGE,
         "the files behind the first source of tasks have to be held in memory, and together they "
         "are larger than %d MiB: "
         "put the largest one first, or make the combinations beforehand and pipe them in",
         COMBINE_HELD_MAX >> 20);
    return true;
}

static void combine_hold(struct combine *c, struct column *column, struct bytes value)
{
    bool kept = value.size <= c->value_max;
    if (column->count == column->capacity) {
        column->capacity = column->capacity ? column->capacity * 2 : 64;
        column->places = xrealloc(column->places, column->capacity * sizeof *column->places);
    }
    column->places[column->count++] = (struct combine_place){column->bytes.size, value.size};
    if (kept)
        buf_put_bytes(&column->bytes, value);
    c->held_bytes += sizeof *column->places + (kept ? value.size : 0);
}

/* Reads the columns behind the lead. COMBINE_END: all of them are held. */
static enum combine_state combine_load(struct combine *c, struct why *why)
{
    for (; c->loaded < c->width; c->loaded++) {
        struct column *column = &c->columns[c->loaded];
        struct bytes value;
        enum reader_state state = is_file(column) ? READER_VALUE : READER_END;
        while (state == READER_VALUE) {
            if (too_much_held(c, why))
                return COMBINE_FAILED;
            state = reader_peek(&column->reader, &value, why);
            if (state == READER_VALUE) {
                combine_hold(c, column, value);
                reader_skip(&column->reader);
            }
        }
        if (state == READER_WAIT)
            c->fd = column->reader.fd;
        if (state != READER_END)
            return state == READER_WAIT ? COMBINE_WAIT : COMBINE_FAILED;
        if (is_file(column))
            reader_close(&column->reader);
    }
    return COMBINE_END;
}

/* The value at the column's index; beyond the end, an empty input's one empty value. */
static struct bytes value_at(const struct column *column)
{
    if (column->index >= column->count)
        return bytes_of("");
    if (!is_file(column))
        return bytes_of(column->input.values[column->index]);
    struct combine_place place = column->places[column->index];
    return (struct bytes){column->bytes.data + place.offset, place.size};
}

static enum reader_state lead_peek(struct column *column, struct bytes *value, struct why *why)
{
    if (is_file(column))
        return reader_peek(&column->reader, value, why);
    *value = value_at(column);
    return column->index < column->count ? READER_VALUE : READER_END;
}

/* The end of one input is the end of the group, also while another one is waited for. */
static enum combine_state peek_lead(struct combine *c, struct why *why)
{
    bool any = false, ended = false, waits = false;
    for (size_t i = 0; i < c->lead; i++) {
        c->row[i] = bytes_of("");
        enum reader_state state = lead_peek(&c->columns[i], &c->row[i], why);
        if (state == READER_FAILED)
            return COMBINE_FAILED;
        if (state == READER_WAIT)
            c->fd = c->columns[i].reader.fd;
        any |= state != READER_END;
        waits |= state == READER_WAIT;
        ended |= state == READER_END;
    }
    for (size_t i = c->lead; i < c->width; i++)
        any |= c->columns[i].count > 0;
    if (ended && (c->begun || !any))
        return COMBINE_END;
    if (waits)
        return COMBINE_WAIT;
    c->begun = true;
    return COMBINE_ROW;
}

static void skip_lead(struct combine *c)
{
    for (size_t i = 0; i < c->lead; i++) {
        struct column *column = &c->columns[i];
        if (is_file(column))
            reader_skip(&column->reader);
        else
            column->index++;
    }
}

/* Steps the held columns as an odometer whose digits are the groups. Returns false when it is back
 * at its start. */
static bool step_held(struct combine *c)
{
    for (size_t end = c->width, start; end > c->lead; end = start) {
        bool more = true;
        start = end;
        do {
            struct column *column = &c->columns[--start];
            more &= ++column->index < column->count;
        } while (c->columns[start].input.linked);
        if (more)
            return true;
        for (size_t i = start; i < end; i++)
            c->columns[i].index = 0;
    }
    return false;
}

enum combine_state combine_next(struct combine *c, const struct bytes **row, struct why *why)
{
    enum combine_state state = combine_load(c, why);
    if (state != COMBINE_END)
        return state;
    if (c->lead_valid && !step_held(c)) {
        skip_lead(c);
        c->lead_valid = false;
    }
    if (!c->lead_valid) {
        state = peek_lead(c, why);
        if (state != COMBINE_ROW)
            return state;
        c->lead_valid = true;
    }
    for (size_t i = c->lead; i < c->width; i++)
        c->row[i] = value_at(&c->columns[i]);
    *row = c->row;
    return COMBINE_ROW;
}

size_t combine_width(const struct combine *combine)
{
    return combine->width;
}

int combine_fd(const struct combine *combine)
{
    return combine->fd;
}

uint64_t combine_total(const struct combine *c)
{
    uint64_t total = 1;
    bool any = false;
    for (size_t start = 0, end; start < c->width; start = end) {
        size_t shortest = SIZE_MAX;
        for (end = start; end == start || (end < c->width && c->columns[end].input.linked); end++) {
            size_t count = c->columns[end].count;
            if (is_file(&c->columns[end]))
                return 0;
            any |= count > 0;
            count += count == 0;
            shortest = count < shortest ? count : shortest;
        }
        if (__builtin_mul_overflow(total, (uint64_t)shortest, &total))
            return 0;
    }
    return any ? total : 0;
}

struct reader *combine_only_reader(struct combine *c)
{
    return c->width == 1 && is_file(&c->columns[0]) ? &c->columns[0].reader : NULL;
}
