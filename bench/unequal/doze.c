/* SPDX-License-Identifier: MPL-2.0 */

/* A plugin: each task takes as long as the worker's own speed says, which is the plugin's one
 * argument, in seconds. Its result is the task. */
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <zfarm/plugin.h>

ZFARM_PLUGIN;

static struct timespec length;

int zfarm_init(int argc, char **argv, int slot, void **state)
{
    (void)slot, (void)state;
    double seconds = argc == 1 ? atof(argv[0]) : -1;
    if (seconds < 0) {
        fprintf(stderr, "doze: its argument is the seconds that a task takes\n");
        return 1;
    }
    length.tv_sec = (time_t)seconds;
    length.tv_nsec = (long)((seconds - (double)length.tv_sec) * 1e9);
    prctl(PR_SET_TIMERSLACK, 1);
    return 0;
}

int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out,
                 struct zfarm_reply *err)
{
    (void)state, (void)err;
    nanosleep(&length, NULL);
    zfarm_append(out, task->data, task->size);
    zfarm_append(out, "\n", 1);
    return 0;
}
