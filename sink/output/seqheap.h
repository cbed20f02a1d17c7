/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_SEQHEAP_H
#define ZFARM_SINK_SEQHEAP_H

#include <stddef.h>

/* A binary heap in an array, with the smallest task number first. An element is a struct of `width`
 * bytes, at most SEQHEAP_WIDTH_MAX, whose first member is its number (uint64_t). A sorted array is
 * a heap already. */
enum { SEQHEAP_WIDTH_MAX = 128 };

/* After an element was appended: the last of `count` takes its place. */
void seqheap_sift_up(void *elements, size_t width, size_t count);
/* After the first was replaced: it takes its place among `count`. */
void seqheap_sift_down(void *elements, size_t width, size_t count);

#endif
