/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_COPROCESS_DEATH_H
#define ZFARM_COPROCESS_DEATH_H

#include "worker/exec/coprocess_slot.h"

/* What a coprocess's death means: to the task that it was at, and to users. `status` is waitpid's; why it was
 * killed, if it was, stands in the slot. */

/* Fills in status, code, own_end, out and err of `outcome`. What was captured stays the slot's, and other bytes
 * need no owner. */
void coprocess_death_of_task(struct coprocess_slot *slot, int status, struct outcome *outcome);

/* Says how a child ended that had not answered a task, or that wrote a line nobody had asked for. `path` is
 * COMMAND's. */
void coprocess_death_in_words(const struct coprocess_slot *slot, const char *path, int status,
                              struct why *why);

#endif
