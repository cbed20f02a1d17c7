/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_DECODED_H
#define ZFARM_DECODED_H

#include <assert.h>

#include "common/wire/wire.h"

/* Room for the struct of any layout. */
union decoded {
    uint64_t words[64];
    uint8_t bytes[512];
};

/* layout_take into zeros. layout_free is due. */
static inline enum error decoded_take(union decoded *m, const struct layout *layout,
                                      struct bytes body)
{
    assert(layout->size <= sizeof *m);
    *m = (union decoded){0};
    return layout_take(body, layout, m);
}

#endif
