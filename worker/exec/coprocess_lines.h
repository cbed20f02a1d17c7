/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_COPROCESS_LINES_H
#define ZFARM_COPROCESS_LINES_H

#include "worker/exec/coprocess_slot.h"

/* Tasks as the lines that a coprocess reads. They wait in the slot's `lines` until they are written. */

enum { COPROCESS_LINES_MAX = 1 << 16 }; /* bytes: when so many wait no more are made */

/* Makes the line of the slot's next task, which must be there, and takes it off `rest`. Returns false when there
 * can be none: it would be more than one, or the task is cancelled. */
bool coprocess_lines_put(const struct coprocess_shared *shared, struct coprocess_slot *slot);
/* Ends the next task as one of which no line can be made. */
void coprocess_lines_refuse(const struct coprocess_shared *shared, struct coprocess_slot *slot);
/* Drops all that was made. Frees the buffer if one large line grew it. */
void coprocess_lines_clear(struct coprocess_slot *slot);
/* How many lines end within `bytes`; `end` is what ends one. */
size_t coprocess_lines_count(struct bytes bytes, uint8_t end);

#endif
