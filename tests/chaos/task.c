/* SPDX-License-Identifier: MPL-2.0 */

/* The task of the chaos, a plugin: FILE MICROSECONDS FAIL_EVERY. It appends a struct effect to FILE,
 * takes its time, gives back what it was given, and fails if its number divides by FAIL_EVERY (0: never). */
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zfarm/plugin.h>

#include "tests/chaos/effect.h"

ZFARM_PLUGIN;

static struct {
    int file;
    long microseconds;
    uint64_t fail_every;
    int32_t worker_pid;
} chaos;

int zfarm_init(int argc, char **argv, int slot, void **state)
{
    (void)slot, (void)state;
    if (argc != 3)
        return 1;
    chaos.file = open(argv[0], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    chaos.microseconds = strtol(argv[1], NULL, 10);
    chaos.fail_every = strtoull(argv[2], NULL, 10);
    chaos.worker_pid = getppid();
    return chaos.file < 0;
}

int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out,
                 struct zfarm_reply *err)
{
    (void)state, (void)err;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct effect effect = {.seq = task->seq,
                            .begin_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
                            .slot_pid = getpid(),
                            .worker_pid = chaos.worker_pid,
                            .attempt = task->attempt};
    if (write(chaos.file, &effect, sizeof effect) != sizeof effect)
        return 99;
    struct timespec pause = {.tv_sec = chaos.microseconds / 1000000,
                             .tv_nsec = chaos.microseconds % 1000000 * 1000};
    if (chaos.microseconds)
        nanosleep(&pause, NULL);
    zfarm_append(out, task->data, task->size);
    zfarm_append(out, "\n", 1);
    return chaos.fail_every && task->seq % chaos.fail_every == 0;
}
