/* SPDX-License-Identifier: MPL-2.0 */
#include "common/sys/tempfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sys/shortage.h"
#include "common/base/xalloc.h"

/* For file systems that have no O_TMPFILE. */
static int open_and_unlink(const char *dir)
{
    char *path = xasprintf("%s/zfarm-XXXXXX", dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    free(path);
    return fd;
}

enum error tempfile_open(const char *dir, int *fd, struct why *why)
{
    int made = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (made < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        made = open_and_unlink(dir);
    if (made < 0) {
        const char *advice = shortage_advice(errno);
        return fail(why, shortage_error(TRIED_FILE, errno),
                    "cannot make a temporary file in %s: %s%s", dir, strerror(errno),
                    *advice ? advice : "; choose another place with --tmpdir");
    }
    *fd = made;
    return ERR_NONE;
}

enum error tempfile_write(int fd, struct bytes bytes, uint64_t offset, struct why *why)
{
    while (bytes.size) {
        ssize_t n = pwrite(fd, bytes.data, bytes.size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(why, shortage_error(TRIED_FILE, errno),
                        "cannot write to a temporary file: %s", strerror(errno));
        bytes.data += n;
        bytes.size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return ERR_NONE;
}

enum error tempfile_read(int fd, void *to, size_t size, uint64_t offset, struct why *why)
{
    uint8_t *at = to;
    while (size) {
        ssize_t n = pread(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(why, ERR_IO, "cannot read from a temporary file: %s",
                        n < 0 ? strerror(errno) : "it is shorter than what was written to it");
        at += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return ERR_NONE;
}
