/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/program.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/xalloc.h"

/* Returns 0, or the errno that says why `path` is no program. */
static int look_at(const char *path)
{
    struct stat about;
    if (stat(path, &about))
        return errno;
    if (S_ISDIR(about.st_mode))
        return EISDIR;
    return access(path, X_OK) ? errno : 0;
}

static enum error find_at(const char *name, char **path, struct why *why)
{
    int error = look_at(name);
    if (error == ENOENT || error == ENOTDIR)
        return fail(why, ERR_NOT_FOUND, "the command %s does not exist", name);
    if (error)
        return fail(why, ERR_ACCESS, "the command %s cannot be executed: %s", name,
                    strerror(error));
    *path = xstrdup(name);
    return ERR_NONE;
}

static const char *search_path(void)
{
    const char *path = getenv("PATH");
    return path ? path : "/usr/local/bin:/usr/bin:/bin";
}

enum error program_find(const char *name, char **path, struct why *why)
{
    if (strchr(name, '/'))
        return find_at(name, path, why);
    const char *at = search_path();
    bool forbidden = false;
    for (bool more = *name; more; at++) {
        size_t size = strcspn(at, ":");
        char *candidate = xasprintf("%.*s/%s", size ? (int)size : 1, size ? at : ".", name);
        int error = look_at(candidate);
        if (!error) {
            *path = candidate;
            return ERR_NONE;
        }
        forbidden |= error == EACCES;
        free(candidate);
        at += size;
        more = *at;
    }
    if (forbidden)
        return fail(why, ERR_ACCESS, "the command %s is on PATH, but cannot be executed", name);
    return fail(why, ERR_NOT_FOUND, "the command %s is not on PATH (%s)", name, search_path());
}
