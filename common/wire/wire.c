/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/wire.h"

#include <assert.h>
#include <string.h>

#include "common/wire/fields.h"

static bool kind_known(unsigned kind)
{
    return strcmp(wire_kind_name(kind), "?") != 0;
}

const char *wire_kind_name(unsigned kind)
{
    switch (kind) {
#define X(name, code)                                                                              \
    case code:                                                                                     \
        return &#name[sizeof "KIND_" - 1];
        WIRE_KIND_LIST(X)
#undef X
    default:
        return "?";
    }
}

void wire_begin(struct buf *to, enum wire_kind kind, struct frame_head head)
{
    assert(to->size == 0);
    buf_put_byte(to, (uint8_t)kind);
    buf_put_byte(to, WIRE_VERSION);
    u64_put(to, head.job);
    u64_put(to, head.incarnation);
    u64_put(to, head.session);
}

enum error frame_take(struct bytes message, struct frame_head *head, struct bytes *body)
{
    *head = (struct frame_head){0};
    if (message.size > FRAME_MAX)
        return ERR_TOO_LARGE;
    if (message.size < 2)
        return ERR_TRUNCATED;
    if (!kind_known(message.data[0]))
        return ERR_KIND;
    head->kind = message.data[0];
    if (message.data[1] != WIRE_VERSION)
        return ERR_VERSION;
    struct fields r = fields_of((struct bytes){message.data + 2, message.size - 2});
    head->job = fields_u64(&r);
    head->incarnation = fields_u64(&r);
    head->session = fields_u64(&r);
    *body = fields_rest(&r);
    return r.error;
}
