/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OUTPUTS_H
#define ZFARM_OUTPUTS_H

#include "common/cli/farm_options.h"
#include "sink/output/direct.h"
#include "sink/output/failures.h"
#include "sink/store/stored.h"

/* Everything that the sink writes: results to stdout or a file, what tasks wrote to stderr, the
 * joblog, the store; in order of arrival or, with keep_order, of the tasks' numbers.
 * Owns: the files, the format, the first failures, and one of two kinds of output (output.h): `direct`, or `stored` if
 * there is a store. Decides: which one, what workers are asked for, that nothing is written before the job begins.
 * Called by: the shell. Calls: the kind, files.h, format.h, failures.h.
 *
 * It counts what it was given in steps, for the collector: outputs_given is the step up to which
 * results were given, outputs_stored the one up to which all of them are stored. Nothing here blocks but for the
 * disk. */
struct outputs {
    struct output_files files;
    struct formatter formatter;
    struct failures failures; /* the store's, too */
    bool begun;
    const struct output_kind *kind; /* NULL: not open */
    void *self;                     /* of the kind */
    struct stored *stored;          /* the same, if there is a store; else NULL */
};

/* `job` is the number of a store that is made; of what `options` names nothing is copied. ERR_IO and the errors of
 * store_open: `why` says what cannot be opened; free it with outputs_close all the same. */
enum error outputs_open(struct outputs *o, const struct farm_options *options, uint64_t job,
                        struct why *why);
void outputs_close(struct outputs *o);

/* What the sink must ask workers for (enum result_want). */
unsigned outputs_wants(const struct farm_options *options);

/* The job goes on here: what an earlier run has left in files goes, and from now on the store changes. Called by
 * outputs_accept, and to be called when tasks were handed out, and when the job ends. Before it nothing is
 * written, so that a job that is refused leaves all as it was. */
void outputs_begin(struct outputs *o);
bool outputs_has_begun(const struct outputs *o);
/* A result. Those that are not final are history, which jsonl shows in the object of the task: until
 * its result comes, it is kept in the store or, without one, in a temporary file. */
void outputs_accept(struct outputs *o, const struct result *result);
/* Tasks that were not run: order does not wait for them. */
void outputs_skip(struct outputs *o, const struct seqset *tasks);

/* Ends a step and writes what goes. ERR_DISK_FULL: `why` names the file; call again each second.
 * ERR_CLOSED or ERR_IO: the output cannot be completed; from now on everything counts as stored and
 * is thrown away. */
enum error outputs_flush(struct outputs *o, struct why *why);
uint64_t outputs_given(const struct outputs *o);
uint64_t outputs_stored(const struct outputs *o);
bool outputs_empty(const struct outputs *o); /* all is written */
/* Whether the files that were opened by name are as they were written. Asks the system for each, so now and then.
 * ERR_IO: one was removed or cut short meanwhile. */
enum error outputs_check_files(const struct outputs *o, struct why *why);
/* The output cannot be completed, as after ERR_IO of outputs_flush. */
void outputs_break(struct outputs *o);
/* The next outputs_flush may write to a terminal. */
bool outputs_goes_to_terminal(const struct outputs *o);
/* Bytes that are not written. */
size_t outputs_pending_bytes(const struct outputs *o);
bool outputs_is_stuck(const struct outputs *o); /* no more results may be given now */
bool outputs_order_full(const struct outputs *o);
/* More can leave the order window without anything else happening. */
bool outputs_ready(const struct outputs *o);
/* Bytes that were written to everything, so far. */
uint64_t outputs_written_bytes(const struct outputs *o);
/* Descriptors to be polled for POLLOUT; returns how many. */
size_t outputs_blocked_fds(const struct outputs *o, int fds[static FILES_MAX]);

#endif
