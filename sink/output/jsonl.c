/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/jsonl.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/utf8.h"

static void put_escape(struct buf *to, uint8_t byte)
{
    static const char names[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = byte ? strchr(names, byte) : NULL;
    if (found) {
        buf_put_byte(to, '\\');
        buf_put_byte(to, (uint8_t)letters[found - names]);
    } else {
        buf_printf(to, "\\u%04x", (unsigned)byte);
    }
}

static void put_string(struct buf *to, struct bytes utf8)
{
    buf_put_byte(to, '"');
    size_t run = 0; /* where what needs no escape begins */
    for (size_t i = 0; i < utf8.size; i++) {
        uint8_t byte = utf8.data[i];
        bool is_c1 = byte == 0xc2 && utf8.data[i + 1] < 0xa0; /* a control of two bytes */
        if (byte >= 0x20 && byte != 0x7f && byte != '"' && byte != '\\' && !is_c1)
            continue;
        buf_put(to, utf8.data + run, i - run);
        put_escape(to, is_c1 ? utf8.data[++i] : byte);
        run = i + 1;
    }
    if (utf8.size)
        buf_put(to, utf8.data + run, utf8.size - run);
    buf_put_byte(to, '"');
}

static void put_base64(struct buf *to, struct bytes bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    buf_put_byte(to, '"');
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16 |
                         (left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)bytes.data[i + 2] : 0);
        uint8_t *four = buf_reserve(to, 4);
        for (int j = 0; j < 4; j++)
            four[j] = (uint8_t)digits[group >> (18 - 6 * j) & 63];
        for (size_t j = 1 + left; j < 4; j++)
            four[j] = '=';
        to->size += 4;
    }
    buf_put_byte(to, '"');
}

static void put_bytes(struct buf *to, struct bytes bytes, bool text)
{
    if (text)
        put_string(to, bytes);
    else
        put_base64(to, bytes);
}

/* `,"name":` */
static void jsonl_put_name(struct buf *to, const char *name, const char *suffix)
{
    buf_put_text(to, ",\"");
    buf_put_text(to, name);
    buf_put_text(to, suffix);
    buf_put_text(to, "\":");
}

static void put_field(struct buf *to, const char *name, struct bytes bytes)
{
    bool text = utf8_is_valid(bytes);
    jsonl_put_name(to, name, text ? "" : "_base64");
    put_bytes(to, bytes, text);
}

/* With U+FFFD for each byte that is not of a well-formed sequence. */
static void put_lossy(struct buf *to, struct bytes bytes, struct buf *fixed)
{
    buf_clear(fixed);
    for (size_t at = 0; at < bytes.size;) {
        size_t size = utf8_sequence(bytes.data + at, bytes.size - at);
        buf_put(fixed, size ? (const void *)(bytes.data + at) : "\xef\xbf\xbd", size ? size : 3);
        at += size ? size : 1;
    }
    put_string(to, buf_bytes(fixed));
}

enum form { AS_TEXT, LOSSY, BASE64 };

static void put_in_form(struct buf *to, struct bytes bytes, enum form form, struct buf *scratch)
{
    if (form == LOSSY)
        put_lossy(to, bytes, scratch);
    else
        put_bytes(to, bytes, form == AS_TEXT);
}

/* `,"task":"..."` and `,"args":[...]`, or both with another name. */
static void put_task_as(struct buf *to, struct task task, enum form form)
{
    const char *suffix = form == BASE64 ? "_base64" : "";
    struct buf joined = {0}, scratch = {0};
    struct bytes arg;
    task_join(task, &joined);
    jsonl_put_name(to, "task", suffix);
    put_in_form(to, buf_bytes(&joined), form, &scratch);
    jsonl_put_name(to, "args", suffix);
    uint8_t before = '[';
    for (size_t at = 0; task_next_arg(task, &at, &arg); before = ',') {
        buf_put_byte(to, before);
        put_in_form(to, arg, form, &scratch);
    }
    buf_put_byte(to, ']');
    buf_free(&joined);
    buf_free(&scratch);
}

static void put_task(struct buf *to, struct bytes record)
{
    struct task task;
    if (record.size == 0 || task_take(&record, &task)) {
        buf_put_text(to, ",\"task\":\"\",\"args\":[]");
        return;
    }
    bool text = true;
    struct bytes arg;
    for (size_t at = 0; task_next_arg(task, &at, &arg);)
        text = text && utf8_is_valid(arg);
    put_task_as(to, task, text ? AS_TEXT : LOSSY);
    if (!text)
        put_task_as(to, task, BASE64);
}

/* At least `width` digits. printf would take most of the time of a small result. */
static void put_number(struct buf *to, uint64_t value, int width)
{
    uint8_t digits[20];
    size_t at = sizeof digits;
    for (; value || width > 0; value /= 10, width--)
        digits[--at] = (uint8_t)('0' + value % 10);
    buf_put(to, digits + at, sizeof digits - at);
}

static void put_micros(struct buf *to, const char *name, uint64_t micros, bool known)
{
    jsonl_put_name(to, name, "");
    if (known) {
        put_number(to, micros / 1000000, 1);
        buf_put_byte(to, '.');
        put_number(to, micros % 1000000, 6);
    } else {
        buf_put_text(to, "null");
    }
}

static void put_code(struct buf *to, const char *name, unsigned code, bool known)
{
    jsonl_put_name(to, name, "");
    if (known)
        put_number(to, code, 1);
    else
        buf_put_text(to, "null");
}

static void put_output(struct buf *to, const char *name, struct bytes bytes)
{
    if (bytes.size <= OUTPUT_IN_MEMORY_MAX) {
        put_field(to, name, bytes);
        return;
    }
    jsonl_put_name(to, name, "_bytes");
    put_number(to, bytes.size, 1);
}

/* How it came out. */
static void put_status(struct buf *to, const struct result *r)
{
    put_field(to, "status", bytes_of(result_status_word(r->status)));
    put_code(to, "exit", r->code, r->status == RESULT_OK || r->status == RESULT_EXITED);
    put_code(to, "signal", r->code, r->status == RESULT_SIGNALED);
}

/* Where and when it ran, and what it wrote. */
static void put_run(struct buf *to, const struct result *r)
{
    if (r->worker.size)
        put_field(to, "worker", r->worker);
    else
        buf_put_text(to, ",\"worker\":null");
    put_micros(to, "start", r->start_us, r->start_us != 0);
    put_micros(to, "seconds", r->duration_ns / NS_PER_US, r->start_us != 0);
    put_output(to, "stdout", r->out);
    put_output(to, "stderr", r->err);
    if (r->cut)
        buf_put_text(to, ",\"cut\":true");
}

void jsonl_put_try(struct buf *to, const struct result *r)
{
    buf_put_text(to, "{\"attempt\":");
    put_number(to, r->tries, 1);
    put_status(to, r);
    put_run(to, r);
    buf_put_byte(to, '}');
}

void jsonl_put(struct buf *to, const struct result *r, struct bytes failed)
{
    buf_put_text(to, "{\"seq\":");
    put_number(to, r->seq, 1);
    put_task(to, r->task);
    put_status(to, r);
    put_code(to, "attempts", r->tries, true);
    buf_put_text(to, ",\"final\":true");
    put_run(to, r);
    if (failed.size) {
        buf_put_text(to, ",\"tries\":[");
        buf_put_bytes(to, failed);
        buf_put_byte(to, ',');
        jsonl_put_try(to, r);
        buf_put_byte(to, ']');
    }
    buf_put_text(to, "}\n");
}
