/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PLUGIN_CHILD_H
#define ZFARM_PLUGIN_CHILD_H

#include "worker/exec/capture.h"
#include "worker/exec/plugin_link.h"

/* One plugin child as the executor sees it: the link and the area, and what comes of them. It decides nothing about
 * tasks (plugin.c does) and believes nothing that it reads. Embed it by value where it does not move. Nothing blocks.
 *
 * Owns the link, the area and the buffers of what is read; process and outbox are the slot's. plugin.c calls it; it
 * calls plugin_link.h and capture.h. */
struct plugin_child {
    const struct capture_limits *limits;
    int link;                 /* -1: none */
    struct plugin_area *area; /* NULL: none */
    size_t read;              /* bytes of the area's results that were read */
    struct buf results;       /* a copy of what was read last: ours */
    uint64_t busy_seen_ns;    /* of the area's busy_ns */

    struct plugin_report report; /* being received, with what follows it */
    size_t received;             /* bytes of both */
    struct why words;            /* of UNUSABLE and NOT_READY; or why `kept` is CAPTURE_NO_ROOM */
    struct plugin_result large;
    struct capture out; /* of `large` */
    struct capture err;
    enum capture_state kept; /* how much of them */
};

/* `limits` must outlive it. */
void plugin_child_init(struct plugin_child *child, const struct capture_limits *limits);

/* Makes link and area for a new process; none may be there. The process's ends go to `*link` and `*area`, and are the
 * caller's. Returns 0, or the errno and then there is nothing. */
int plugin_child_open(struct plugin_child *child, int *area, int *link);

/* Closes our end of the link: a child that waits for an order ends by itself. */
void plugin_child_hang_up(struct plugin_child *child);

/* Closes the rest too. The place can be used again. */
void plugin_child_close(struct plugin_child *child);
void plugin_child_free(struct plugin_child *child);

/* Empties the area for what an order will bring; the child must be waiting for one, and all results must be read. */
void plugin_child_prepare(struct plugin_child *child, enum plugin_order_kind kind);

/* Receives at most one report. The words of UNUSABLE and NOT_READY are in `words` then.
 * PLUGIN_NOTHING: call again when the link is readable. After LARGE its
 * result is in `large`, and `out`, `err` and `kept` have the bytes. */
enum plugin_report_kind plugin_child_receive(struct plugin_child *child);

/* Reads the records of the results that have come into the area since; they are a copy, valid until
 * the next call, and not looked at. False: the area holds nonsense. */
bool plugin_child_read(struct plugin_child *child, struct bytes *records);
/* How long the child has worked on tasks, as it says, since the last call. */
uint64_t plugin_child_more_busy_ns(struct plugin_child *child);

/* The task that the child says it is at, or was at last, and since when at the latest; 0: none of
 * this batch. */
uint64_t plugin_child_at(const struct plugin_child *child, uint64_t *since_ns);

/* Lets the child begin no task from `seq` on, and returns the last one that it may have begun all
 * the same (it says so itself, and may lie). It says DONE when it is through with that. */
uint64_t plugin_child_stop_at(struct plugin_child *child, uint64_t seq);

#endif
