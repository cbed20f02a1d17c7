/* SPDX-License-Identifier: MPL-2.0 */
#include "common/sys/beacon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/xalloc.h"

static const char name[] = "beacon";

enum { CONTENT_MAX = ENDPOINT_TEXT_SIZE + 24 };

/* As a program on this machine connects to it, from whatever directory. */
static void reachable(const char *bound, char text[static ENDPOINT_TEXT_SIZE])
{
    struct endpoint endpoint;
    char here[PATH_MAX];
    snprintf(text, ENDPOINT_TEXT_SIZE, "%s", bound);
    if (endpoint_parse(bound, ENDPOINT_BIND, &endpoint, NULL))
        return;
    if (!endpoint.ipc && endpoint_is_wildcard(&endpoint)) {
        endpoint_set_host(&endpoint, "127.0.0.1", NULL);
        endpoint_format(&endpoint, text);
    } else if (endpoint.ipc && endpoint.path[0] != '/' && getcwd(here, sizeof here)) {
        char *path = xasprintf("ipc://%s/%s", here, endpoint.path);
        if (strlen(path) < ENDPOINT_TEXT_SIZE)
            snprintf(text, ENDPOINT_TEXT_SIZE, "%s", path);
        free(path);
    }
}

enum error beacon_light(const struct private_dir *dir, const char *bound, pid_t parent,
                        struct why *why)
{
    char text[ENDPOINT_TEXT_SIZE], content[CONTENT_MAX];
    reachable(bound, text);
    int size = snprintf(content, sizeof content, "%s\n%ld\n", text, (long)parent);
    char *path = xasprintf("%s/%s", dir->path, name);
    enum error error = ERR_NONE;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, content, (size_t)size) != size)
        error = fail(why, ERR_IO,
                     "cannot write %s: %s; zfarm why needs --connect to find this ventilator", path,
                     strerror(errno));
    if (fd >= 0)
        close(fd);
    free(path);
    return error;
}

/* ---- finding ---- */

/* Reads a file of ours in a directory that nobody else can write to. */
static bool read_beacon(int parent, const char *directory, struct beacon *beacon)
{
    struct stat st;
    char content[CONTENT_MAX];
    int dir = openat(parent, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return false;
    bool ours = fstat(dir, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
    int fd = ours ? openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    close(dir);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, content, sizeof content - 1);
    close(fd);
    if (size <= 0)
        return false;
    content[size] = '\0';
    char *end = strchr(content, '\n');
    if (!end || end - content >= ENDPOINT_TEXT_SIZE)
        return false;
    *end = '\0';
    memcpy(beacon->endpoint, content, (size_t)(end - content) + 1);
    beacon->parent = (pid_t)strtol(end + 1, NULL, 10);
    return true;
}

/* The pid in zfarm-PID-XXXXXX, if that process is there and ours; else 0. */
static pid_t living_owner(const char *directory)
{
    static const char prefix[] = "zfarm-";
    char *end;
    if (strncmp(directory, prefix, strlen(prefix)) != 0)
        return 0;
    long pid = strtol(directory + strlen(prefix), &end, 10);
    return *end == '-' && pid > 0 && pid <= INT_MAX && kill((pid_t)pid, 0) == 0 ? (pid_t)pid : 0;
}

static bool beacon_is_known(const struct beacons *found, const struct beacon *beacon)
{
    for (size_t i = 0; i < found->count; i++)
        if (found->items[i].pid == beacon->pid &&
            strcmp(found->items[i].endpoint, beacon->endpoint) == 0)
            return true;
    return false;
}

static void find_in(struct beacons *found, const char *path)
{
    DIR *directories = opendir(path);
    if (!directories)
        return;
    for (struct dirent *d; (d = readdir(directories));) {
        struct beacon beacon = {.pid = living_owner(d->d_name)};
        if (!beacon.pid || !read_beacon(dirfd(directories), d->d_name, &beacon) ||
            beacon_is_known(found, &beacon))
            continue;
        found->items = xrealloc(found->items, (found->count + 1) * sizeof *found->items);
        found->items[found->count++] = beacon;
    }
    closedir(directories);
}

static int by_pid(const void *a, const void *b)
{
    const struct beacon *one = a, *other = b;
    return (one->pid > other->pid) - (one->pid < other->pid);
}

void beacons_find(struct beacons *found)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *temporary = getenv("TMPDIR");
    if (runtime && runtime[0] == '/')
        find_in(found, runtime);
    find_in(found, temporary && temporary[0] == '/' ? temporary : "/tmp");
    if (found->count)
        qsort(found->items, found->count, sizeof *found->items, by_pid);
}

void beacons_free(struct beacons *found)
{
    free(found->items);
    *found = (struct beacons){0};
}
