/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/interrupts/blow.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/splitmix.h"

static const char *const states[] = {
    "starting the ventilator",
    "starting the worker",
    "starting the sink",
    "running",
    "stopping",
    "closing",
};
enum { STATES = sizeof states / sizeof *states, STOPPING_STATE = 4 };

struct blow blow_plan(uint64_t seed, uint64_t whole_us)
{
    uint64_t random = seed;
    struct blow blow = {.signal = SIGKILL};
    uint64_t kind = splitmix_next(&random) % 20;
    if (kind < 10) { /* the farm */
        static const int numbers[] = {SIGTERM, SIGTERM, SIGINT, SIGHUP, SIGKILL};
        blow.signal = numbers[splitmix_next(&random) % 5];
        if (kind < 3) {
            blow.second = SIGTERM;
            blow.second_us = 10000 + splitmix_next(&random) % 90000;
        }
    } else {
        blow.victim = (enum victim)(VICTIM_VENTILATOR + (kind - 10) % 3);
    }
    if (splitmix_next(&random) % 2) {
        blow.after_us = splitmix_next(&random) % whole_us;
        return blow;
    }
    /* Nobody stops it before it is struck. */
    uint64_t state = splitmix_next(&random) % (STATES - 1);
    blow.state = states[state >= STOPPING_STATE ? state + 1 : state];
    blow.after_us = splitmix_next(&random) % 3 ? splitmix_next(&random) % 20000 : 0;
    return blow;
}

static const char *victim_name(enum victim victim)
{
    static const char *const names[] = {"farm", "ventilator", "worker", "sink"};
    return names[victim];
}

void blow_describe(const struct blow *blow, char text[static 200])
{
    char second[64] = "";
    if (blow->second)
        snprintf(second, sizeof second, ", %s %.1f ms later", sigabbrev_np(blow->second),
                 (double)blow->second_us / 1000);
    snprintf(text, 200, "%s to the %s, %.1f ms after %s%s", sigabbrev_np(blow->signal),
             victim_name(blow->victim), (double)blow->after_us / 1000,
             blow->state ? blow->state : "its first instruction", second);
}

/* The parent and the name of a process, as /proc/PID/stat has them. */
static bool read_stat(const char *pid, pid_t *parent, char name[static 32])
{
    char path[300], line[512];
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool fine = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    char *begin = fine ? strchr(line, '(') : NULL, *end = fine ? strrchr(line, ')') : NULL;
    if (!begin || !end)
        return false;
    *end = '\0';
    snprintf(name, 32, "%s", begin + 1);
    return sscanf(end + 1, " %*c %d", parent) == 1;
}

pid_t blow_target(const struct blow *blow, pid_t farm)
{
    if (blow->victim == VICTIM_FARM)
        return farm;
    char wanted[32], name[32];
    snprintf(wanted, sizeof wanted, "zfarm-%s", victim_name(blow->victim));
    wanted[15] = '\0'; /* the kernel keeps so much of a name */
    pid_t found = 0, parent;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && !found && (entry = readdir(proc));)
        if (read_stat(entry->d_name, &parent, name) && parent == farm && strcmp(name, wanted) == 0)
            found = (pid_t)atol(entry->d_name);
    if (proc)
        closedir(proc);
    return found;
}
