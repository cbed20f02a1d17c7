/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_STORE_VIEW_H
#define ZFARM_SINK_STORE_VIEW_H

#include "sink/store/store.h"

/* A store (store.h) as a reader sees it who changes nothing, also while a sink writes it: one moment of
 * it, from store_view_open to store_view_close. */
struct store_view;

struct store_job {
    bool in_use;            /* a sink has it open */
    bool closed;            /* it came to its end, and may have been stopped: */
    uint64_t not_run;       /* tasks that were read and not run */
    bool input_cut;         /* the input was not read to its end */
    uint64_t total;         /* of a closed job: the tasks that were read */
    uint64_t doubled;       /* results of a task that had one; dropped */
    uint64_t strange;       /* results of workers that were never handed the task, */
    uint64_t strange_first; /* and the first such task */
};

/* A final result, without what the task wrote. Its slices are valid until the next one. */
struct store_row {
    uint64_t seq;
    enum result_status status;
    struct hash hash; /* zero: none is stored */
    unsigned code;    /* exit status or signal, by the status */
    uint64_t attempts;
    struct bytes worker; /* empty: none ran it */
    struct bytes record; /* of the task (task.h); empty: it is not stored, or cannot be decoded */
    bool is_whole; /* its task can be decoded and has the stored hash, as far as both are stored */
};

/* Opens it, also one of an older schema, and looks at every page (PRAGMA integrity_check), which takes its
 * time. ERR_NOT_FOUND, ERR_ACCESS; ERR_INVALID: it is no store, or damaged; ERR_VERSION: a newer zfarm made
 * it; ERR_IO. All with words; then `*view` is NULL. */
enum error store_view_open(struct store_view **view, const char *path, struct store_job *job,
                           struct why *why);
/* The next result by number; false in *found behind the last. ERR_INVALID: a row says what cannot be; ERR_IO. */
enum error store_view_next(struct store_view *view, struct store_row *row, bool *found,
                           struct why *why);
/* All of the row that store_view_next has given, also what the task wrote; valid until the next one. */
void store_view_result(const struct store_view *view, const struct store_row *row,
                       struct result *result);
void store_view_close(struct store_view **view); /* takes NULL */

#endif
