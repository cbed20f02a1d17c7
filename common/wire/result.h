/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_RESULT_H
#define ZFARM_RESULT_H

#include "common/wire/task.h"

/* How an attempt, or a task, came out. The numbers are the protocol's. */
#define RESULT_STATUS_LIST(X)                                                                      \
    X(RESULT_OK, 0, "ok", "it exited with 0, or with a status of --ok-exit")                       \
    X(RESULT_EXITED, 1, "failed", "it exited with another status (code)")                          \
    X(RESULT_SIGNALED, 2, "signaled", "it was ended by a signal (code)")                           \
    X(RESULT_TIMED_OUT, 3, "timeout", "it ran longer than --timeout and was killed")               \
    X(RESULT_OUTPUT_TOO_LARGE, 4, "output-too-large",                                              \
      "its output is larger than --output-max, or could not be kept: its stderr says which")       \
    X(RESULT_LOST, 5, "lost",                                                                      \
      "its workers died with it, or it was interrupted, as often as is allowed")                   \
    X(RESULT_TASK_TOO_LARGE, 6, "task-too-large", "the task is longer than --task-max")            \
    X(RESULT_BAD_TASK, 7, "bad-task", "no command can be made of it: its stderr says why")

enum result_status {
#define X(name, number, word, meaning) name = number,
    RESULT_STATUS_LIST(X)
#undef X
        RESULT_STATUS_COUNT
};

const char *result_status_word(enum result_status status);
const char *result_status_meaning(enum result_status status);

/* What the sink wants to get back of a task besides status and output; a set of bits in WELCOME, so
 * that tiny tasks do not carry what nobody prints. */
enum result_want {
    WANT_TIMES = 1,   /* start and duration */
    WANT_TASK = 2,    /* the task's record */
    WANT_COMMAND = 4, /* the command line that was run, as a shell would take it */
    WANT_HASH = 8,    /* the task's hash */
    WANT_ALL = 15
};

/* The most of an output where it has to be in memory in one piece: in a row of a store (SQLite
 * takes none above 1 GB) and in a line of JSON. */
#define OUTPUT_IN_MEMORY_MAX (UINT64_C(256) << 20)

struct block;

/* One result of one attempt. All bytes belong to the owner of the struct. */
struct result {
    uint64_t seq;
    struct attempt attempt;
    uint32_t
        tries; /* which try this was, from 1: tries that failed or were lost before it, plus 1 */
    enum result_status status;
    bool final;           /* stamped by the worker: ok, or handed out with `last` */
    unsigned code;        /* exit status or signal number; 0 with the other statuses */
    bool cut;             /* its output was cut: when it had ended, a process still held that */
    uint64_t cut_pid;     /* which; 0: not known, or it is not cut */
    uint64_t start_us;    /* since 1970, by the worker's clock; 0 if not wanted */
    uint64_t duration_ns; /* 0 if not wanted */
    struct bytes out;
    struct bytes err;
    struct block
        *holder;       /* what they lie in, when they are large: hold it instead of copying; NULL */
    struct bytes task; /* its record (task.h); empty if not wanted */
    struct bytes command; /* empty if not wanted */
    bool has_hash;
    struct hash hash;
    struct bytes worker; /* the worker's name; empty when no worker made the result */
};

/* No record is longer than this plus what is in its bytes: out, err, task and command. */
enum { RESULT_RECORD_OVERHEAD = 128 };

/* The record of a result, as it travels in RESULTS and in pieces; seq, attempt, tries and worker
 * are in what surrounds it (protocol.md). */
void result_put(struct buf *records, const struct result *result);
/* Everything of a record but its output, which follows: so that a large output need not be copied.
 * result_put is this plus out plus err. */
void result_put_head(struct buf *records, const struct result *result, uint64_t out_size,
                     uint64_t err_size);
/* The same without the task's bytes; returns where in `records`, which was empty, they belong. */
size_t result_put_head_around_task(struct buf *records, const struct result *result,
                                   uint64_t out_size, uint64_t err_size);
/* Takes the first record off `*records`; the slices in `result` point into it, and the fields that
 * are not in a record are left alone. ERR_TRUNCATED, ERR_MALFORMED: throw the whole message away.
 */
enum error result_take(struct bytes *records, struct result *result);
/* Whether the record is final, by its beginning: its first piece, say. An empty one is not. */
bool result_is_final(struct bytes beginning);

#endif
