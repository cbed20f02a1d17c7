/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/index.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/base/xalloc.h"

void index_free(struct index *index)
{
    free(index->slots);
    *index = (struct index){0};
}

/* Fibonacci hashing (Knuth, volume 3, 6.4): keys are often consecutive. */
static size_t home_of(const struct index *index, uint64_t key)
{
    return (size_t)((key * UINT64_C(11400714819323198485)) >> 32) & (index->capacity - 1);
}

/* Where the key is, or the free slot where it would be. */
static size_t index_find(const struct index *index, uint64_t key)
{
    size_t at = home_of(index, key);
    while (index->slots[at].key && index->slots[at].key != key)
        at = (at + 1) & (index->capacity - 1);
    return at;
}

static void index_grow(struct index *index)
{
    struct index old = *index;
    index->capacity = old.capacity ? old.capacity * 2 : 16;
    index->slots = xcalloc(index->capacity, sizeof *index->slots);
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].key)
            index->slots[index_find(index, old.slots[i].key)] = old.slots[i];
    free(old.slots);
}

void index_set(struct index *index, uint64_t key, void *value)
{
    assert(key != 0);
    if ((index->count + 1) * 2 > index->capacity)
        index_grow(index);
    size_t at = index_find(index, key);
    if (!index->slots[at].key)
        index->count++;
    index->slots[at] = (struct index_slot){key, value};
}

void *index_get(const struct index *index, uint64_t key)
{
    if (index->count == 0 || key == 0)
        return NULL;
    return index->slots[index_find(index, key)].value;
}

void index_remove(struct index *index, uint64_t key)
{
    if (index->count == 0 || key == 0)
        return;
    size_t hole = index_find(index, key), mask = index->capacity - 1;
    if (!index->slots[hole].key)
        return;
    for (size_t at = (hole + 1) & mask; index->slots[at].key; at = (at + 1) & mask) {
        size_t home = home_of(index, index->slots[at].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            index->slots[hole] = index->slots[at];
            hole = at;
        }
    }
    index->slots[hole] = (struct index_slot){0};
    index->count--;
}
