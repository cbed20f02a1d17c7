/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PLUGIN_DEATH_H
#define ZFARM_PLUGIN_DEATH_H

#include "common/base/error.h"
#include "worker/exec/executor.h"

/* What a plugin child's death means: to the task that it was at, and to users. These fill in
 * status, code, out and err of an outcome, with bytes that need no owner. */

/* `status` is waitpid's. A plugin that ends its process with 0 has not done its task either. */
void plugin_death_by_itself(struct outcome *outcome, int status);
void plugin_death_for_time(struct outcome *outcome); /* we killed it: --timeout */
void plugin_death_for_nonsense(
    struct outcome *outcome); /* we killed it: it wrote over what is ours */

/* Says how a child ended that had not ended a task; `starting`: that was not even ready. */
void plugin_death_in_words(struct why *why, const char *file, int status, bool starting);

#endif
