/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/task_variable.h"

#include <stddef.h>
#include <string.h>

bool task_variable_is(const char *name)
{
    static const char *const names[] = {TASK_VARIABLE_SEQ, TASK_VARIABLE_ATTEMPT,
                                        TASK_VARIABLE_SLOT, TASK_VARIABLE_WORKER,
                                        TASK_VARIABLE_MARK};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}
