/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/result.h"

#include "common/wire/fields.h"
#include "common/base/varint.h"

/* record = flags [status code] [start duration] [size task] [size command] [hash] [size tagged]
 *          size-of-out [size-of-err] out err. Most results are ok, final and small: two bytes and their output.
 */
enum flag {
    FLAG_FINAL = 1,
    FLAG_STATUS = 2, /* not RESULT_OK with code 0: status and code follow */
    FLAG_ERR = 4,    /* something on stderr */
    FLAG_TIMES = 8,
    FLAG_TASK = 16,
    FLAG_COMMAND = 32,
    FLAG_HASH = 64,
    FLAG_TAGGED = 128 /* a tagged part: what few results have */
};

/* 2 and 3 are reserved: what it used of the machine, and its memory. */
enum { RESULT_CUT = 1, RESULT_TAGS };

static const struct {
    const char *word;
    const char *meaning;
} statuses[RESULT_STATUS_COUNT] = {
#define X(name, number, word, meaning) [number] = {word, meaning},
    RESULT_STATUS_LIST(X)
#undef X
};

const char *result_status_word(enum result_status status)
{
    return (unsigned)status < RESULT_STATUS_COUNT ? statuses[status].word : "unknown";
}

const char *result_status_meaning(enum result_status status)
{
    return (unsigned)status < RESULT_STATUS_COUNT ? statuses[status].meaning : "unknown";
}

static void result_put_tagged(struct buf *records, const struct result *r)
{
    uint8_t pid[VARINT_SIZE_MAX];
    struct tagged t = {0};
    struct buf content = {0};
    tagged_add(&t, RESULT_CUT, (struct bytes){pid, varint_write(pid, r->cut_pid)});
    tagged_put(&content, &t);
    octets_put(records, buf_bytes(&content));
    buf_free(&content);
}

/* `task` is what of the task's bytes is put; returns where those end. */
static size_t result_put_until_outputs(struct buf *records, const struct result *r,
                                       struct bytes task, uint64_t out_size, uint64_t err_size)
{
    size_t task_at = 0;
    unsigned flags = (r->final ? FLAG_FINAL : 0) |
                     (r->status != RESULT_OK || r->code ? FLAG_STATUS : 0) |
                     (err_size ? FLAG_ERR : 0) | (r->start_us ? FLAG_TIMES : 0) |
                     (r->task.size ? FLAG_TASK : 0) | (r->command.size ? FLAG_COMMAND : 0) |
                     (r->has_hash ? FLAG_HASH : 0) | (r->cut ? FLAG_TAGGED : 0);
    buf_put_byte(records, (uint8_t)flags);
    if (flags & FLAG_STATUS) {
        varint_put(records, r->status);
        varint_put(records, r->code);
    }
    if (flags & FLAG_TIMES) {
        varint_put(records, r->start_us);
        varint_put(records, r->duration_ns);
    }
    if (flags & FLAG_TASK) {
        varint_put(records, r->task.size);
        buf_put_bytes(records, task);
        task_at = records->size;
    }
    if (flags & FLAG_COMMAND)
        octets_put(records, r->command);
    if (flags & FLAG_HASH)
        hash_put(records, r->hash);
    if (flags & FLAG_TAGGED)
        result_put_tagged(records, r);
    varint_put(records, out_size);
    if (flags & FLAG_ERR)
        varint_put(records, err_size);
    return task_at;
}

void result_put_head(struct buf *records, const struct result *r, uint64_t out_size,
                     uint64_t err_size)
{
    result_put_until_outputs(records, r, r->task, out_size, err_size);
}

size_t result_put_head_around_task(struct buf *records, const struct result *r, uint64_t out_size,
                                   uint64_t err_size)
{
    return result_put_until_outputs(records, r, (struct bytes){0}, out_size, err_size);
}

void result_put(struct buf *records, const struct result *r)
{
    result_put_head(records, r, r->out.size, r->err.size);
    buf_put_bytes(records, r->out);
    buf_put_bytes(records, r->err);
}

static bool take_sized(const uint8_t **at, const uint8_t *end, struct bytes *bytes)
{
    uint64_t size;
    if (!varint_take(at, end, &size) || size > (uint64_t)(end - *at))
        return false;
    *bytes = (struct bytes){*at, (size_t)size};
    *at += size;
    return true;
}

static bool take_u64(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    if (end - *at < 8)
        return false;
    *value = 0;
    for (int i = 0; i < 8; i++)
        *value = *value << 8 | *(*at)++;
    return true;
}

static enum error result_take_status(const uint8_t **at, const uint8_t *end, struct result *r)
{
    uint64_t status, code;
    if (!varint_take(at, end, &status) || !varint_take(at, end, &code))
        return ERR_TRUNCATED;
    if ((status == RESULT_OK && code == 0) || status >= RESULT_STATUS_COUNT || code > 255)
        return ERR_MALFORMED;
    r->status = (enum result_status)status;
    r->code = (unsigned)code;
    return ERR_NONE;
}

static enum error take_tagged(const uint8_t **at, const uint8_t *end, struct result *r)
{
    struct bytes part, tags[RESULT_TAGS] = {{0}};
    if (!take_sized(at, end, &part))
        return ERR_TRUNCATED;
    struct fields f = fields_of(part);
    fields_tags(&f, tags, RESULT_TAGS);
    r->cut = tags[RESULT_CUT].data != NULL;
    r->cut_pid = fields_tag_number(&f, tags[RESULT_CUT]);
    return fields_end(&f) ? ERR_MALFORMED : ERR_NONE;
}

/* What most results have none of: it is kept out of the way of those. */
__attribute__((noinline)) static enum error take_extras(const uint8_t **at, const uint8_t *end,
                                                        unsigned flags, struct result *r)
{
    if (flags & FLAG_STATUS) {
        enum error error = result_take_status(at, end, r);
        if (error)
            return error;
    }
    if ((flags & FLAG_TIMES) &&
        (!varint_take(at, end, &r->start_us) || !varint_take(at, end, &r->duration_ns)))
        return ERR_TRUNCATED;
    if ((flags & FLAG_TASK) && !take_sized(at, end, &r->task))
        return ERR_TRUNCATED;
    if ((flags & FLAG_COMMAND) && !take_sized(at, end, &r->command))
        return ERR_TRUNCATED;
    if (r->has_hash && (!take_u64(at, end, &r->hash.high) || !take_u64(at, end, &r->hash.low)))
        return ERR_TRUNCATED;
    return flags & FLAG_TAGGED ? take_tagged(at, end, r) : ERR_NONE;
}

bool result_is_final(struct bytes beginning)
{
    return beginning.size && beginning.data[0] & FLAG_FINAL;
}

enum error result_take(struct bytes *records, struct result *r)
{
    if (records->size == 0)
        return ERR_TRUNCATED;
    const uint8_t *at = records->data, *end = at + records->size;
    unsigned flags = *at++;
    r->final = flags & FLAG_FINAL;
    r->status = RESULT_OK;
    r->code = 0;
    r->start_us = r->duration_ns = r->cut_pid = 0;
    r->cut = false;
    r->task = r->command = r->err = (struct bytes){0};
    r->has_hash = flags & FLAG_HASH;
    if (flags & ~(unsigned)(FLAG_FINAL | FLAG_ERR)) {
        const uint8_t *behind = at;
        enum error error = take_extras(&behind, end, flags, r);
        if (error)
            return error;
        at = behind;
    }
    uint64_t out_size, err_size = 0;
    if (!varint_take(&at, end, &out_size) ||
        ((flags & FLAG_ERR) && !varint_take(&at, end, &err_size)))
        return ERR_TRUNCATED;
    uint64_t left = (uint64_t)(end - at);
    if (out_size > left || err_size > left - out_size)
        return ERR_TRUNCATED;
    r->out = (struct bytes){at, (size_t)out_size};
    r->err = (struct bytes){at + out_size, (size_t)err_size};
    at += out_size + err_size;
    *records = (struct bytes){at, (size_t)(end - at)};
    return ERR_NONE;
}
