/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/print.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/shown.h"
#include "common/base/xalloc.h"
#include "common/wire/layout_rows.h"

enum {
    MANY_MAX = 16,
    TEXT_MAX = 200
}; /* of a set or list, and of a text, what is beyond is counted */

static void print_table(struct buf *to, const char *prefix, const struct field *fields,
                        const void *m);

static void print_text(struct buf *to, struct bytes text)
{
    struct buf shown = {0};
    shown_put(&shown, (struct bytes){text.data, text.size < TEXT_MAX ? text.size : TEXT_MAX});
    buf_put_byte(to, '"');
    for (size_t i = 0; i < shown.size; i++) {
        if (shown.data[i] == '"' || shown.data[i] == '\\')
            buf_put_byte(to, '\\');
        buf_put_byte(to, shown.data[i]);
    }
    buf_put_byte(to, '"');
    if (text.size > TEXT_MAX)
        buf_printf(to, "+(%zu octets)", text.size - TEXT_MAX);
    buf_free(&shown);
}

static void print_number(struct buf *to, const struct field *f, uint64_t number)
{
    if (number < f->word_count && f->words[number])
        buf_put_text(to, f->words[number]);
    else
        buf_printf(to, "%" PRIu64, number);
}

static void print_flags(struct buf *to, const struct field *f, uint64_t flags)
{
    const char *between = "";
    if (!flags)
        buf_put_text(to, "none");
    for (unsigned bit = 0; bit < 64; bit++) {
        if (!(flags >> bit & 1))
            continue;
        buf_put_text(to, between);
        if (bit < f->word_count)
            buf_put_text(to, f->words[bit]);
        else
            buf_printf(to, "%" PRIu64, UINT64_C(1) << bit);
        between = "+";
    }
}

static void print_ranges(struct buf *to, const struct seqset *set)
{
    if (seqset_empty(set))
        buf_put_text(to, "none");
    for (size_t i = 0; i < set->count && i < MANY_MAX; i++) {
        struct range r = set->ranges[i];
        buf_printf(to, "%s%" PRIu64, i ? "," : "", r.first);
        if (r.last > r.first)
            buf_printf(to, "-%" PRIu64, r.last);
    }
    if (set->count > MANY_MAX)
        buf_printf(to, "+(%zu ranges)", set->count - MANY_MAX);
}

static void print_items(struct buf *to, struct field_list list, const struct field *f)
{
    if (!list.count)
        buf_put_text(to, "none");
    for (size_t i = 0; i < list.count && i < MANY_MAX; i++) {
        size_t begin = to->size;
        buf_put_text(to, i ? "," : "");
        print_table(to, "", f->fields, list.items + i * f->item_size);
        to->data[begin + (i ? 1 : 0)] = '{'; /* instead of the blank before the first field */
        buf_put_byte(to, '}');
    }
    if (list.count > MANY_MAX)
        buf_printf(to, "+(%zu items)", list.count - MANY_MAX);
}

static void print_hash(struct buf *to, struct hash hash)
{
    if (hash.high || hash.low)
        buf_printf(to, "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
    else
        buf_put_text(to, "none");
}

static void print_value(struct buf *to, const struct field *f, const void *m)
{
    const void *at = (const uint8_t *)m + f->offset;
    const struct bytes *octets = at;
    const struct attempt *attempt = at;
    const struct admitted *keys = at;
    switch (f->kind) {
    case FIELD_NUMBER:
    case FIELD_U64:
        print_number(to, f, *(const uint64_t *)at);
        break;
    case FIELD_FLAGS:
        print_flags(to, f, *(const uint64_t *)at);
        break;
    case FIELD_NUMBER32:
    case FIELD_CHOICE:
        print_number(to, f, *(const uint32_t *)at);
        break;
    case FIELD_CONSTANT:
        print_number(to, f, f->min);
        break;
    case FIELD_BIT:
        buf_put_text(to, *(const bool *)at ? "yes" : "no");
        break;
    case FIELD_TEXT:
    case FIELD_REST:
        print_text(to, *octets);
        break;
    case FIELD_OCTETS:
        buf_printf(to, "(%zu octets)", octets->size);
        break;
    case FIELD_RANGES:
        print_ranges(to, at);
        break;
    case FIELD_ATTEMPT:
        buf_printf(to, "%" PRIu64 "/%" PRIu32, attempt->incarnation, attempt->number);
        break;
    case FIELD_HASH:
        print_hash(to, *(const struct hash *)at);
        break;
    case FIELD_TOKEN:
        buf_put_text(to, "(secret)");
        break;
    case FIELD_KEY:
        buf_put_text(to, key_is_none(at) ? "none" : "(key)");
        break;
    case FIELD_KEYS:
        buf_printf(to, "(keys: %zu)", keys->count);
        break;
    case FIELD_LIST:
        print_items(to, field_list_of(f, m), f);
        break;
    case FIELD_STRUCT: /* its fields are, one by one */
        break;
    }
}

/* Each field with a blank before it. Those of a struct in the struct have its name before theirs. */
static void print_table(struct buf *to, const char *prefix, const struct field *fields,
                        const void *m)
{
    for (const struct field *f = fields; f->name; f++) {
        if (f->tag && field_is_none(f, m))
            continue;
        if (f->kind == FIELD_STRUCT) {
            struct buf longer = {0};
            buf_printf(&longer, "%s%s.", prefix, f->name);
            buf_put_byte(&longer, '\0');
            print_table(to, (const char *)longer.data, f->fields, (const uint8_t *)m + f->offset);
            buf_free(&longer);
            continue;
        }
        buf_printf(to, " %s%s=", prefix, f->name);
        print_value(to, f, m);
    }
}

static enum error print_by_layout(struct buf *to, const struct layout *layout, struct bytes body)
{
    void *m = xcalloc(1, layout->size + 1);
    enum error error = layout_take(body, layout, m);
    if (!error)
        print_table(to, "", layout->fields, m);
    layout_free(layout, m);
    free(m);
    return error;
}

/* ---- batches: a line that sums them up ---- */

static const char *const task_flag_words[] = {"last", "alone", "pieces", "tagged"};
static const struct field task_run_fields[] = {{SEQ(task_run, first)},
                                               {NUMBER(task_run, count)},
                                               {NUMBER32(task_run, number)},
                                               {NUMBER32(task_run, tries)},
                                               {FLAGS(task_run, flags, task_flag_words)},
                                               {OCTETS(task_run, records)},
                                               {0}};
static const struct field result_run_fields[] = {
    {SEQ(result_run, first)},      {NUMBER(result_run, count)},   {ATTEMPT(result_run, attempt)},
    {NUMBER32(result_run, tries)}, {OCTETS(result_run, records)}, {0}};
static const struct field results_head_fields[] = {{NUMBER(results_head, batch)},
                                                   {NUMBER(results_head, floor)},
                                                   {TEXT(results_head, worker)},
                                                   {0}};

/* Lists in the struct's stead: runs are read one by one. */
static void print_run(struct buf *to, size_t i, const struct field *fields, const void *run)
{
    const struct field row = {.fields = fields};
    if (i < MANY_MAX) {
        buf_put_text(to, i ? "," : " runs=");
        print_items(to, (struct field_list){run, 1}, &row);
    }
}

static void print_end_of_runs(struct buf *to, size_t count)
{
    if (count == 0)
        buf_put_text(to, " runs=none");
    if (count > MANY_MAX)
        buf_printf(to, "+(%zu items)", count - MANY_MAX);
}

static enum error print_tasks(struct buf *to, struct bytes body)
{
    uint64_t batch;
    struct bytes runs;
    struct task_run run;
    size_t count = 0;
    enum error error = tasks_take(body, &batch, &runs);
    buf_printf(to, " batch=%" PRIu64, batch);
    while (!error && runs.size && !(error = task_run_take(&runs, &run)))
        print_run(to, count++, task_run_fields, &run);
    print_end_of_runs(to, count);
    return error;
}

static enum error print_results(struct buf *to, struct bytes body)
{
    struct results_head head;
    struct bytes runs;
    struct result_run run;
    size_t count = 0;
    enum error error = results_take(body, &head, &runs);
    print_table(to, "", results_head_fields, &head);
    while (!error && runs.size && !(error = result_run_take(&runs, &run)))
        print_run(to, count++, result_run_fields, &run);
    print_end_of_runs(to, count);
    return error;
}

static void print_body(struct buf *to, enum wire_kind kind, struct bytes body)
{
    struct buf fields = {0};
    const struct layout *layout = wire_layout(kind, body);
    enum error error = layout                 ? print_by_layout(&fields, layout, body)
                       : kind == KIND_TASKS   ? print_tasks(&fields, body)
                       : kind == KIND_RESULTS ? print_results(&fields, body)
                                              : ERR_MALFORMED;
    if (error)
        buf_printf(to, " (%zu octets that make no sense: %s)", body.size, error_sentence(error));
    else
        buf_put_bytes(to, buf_bytes(&fields));
    buf_free(&fields);
}

void wire_print_body(struct buf *to, enum wire_kind kind, struct bytes body)
{
    buf_put_text(to, wire_kind_name(kind));
    print_body(to, kind, body);
}

void wire_print(struct buf *to, struct bytes message)
{
    struct frame_head head;
    struct bytes body;
    enum error error = frame_take(message, &head, &body);
    buf_put_text(to, message.size ? wire_kind_name(message.data[0]) : "?");
    if (error) {
        buf_printf(to, " (%zu octets that are no message: %s)", message.size,
                   error_sentence(error));
        return;
    }
    buf_printf(to, " %" PRIu64 "/%" PRIu64 "/%" PRIu64, head.job, head.incarnation, head.session);
    print_body(to, head.kind, body);
}
