/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/source.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/varint.h"
#include "common/base/xalloc.h"
#include "common/input/blocks.h"
#include "common/input/colsep.h"
#include "common/input/combine.h"

/* The task that is being put together, when it is more than one line of one file. */
struct pending {
    struct buf bytes;   /* its arguments, one behind the other */
    struct bytes *args; /* their sizes; the data is filled in at the end, because `bytes` moves */
    size_t count, capacity;
    uint64_t rows;
    uint64_t size; /* of the arguments joined by blanks, also of those that are not kept */
    bool begun;    /* it has an argument */
};

struct source {
    struct blocks *blocks; /* --pipe; else NULL */
    struct combine *combine;
    struct reader *lines; /* the tasks are the lines of one file: the fast way */
    struct colsep colsep;
    bool has_colsep;
    enum trim trim; /* never TRIM_NOT_GIVEN */
    uint64_t values;
    size_t task_max;
    struct pending pending;
    uint64_t too_large_size;
    uint64_t total;
    const char *name;
    struct hash fingerprint;
    bool looked; /* at how it begins */
    struct source_looks looks;
};

size_t source_task_max(uint64_t given, uint64_t block)
{
    if (given)
        return (size_t)given;
    return block > TASK_SIZE_USUAL ? (size_t)block : TASK_SIZE_USUAL;
}

static enum trim trim_of(const struct source_options *options)
{
    if (options->trim != TRIM_NOT_GIVEN)
        return options->trim;
    return options->colsep ? TRIM_BOTH : TRIM_NONE;
}

static struct hash fingerprint(const struct source_options *options, const struct inputs *inputs)
{
    struct buf text = {0};
    buf_printf(&text, "%d %" PRIu64 " ", options->null, options->values);
    for (size_t i = 0; i < inputs->count; i++)
        buf_put_byte(&text, inputs->list[i].linked ? '+' : '*');
    if (options->colsep)
        buf_printf(&text, " %s", options->colsep);
    if (trim_of(options) != TRIM_NONE)
        buf_printf(&text, " trim %d", (int)trim_of(options));
    if (options->pipe)
        buf_printf(&text, " pipe %" PRIu64 " %zu %s%c%s", options->block, options->task_max,
                   options->recend ? options->recend : "", options->recend ? 'e' : 'n',
                   options->recstart ? options->recstart : "");
    struct hash hash = task_hash((struct task){.many = false, .body = buf_bytes(&text)});
    buf_free(&text);
    return hash;
}

static uint64_t total(const struct source *source)
{
    if (source->blocks)
        return 0;
    uint64_t rows = combine_total(source->combine);
    return rows / source->values + (rows % source->values != 0);
}

static const char *name_of(const struct inputs *inputs)
{
    if (inputs->count > 1 || !inputs->list[0].path)
        return "its inputs";
    return strcmp(inputs->list[0].path, "-") == 0 ? "standard input" : inputs->list[0].path;
}

static enum error open_inputs(struct source *s, const struct source_options *options,
                              const struct inputs *inputs, struct why *why)
{
    enum error error = ERR_NONE;
    if (options->pipe) {
        struct blocks_options blocks = {.recend = options->recend,
                                        .recstart = options->recstart,
                                        .block = options->block,
                                        .block_max = options->task_max};
        return blocks_open(&s->blocks, inputs, &blocks, why);
    }
    if (options->colsep)
        error = colsep_open(&s->colsep, options->colsep, why);
    s->has_colsep = options->colsep && !error;
    if (!error)
        s->combine =
            combine_open(inputs, options->null ? '\0' : '\n', options->task_max, &error, why);
    return error;
}

enum error source_open(struct source **source, const struct source_options *options,
                       struct why *why)
{
    assert(options->values >= 1);
    struct input standard_input = {.path = "-"};
    struct inputs only = {&standard_input, 1};
    const struct inputs *inputs = options->inputs->count ? options->inputs : &only;
    struct source *s = xcalloc(1, sizeof *s);
    enum error error = open_inputs(s, options, inputs, why);
    if (error) {
        source_close(&s);
        return error;
    }
    s->values = options->values;
    s->trim = trim_of(options);
    s->task_max = options->task_max;
    s->total = total(s);
    s->name = name_of(inputs);
    s->fingerprint = fingerprint(options, inputs);
    if (s->combine && s->values == 1 && !s->has_colsep)
        s->lines = combine_only_reader(s->combine);
    *source = s;
    return ERR_NONE;
}

void source_close(struct source **source)
{
    struct source *s = *source;
    *source = NULL;
    if (!s)
        return;
    blocks_close(&s->blocks);
    combine_close(&s->combine);
    if (s->has_colsep)
        colsep_close(&s->colsep);
    buf_free(&s->pending.bytes);
    free(s->pending.args);
    free(s);
}

static void look_at_beginning(struct source *s, struct bytes value)
{
    static const uint8_t bom[] = {0xef, 0xbb, 0xbf};
    const uint8_t *newline = value.size ? memchr(value.data, '\n', value.size) : NULL;
    size_t line = newline ? (size_t)(newline - value.data) : value.size;
    s->looked = true;
    s->looks.crlf = s->looks.crlf || (line && value.data[line - 1] == '\r');
    s->looks.bom =
        s->looks.bom || (value.size >= sizeof bom && !memcmp(value.data, bom, sizeof bom));
}

static enum source_state too_large(struct source *s, uint64_t size)
{
    s->too_large_size = size;
    return SOURCE_TOO_LARGE;
}

static enum source_state state_of(enum reader_state state)
{
    switch (state) {
    case READER_VALUE:
        return SOURCE_TOOK;
    case READER_WAIT:
        return SOURCE_WAIT;
    case READER_END:
        return SOURCE_END;
    case READER_FAILED:
        break;
    }
    return SOURCE_FAILED;
}

static enum reader_state peek(struct source *s, struct bytes *value, struct why *why)
{
    return s->blocks ? blocks_peek(s->blocks, value, why) : reader_peek(s->lines, value, why);
}

static void skip(struct source *s)
{
    if (s->blocks)
        blocks_skip(s->blocks);
    else
        reader_skip(s->lines);
}

/* Each line of one file, or each block, is a task: no detour over `pending`. */
static enum source_state source_take_lines(struct source *s, struct buf *records, size_t tasks_max,
                                           size_t bytes_max, size_t *tasks, struct why *why)
{
    size_t start = records->size;
    while (*tasks < tasks_max) {
        struct bytes line;
        enum reader_state state = peek(s, &line, why);
        if (state != READER_VALUE)
            return state_of(state);
        bool fits = line.size <= s->task_max;
        if (!s->looked && fits)
            look_at_beginning(s, line);
        if (fits && s->trim != TRIM_NONE)
            line = trim_take(line, s->trim);
        if (*tasks && (!fits || records->size - start + VARINT_SIZE_MAX + line.size > bytes_max))
            break;
        if (fits)
            task_put_line(records, line);
        skip(s);
        if (!fits)
            return too_large(s, line.size);
        ++*tasks;
    }
    return SOURCE_TOOK;
}

static void pending_add(struct pending *p, struct bytes arg, size_t task_max)
{
    p->size += arg.size + p->begun;
    p->begun = true;
    if (p->size > task_max)
        return;
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 16;
        p->args = xrealloc(p->args, p->capacity * sizeof *p->args);
    }
    p->args[p->count++] = (struct bytes){NULL, arg.size};
    buf_put_bytes(&p->bytes, arg);
}

static void pending_add_row(struct source *s, const struct bytes *row)
{
    bool looked = s->looked;
    for (size_t i = 0; i < combine_width(s->combine); i++) {
        struct bytes column;
        size_t at = 0;
        if (!looked && row[i].size <= s->task_max)
            look_at_beginning(s, row[i]);
        if (row[i].size > s->task_max) /* it is not held */
            pending_add(&s->pending, row[i], s->task_max);
        else if (!s->has_colsep)
            pending_add(&s->pending, trim_take(row[i], s->trim), s->task_max);
        else
            while (colsep_next(&s->colsep, row[i], &at, &column))
                pending_add(&s->pending, trim_take(column, s->trim), s->task_max);
    }
    s->pending.rows++;
}

static void pending_put(struct pending *p, struct buf *records)
{
    size_t offset = 0;
    for (size_t i = 0; i < p->count; i++) {
        p->args[i].data = p->bytes.data + offset;
        offset += p->args[i].size;
    }
    task_put_args(records, p->args, p->count);
}

static void pending_clear(struct pending *p)
{
    buf_clear(&p->bytes);
    p->count = 0;
    p->rows = p->size = 0;
    p->begun = false;
}

/* Reads on until the pending task has all its rows. */
static enum source_state complete(struct source *s, struct why *why)
{
    while (s->pending.rows < s->values) {
        const struct bytes *row;
        switch (combine_next(s->combine, &row, why)) {
        case COMBINE_ROW:
            pending_add_row(s, row);
            break;
        case COMBINE_WAIT:
            return SOURCE_WAIT;
        case COMBINE_END:
            return s->pending.rows ? SOURCE_TOOK : SOURCE_END;
        case COMBINE_FAILED:
            return SOURCE_FAILED;
        }
    }
    return SOURCE_TOOK;
}

static enum source_state take_rows(struct source *s, struct buf *records, size_t tasks_max,
                                   size_t bytes_max, size_t *tasks, struct why *why)
{
    size_t start = records->size;
    while (*tasks < tasks_max) {
        enum source_state state = complete(s, why);
        if (state != SOURCE_TOOK)
            return state;
        uint64_t size = s->pending.size;
        if (size > s->task_max && *tasks)
            break;
        if (size > s->task_max) {
            pending_clear(&s->pending);
            return too_large(s, size);
        }
        size_t before = records->size;
        pending_put(&s->pending, records);
        if (*tasks && records->size - start > bytes_max) {
            records->size = before; /* it stays pending */
            break;
        }
        pending_clear(&s->pending);
        ++*tasks;
    }
    return SOURCE_TOOK;
}

enum source_state source_take(struct source *source, struct buf *records, size_t tasks_max,
                              size_t bytes_max, size_t *tasks, struct why *why)
{
    assert(tasks_max >= 1);
    *tasks = 0;
    enum source_state state =
        source->lines || source->blocks
            ? source_take_lines(source, records, tasks_max, bytes_max, tasks, why)
            : take_rows(source, records, tasks_max, bytes_max, tasks, why);
    return *tasks ? SOURCE_TOOK : state;
}

struct source_looks source_looks(const struct source *source)
{
    return source->looks;
}

int source_fd(const struct source *source)
{
    if (source->blocks)
        return blocks_fd(source->blocks);
    return source->lines ? source->lines->fd : combine_fd(source->combine);
}

uint64_t source_too_large_size(const struct source *source)
{
    return source->too_large_size;
}

const char *source_name(const struct source *source)
{
    return source->name;
}

uint64_t source_total(const struct source *source)
{
    return source->total;
}

struct hash source_fingerprint(const struct source *source)
{
    return source->fingerprint;
}
