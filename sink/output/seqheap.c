/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/seqheap.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

static uint64_t seq_at(const uint8_t *heap, size_t width, size_t i)
{
    uint64_t seq;
    memcpy(&seq, heap + i * width, sizeof seq);
    return seq;
}

static void seqheap_swap(uint8_t *heap, size_t width, size_t a, size_t b)
{
    uint8_t kept[SEQHEAP_WIDTH_MAX];
    memcpy(kept, heap + a * width, width);
    memcpy(heap + a * width, heap + b * width, width);
    memcpy(heap + b * width, kept, width);
}

void seqheap_sift_up(void *elements, size_t width, size_t count)
{
    assert(count > 0 && width <= SEQHEAP_WIDTH_MAX);
    uint8_t *heap = elements;
    size_t i = count - 1;
    while (i > 0 && seq_at(heap, width, i) < seq_at(heap, width, (i - 1) / 2)) {
        seqheap_swap(heap, width, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

void seqheap_sift_down(void *elements, size_t width, size_t count)
{
    assert(width <= SEQHEAP_WIDTH_MAX);
    uint8_t *heap = elements;
    for (size_t i = 0, child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && seq_at(heap, width, child + 1) < seq_at(heap, width, child))
            child++;
        if (seq_at(heap, width, i) <= seq_at(heap, width, child))
            return;
        seqheap_swap(heap, width, i, child);
    }
}
