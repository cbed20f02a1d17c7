/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/coprocess_death.h"

#include <sys/wait.h>

void coprocess_death_of_task(struct coprocess_slot *slot, int status, struct outcome *outcome)
{
    static const char silent[] =
        "zfarm: the coprocess ended with status 0 before it had answered this task\n";
    static const char closed[] =
        "zfarm: the coprocess closed its output in the middle of this task\n";
    const char *words = "";
    outcome->own_end = !slot->killed;
    if (slot->killed == COPROCESS_TIMEOUT) {
        outcome->status = RESULT_TIMED_OUT;
    } else if (slot->killed == COPROCESS_TOO_LARGE) {
        outcome->status = RESULT_OUTPUT_TOO_LARGE;
        outcome->out = capture_take(&slot->answer);
    } else if (slot->killed == COPROCESS_CLOSED) {
        outcome->status = RESULT_EXITED;
        outcome->code = 255;
        words = closed;
    } else if (WIFSIGNALED(status)) {
        outcome->status = RESULT_SIGNALED;
        outcome->code = (unsigned)WTERMSIG(status);
    } else {
        outcome->status = RESULT_EXITED;
        outcome->code = WEXITSTATUS(status) ? (unsigned)WEXITSTATUS(status) : 255;
        words = WEXITSTATUS(status) ? "" : silent;
    }
    struct bytes err = bytes_of(words);
    outcome->err = (struct output){.bytes = err, .fd = -1, .size = err.size};
}

void coprocess_death_in_words(const struct coprocess_slot *slot, const char *path, int status,
                              struct why *why)
{
    static const char words[] = "before it had answered a task; it has to write one line for each "
                                "that it reads, and to flush it";
    if (slot->killed == COPROCESS_UNASKED)
        fail(why, ERR_INVALID,
             "%s wrote a line that nobody had asked for: it has to write exactly one for each that "
             "it reads; answers of the tasks before may be those of others",
             path);
    else if (WIFSIGNALED(status))
        fail(why, ERR_IO, "%s was ended by signal %d %s", path, WTERMSIG(status), words);
    else
        fail(why, ERR_IO, "%s ended with status %d %s", path, WEXITSTATUS(status), words);
}
