/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/start_error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/sys/shortage.h"

enum { FIRST_LINE_MAX = 256 }; /* as Linux takes it: BINPRM_BUF_SIZE */

/* Puts the interpreter of a script into `line`. NULL: the file is no script, or cannot be read. */
static const char *read_interpreter(const char *program, char line[FIRST_LINE_MAX])
{
    int fd = open(program, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    ssize_t size = read(fd, line, FIRST_LINE_MAX - 1);
    close(fd);
    if (size < 2 || memcmp(line, "#!", 2) != 0)
        return NULL;
    line[size] = '\0';
    char *name = line + 2 + strspn(line + 2, " \t");
    name[strcspn(name, " \t\r\n")] = '\0';
    return *name ? name : NULL;
}

enum error start_error_fail(struct why *why, enum error error, const char *program, int number)
{
    char line[FIRST_LINE_MAX];
    const char *interpreter = number == ENOENT ? read_interpreter(program, line) : NULL;
    if (interpreter)
        return fail(why, error,
                    "cannot start %s: its first line asks for %s, and that does not exist", program,
                    interpreter);
    return fail(why, error, "cannot start %s: %s%s", program, strerror(number),
                shortage_advice(number));
}
