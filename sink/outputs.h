/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OUTPUTS_H
#define ZFARM_OUTPUTS_H

#include "common/base/seqset.h"
#include "common/wire/wire.h"
#include "sink/output/failures.h"
#include "sink/output/order.h"
#include "sink/store/printer.h"
#include "sink/output/text.h"
#include "sink/output/tries.h"
#include "sink/output/writer.h"

/* Everything that the sink writes: results to stdout or a file, what tasks wrote to stderr, the
 * joblog, the store; in order of arrival or, with keep_order, of the tasks' numbers.
 *
 * It counts what it was given in steps, for the collector: outputs_given is the step up to which
 * results were given, outputs_stored the one up to which all of them are stored. Without keep_order
 * a result is stored when its bytes are written, with it when the order window has it. Nothing here
 * blocks but for the disk.
 *
 * With a store a result is stored when it is committed there. Without keep_order that is after its
 * bytes were written, together with how long the files are then: so a sink that takes the job up
 * again cuts them back to that, and nothing is torn, lost or there twice. (A pipe cannot be cut back:
 * there the results of the last transaction may be twice.) With keep_order there is no window: what
 * has its turn is read back from the store. */
enum output_format { FORMAT_TEXT, FORMAT_JSONL };

struct outputs_options {
    enum output_format format;
    bool keep_order;
    bool tag;
    const char *file;   /* -o; NULL or "-": stdout */
    const char *joblog; /* NULL: none; "-" is standard output */
    const char *store;  /* the database; NULL: none */
    enum store_durability durability;
    struct store_command command; /* with a store: what runs the tasks */
    bool other_command;           /* also if it is another one than before */
    bool retry_failed;            /* with a store: what failed is to be run again, */
    uint64_t round;               /* once under this name; 0: each time */
    uint64_t job;                 /* of a store that is made */
    const char *tmpdir;
    uint64_t spool_max;
};

/* How far each writer must have come for a step to be stored. */
struct outputs_step {
    uint64_t step;
    uint64_t out, err, joblog;
};

/* A result that the order window could not take because its disk is full. */
struct outputs_stuck {
    uint64_t seq;
    struct buf out, err;
};

enum { OUTPUTS_STEPS = 64, OUTPUTS_WRITERS = 3 };

struct outputs {
    struct outputs_options options;
    struct writer out, err, joblog;
    bool has_joblog, joblog_is_new;
    bool joblog_in_out; /* it has no writer of its own, since both go to standard output */
    bool begun;
    struct text text;
    struct order *order; /* NULL without keep_order */
    struct tries tries;  /* without a store: for jsonl, of tasks that have no result yet */
    struct buf scratch_out, scratch_err, scratch_tries;
    struct outputs_stuck *stuck;
    size_t stuck_count;
    struct outputs_step steps[OUTPUTS_STEPS]; /* a ring of steps that are not stored */
    size_t step_first;
    size_t step_count;
    uint64_t given, stored;
    bool broken; /* the consumer is gone: nothing more is written */
    struct store *store;
    struct store_past past; /* what it had; until outputs_close */
    bool store_failed;
    struct failures failures;  /* the store's, too */
    struct seqset uncommitted; /* results that it was given since its last transaction */
    struct printer printer;
};

/* ERR_IO and the errors of store_open: `why` says what cannot be opened; free it with outputs_close
 * all the same. */
enum error outputs_open(struct outputs *o, const struct outputs_options *options, struct why *why);
void outputs_close(struct outputs *o);

/* What the sink must ask workers for (enum result_want). */
unsigned outputs_wants(const struct outputs_options *options);

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
bool outputs_empty(struct outputs *o); /* all is written */
/* Whether the files that were opened by name are as they were written. Asks the system for each, so now and then.
 * ERR_IO: one was removed or cut short meanwhile. */
enum error outputs_check_files(const struct outputs *o, struct why *why);
/* The output cannot be completed, as after ERR_IO of outputs_flush. */
void outputs_break(struct outputs *o);
/* A new life of the ventilator, which is committed at once. ERR_DISK_FULL, ERR_IO: it is not. */
enum error outputs_begin_life(struct outputs *o, uint64_t incarnation);
/* The hashes of stored tasks from `from` on; returns how many. */
size_t outputs_hashes(struct outputs *o, uint64_t from, struct hashed_task to[static HASHES_MAX]);
/* The hash of what the workers run. True: it is not what they ran when the store was last written. */
bool outputs_note_command(struct outputs *o, struct hash hash);
/* The results of these tasks are of workers that were never handed the task: the store, if there is one, says so. */
void outputs_mark_strange(struct outputs *o, const struct seqset *tasks);
bool outputs_store_failed(const struct outputs *o); /* for good: nothing more can be stored */
/* The job is over and outputs_empty: says so in the store, if there is one. ERR_DISK_FULL: again each
 * second. */
enum error outputs_finish(struct outputs *o, const struct store_closing *closing, struct why *why);
/* The next outputs_flush may write to a terminal. */
bool outputs_goes_to_terminal(const struct outputs *o);
/* Bytes that are not written. */
size_t outputs_pending_bytes(const struct outputs *o);
bool outputs_is_stuck(const struct outputs *o); /* no more results may be given now */
bool outputs_order_full(const struct outputs *o);
/* More can leave the order window without anything else happening. */
bool outputs_ready(struct outputs *o);
/* Bytes that were written to everything, so far. */
uint64_t outputs_written_bytes(const struct outputs *o);
/* Descriptors to be polled for POLLOUT; returns how many. */
size_t outputs_blocked_fds(const struct outputs *o, int fds[static OUTPUTS_WRITERS]);

#endif
