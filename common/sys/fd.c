/* SPDX-License-Identifier: MPL-2.0 */
#include "common/sys/fd.h"

#include <unistd.h>

void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
