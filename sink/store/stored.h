/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_STORED_H
#define ZFARM_STORED_H

#include "sink/output/format.h"
#include "sink/output/output.h"
#include "sink/store/store.h"

/* Output with a store: a result is committed there, next to how long the files are then, so that a sink that takes
 * the job up again cuts them back to that, and nothing is torn, lost or there twice. (A pipe cannot be cut back:
 * there the results of the last transaction may be twice.)
 * Owns: the store, what it had before, which results are to be printed out of it (printer.h). Decides: when a result
 * is stored: when it is committed, without -k after its bytes were written; with -k there is no window, and what has
 * its turn is read back. Called by: outputs.c, through `stored_output` and the functions below. Calls: store.h,
 * printer.h, files.h, format.h. */
struct stored_options {
    struct store_options store;
    const char *joblog; /* as of the files */
    bool keep_order;
};

struct stored;
extern const struct output_kind stored_output;

/* The errors of store_open, with words. `files` and `formatter` are the caller's and outlive it; it tells the
 * formatter of tries. */
enum error stored_open(struct stored **stored, const struct stored_options *options,
                       struct output_files *files, struct formatter *formatter, struct why *why);
/* How an earlier run has left the files that `options` names. */
void stored_tell_files(struct stored *s, struct files_options *options);
/* The files are open: plans what is to be printed of an earlier run. */
void stored_plan(struct stored *s);

/* Until it is closed. */
const struct store_past *stored_past(const struct stored *s);
bool stored_has_failed(const struct stored *s); /* for good: nothing more can be committed */

/* A new life of the ventilator, which is committed at once. ERR_DISK_FULL, ERR_IO: it is not. */
enum error stored_begin_life(struct stored *s, uint64_t incarnation);
/* The hashes of stored tasks from `from` on; returns how many. */
size_t stored_hashes(struct stored *s, uint64_t from, struct hashed_task to[static HASHES_MAX]);
/* The hash of what the workers run. True: it is not what they ran when the store was last written. */
bool stored_note_command(struct stored *s, struct hash hash);
/* The results of these tasks are of workers that were never handed the task. */
void stored_mark_strange(struct stored *s, const struct seqset *tasks);
/* The job is over and all is written: commits that. ERR_DISK_FULL: again each second. ERR_IO. */
enum error stored_finish(struct stored *s, const struct store_closing *closing, struct why *why);

#endif
