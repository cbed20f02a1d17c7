/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/plugin_death.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static void plugin_death_fill(struct outcome *outcome, enum result_status status, unsigned code,
                              const char *words)
{
    struct bytes err = bytes_of(words);
    outcome->status = status;
    outcome->code = code;
    outcome->out = (struct output){.fd = -1};
    outcome->err = (struct output){.bytes = err, .fd = -1, .size = err.size};
}

void plugin_death_by_itself(struct outcome *outcome, int status)
{
    outcome->own_end = true;
    if (WIFSIGNALED(status))
        plugin_death_fill(outcome, RESULT_SIGNALED, (unsigned)WTERMSIG(status), "");
    else if (WEXITSTATUS(status))
        plugin_death_fill(outcome, RESULT_EXITED, (unsigned)WEXITSTATUS(status), "");
    else
        plugin_death_fill(
            outcome, RESULT_EXITED, 255,
            "zfarm: the plugin ended its process with status 0 in the middle of this task\n");
}

void plugin_death_for_time(struct outcome *outcome)
{
    plugin_death_fill(outcome, RESULT_TIMED_OUT, 0, "");
}

void plugin_death_for_nonsense(struct outcome *outcome)
{
    plugin_death_fill(
        outcome, RESULT_SIGNALED, SIGKILL,
        "zfarm: the plugin was killed in or after this task, because it wrote over the worker's "
        "memory or descriptors\n");
}

void plugin_death_in_words(struct why *why, const char *file, int status, bool starting)
{
    const char *when =
        starting ? "while it was loaded or in its zfarm_init" : "before it had ended a task";
    if (WIFSIGNALED(status))
        fail(why, ERR_IO, "the plugin %s was ended by signal %d (%s) %s", file, WTERMSIG(status),
             strsignal(WTERMSIG(status)), when);
    else
        fail(why, ERR_IO, "the plugin %s ended its process with status %d %s", file,
             WEXITSTATUS(status), when);
}
