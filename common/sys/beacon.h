/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_BEACON_H
#define ZFARM_BEACON_H

#include <sys/types.h>

#include "common/sys/private_dir.h"

/* How `zfarm why` finds the farms of this user on this machine: each ventilator has a file in its
 * private directory, a beacon, that says where its control is. It goes with the directory; that of a
 * process that was killed stays, and is not looked at. */
struct beacon {
    pid_t pid;    /* of the ventilator */
    pid_t parent; /* of the zfarm run that started it; 0: it was started by hand */
    char endpoint[ENDPOINT_TEXT_SIZE];
};

/* `bound` is where control is bound; a wildcard host is written as this machine, a relative path from
 * the root. ERR_IO with words: nobody finds it, and all else works. */
enum error beacon_light(const struct private_dir *dir, const char *bound, pid_t parent,
                        struct why *why);

struct beacons {
    struct beacon *items; /* sorted by pid */
    size_t count;
};

/* All of this user whose process is there, in $XDG_RUNTIME_DIR and in $TMPDIR or else /tmp. `found`
 * starts zero-initialised. */
void beacons_find(struct beacons *found);
void beacons_free(struct beacons *found);

#endif
