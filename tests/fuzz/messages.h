/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_MESSAGES_H
#define ZFARM_MESSAGES_H

#include "tests/decoded.h"

/* Whether a peer could read what a core has made. Of TASKS and RESULTS only the head is looked at. */
static inline bool message_is_sound(struct bytes message)
{
    struct frame_head head;
    struct bytes body;
    uint64_t batch;
    struct results_head results;
    union decoded m;
    if (frame_take(message, &head, &body))
        return false;
    if (head.kind == KIND_TASKS)
        return !tasks_take(body, &batch, &body);
    if (head.kind == KIND_RESULTS)
        return !results_take(body, &results, &body);
    const struct layout *layout = wire_layout(head.kind, body);
    bool good = layout && !decoded_take(&m, layout, body);
    if (layout)
        layout_free(layout, &m);
    return good;
}

#endif
