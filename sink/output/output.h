/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OUTPUT_H
#define ZFARM_OUTPUT_H

#include "common/base/error.h"
#include "common/base/seqset.h"
#include "common/wire/result.h"

/* What becomes of results, in one of two ways: `direct_output` writes them as they come, or in order (direct.h);
 * `stored_output` commits them to a store, and prints out of it what has its turn (stored.h).
 * Owns: nothing; `self` is the struct of the kind. Decides: nothing. Called by: outputs.c. Calls: the kind's file.
 * Nothing here blocks but for the disk. */
struct output_state {
    uint64_t given,
        stored; /* steps, which end at each flush: so many were given, all up to there are stored */
    size_t pending_bytes; /* neither written nor committed */
    bool is_stuck;        /* no result may be given now, since a disk has no room */
    bool is_full;         /* so many results wait for an earlier one that the input must wait */
    bool is_ready;        /* a flush moves more, without anything else happening */
    bool prints;          /* a flush may put more into the output */
    bool is_empty;        /* all is written and committed */
};

struct output_kind {
    /* The job goes on here; before the first result. NULL: nothing is to be done. */
    void (*begin)(void *self);
    /* A result, final or the history of a try that failed. Its slices are valid during the call. */
    void (*accept)(void *self, const struct result *result);
    /* Tasks that were not run. NULL: nothing waits for them. */
    void (*skip)(void *self, const struct seqset *tasks);
    /* Ends a step and writes what goes. ERR_DISK_FULL: again each second. ERR_CLOSED, ERR_IO: the output cannot be
     * completed; from now on everything counts as stored. All with words. */
    enum error (*flush)(void *self, struct why *why);
    struct output_state (*state)(const void *self);
    void (*close)(void *self);
};

#endif
