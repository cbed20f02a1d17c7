/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_INDEX_H
#define ZFARM_INDEX_H

#include <stddef.h>
#include <stdint.h>

/* From a number to a pointer: open addressing with linear probing, deletion by moving back (Knuth,
 * The Art of Computer Programming, volume 3, 6.4, algorithm R). Zero-initialised is empty; embed it
 * by value. The key 0 is not allowed. The pointers belong to the caller. */
struct index_slot {
    uint64_t key;
    void *value;
};

struct index {
    struct index_slot *slots;
    size_t count;
    size_t capacity; /* a power of two, or 0 */
};

void index_free(struct index *index);
void index_set(struct index *index, uint64_t key, void *value);
void *index_get(const struct index *index, uint64_t key); /* NULL if there is none */
void index_remove(struct index *index, uint64_t key);     /* nothing happens if there is none */

#endif
