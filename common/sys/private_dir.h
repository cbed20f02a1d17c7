/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PRIVATE_DIR_H
#define ZFARM_PRIVATE_DIR_H

#include "common/base/endpoint.h"
#include "common/base/error.h"

enum {
    PRIVATE_NAME_MAX = 28 /* bytes that a name in it may have: room for "/lane-" and any number */
};

/* A directory of one run for its unix sockets, which only this user can enter. */
struct private_dir {
    char path[ENDPOINT_PATH_MAX + 1]; /* "": none */
    int lock_fd; /* of the file `owner` in it, locked as long as this process lives */
};

/* Makes `zfarm-PID-XXXXXX`, mode 0700, in the first of $XDG_RUNTIME_DIR, $TMPDIR and /tmp that
 * takes it and leaves room for a socket's name. Before that it removes there what killed
 * runs of this user have left: directories of that name whose `owner` is locked by nobody, and that nobody
 * has changed for 10 s, so that one that is just being made stays. Fails with ERR_TOO_LARGE or ERR_IO; `why` says what
 * to do. */
enum error private_dir_make(struct private_dir *dir, struct why *why);
/* Removes the files in `path` whose names begin with `prefix`. */
void private_dir_sweep(const char *path, const char *prefix);
/* Removes the directory and the files in it; takes one that was never made or is gone. */
void private_dir_remove(struct private_dir *dir);

#endif
