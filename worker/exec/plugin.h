/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WORKER_PLUGIN_H
#define ZFARM_WORKER_PLUGIN_H

#include "worker/exec/executor.h"

/* The executor of --plugin FILE.so: one child process per slot that has the plugin loaded
 * (plugin_host.h), fed with whole assignments of up to 4,096 tasks.
 *
 * A task that crashes the plugin, ends its process or runs out of time is one failed task: what the
 * child had finished before is finished, what lay behind is returned, and a fresh child is started.
 * What lies behind a task that takes long is returned as well, since others may be free for it.
 * A task whose cancel arrives while it waits in the child is let run, if it comes to that before
 * the next look (50 ms), and its result dropped: it ends in cancelled all the same.
 *
 * `broken` is called when a slot's plugin cannot be made ready: at once when it cannot be loaded,
 * after three tries, 0.1 and 0.2 s apart, when zfarm_init fails or the process dies three times
 * without having ended a task. Assignments that the slot is given after that are returned at once.
 *
 * It takes `plugin` (as dlopen takes it, but a name without a slash is one in this directory), `words` (for
 * zfarm_init; NULL: none) and `program`. executor_new starts the children and waits until the first has loaded the
 * plugin, so that a file which is none is an error here, before any task is taken: usually some milliseconds, 10 s at
 * most. It does not wait for zfarm_init. executor_destroy gives idle plugins a second for their zfarm_destroy.
 *
 * ERR_INVALID, ERR_IO, with words: the file is no plugin, or no process was to be had. Then nothing
 * is left running.
 *
 * Owns the link to each child (plugin_child.h). Decides when a child gets its next batch, and what of its results is
 * believed. executor.c calls it; it calls child.h and plugin_child.h. */
extern const struct executor_kind plugin_kind;

#endif
