/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_TASK_VARIABLE_H
#define ZFARM_TASK_VARIABLE_H

#include <stdbool.h>

/* The variables that a task finds in its environment. None of them is ever read as an option
 * (common/cli/options.h), so that a zfarm that a task runs is not told by the one that runs the task. */
#define TASK_VARIABLE_SEQ "ZFARM_SEQ"
#define TASK_VARIABLE_ATTEMPT "ZFARM_ATTEMPT"
#define TASK_VARIABLE_SLOT "ZFARM_SLOT"
#define TASK_VARIABLE_WORKER "ZFARM_WORKER"
#define TASK_VARIABLE_MARK "ZFARM_MARK" /* the guard's */

/* Whether `name` is one of them. */
bool task_variable_is(const char *name);

#endif
