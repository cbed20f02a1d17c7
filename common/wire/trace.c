/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"

static void trace_fail(struct trace *t, int error)
{
    fail(&t->why, ERR_IO, "cannot write the trace: %s; nothing more is traced", strerror(error));
    close(t->fd);
    buf_free(&t->line);
    t->on = false;
}

/* One write for a line, so that lines of several programs in one file do not mix. */
static void write_trace_line(struct trace *t)
{
    buf_put_byte(&t->line, '\n');
    for (size_t at = 0; at < t->line.size;) {
        ssize_t size = write(t->fd, t->line.data + at, t->line.size - at);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0) {
            trace_fail(t, size ? errno : EIO);
            return;
        }
        at += (size_t)size;
    }
    buf_clear(&t->line);
}

void trace_open(struct trace *t, const char *file, const char *program, uint64_t now_ns)
{
    char day[32];
    time_t now = time(NULL);
    struct tm parts;
    *t = (struct trace){.fd = -1, .begin_ns = now_ns};
    if (!file)
        return;
    char *path = xasprintf("%s.%s", file, program);
    t->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    t->on = t->fd >= 0;
    if (!t->on)
        fail(&t->why, ERR_IO, "cannot open the trace %s: %s; nothing is traced", path,
             strerror(errno));
    free(path);
    if (!t->on)
        return;
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    buf_printf(&t->line, "0.000 -- zfarm-%s, process %d, at %s", program, (int)getpid(), day);
    write_trace_line(t);
}

void trace_close(struct trace *t)
{
    if (t->on)
        close(t->fd);
    buf_free(&t->line);
    t->on = false;
}

const char *trace_trouble(struct trace *t)
{
    if (t->told || !t->why.text[0])
        return NULL;
    t->told = true;
    return t->why.text;
}

void trace_write(struct trace *t, enum trace_way way, const char *connection, uint64_t number,
                 struct bytes message, uint64_t now_ns)
{
    uint64_t ms = (now_ns - t->begin_ns) / NS_PER_MS;
    buf_printf(&t->line, "%" PRIu64 ".%03" PRIu64 " %s %s", ms / 1000, ms % 1000,
               way == TRACE_SAID ? "->" : "<-", connection);
    if (number)
        buf_printf(&t->line, ":%" PRIu64, number);
    buf_put_byte(&t->line, ' ');
    wire_print(&t->line, message);
    write_trace_line(t);
}
