/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_TASKS_H
#define ZFARM_TASKS_H

#include "common/input/source.h"

/* Called for each task in turn; `task` is valid during the call. NULL: it is longer than task_max and
 * was not kept. ERR_NONE: go on. */
typedef enum error tasks_fn(void *context, uint64_t seq, const struct task *task, struct why *why);

/* Reads all tasks of an input, as the ventilator would, and waits for them. Returns what source_open or
 * `take` returned, or ERR_IO; with words. */
enum error tasks_read(const struct source_options *options, tasks_fn *take, void *context,
                      struct why *why);

#endif
