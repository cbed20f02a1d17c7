/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_FAILURES_H
#define ZFARM_SINK_FAILURES_H

#include "common/wire/result.h"

/* The first tasks that failed, by their numbers, and how many there are: for users, who want to know which
 * without being shown a thousand. Zero-initialised holds none; embed it by value. */
enum { FAILURES_KEPT = 10 };

struct failure {
    uint64_t seq;
    enum result_status status;
    unsigned code;
};

struct failures {
    struct failure first[FAILURES_KEPT]; /* in order */
    size_t kept;
    uint64_t count;
};

/* A final result; one that is ok is not noted. */
void failures_note(struct failures *f, uint64_t seq, enum result_status status, unsigned code);
/* Appends how one ended: "exit 3", "SIGKILL", "timeout", "lost". */
void failure_put_way(struct buf *to, enum result_status status, unsigned code);
/* Appends the first `most` of them: "task 2 (exit 3), task 4 (exit 4), and 6 more"; returns how many more. */
uint64_t failures_put(struct buf *to, const struct failures *f, size_t most);
/* Appends a whole line about the first of them, and where all are; nothing if there are none. `store` and `joblog`
 * are names of files, or NULL. */
void failures_put_line(struct buf *to, const struct failures *f, const char *store,
                       const char *joblog);

#endif
