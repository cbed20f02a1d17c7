/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SEQSET_H
#define ZFARM_SEQSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A set of task numbers, held as sorted ranges that neither overlap nor touch.
 *
 * What a farm knows about millions of tasks ("stored", "out at that worker") is nearly always a few
 * ranges, so a set costs memory by its gaps and not by its members. Zero-initialised is the empty
 * set; embed it by value. Numbers are 1 .. UINT64_MAX - 1. Finding is a binary search; adding at
 * the end, the common case, is constant time; adding in the middle moves the ranges behind. */
struct range {
    uint64_t first;
    uint64_t last; /* inclusive; first <= last */
};

struct seqset {
    struct range *ranges;
    size_t count;    /* ranges */
    size_t capacity; /* ranges */
    uint64_t members;
};

void seqset_free(struct seqset *set); /* empty afterwards, may be used again */
void seqset_clear(struct seqset *set);
void seqset_copy(struct seqset *to, const struct seqset *from);
/* Adds first..last; returns how many of them were new. */
uint64_t seqset_add(struct seqset *set, uint64_t first, uint64_t last);
/* Removes first..last; returns how many of them were there. */
uint64_t seqset_remove(struct seqset *set, uint64_t first, uint64_t last);
void seqset_add_all(struct seqset *set, const struct seqset *other);
void seqset_remove_all(struct seqset *set, const struct seqset *other);
/* Adds those of first..last that `other`, which is another set, has. */
void seqset_add_part(struct seqset *set, const struct seqset *other, uint64_t first, uint64_t last);
bool seqset_has(const struct seqset *set, uint64_t number);
/* How many of first..last are members. */
uint64_t seqset_count_in(const struct seqset *set, uint64_t first, uint64_t last);
/* The first run of members inside first..last, cut to it. Returns false if there is none. */
bool seqset_next(const struct seqset *set, uint64_t first, uint64_t last, struct range *found);
/* The first run of non-members inside first..last. Returns false if all are members. */
bool seqset_next_gap(const struct seqset *set, uint64_t first, uint64_t last, struct range *found);
bool seqset_empty(const struct seqset *set);
uint64_t seqset_min(const struct seqset *set); /* 0 if empty */
uint64_t seqset_max(const struct seqset *set); /* 0 if empty */
size_t seqset_memory_bytes(const struct seqset *set);

#endif
