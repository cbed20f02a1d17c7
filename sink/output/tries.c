/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/tries.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sys/tempfile.h"
#include "common/base/xalloc.h"

struct tries_item {
    struct tries_item *next; /* in its row of the table */
    uint64_t seq;
    uint32_t number;
    uint8_t *data; /* NULL: in the file */
    size_t size;
    uint64_t at; /* in the file */
};

enum { TABLE_MIN = 64 };

static size_t row_of(const struct tries *t, uint64_t seq)
{
    return (size_t)(seq * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (t->table_size - 1);
}

static void tries_grow(struct tries *t)
{
    struct tries old = *t;
    t->table_size = old.table_size ? old.table_size * 2 : TABLE_MIN;
    t->table = xcalloc(t->table_size, sizeof *t->table);
    for (size_t i = 0; i < old.table_size; i++)
        for (struct tries_item *item = old.table[i], *next; item; item = next) {
            next = item->next;
            size_t row = row_of(t, item->seq);
            item->next = t->table[row];
            t->table[row] = item;
        }
    free(old.table);
}

void tries_free(struct tries *t)
{
    for (size_t i = 0; i < t->table_size; i++)
        for (struct tries_item *item = t->table[i], *next; item; item = next) {
            next = item->next;
            free(item->data);
            free(item);
        }
    free(t->table);
    if (t->file_size)
        close(t->fd);
    *t = (struct tries){.tmpdir = t->tmpdir, .memory_max = t->memory_max};
}

static enum error to_file(struct tries *t, struct tries_item *item, struct why *why)
{
    enum error error = t->file_size ? ERR_NONE : tempfile_open(t->tmpdir, &t->fd, why);
    if (error)
        return error;
    error = tempfile_write(t->fd, (struct bytes){item->data, item->size}, t->file_size, why);
    if (error) {
        if (!t->file_size)
            close(t->fd);
        return error;
    }
    item->at = t->file_size;
    t->file_size += item->size;
    t->memory -= item->size;
    free(item->data);
    item->data = NULL;
    return ERR_NONE;
}

void tries_put(struct tries *t, uint64_t seq, uint32_t number, struct bytes bytes)
{
    struct why why;
    if (t->count >= t->table_size)
        tries_grow(t);
    struct tries_item **at = &t->table[row_of(t, seq)];
    while (*at && ((*at)->seq != seq || (*at)->number <= number))
        at = &(*at)->next;
    struct tries_item *item = xmalloc(sizeof *item);
    *item = (struct tries_item){*at, seq, number, xmalloc(bytes.size), bytes.size, 0};
    memcpy(item->data, bytes.data, bytes.size);
    *at = item;
    t->count++;
    t->memory += bytes.size;
    if (t->memory > t->memory_max && to_file(t, item, &why))
        t->over = item;
}

enum error tries_unstick(struct tries *t, struct why *why)
{
    enum error error = t->over ? to_file(t, t->over, why) : ERR_NONE;
    if (!error)
        t->over = NULL;
    return error;
}

bool tries_is_stuck(const struct tries *t)
{
    return t->over;
}

static void tries_append(struct tries *t, const struct tries_item *item, struct buf *to)
{
    struct why why;
    uint8_t *room = buf_reserve(to, item->size);
    if (item->data)
        memcpy(room, item->data, item->size);
    else if (tempfile_read(t->fd, room, item->size, item->at, &why))
        return;
    to->size += item->size;
}

static void tries_forget(struct tries *t, struct tries_item *item)
{
    if (item->data)
        t->memory -= item->size;
    else
        fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)item->at,
                  (off_t)item->size);
    if (t->over == item)
        t->over = NULL;
    free(item->data);
    free(item);
    t->count--;
}

void tries_take(struct tries *t, uint64_t seq, struct buf *to)
{
    size_t start = to->size;
    if (!t->count)
        return;
    for (struct tries_item **at = &t->table[row_of(t, seq)]; *at;) {
        struct tries_item *item = *at;
        if (item->seq != seq) {
            at = &item->next;
            continue;
        }
        if (to->size > start)
            buf_put_byte(to, ',');
        tries_append(t, item, to);
        *at = item->next;
        tries_forget(t, item);
    }
}
