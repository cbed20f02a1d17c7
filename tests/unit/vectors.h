/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_VECTORS_H
#define ZFARM_VECTORS_H

#include "tests/unit/wire_messages.h"

/* A line of JSON for octets: what the codec makes of them, or why it refuses them (tests/vectors/README.md). */
void vector_message(struct buf *to, struct bytes message);
void vector_task(struct buf *to, struct bytes record);

#endif
