/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/xalloc.h"

/* Runs a fuzz target over the files of a directory, as a plain test: it passes if nothing crashes.
 * With -Dfuzzers=true libFuzzer takes the place of this file. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input lies in memory of exactly its size, so that a sanitizer sees a read behind its end. */
static void replay(int directory, const char *name)
{
    struct stat status;
    int file = openat(directory, name, O_RDONLY | O_CLOEXEC);
    assert(file >= 0 && fstat(file, &status) == 0);
    size_t size = (size_t)status.st_size;
    uint8_t *data = xmalloc(size);
    assert(read(file, data, size) == (ssize_t)size);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    close(file);
}

int main(int argc, char **argv)
{
    DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
    assert(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] != '.')
            replay(dirfd(directory), entry->d_name);
    }
    closedir(directory);
    return EXIT_SUCCESS;
}
