/* SPDX-License-Identifier: MPL-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "worker/exec/guard.h"
#include "worker/exec/guard_order.h"
#include "worker/exec/processes.h"

enum {
    PIPE = 0,
    SWEEPS_MAX = 100,
    SWEEP_PAUSE_MS = 10,
};

struct group {
    pid_t id;
    bool noted;          /* start_time has been looked up */
    uint64_t start_time; /* of its leader, in clock ticks since boot; 0: it was gone */
};

struct watchman {
    const char *mark;
    struct buf orders; /* read and not yet obeyed: a part of one */
    struct buf groups; /* struct group */
    struct buf environment;
};

static void guard_main_read_file(const char *path, struct buf *content, size_t size_max)
{
    buf_clear(content);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    ssize_t size = 1;
    while (size > 0 && content->size < size_max) {
        size = read(file, buf_reserve(content, 4096), 4096);
        if (size > 0)
            content->size += (size_t)size;
    }
    close(file);
}

/* Field 22 of /proc/PID/stat, counted from behind the name, which may hold anything. */
static uint64_t start_time(pid_t pid, struct buf *scratch)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    guard_main_read_file(path, scratch, 4096);
    buf_put_byte(scratch, '\0');
    char *at = strrchr((char *)scratch->data, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

static struct group *groups_end(struct watchman *watchman)
{
    return (struct group *)(void *)(watchman->groups.data + watchman->groups.size);
}

static struct group *groups_begin(struct watchman *watchman)
{
    return (struct group *)(void *)watchman->groups.data;
}

static void forget_group(struct watchman *watchman, pid_t id)
{
    for (struct group *group = groups_begin(watchman); group < groups_end(watchman); group++)
        if (group->id == id) {
            *group = groups_end(watchman)[-1];
            watchman->groups.size -= sizeof *group;
            return;
        }
}

/* Returns false at a goodbye. */
static bool obey(struct watchman *watchman)
{
    size_t done = 0;
    guard_order order;
    for (; watchman->orders.size - done >= sizeof order; done += sizeof order) {
        memcpy(&order, watchman->orders.data + done, sizeof order);
        if (order == GUARD_GOODBYE)
            return false;
        struct group group = {.id = order};
        if (order > 0)
            buf_put(&watchman->groups, &group, sizeof group);
        else
            forget_group(watchman, -order);
    }
    buf_drop_front(&watchman->orders, done);
    return true;
}

static void note_start_times(struct watchman *watchman)
{
    for (struct group *group = groups_begin(watchman); group < groups_end(watchman); group++)
        if (!group->noted) {
            group->noted = true;
            group->start_time = start_time(group->id, &watchman->environment);
        }
}

/* A group's number is not given away while one of its processes lives. So when its leader is there,
 * it is either the one that we noted, or the whole group was gone and the number is another's now.
 */
static void kill_groups(struct watchman *watchman)
{
    for (struct group *group = groups_begin(watchman); group < groups_end(watchman); group++) {
        uint64_t now = start_time(group->id, &watchman->environment);
        if (now == 0 || now == group->start_time)
            kill(-group->id, SIGKILL);
    }
}

static bool is_marked(struct watchman *watchman, pid_t pid)
{
    return process_is_marked(pid, watchman->mark, &watchman->environment);
}

/* Looks twice, the second time with a handle on the process: its number may have changed hands. */
static bool kill_marked(struct watchman *watchman, pid_t pid)
{
    if (!is_marked(watchman, pid))
        return false;
    int process = pidfd_open(pid, 0);
    if (process < 0)
        return false;
    bool ours = is_marked(watchman, pid);
    if (ours)
        pidfd_send_signal(process, SIGKILL, NULL, 0);
    close(process);
    return ours;
}

/* Returns whether there was any. */
static bool sweep(struct watchman *watchman)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return false;
    bool found = false;
    for (struct dirent *entry; (entry = readdir(proc));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0)
            found |= kill_marked(watchman, pid);
    }
    closedir(proc);
    return found;
}

/* Again until nothing is found twice in a row: a process may start another while we look, and while it
 * is becoming another program its environment cannot be read. */
static void kill_all(struct watchman *watchman)
{
    kill_groups(watchman);
    for (int i = 0, quiet = 0; i < SWEEPS_MAX && quiet < 2; i++) {
        quiet = sweep(watchman) ? 0 : quiet + 1;
        if (quiet < 2)
            poll(NULL, 0, SWEEP_PAUSE_MS);
    }
}

/* Returns false at the pipe's end. Blocks. */
static bool read_orders(struct watchman *watchman)
{
    enum { CHUNK = 64 << 10 };
    ssize_t size;
    do
        size = read(PIPE, buf_reserve(&watchman->orders, CHUNK), CHUNK);
    while (size < 0 && errno == EINTR);
    if (size <= 0)
        return false;
    watchman->orders.size += (size_t)size;
    return true;
}

static void nap_until_end(void)
{
    struct pollfd end = {.fd = PIPE, .events = 0};
    poll(&end, 1, GUARD_NAP_MS);
}

int guard_main(int argc, char **argv)
{
    if (argc < 3)
        return 255;
    close_range(PIPE + 1, ~0U, 0);
    if (chdir("/"))
        return 255;
    struct watchman watchman = {.mark = argv[2]};
    bool goodbye = false;
    while (!goodbye && read_orders(&watchman)) {
        goodbye = !obey(&watchman);
        note_start_times(&watchman);
        if (!goodbye)
            nap_until_end();
    }
    if (!goodbye)
        kill_all(&watchman);
    buf_free(&watchman.orders);
    buf_free(&watchman.groups);
    buf_free(&watchman.environment);
    return 0;
}
