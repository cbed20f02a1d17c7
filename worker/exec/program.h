/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PROGRAM_H
#define ZFARM_PROGRAM_H

#include "common/base/error.h"

/* Finds the program that `name` means, as a shell does: a name with a slash is a path, another is
 * looked for in the directories of PATH. `*path` is then the caller's to free. ERR_NOT_FOUND and
 * ERR_ACCESS (it is there and cannot be executed), with words; then *path is unchanged.
 *
 * Owns nothing. Decides which file a name means. command.c and coprocess.c call it; it calls nothing but the system.
 */
enum error program_find(const char *name, char **path, struct why *why);

#endif
