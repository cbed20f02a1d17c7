/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/seqset.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

void seqset_free(struct seqset *set)
{
    free(set->ranges);
    *set = (struct seqset){0};
}

void seqset_clear(struct seqset *set)
{
    set->count = 0;
    set->members = 0;
}

void seqset_copy(struct seqset *to, const struct seqset *from)
{
    if (to->capacity < from->count) {
        to->ranges = xrealloc(to->ranges, from->count * sizeof *to->ranges);
        to->capacity = from->count;
    }
    if (from->count)
        memcpy(to->ranges, from->ranges, from->count * sizeof *to->ranges);
    to->count = from->count;
    to->members = from->members;
}

/* The first range whose last is >= number; set->count if there is none. */
static size_t seqset_find(const struct seqset *set, uint64_t number)
{
    if (set->count == 0 || set->ranges[set->count - 1].last < number)
        return set->count;
    size_t low = 0, high = set->count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->ranges[middle].last < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Replaces the ranges from..to (to not included) by `count` others. */
static void splice(struct seqset *set, size_t from, size_t to, const struct range *with,
                   size_t count)
{
    size_t needed = set->count - (to - from) + count;
    if (needed > set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 4;
        if (capacity < needed)
            capacity = needed;
        set->ranges = xrealloc(set->ranges, capacity * sizeof *set->ranges);
        set->capacity = capacity;
    }
    if (set->count > to)
        memmove(set->ranges + from + count, set->ranges + to,
                (set->count - to) * sizeof *set->ranges);
    if (count)
        memcpy(set->ranges + from, with, count * sizeof *with);
    set->count = needed;
}

uint64_t seqset_add(struct seqset *set, uint64_t first, uint64_t last)
{
    assert(first >= 1 && first <= last && last < UINT64_MAX);
    uint64_t already = seqset_count_in(set, first, last);
    uint64_t added = last - first + 1 - already;
    if (added == 0)
        return 0;
    /* Ranges that overlap or touch first..last become one with it. */
    size_t from = seqset_find(set, first - 1);
    size_t to = from;
    struct range merged = {first, last};
    while (to < set->count && set->ranges[to].first <= last + 1) {
        if (set->ranges[to].first < merged.first)
            merged.first = set->ranges[to].first;
        if (set->ranges[to].last > merged.last)
            merged.last = set->ranges[to].last;
        to++;
    }
    splice(set, from, to, &merged, 1);
    set->members += added;
    return added;
}

uint64_t seqset_remove(struct seqset *set, uint64_t first, uint64_t last)
{
    assert(first >= 1 && first <= last && last < UINT64_MAX);
    size_t from = seqset_find(set, first);
    size_t to = from;
    struct range left[2];
    size_t kept = 0;
    uint64_t removed = 0;
    while (to < set->count && set->ranges[to].first <= last) {
        struct range r = set->ranges[to++];
        if (r.first < first)
            left[kept++] = (struct range){r.first, first - 1};
        if (r.last > last)
            left[kept++] = (struct range){last + 1, r.last};
        removed += (r.last < last ? r.last : last) - (r.first > first ? r.first : first) + 1;
    }
    if (removed) {
        splice(set, from, to, left, kept);
        set->members -= removed;
    }
    return removed;
}

void seqset_add_all(struct seqset *set, const struct seqset *other)
{
    for (size_t i = 0; i < other->count; i++)
        seqset_add(set, other->ranges[i].first, other->ranges[i].last);
}

void seqset_remove_all(struct seqset *set, const struct seqset *other)
{
    for (size_t i = 0; i < other->count; i++)
        seqset_remove(set, other->ranges[i].first, other->ranges[i].last);
}

bool seqset_has(const struct seqset *set, uint64_t number)
{
    size_t i = seqset_find(set, number);
    return i < set->count && set->ranges[i].first <= number;
}

uint64_t seqset_count_in(const struct seqset *set, uint64_t first, uint64_t last)
{
    uint64_t count = 0;
    for (size_t i = seqset_find(set, first); i < set->count && set->ranges[i].first <= last; i++) {
        struct range r = set->ranges[i];
        count += (r.last < last ? r.last : last) - (r.first > first ? r.first : first) + 1;
    }
    return count;
}

void seqset_add_part(struct seqset *set, const struct seqset *other, uint64_t first, uint64_t last)
{
    struct range r;
    for (uint64_t at = first; at <= last && seqset_next(other, at, last, &r); at = r.last + 1)
        seqset_add(set, r.first, r.last);
}

bool seqset_next(const struct seqset *set, uint64_t first, uint64_t last, struct range *found)
{
    size_t i = seqset_find(set, first);
    if (first > last || i == set->count || set->ranges[i].first > last)
        return false;
    found->first = set->ranges[i].first > first ? set->ranges[i].first : first;
    found->last = set->ranges[i].last < last ? set->ranges[i].last : last;
    return true;
}

bool seqset_next_gap(const struct seqset *set, uint64_t first, uint64_t last, struct range *found)
{
    size_t i = seqset_find(set, first);
    if (i < set->count && set->ranges[i].first <= first)
        first = set->ranges[i++].last + 1;
    if (first > last)
        return false;
    found->first = first;
    found->last = i < set->count && set->ranges[i].first <= last ? set->ranges[i].first - 1 : last;
    return true;
}

bool seqset_empty(const struct seqset *set)
{
    return set->count == 0;
}

uint64_t seqset_min(const struct seqset *set)
{
    return set->count ? set->ranges[0].first : 0;
}

uint64_t seqset_max(const struct seqset *set)
{
    return set->count ? set->ranges[set->count - 1].last : 0;
}

size_t seqset_memory_bytes(const struct seqset *set)
{
    return set->capacity * sizeof *set->ranges;
}
