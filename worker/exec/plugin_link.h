/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PLUGIN_LINK_H
#define ZFARM_PLUGIN_LINK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* What the plugin executor (plugin.c) and its child (plugin_host.c) have between them: one stream
 * socketpair and one shared area. Both ends are the same program on one machine, so the structs go
 * over as they are.
 *
 *     executor                                child
 *                                             LOADED, or UNUSABLE words
 *                                             READY, or NOT_READY words
 *     BATCH, records  ------------------------>  result, result, ... into the area
 *                    <-------------------------  FULL: there is no room for the next
 *     GO_ON, area empty  --------------------->  result, result, ...
 *                    <-------------------------  LARGE result out err: one that never has room
 *     GO_ON, area empty  --------------------->  result, result, ...
 *                    <-------------------------  DONE: all are in the area
 *     BATCH, area empty ...
 *
 * What stands behind a task that takes long is taken back: the executor stores the number of the
 * first that is not to begin in `stop_at`, and then reads `at`; the child stores `at` before each
 * task, and then reads `stop_at`. Neither store may be overtaken by the load behind it, so that of
 * the two one sees the other (Dekker's way, 1965): what is behind the `at` that the executor reads
 * never begins. The child says DONE when it comes to `stop_at`. A fence before each load would be a
 * tenth of what a tiny task costs; so it is the executor, which does it rarely, that has one made on all
 * processors between its two (membarrier(2)). Where the kernel does not do that both sides have
 * their own.
 *
 * So there is one wake-up per batch of small results, and a child that dies leaves what it had
 * finished in the area. The executor empties it by `written = 0`, while the child waits. The child
 * ends at end of file. */

enum {
    PLUGIN_AREA_RESULTS = 256 * 1024,
    PLUGIN_AREA_FD = 0, /* of the child, until it has mapped it */
    PLUGIN_LINK_FD = 3  /* of the child */
};

/* Memory that the executor shares with one child, made anew for each. A plugin can scribble on it,
 * so the executor checks all that it reads there. */
struct plugin_area {
    _Atomic uint64_t since_ns; /* when the child began with `at`, by the coarse monotonic clock
                                  (clock.h); stored before it */
    _Atomic uint64_t at; /* the number of the task that the child is at or was at last; 0: none */
    _Atomic uint64_t written; /* bytes of finished results; stored after them */
    _Atomic uint64_t
        stop_at; /* by the executor: no task from this number on is begun; 0: all are */
    _Atomic uint64_t busy_ns; /* what the batch's tasks have taken; stored before each report */
    uint8_t padding[24];
    uint8_t results[PLUGIN_AREA_RESULTS]; /* records of results (result.h), ready to be sent */
};

/* The head of LARGE. */
struct plugin_result {
    uint64_t start_ns; /* monotonic; 0: not wanted */
    uint64_t duration_ns;
    uint64_t out_size;
    uint64_t err_size;
    uint32_t code;      /* what zfarm_handle returned, 0 to 255 */
    uint32_t too_large; /* 1: a stream passed output_max, and was cut there */
};

enum plugin_order_kind { PLUGIN_BATCH = 1, PLUGIN_GO_ON };

/* From the executor. */
struct plugin_order {
    uint32_t kind;
    uint32_t count;          /* BATCH: tasks */
    uint64_t first;          /* BATCH: number of the first */
    uint64_t size;           /* BATCH: bytes of records that follow */
    uint32_t tries;          /* BATCH: which try this is */
    uint32_t last;           /* BATCH: 1: no try is left after it */
    uint64_t wants;          /* BATCH: enum result_want */
    uint64_t wall_offset_us; /* BATCH: from the monotonic clock to the time since 1970 */
};

enum plugin_report_kind {
    PLUGIN_NOTHING,  /* never sent: nothing whole has come */
    PLUGIN_LOADED,   /* it is a plugin of our ABI */
    PLUGIN_UNUSABLE, /* it is none; `size` bytes of words follow */
    PLUGIN_READY,
    PLUGIN_NOT_READY, /* zfarm_init failed; words follow */
    PLUGIN_FULL,
    PLUGIN_LARGE, /* plugin_result, out and err follow, `size` bytes in all */
    PLUGIN_DONE,
    PLUGIN_CLOSED,  /* never sent: end of file */
    PLUGIN_NONSENSE /* never sent: what came is no report */
};

/* From the child. */
struct plugin_report {
    uint32_t kind;
    uint32_t reserved;
    uint64_t size; /* bytes that follow */
};

/* The area behind the descriptor; the caller unmaps it. NULL, with errno, if it cannot be mapped. */
static inline struct plugin_area *plugin_area_map(int fd)
{
    void *area = mmap(NULL, sizeof(struct plugin_area), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return area == MAP_FAILED ? NULL : (struct plugin_area *)area;
}

#endif
