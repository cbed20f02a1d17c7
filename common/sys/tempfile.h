/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_TEMPFILE_H
#define ZFARM_TEMPFILE_H

#include "common/base/bytes.h"
#include "common/base/error.h"

/* Temporary files without a name: what does not fit in memory goes there, and however the process
 * ends, nothing is left behind. The descriptor is closed in children. Each call may wait for the
 * disk and for nothing else. RLIMIT_FSIZE shows as ERR_DISK_FULL in a process that ignores SIGXFSZ.
 */

/* Makes one in `dir` and sets `*fd`, which the caller closes. ERR_DISK_FULL (no room on the disk, or no
 * descriptors left: it may work later), ERR_IO (no such directory, no permission): *fd is unchanged;
 * `why` names the directory. */
enum error tempfile_open(const char *dir, int *fd, struct why *why);

/* Writes all of `bytes` at `offset`. ERR_DISK_FULL, ERR_IO: some of it may be written; the same
 * call may be made again. */
enum error tempfile_write(int fd, struct bytes bytes, uint64_t offset, struct why *why);

/* Reads exactly `size` bytes at `offset`. ERR_IO, also when the file ends before. */
enum error tempfile_read(int fd, void *to, size_t size, uint64_t offset, struct why *why);

#endif
