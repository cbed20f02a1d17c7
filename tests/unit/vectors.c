/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/vectors.h"

#include <inttypes.h>

/* ---- values ---- */

static void put_hex(struct buf *to, const uint8_t *octets, size_t size)
{
    for (size_t i = 0; i < size; i++)
        buf_printf(to, "%02x", octets[i]);
}

/* Text, if it is nothing but; else "hex:" and digits. */
static void put_octets(struct buf *to, struct bytes octets)
{
    bool plain = true;
    for (size_t i = 0; i < octets.size; i++)
        plain = plain && octets.data[i] >= ' ' && octets.data[i] <= '~' && octets.data[i] != '"' &&
                octets.data[i] != '\\';
    buf_put_byte(to, '"');
    if (plain) {
        buf_put_bytes(to, octets);
    } else {
        buf_put_text(to, "hex:");
        put_hex(to, octets.data, octets.size);
    }
    buf_put_byte(to, '"');
}

static void put_number_ranges(struct buf *to, const struct seqset *set)
{
    buf_put_byte(to, '[');
    for (size_t i = 0; i < set->count; i++)
        buf_printf(to, "%s[%" PRIu64 ",%" PRIu64 "]", i ? "," : "", set->ranges[i].first,
                   set->ranges[i].last);
    buf_put_byte(to, ']');
}

static void put_hash(struct buf *to, struct hash hash)
{
    buf_printf(to, "\"%016" PRIx64 "%016" PRIx64 "\"", hash.high, hash.low);
}

static void put_digits(struct buf *to, const uint8_t *octets, size_t size)
{
    buf_put_byte(to, '"');
    put_hex(to, octets, size);
    buf_put_byte(to, '"');
}

static void put_keys(struct buf *to, const struct admitted *m)
{
    buf_put_byte(to, '[');
    for (size_t i = 0; i < m->count; i++) {
        buf_put_text(to, i ? "," : "");
        put_digits(to, m->items[i].key.octets, KEY_SIZE);
    }
    buf_put_byte(to, ']');
}

static void put_attempt(struct buf *to, struct attempt attempt)
{
    buf_printf(to, "[%" PRIu64 ",%" PRIu32 "]", attempt.incarnation, attempt.number);
}

/* ---- messages by the tables of their fields ---- */

static void put_object(struct buf *to, const uint8_t *m, const struct field *fields);

static void put_list(struct buf *to, const uint8_t *m, const struct field *f)
{
    struct field_list list = field_list_of(f, m);
    buf_put_byte(to, '[');
    for (size_t i = 0; i < list.count; i++) {
        buf_put_text(to, i ? "," : "");
        put_object(to, list.items + i * f->item_size, f->fields);
    }
    buf_put_byte(to, ']');
}

static void put_value(struct buf *to, const uint8_t *m, const struct field *f)
{
    const void *at = m + f->offset;
    switch (f->kind) {
    case FIELD_NUMBER:
    case FIELD_FLAGS:
    case FIELD_U64:
        buf_printf(to, "%" PRIu64, *(const uint64_t *)at);
        break;
    case FIELD_NUMBER32:
    case FIELD_CHOICE:
        buf_printf(to, "%" PRIu32, *(const uint32_t *)at);
        break;
    case FIELD_CONSTANT:
        buf_printf(to, "%" PRIu64, f->min);
        break;
    case FIELD_BIT:
        buf_put_text(to, *(const bool *)at ? "true" : "false");
        break;
    case FIELD_TEXT:
    case FIELD_OCTETS:
    case FIELD_REST:
        put_octets(to, *(const struct bytes *)at);
        break;
    case FIELD_RANGES:
        put_number_ranges(to, at);
        break;
    case FIELD_HASH:
        put_hash(to, *(const struct hash *)at);
        break;
    case FIELD_TOKEN:
        put_digits(to, at, TOKEN_SIZE);
        break;
    case FIELD_KEY:
        put_digits(to, at, key_is_none(at) ? 0 : KEY_SIZE);
        break;
    case FIELD_KEYS:
        put_keys(to, at);
        break;
    case FIELD_ATTEMPT:
        put_attempt(to, *(const struct attempt *)at);
        break;
    case FIELD_STRUCT:
        put_object(to, at, f->fields);
        break;
    case FIELD_LIST:
        put_list(to, m, f);
        break;
    }
}

static void put_object(struct buf *to, const uint8_t *m, const struct field *fields)
{
    buf_put_byte(to, '{');
    for (const struct field *f = fields; f->name; f++) {
        buf_printf(to, "%s\"%s\":", f == fields ? "" : ",", f->name);
        put_value(to, m, f);
    }
    buf_put_byte(to, '}');
}

static enum error by_layout(const struct layout *layout, struct bytes body, struct buf *json,
                            struct buf *again)
{
    union decoded m;
    enum error error = decoded_take(&m, layout, body);
    if (!error) {
        put_object(json, m.bytes, layout->fields);
        layout_put(again, layout, &m);
    }
    layout_free(layout, &m);
    return error;
}

/* ---- batches ---- */

static void put_task_args(struct buf *to, struct task task)
{
    struct bytes arg;
    size_t at = 0;
    buf_put_byte(to, '[');
    while (task_next_arg(task, &at, &arg)) {
        buf_put_text(to, to->data[to->size - 1] == '[' ? "" : ",");
        put_octets(to, arg);
    }
    buf_put_byte(to, ']');
}

static enum error by_tasks(struct bytes body, struct buf *json, struct buf *again)
{
    uint64_t batch;
    struct bytes runs;
    struct task_run run;
    enum error error = tasks_take(body, &batch, &runs);
    buf_printf(json, "{\"batch\":%" PRIu64 ",\"runs\":[", batch);
    tasks_begin(again, batch);
    while (!error && runs.size && !(error = task_run_take(&runs, &run))) {
        struct task task;
        buf_printf(json,
                   "%s{\"first\":%" PRIu64 ",\"count\":%" PRIu64
                   ",\"number\":%u,\"tries\":%u,\"flags\":%" PRIu64 ",\"tasks\":[",
                   json->data[json->size - 1] == '[' ? "" : ",", run.first, run.count, run.number,
                   run.tries, run.flags);
        task_run_put(again, &run);
        while (run.records.size && !task_take(&run.records, &task)) {
            buf_put_text(json, json->data[json->size - 1] == '[' ? "" : ",");
            put_task_args(json, task);
        }
        buf_put_text(json, "]}");
    }
    buf_put_text(json, "]}");
    return error;
}

static void put_result(struct buf *to, const struct result *r)
{
    buf_printf(to,
               "%s{\"final\":%s,\"status\":%d,\"code\":%u,\"start_us\":%" PRIu64
               ",\"duration_ns\":%" PRIu64 ",\"task\":",
               to->data[to->size - 1] == '[' ? "" : ",", r->final ? "true" : "false",
               (int)r->status, r->code, r->start_us, r->duration_ns);
    put_octets(to, r->task);
    buf_put_text(to, ",\"command\":");
    put_octets(to, r->command);
    buf_put_text(to, ",\"hash\":");
    if (r->has_hash)
        put_hash(to, r->hash);
    else
        buf_put_text(to, "null");
    buf_put_text(to, ",\"cut\":");
    if (r->cut)
        buf_printf(to, "%" PRIu64, r->cut_pid);
    else
        buf_put_text(to, "null");
    buf_put_text(to, ",\"out\":");
    put_octets(to, r->out);
    buf_put_text(to, ",\"err\":");
    put_octets(to, r->err);
    buf_put_byte(to, '}');
}

static enum error by_results(struct bytes body, struct buf *json, struct buf *again)
{
    struct results_head m;
    struct bytes runs;
    struct result_run run;
    enum error error = results_take(body, &m, &runs);
    buf_printf(json, "{\"batch\":%" PRIu64 ",\"floor\":%" PRIu64 ",\"worker\":", m.batch, m.floor);
    put_octets(json, m.worker);
    buf_put_text(json, ",\"runs\":[");
    results_begin(again, &m);
    while (!error && runs.size && !(error = result_run_take(&runs, &run))) {
        struct buf records = {0};
        struct result r = {0};
        buf_printf(json,
                   "%s{\"first\":%" PRIu64 ",\"count\":%" PRIu64 ",\"attempt\":[%" PRIu64
                   ",%u],\"tries\":%u,\"results\":[",
                   json->data[json->size - 1] == '[' ? "" : ",", run.first, run.count,
                   run.attempt.incarnation, run.attempt.number, run.tries);
        for (uint64_t i = 0; !error && i < run.count; i++)
            if (!(error = result_take(&run.records, &r))) {
                put_result(json, &r);
                result_put(&records, &r);
            }
        if (!error && run.records.size)
            error = ERR_TRAILING;
        run.records = buf_bytes(&records);
        result_run_put(again, &run);
        buf_free(&records);
        buf_put_text(json, "]}");
    }
    buf_put_text(json, "]}");
    return error;
}

static enum error by_kind(enum wire_kind kind, struct bytes body, struct buf *json,
                          struct buf *again)
{
    enum wire_role role;
    const struct layout *layout = wire_layout(kind, body);
    if (layout)
        return by_layout(layout, body, json, again);
    if (kind == KIND_TASKS)
        return by_tasks(body, json, again);
    if (kind == KIND_RESULTS)
        return by_results(body, json, again);
    return join_role(body, &role);
}

/* ---- lines ---- */

void vector_message(struct buf *to, struct bytes message)
{
    struct frame_head head;
    struct bytes body = {0};
    struct buf json = {0}, again = {0};
    enum error error = frame_take(message, &head, &body);
    if (!error)
        error = by_kind(head.kind, body, &json, &again);
    buf_printf(to, "{\"kind\":\"%s\",", message.size ? wire_kind_name(message.data[0]) : "");
    if (error)
        buf_printf(to, "\"error\":\"%s\",", error_name(error));
    else
        buf_printf(to,
                   "\"job\":%" PRIu64 ",\"incarnation\":%" PRIu64 ",\"session\":%" PRIu64
                   ",\"body\":%.*s,",
                   head.job, head.incarnation, head.session, (int)json.size,
                   (const char *)json.data);
    if (!error && !bytes_equal(buf_bytes(&again), body)) {
        buf_put_text(to, "\"written\":\"");
        put_hex(to, message.data, FRAME_HEAD_SIZE);
        put_hex(to, again.data, again.size);
        buf_put_text(to, "\",");
    }
    buf_put_text(to, "\"hex\":\"");
    put_hex(to, message.data, message.size);
    buf_put_text(to, "\"}");
    buf_free(&json);
    buf_free(&again);
}

void vector_task(struct buf *to, struct bytes record)
{
    struct bytes rest = record;
    struct task task = {0};
    enum error error = task_take(&rest, &task);
    cr_assert(!error && rest.size == 0);
    buf_put_text(to, "{\"args\":");
    put_task_args(to, task);
    buf_put_text(to, ",\"hash\":");
    put_hash(to, task_hash(task));
    buf_put_text(to, ",\"hex\":\"");
    put_hex(to, record.data, record.size);
    buf_put_text(to, "\"}");
}
