/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_STORE_H
#define ZFARM_SINK_STORE_H

#include "common/base/seqset.h"
#include "common/wire/wire.h"
#include "sink/output/failures.h"

/* The store of --store FILE.db: every result of a job in a SQLite database that users can query
 * (docs/store.md has its schema), so that the sink may die and the job can be taken up again.
 *
 * What store_put is given waits in memory; store_commit writes all of it in one transaction, next to
 * the lengths of the files that were written beside the store and the highest life of the ventilator.
 * After ERR_NONE it survives the end of this process, with STORE_FULL also a loss of power. A
 * transaction that fails changes nothing, and all of it is tried again by the next call.
 *
 * One sink at a time has a store: the file is locked until store_close. Readers are welcome. Nothing
 * here blocks but for the disk. */
#define STORE_WANTS (WANT_TIMES | WANT_TASK | WANT_HASH)

enum store_durability { STORE_NORMAL, STORE_FULL };

/* What runs the tasks. */
struct store_command {
    const char *executor; /* "command", "shell" ... */
    const char *text;     /* of COMMAND, for users; NULL: not told */
    struct hash hash;     /* of both; zero: not known */
};

struct store_options {
    const char *path;
    enum store_durability durability;
    uint64_t job;                 /* of a store that is made */
    struct store_command command; /* what goes on with it; without a text nothing is compared */
    bool other_command;           /* it may be another one than before */
    /* What failed is to be run again, in a new round; `round` is its name, so that it is begun once
     * (0: each time). `output` is written anew then. */
    bool retry_failed;
    uint64_t round;
    const char *output;
};

/* What the store has from before, without what is to be run again. */
struct store_past {
    bool is_new;
    bool is_retried; /* a new round begins */
    uint64_t job;
    uint64_t incarnation; /* highest life of the ventilator */
    bool closed;
    uint64_t total;              /* of a closed job */
    bool input_cut;              /* likewise: its input was not read to its end */
    uint64_t opening;            /* how often it has been opened, now included */
    struct store_command before; /* its texts are these: */
    char *executor, *text;
    uint64_t ok, failed, lost, doubled;
    struct failures failures;
    struct seqset stored;
};

/* A file beside the store, as it was when the last transaction was committed. */
struct store_file {
    const char *name; /* "output", "joblog" */
    uint64_t length;  /* bytes */
    uint64_t next;    /* with -k: the first task that is not in it; else 0 */
};

struct store;

/* Opens the store, or makes one for `job`. All of one that is there is looked at (PRAGMA quick_check, and
 * each row). What `past` says is so until store_reopen, though the store still has it all. On success `past` is
 * the caller's to be freed with store_past_free; the texts of `options` must outlive the store.
 * ERR_IN_USE: another sink has it. ERR_INVALID: it is no store of zfarm, or damaged, or another COMMAND made it.
 * ERR_VERSION: a newer or an older zfarm made it. ERR_IO, ERR_ACCESS. All with words; then nothing is
 * changed. */
enum error store_open(struct store **store, const struct store_options *options,
                      struct store_past *past, struct why *why);
void store_past_free(struct store_past *past);
/* Whether a sink has the store at `path` open; takes no lock. Not for who has it open with SQLite. */
bool store_is_in_use(const char *path);
/* What was not committed is gone. Takes NULL. */
void store_close(struct store **store);

/* A longer task is not in its row, but its hash is. */
#define STORE_TASK_MAX (UINT64_C(128) << 20)

/* A final result, or a try that was not final; it is copied. The results need STORE_WANTS. Of an
 * output above OUTPUT_IN_MEMORY_MAX it says only how large it was. */
void store_put(struct store *store, const struct result *result);
/* The results of these tasks, which it was given, are of workers that were never handed the task. */
void store_set_strange(struct store *store, const struct seqset *tasks);
size_t store_pending_bytes(const struct store *store);
void store_set_file(struct store *store, const struct store_file *file);
/* What was committed of it; false if there is nothing. */
bool store_get_file(struct store *store, struct store_file *file);
/* The job goes on: it is open again, and by the COMMAND of the options. In a new round the results that are
 * not ok become tries that were not final, and of the output nothing was written. Until this is called
 * nothing of the store is changed, so that a job that is refused leaves it as it was. */
void store_reopen(struct store *store);
/* The workers run another COMMAND than was known, whose text nobody has told. */
void store_set_command_hash(struct store *store, struct hash hash);
struct store_closing {
    uint64_t total, not_run, doubled, workers;
    bool input_cut; /* the input was not read to its end */
};
void store_finish(struct store *store, const struct store_closing *closing);
/* There is something to be committed. */
bool store_is_dirty(const struct store *store);
/* ERR_DISK_FULL: no room; try again each second. ERR_IO: the store is no good any more. */
enum error store_commit(struct store *store, struct why *why);

/* Commits that a ventilator of this life has welcomed the sink, and nothing else. */
enum error store_commit_life(struct store *store, uint64_t incarnation, struct why *why);

/* The hashes of at most HASHES_MAX stored tasks from number `from` on, in order; returns how many. If
 * the store cannot be read there are none. */
size_t store_hashes(struct store *store, uint64_t from, struct hashed_task to[static HASHES_MAX]);
/* Reads the final result of a task back and hands it to `take`; false in *found if there is none.
 * Slices are valid during the call. ERR_IO. */
enum error store_read(struct store *store, uint64_t seq,
                      void (*take)(void *context, const struct result *result), void *context,
                      bool *found, struct why *why);

/* Hands `take` each try of the result's task that was not final and that the store was given, in
 * their order; slices are valid during the call. What cannot be read is left out. */
void store_read_attempts(struct store *store, const struct result *result,
                         void (*take)(void *context, const struct result *result), void *context);

#endif
