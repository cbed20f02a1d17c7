/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SAID_H
#define ZFARM_SAID_H

#include <inttypes.h>

#include "common/wire/print.h"

/* What the rigs write down of messages. Most are written whole, by wire_print_body; a rig has shorter words for those
 * that come often, or of which a test has to see a part only. */
static inline void said_ranges(struct buf *to, const struct seqset *set)
{
    for (size_t i = 0; i < set->count; i++) {
        struct range r = set->ranges[i];
        buf_printf(to, "%s%" PRIu64, i ? "," : "", r.first);
        if (r.last > r.first)
            buf_printf(to, "-%" PRIu64, r.last);
    }
}

#endif
