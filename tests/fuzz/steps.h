/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_STEPS_H
#define ZFARM_STEPS_H

#include "common/base/bytes.h"
#include "common/base/seqset.h"

/* The input of a fuzzer that drives a core: a list of steps, an octet for what happens and more for
 * the rest. Behind the end there are zeros. */
struct steps {
    const uint8_t *at;
    const uint8_t *end;
};

static inline unsigned next_octet(struct steps *s)
{
    return s->at < s->end ? *s->at++ : 0;
}

/* So many octets, or what is left. */
static inline struct bytes next_octets(struct steps *s, size_t size)
{
    if (size > (size_t)(s->end - s->at))
        size = (size_t)(s->end - s->at);
    struct bytes octets = {s->at, size};
    s->at += size;
    return octets;
}

/* A size in two octets, and as many. */
static inline struct bytes next_frame(struct steps *s)
{
    size_t size = next_octet(s);
    size = size << 8 | next_octet(s);
    return next_octets(s, size);
}

/* An octet for the first number, and one of whose bits each stands for one from there on. */
static inline void next_set(struct steps *s, struct seqset *set)
{
    unsigned first = next_octet(s) + 1, bits = next_octet(s);
    for (unsigned i = 0; i < 8; i++)
        if (bits >> i & 1)
            seqset_add(set, first + i, first + i);
}

#endif
