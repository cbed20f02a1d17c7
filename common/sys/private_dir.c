/* SPDX-License-Identifier: MPL-2.0 */
#include "common/sys/private_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char owner_name[] = "owner";

enum { NEW_S = 10 /* one that is younger may be in the making */, DEPTH_MAX = 4 };

/* Opens a directory of ours to which nobody else has access; -1: it is none. */
static int open_ours(int parent, const char *name, time_t *changed)
{
    struct stat st;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0) {
        *changed = st.st_mtime;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Removes what is in the directory `fd`, which it closes, and below. */
static void empty(int fd, int depth)
{
    time_t ignored;
    DIR *files = fdopendir(fd);
    if (!files) {
        close(fd);
        return;
    }
    for (struct dirent *file; (file = readdir(files));) {
        if (strcmp(file->d_name, ".") == 0 || strcmp(file->d_name, "..") == 0 ||
            unlinkat(dirfd(files), file->d_name, 0) == 0 || depth == DEPTH_MAX)
            continue;
        int below = open_ours(dirfd(files), file->d_name, &ignored);
        if (below < 0)
            continue;
        empty(below, depth + 1);
        unlinkat(dirfd(files), file->d_name, AT_REMOVEDIR);
    }
    closedir(files);
}

/* Whether the process that made it is gone: it would hold the lock. `fd` is then the lock, for the
 * moment of the removal, so that two who remove do not meet. */
static bool is_left_over(int directory, time_t changed, int *fd)
{
    *fd = openat(directory, owner_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*fd >= 0 && time(NULL) - changed >= NEW_S && flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (*fd >= 0)
        close(*fd);
    return false;
}

static bool has_our_name(const char *name)
{
    char *end;
    return strncmp(name, "zfarm-", 6) == 0 && strtol(name + 6, &end, 10) > 0 && end[0] == '-' &&
           strlen(end) == strlen("-XXXXXX");
}

static void remove_left_over(const char *parent)
{
    DIR *names = opendir(parent);
    if (!names)
        return;
    for (struct dirent *d; (d = readdir(names));) {
        time_t changed;
        int lock_fd,
            fd = has_our_name(d->d_name) ? open_ours(dirfd(names), d->d_name, &changed) : -1;
        if (fd < 0)
            continue;
        if (!is_left_over(fd, changed, &lock_fd)) {
            close(fd);
            continue;
        }
        empty(fd, 0);
        unlinkat(dirfd(names), d->d_name, AT_REMOVEDIR);
        close(lock_fd);
    }
    closedir(names);
}

/* Without a lock, where locks are not to be had, there is no file either, and nobody else removes it. */
static void private_dir_lock(struct private_dir *dir)
{
    char path[sizeof dir->path + sizeof owner_name];
    snprintf(path, sizeof path, "%s/%s", dir->path, owner_name);
    dir->lock_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (dir->lock_fd < 0 || flock(dir->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return;
    unlink(path);
    close(dir->lock_fd);
    dir->lock_fd = -1;
}

static enum error make_in(struct private_dir *dir, const char *parent, struct why *why)
{
    const size_t room = sizeof dir->path - PRIVATE_NAME_MAX;
    int size = snprintf(dir->path, room, "%s/zfarm-%ld-XXXXXX", parent, (long)getpid());
    enum error error = ERR_NONE;
    if (size < 0 || (size_t)size >= room)
        error =
            fail(why, ERR_TOO_LARGE,
                 "the directory \"%.200s\" is too long a name to hold unix sockets; set TMPDIR to "
                 "a shorter one",
                 parent);
    else if (!mkdtemp(dir->path))
        error = fail(why, ERR_IO,
                     "cannot make a directory for sockets in %s: %s; set TMPDIR to one that can be "
                     "written",
                     parent, strerror(errno));
    if (error)
        dir->path[0] = '\0';
    else
        private_dir_lock(dir);
    return error;
}

enum error private_dir_make(struct private_dir *dir, struct why *why)
{
    const char *parents[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
    enum error error = ERR_IO;
    for (size_t i = 0; i < sizeof parents / sizeof *parents && error; i++)
        if (parents[i] && parents[i][0] == '/') {
            remove_left_over(parents[i]);
            error = make_in(dir, parents[i], why);
        }
    return error;
}

void private_dir_sweep(const char *path, const char *prefix)
{
    DIR *files = opendir(path);
    if (!files)
        return;
    for (struct dirent *file; (file = readdir(files));)
        if (strncmp(file->d_name, prefix, strlen(prefix)) == 0)
            unlinkat(dirfd(files), file->d_name, 0);
    closedir(files);
}

void private_dir_remove(struct private_dir *dir)
{
    if (!dir->path[0])
        return;
    private_dir_sweep(dir->path, "");
    rmdir(dir->path);
    if (dir->lock_fd >= 0)
        close(dir->lock_fd);
    dir->path[0] = '\0';
}
