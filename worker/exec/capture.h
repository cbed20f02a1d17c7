/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CAPTURE_H
#define ZFARM_CAPTURE_H

#include <sys/types.h>

#include "worker/exec/executor.h"

/* What one stream of a child wrote: in memory up to OUTPUT_MEMORY_MAX, beyond that in an unlinked
 * file of the temporary directory, and never more than output_max. Zero-initialised is not valid:
 * use capture_init.
 *
 * Owns the bytes of one stream. Decides when they go to a file, and how much of too many is kept. child.c,
 * coprocess.c and plugin_child.c fill it; it calls common/sys/tempfile.h. */
struct capture {
    struct buf memory; /* empty once there is a file */
    int file;          /* -1: none */
    uint64_t size;
};

/* Where captures keep what they take: shared by all of an executor. */
struct capture_limits {
    const char *tmpdir;
    uint64_t output_max;
};

enum capture_state {
    CAPTURE_WHOLE,
    CAPTURE_TOO_LARGE, /* the first output_max bytes are kept */
    CAPTURE_NO_ROOM, /* the temporary directory took no more; `why` says it; the beginning is kept */
};

void capture_init(struct capture *capture);
/* Appends; returns CAPTURE_WHOLE when all of it was kept. After another answer: add no more. */
enum capture_state capture_add(struct capture *capture, const struct capture_limits *limits,
                               struct bytes bytes, struct why *why);
/* Appends a line of our own, whatever the limits and however full the disk is: when a file cannot
 * grow, the line replaces the end of what it holds. */
void capture_note(struct capture *capture, struct bytes line);
/* What was captured. A file now belongs to the caller; memory is valid until the next call. */
struct output capture_output(struct capture *capture);
/* Forgets everything, ready for the next child. Large memory is given back. */
void capture_reset(struct capture *capture);
void capture_free(struct capture *capture);

#endif
