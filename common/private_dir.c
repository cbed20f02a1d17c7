/* SPDX-License-Identifier: MPL-2.0 */
#include "common/private_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    return error;
}

enum error private_dir_make(struct private_dir *dir, struct why *why)
{
    const char *parents[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
    enum error error = ERR_IO;
    for (size_t i = 0; i < sizeof parents / sizeof *parents && error; i++)
        if (parents[i] && parents[i][0] == '/')
            error = make_in(dir, parents[i], why);
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
    dir->path[0] = '\0';
}
