/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/sentences.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/xalloc.h"

static void sentences_grow(struct sentences *list)
{
    if (list->count < list->capacity)
        return;
    list->capacity = list->capacity ? list->capacity * 2 : 16;
    list->items = xrealloc(list->items, list->capacity * sizeof *list->items);
}

void sentences_add(struct sentences *list, const struct seqset *tasks, const char *format, ...)
{
    struct why why;
    va_list args;
    va_start(args, format);
    vsnprintf(why.text, sizeof why.text, format, args);
    va_end(args);
    sentences_grow(list);
    struct because_item *item = &list->items[list->count++];
    *item = (struct because_item){.sentence = bytes_of(xstrdup(why.text))};
    if (!tasks)
        return;
    for (size_t i = 0; i < tasks->count && i < BECAUSE_RANGES_MAX; i++)
        seqset_add(&item->tasks, tasks->ranges[i].first, tasks->ranges[i].last);
    item->more = tasks->members - item->tasks.members;
}

void sentences_move(struct sentences *to, struct sentences *from)
{
    for (size_t i = 0; i < from->count; i++) {
        sentences_grow(to);
        to->items[to->count++] = from->items[i];
    }
    from->count = 0;
}

static int by_first_task(const void *a, const void *b)
{
    uint64_t first = seqset_min(&((const struct because_item *)a)->tasks);
    uint64_t other = seqset_min(&((const struct because_item *)b)->tasks);
    return (first > other) - (first < other);
}

void sentences_sort(struct sentences *list)
{
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, by_first_task);
}

static void because_item_clear(struct because_item *item)
{
    free((void *)item->sentence.data);
    seqset_free(&item->tasks);
}

void sentences_cut(struct sentences *list, size_t most)
{
    size_t gone = 0;
    while (list->count > most - 1) {
        because_item_clear(&list->items[--list->count]);
        gone++;
    }
    if (gone)
        sentences_add(list, NULL, "%zu groups more, behind these, are not shown", gone);
}

void sentences_free(struct sentences *list)
{
    for (size_t i = 0; i < list->count; i++)
        because_item_clear(&list->items[i]);
    free(list->items);
}
