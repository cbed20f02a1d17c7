/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_BUNDLE_H
#define ZFARM_BUNDLE_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/base/error.h"
#include "common/base/words.h"

/* What a host needs to run our worker: the program, and beside it in lib/ the libraries that it needs
 * but the C library's own, which every host has. The worker looks for libraries there first. */

/* The command line of a `tar` that writes it to stdout, with `plugin` (a path; NULL: none) beside the
 * program; `program` false: the plugin alone. ERR_NOT_FOUND with words. */
enum error bundle_tar(struct words *argv, bool program, const char *plugin, struct why *why);
/* Starts it, with the signal mask `mask`; what it writes is read from `*reader`, the caller's. ERR_IO or
 * ERR_NOT_FOUND with words. */
enum error bundle_start(const struct words *argv, const sigset_t *mask, pid_t *pid, int *reader,
                        struct why *why);
int bundle_end(pid_t pid); /* waits for its end; its exit status, 255 for a signal */

#endif
