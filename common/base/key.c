/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

bool key_is_none(const struct key *key)
{
    static const struct key none;
    return key_equal(key, &none);
}

bool key_equal(const struct key *a, const struct key *b)
{
    return memcmp(a->octets, b->octets, KEY_SIZE) == 0;
}

void key_fingerprint(const struct key *public, char text[static KEY_FINGERPRINT_SIZE])
{
    for (size_t i = 0; i < KEY_FINGERPRINT_SIZE / 2; i++)
        snprintf(text + 2 * i, 3, "%02x", public->octets[i]);
}

void admitted_free(struct admitted *a)
{
    free(a->items);
    *a = (struct admitted){0};
}

/* The place of the key, or where it would be. */
static size_t key_place_of(const struct admitted *a, const struct key *key)
{
    size_t first = 0, end = a->count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (memcmp(a->items[middle].key.octets, key->octets, KEY_SIZE) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static bool key_is_at(const struct admitted *a, size_t place, const struct key *key)
{
    return place < a->count && key_equal(&a->items[place].key, key);
}

bool admitted_add(struct admitted *a, const struct key *key, unsigned roles)
{
    size_t place = key_place_of(a, key);
    if (key_is_at(a, place, key)) {
        a->items[place].roles |= roles;
        return true;
    }
    if (key_is_none(key) || a->count == ADMITTED_MAX)
        return false;
    if (a->count == a->capacity) {
        a->capacity = a->capacity ? a->capacity * 2 : 16;
        a->items = xrealloc(a->items, a->capacity * sizeof *a->items);
    }
    memmove(a->items + place + 1, a->items + place, (a->count - place) * sizeof *a->items);
    a->items[place] = (struct admitted_key){*key, roles};
    a->count++;
    return true;
}

unsigned admitted_roles(const struct admitted *a, const struct key *key)
{
    size_t place = key_place_of(a, key);
    return key_is_at(a, place, key) ? a->items[place].roles : 0;
}
