/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_TRACE_H
#define ZFARM_TRACE_H

#include "common/wire/print.h"

/* --trace FILE: what a program says to its peers and hears from them, a line each in FILE.PROGRAM.
 *
 * Owns the open file. Decides the form of a line, and that a trace ends at its first error: a job goes on without it.
 * Called by the shells, next to each send and each receive; they print what trace_trouble says. Calls print.h.
 *
 *     0.012 -> control JOIN 0/0/0 role=worker peer.instance=17 ...
 *     0.015 <- control WELCOME 77/1000/9 role=worker ...
 *
 * Seconds since trace_open; `->` is said, `<-` is heard; the connection, in the ventilator with its number. The file
 * is appended to, and each program that opens it begins with a line that names it, its process and the time of day.
 * Writing blocks as writing to a file does. Zero-initialised is off, and then a message costs one test. */
struct trace {
    bool on;
    int fd;
    uint64_t begin_ns;
    struct buf line;
    struct why why; /* why it ended; empty: it has not */
    bool told;
};

/* Traces to FILE.PROGRAM; `file` NULL: stays off. `program` is "worker". */
void trace_open(struct trace *t, const char *file, const char *program, uint64_t now_ns);
void trace_close(struct trace *t);
/* Once after opening or writing has failed, the sentence for users, which is valid as long as `t`; else NULL. The
 * trace is off from then on. */
const char *trace_trouble(struct trace *t);

enum trace_way { TRACE_HEARD, TRACE_SAID };
/* `number`: of the connection; 0: there is one of its kind. */
void trace_write(struct trace *t, enum trace_way way, const char *connection, uint64_t number,
                 struct bytes message, uint64_t now_ns);

static inline void trace_message(struct trace *t, enum trace_way way, const char *connection,
                                 uint64_t number, struct bytes message, uint64_t now_ns)
{
    if (t->on)
        trace_write(t, way, connection, number, message, now_ns);
}

#endif
