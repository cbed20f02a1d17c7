/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_REPORT_H
#define ZFARM_REPORT_H

#include "common/wire/wire.h"

/* What the ventilator is to be told next: FINISHED, FAILED and RETURNED, gathered, since each message wakes a process.
 * It owns what was gathered and decides when that is due. The core's work adds to it and sends it, a session's begin
 * and end take things out of it. It calls nothing. Zero-initialised is empty; embed it by value. */
struct report {
    struct seqset finished; /* tasks that have a final result here */
    uint64_t not_ok;        /* of these */
    struct attempt_list failed;
    struct seqset returned;    /* not begun */
    struct seqset interrupted; /* begun */
    uint64_t idle_ns;          /* since when no slot is busy; NEVER while one is */
    uint64_t sent_ns;          /* when it was sent last */
};

void report_free(struct report *r);
void report_clear(struct report *r);
/* A JOIN has told all of it but what has failed, which follows WELCOME. */
void report_joined(struct report *r);
/* The ventilator wants no word of these tasks. */
void report_forget(struct report *r, const struct seqset *tasks);
/* Slots are busy, or not. */
void report_busy(struct report *r, bool is_busy, uint64_t now_ns);
bool report_empty(const struct report *r);
/* When it is to be sent, if it is not empty. */
uint64_t report_due_ns(const struct report *r);

#endif
