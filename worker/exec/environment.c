/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/environment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cli/task_variable.h"
#include "common/base/xalloc.h"

enum { OWN_MAX = 5 }; /* the variables that are ours */

struct environment {
    char seq[48];
    char slot[32];
    char attempt[32];
    char *worker;
    char *mark; /* NULL: none */
    char **vector;
};

struct environment *environment_new(const char *worker, const char *mark)
{
    struct environment *environment = xcalloc(1, sizeof *environment);
    environment->worker = xasprintf(TASK_VARIABLE_WORKER "=%s", worker);
    environment->mark = mark ? xstrdup(mark) : NULL;
    size_t inherited = 0;
    while (environ && environ[inherited])
        inherited++;
    char **at = environment->vector = xcalloc(OWN_MAX + inherited + 1, sizeof *environment->vector);
    *at++ = environment->seq;
    *at++ = environment->attempt;
    *at++ = environment->slot;
    *at++ = environment->worker;
    if (mark)
        *at++ = environment->mark;
    for (size_t i = 0; i < inherited; i++)
        if (strncmp(environ[i], "ZFARM_", strlen("ZFARM_")) != 0)
            *at++ = environ[i];
    return environment;
}

void environment_free(struct environment **handle)
{
    struct environment *environment = *handle;
    *handle = NULL;
    if (!environment)
        return;
    free(environment->worker);
    free(environment->mark);
    free(environment->vector);
    free(environment);
}

char *const *environment_for_task(struct environment *environment, uint64_t seq, unsigned slot,
                                  uint32_t tries)
{
    snprintf(environment->seq, sizeof environment->seq, TASK_VARIABLE_SEQ "=%" PRIu64, seq);
    snprintf(environment->attempt, sizeof environment->attempt, TASK_VARIABLE_ATTEMPT "=%" PRIu32,
             tries);
    snprintf(environment->slot, sizeof environment->slot, TASK_VARIABLE_SLOT "=%u", slot);
    return environment->vector;
}

char *const *environment_for_slot(struct environment *environment, unsigned slot)
{
    snprintf(environment->slot, sizeof environment->slot, TASK_VARIABLE_SLOT "=%u", slot);
    return environment->vector + 2;
}
