/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WIRE_H
#define ZFARM_WIRE_H

#include "common/base/block.h"
#include "common/base/error.h"
#include "common/wire/halt_rule.h"
#include "common/base/key.h"
#include "common/wire/result.h"
#include "common/base/seqset.h"
#include "common/wire/layout.h"
#include "common/wire/task.h"

/* The messages of docs/protocol.md as structs: encoding and decoding, and nothing else.
 *
 * Owns the structs and constants of the protocol. Decides nothing: what of a body is malformed stands in the tables of
 * wire_control.c. Called by cores, shells and tests. Calls layout.h; what a lane and the results connection
 * carry is written and read by hand in wire_batches.c, for it is done for each task.
 *
 * To send: wire_begin, the message's *_put, block_new. To receive: frame_take, then the *_take that
 * fits frame.kind. Every *_take checks all lengths and numbers and refuses bytes behind the end; it
 * returns ERR_TRUNCATED, ERR_MALFORMED, ERR_TRAILING   the message is to be dropped and counted.
 * Slices (struct bytes) in a decoded struct point into the message. A struct with a set or a list in it has
 * a *_free, which is to be called also when *_take failed; start from a zero-initialised one.
 *
 * JOIN, WELCOME, CREDIT, STORED and HEARTBEAT end in a tagged part, of which a reader skips what it
 * does not know: fields that are marked "tag" below. One that has the value that means nothing (0, an
 * empty set or list) is not sent, and has this value when it was not. */

enum {
    WIRE_VERSION = 2,
    FRAME_MAX = 2 << 20,
    FRAME_CAREFUL = 8 << 10, /* where a connection was given up for silence */
    FRAME_HEAD_SIZE = 26,
    BATCH_BYTES_MAX = 64 << 10,
    BATCH_TASKS_MAX = 4096,
    RESULT_INLINE_MAX = 1 << 20, /* a larger result record travels in pieces */
    PIECE_BYTES_MAX = 1 << 20,
    TASK_INLINE_MAX = (1 << 20) + 10, /* a larger task record travels in pieces */
    TASK_PIECE_MAX = 256 << 10
};

#define WIRE_KIND_LIST(X)                                                                          \
    X(KIND_JOIN, 1)                                                                                \
    X(KIND_HEARTBEAT, 2)                                                                           \
    X(KIND_CREDIT, 3)                                                                              \
    X(KIND_CLAIM, 4)                                                                               \
    X(KIND_FINISHED, 5)                                                                            \
    X(KIND_FAILED, 6)                                                                              \
    X(KIND_RETURNED, 7)                                                                            \
    X(KIND_LEAVE, 8)                                                                               \
    X(KIND_BYE, 9)                                                                                 \
    X(KIND_STORED, 10)                                                                             \
    X(KIND_CLOSED, 11)                                                                             \
    X(KIND_HASHES, 12)                                                                             \
    X(KIND_HALT, 13)                                                                               \
    X(KIND_WHY, 14)                                                                                \
    X(KIND_PROTEST, 15)                                                                            \
    X(KIND_WELCOME, 20)                                                                            \
    X(KIND_REFUSE, 21)                                                                             \
    X(KIND_AGAIN, 22)                                                                              \
    X(KIND_RECALL, 23)                                                                             \
    X(KIND_CANCEL, 24)                                                                             \
    X(KIND_RELEASED, 25)                                                                           \
    X(KIND_SINK, 26)                                                                               \
    X(KIND_RESEND, 27)                                                                             \
    X(KIND_STOP, 28)                                                                               \
    X(KIND_VERDICT, 29)                                                                            \
    X(KIND_STATUS, 30)                                                                             \
    X(KIND_DONE, 31)                                                                               \
    X(KIND_ENDED, 32)                                                                              \
    X(KIND_CHECK, 33)                                                                              \
    X(KIND_BECAUSE, 34)                                                                            \
    X(KIND_ADMITTED, 35)                                                                           \
    X(KIND_RECEIVED, 36)                                                                           \
    X(KIND_HANDED, 37)                                                                             \
    X(KIND_STRANGE, 39)                                                                            \
    X(KIND_HELLO, 40)                                                                              \
    X(KIND_TASKS, 41)                                                                              \
    X(KIND_PIECE, 42)                                                                              \
    X(KIND_END, 43)                                                                                \
    X(KIND_RESULTS, 50)

/* Reserved, and dropped like a kind that is not known: STATISTICS 16 and its answer 38, OUTPUT 51. */
enum wire_kind {
#define X(name, code) name = code,
    WIRE_KIND_LIST(X)
#undef X
};

extern const char *const wire_kind_names[KIND_RESULTS + 1]; /* by their number; NULL: unknown */
const char *wire_kind_name(unsigned kind);                  /* "JOIN"; "?" if unknown */

struct frame_head {
    enum wire_kind kind;
    uint64_t job;
    uint64_t incarnation;
    uint64_t session;
};

/* Starts a message in an empty buf. */
void wire_begin(struct buf *to, enum wire_kind kind, struct frame_head head);
/* Splits a message into head and body. ERR_VERSION: head.kind may be believed, nothing else;
 * ERR_KIND, ERR_TRUNCATED, ERR_TOO_LARGE. */
enum error frame_take(struct bytes message, struct frame_head *head, struct bytes *body);

/* name_put, name_take and name_free of the message that struct name is. */
#define WIRE_MESSAGE(name)                                                                         \
    extern const struct layout name##_layout;                                                      \
    static inline void name##_put(struct buf *to, const struct name *m)                            \
    {                                                                                              \
        layout_put(to, &name##_layout, m);                                                         \
    }                                                                                              \
    static inline enum error name##_take(struct bytes body, struct name *m)                        \
    {                                                                                              \
        return layout_take(body, &name##_layout, m);                                               \
    }
#define WIRE_OWNING_MESSAGE(name)                                                                  \
    WIRE_MESSAGE(name)                                                                             \
    static inline void name##_free(struct name *m)                                                 \
    {                                                                                              \
        layout_free(&name##_layout, m);                                                            \
    }

/* What such a message is, by its kind and what its body begins with. NULL: it is TASKS or RESULTS, or a JOIN or WELCOME
 * of no role. BYE and WHY have a layout without fields. */
const struct layout *wire_layout(enum wire_kind kind, struct bytes body);

/* ---- control, to the ventilator ---- */

enum wire_role { ROLE_WORKER = 1, ROLE_SINK = 2 };

struct running_attempt {
    uint64_t seq;
    struct attempt attempt;
};

struct attempt_list {
    struct running_attempt *items;
    size_t count;
    size_t capacity;
};

void attempt_list_add(struct attempt_list *list, uint64_t seq, struct attempt attempt);

struct peer {
    uint64_t instance;
    struct bytes name;
    struct bytes host;
    struct bytes release;
    uint64_t pid;
};

enum worker_join_flag { WORKER_LEAVING = 1 };

/* What a peer does beyond this version, as JOIN tells. */
enum feature {
    FEATURE_RECEIPTS = 1, /* it tells what has arrived: a worker on its lane, the sink of results */
    FEATURE_HANDED = 2    /* a sink takes results as HANDED says; in WELCOME: HANDED is said */
};

struct worker_join {
    struct peer peer;
    uint64_t slots;
    uint64_t flags;
    struct hash executor; /* of the executor and its arguments; recorded and shown */
    struct attempt_list running;
    struct seqset kept;
    uint64_t features; /* tag 1: enum feature */
};

enum sink_join_flag {
    SINK_CLOSED = 1,
    SINK_VOLATILE = 2,   /* without a store */
    SINK_WANTS_TOTAL = 4 /* wants to know early how many tasks there are */
};

struct sink_join {
    struct peer peer;
    uint64_t epoch;
    uint64_t flags;
    uint64_t total; /* of a closed job */
    struct hash fingerprint;
    struct seqset stored;
    uint64_t incarnation_max;
    struct bytes results;  /* endpoint; the host may be missing: tcp://:5558 */
    uint64_t wants;        /* enum result_want */
    uint64_t opening;      /* how often its store has been opened; 0: it has none */
    uint64_t features;     /* tag 1, as a worker's */
    struct halt_rule halt; /* tag 2: of --halt, for WELCOME to workers; never percent */
};

/* Both kinds of JOIN begin with the role. ERR_MALFORMED for any other. */
enum error join_role(struct bytes body, enum wire_role *role);
WIRE_OWNING_MESSAGE(worker_join)
WIRE_OWNING_MESSAGE(sink_join)

enum { HEARTBEAT_RUNNING_MS = 1000 }; /* a task that has run for so long is named in heartbeats */

/* A task whose first process has ended, while another one still holds its output. */
struct held_task {
    uint64_t seq;
    uint64_t pid;         /* of who holds it */
    struct bytes command; /* what that is, for users */
};
enum { HELD_MAX = 16 }; /* in one heartbeat */

struct heartbeat {
    uint64_t clock_ns;     /* the sender's; in the ventilator's answer the one that it heard last */
    struct seqset running; /* for more than HEARTBEAT_RUNNING_MS; from workers */
    struct seqset stopped; /* tag 1: those of them that run, but whose process is stopped */
    struct held_task *held; /* tag 2 */
    size_t held_count;
    /* tag 3: for how long nothing has moved on the results connection, though something is out, without what is usual
     * there; 0: all is well */
    uint64_t results_stuck_ms;
    /* tag 4: slots that can begin nothing now, though nothing that is wanted runs there */
    uint64_t unusable;
};
WIRE_OWNING_MESSAGE(heartbeat)

struct credit {
    uint64_t tasks;
    uint64_t size_bytes;
    uint64_t reserve; /* tasks */
    /* Tag 1: what has arrived on the lane, so that it is known to live: the last batch, and of the
     * task that comes in pieces up to where. Both 0: nothing has. */
    uint64_t received_batch;
    uint64_t received_offset;
};
WIRE_MESSAGE(credit)

struct token {
    uint8_t octets[TOKEN_SIZE];
};
WIRE_MESSAGE(token) /* CLAIM and HELLO */

struct finished {
    struct seqset tasks;
    uint64_t failed; /* how many of them are not ok */
};
WIRE_OWNING_MESSAGE(finished)

/* FAILED is a bare list of attempts. */
WIRE_OWNING_MESSAGE(attempt_list)

enum returned_reason {
    RETURNED_RECALL = 0,
    RETURNED_LEAVING = 1,
    RETURNED_NOT_STARTED = 2,
    RETURNED_INTERRUPTED = 3 /* begun, and then interrupted from outside */
};

struct returned {
    struct seqset tasks;
    enum returned_reason reason;
};
WIRE_OWNING_MESSAGE(returned)

struct leave {
    struct bytes text; /* why */
};
WIRE_MESSAGE(leave)

struct gap {
    uint64_t session;
    uint64_t batch; /* first that is missing */
};

enum stored_flag {
    STORED_ORDER_FULL = 1, /* the order window is full: no more input */
    STORED_UNREAD = 2,     /* the reader of the output has taken nothing for a while */
    STORED_NO_ROOM = 4,    /* there is no room left to write */
    STORED_NOT_READING = 8 /* the sink takes no results at present */
};

/* How far the results of a session have arrived. */
struct arrival {
    uint64_t session;
    uint64_t batch;
    uint64_t offset; /* of the result that comes in pieces */
};

/* From which session the results of some tasks were taken. */
struct session_tasks {
    uint64_t session;
    struct seqset tasks;
};

struct stored_note {
    uint64_t epoch;
    struct seqset tasks; /* stored, or dropped as double */
    struct gap *gaps;
    size_t gap_count;
    uint64_t flags;
    struct arrival *received; /* tag 1 */
    size_t received_count;
    struct session_tasks *origins; /* tag 2: of `tasks` */
    size_t origin_count;
};
WIRE_OWNING_MESSAGE(stored_note)

struct closed {
    uint64_t total, ok, failed, lost, not_run, doubled;
    uint64_t status; /* the job's exit status */
};
WIRE_MESSAGE(closed)

/* The job ends early: from the sink that decides it, and from the ventilator to one that joins
 * later. */
struct halt {
    enum halt_when when;
    uint64_t seq;    /* the task that fired it */
    uint64_t status; /* the job's exit status */
};
WIRE_MESSAGE(halt)

struct hashed_task {
    uint64_t seq;
    struct hash hash; /* 0: the task has no bytes, it was too large */
};

/* The answer to CHECK: stored tasks in order, from the number that it named. */
struct hashes {
    uint64_t from;
    struct hashed_task *items;
    size_t count;
    bool last; /* there are no more */
};
enum { HASHES_MAX = 4096 };
WIRE_OWNING_MESSAGE(hashes)

/* ---- control, both ways ---- */

/* A message made no sense. To whom sent it; and from the sink about a worker's RESULTS, which the
 * ventilator passes on. */
struct protest {
    uint64_t session; /* whose message it was; 0: of whom this goes to */
    uint64_t kind;    /* of the message, also an unknown one */
    uint64_t offset;  /* from its begin: where it stopped making sense */
    struct bytes sentence;
};
WIRE_MESSAGE(protest)

/* ---- control, from the ventilator ---- */

struct worker_welcome {
    uint64_t heartbeat_ms;
    uint64_t limit_ms;
    struct bytes lanes; /* "5557": a port on the ventilator's host; or an endpoint */
    uint64_t wants;
    uint64_t epoch;       /* 0: there is no sink now */
    struct bytes results; /* endpoint of the sink */
    struct key sink;      /* the sink's public key; none in a farm without keys */
    struct seqset kill;
    struct seqset have;
    uint64_t features;     /* tag 1, as in JOIN */
    struct halt_rule halt; /* tag 2: what a worker itself stops at; never percent */
};
WIRE_OWNING_MESSAGE(worker_welcome)

struct sink_welcome {
    uint64_t heartbeat_ms;
    uint64_t limit_ms;
    uint64_t epoch;
    struct hash fingerprint;
    uint64_t features; /* tag 1, as in JOIN */
};
WIRE_MESSAGE(sink_welcome)

enum refuse_reason {
    REFUSE_VERSION = 1,
    REFUSE_FULL = 2,         /* as many workers as may be */
    REFUSE_SECOND_SINK = 3,  /* another sink is connected */
    REFUSE_OTHER_JOB = 4,    /* the sink's job does not fit the input */
    REFUSE_RESULTS_GONE = 5, /* the sink lacks what was stored before */
    REFUSE_OVER = 6,         /* the job is over, or being stopped */
    REFUSE_KEY = 7,          /* its key is admitted, but not for that role */
    REFUSE_SENSELESS = 8     /* its JOIN makes no sense, or what it says after */
};

struct refuse {
    uint64_t reason; /* enum refuse_reason, or one of a later version */
    struct bytes sentence;
};
WIRE_MESSAGE(refuse)

enum again_reason {
    AGAIN_UNKNOWN_SESSION = 1,
    AGAIN_OTHER_INCARNATION = 2, /* it was of another life of the ventilator */
    AGAIN_OTHER_JOB = 3,
    AGAIN_SILENT_LANE = 4, /* what was sent down its lane does not arrive */
    AGAIN_STRIPPED = 5,    /* what it has finished was taken back, for its results did not arrive */
    AGAIN_UNANSWERED = 6,  /* it did not answer RECALL */
    AGAIN_NO_RESULTS = 7   /* results of what it reported as finished did not come */
};

/* Join again: what came was of a session that is not known. */
struct again {
    uint64_t session;
    uint64_t reason; /* enum again_reason, or one of a later release */
    struct bytes sentence;
};
WIRE_MESSAGE(again)

/* What the sink has received of this worker's results (struct arrival, without the session). */
enum received_flag { RECEIVED_NOT_READING = 1 };

struct received {
    uint64_t batch;
    uint64_t offset;
    uint64_t flags;
};
WIRE_MESSAGE(received)

/* HANDED: which tasks a session was handed, for a sink that takes no others from it. */
WIRE_OWNING_MESSAGE(session_tasks)

/* ENDED (a session), RECALL (tasks), RESEND (a batch), END (a batch) and CHECK (a task): one number. */
void number_put(struct buf *to, uint64_t number);
enum error number_take(struct bytes body, uint64_t *number);

struct cancel_item {
    uint64_t seq;
    struct attempt attempt;
    uint64_t batch; /* of the lane */
};
struct cancel {
    struct cancel_item *items;
    size_t count;
};
WIRE_OWNING_MESSAGE(cancel)

/* RELEASED; and STRANGE: tasks whose result was taken from a session that never had them. */
struct released {
    struct seqset tasks;
};
WIRE_OWNING_MESSAGE(released)

/* ADMITTED: the keys of all workers that may send results. Adds to `m`; ERR_TOO_LARGE for more than
 * ADMITTED_MAX. */
WIRE_MESSAGE(admitted)

struct sink_news {
    uint64_t epoch; /* 0: there is no sink now */
    struct bytes results;
    struct key sink; /* its public key, as in WELCOME */
    uint64_t wants;
};
WIRE_MESSAGE(sink_news)

enum stop_reason { STOP_JOB_OVER = 0, STOP_INTERRUPTED = 1 };

struct stop {
    uint64_t reason;
    uint64_t batch; /* the lane's last */
};
WIRE_MESSAGE(stop)

struct verdict_item {
    enum result_status status; /* RESULT_LOST or RESULT_TASK_TOO_LARGE */
    uint64_t first;
    uint64_t last;
    uint64_t tries;
    struct bytes task;    /* record, or empty */
    struct bytes workers; /* text, for users: what happened to those that ran it */
};
struct verdict {
    struct verdict_item *items;
    size_t count;
};
WIRE_OWNING_MESSAGE(verdict)

enum status_flag {
    STATUS_INPUT_ENDED = 1,
    STATUS_INPUT_CRLF = 2, /* its first line ends with CR LF: the CR is part of the task */
    STATUS_INPUT_BOM = 4   /* it begins with a byte-order mark, which is part of the first task */
};

struct status {
    uint64_t total; /* 0: not known */
    uint64_t read;
    uint64_t queued;
    uint64_t out; /* at workers, not stored */
    uint64_t flags;
    uint64_t workers;
    struct hash executor; /* of the worker that joined last; zero: none has */
    uint64_t slots;       /* of all workers; 0: not known, or none */
};
WIRE_MESSAGE(status)

enum done_flag { DONE_INPUT_CUT = 1 /* the input was not read to its end */ };

struct done {
    uint64_t total;
    struct seqset not_run;
    uint64_t flags;
    uint64_t workers; /* that took part */
};
WIRE_OWNING_MESSAGE(done)

/* WHY has no body. This is its answer: what the unfinished tasks wait for. */
struct because_item {
    struct seqset tasks; /* the first ranges; none: it is about the whole job */
    uint64_t more;       /* tasks that are not named */
    struct bytes sentence;
};
struct because {
    struct because_item *items;
    size_t count;
};
enum { BECAUSE_ITEMS_MAX = 500, BECAUSE_RANGES_MAX = 16 };
WIRE_OWNING_MESSAGE(because)

/* ---- lane ---- */

enum task_flag {
    TASK_LAST = 1,
    TASK_ALONE = 2,
    TASK_PIECES = 4, /* one task without a record: the pieces before the message brought it */
    TASK_TAGGED = 8  /* a tagged part stands before the records; no tag has a meaning yet */
};

/* Tasks with consecutive numbers that are handed out alike. */
struct task_run {
    uint64_t first;
    uint64_t count;
    uint32_t number; /* of the attempt; its incarnation is the message's */
    uint32_t tries;
    uint64_t flags;
    struct bytes tagged; /* with TASK_TAGGED: the part, from its count on */
    struct bytes records;
};

/* What a record that came in pieces counts towards the credit: it waits in a file. */
static inline uint64_t task_pieces_credit(uint64_t record_size)
{
    return record_size < BATCH_BYTES_MAX ? record_size : BATCH_BYTES_MAX;
}

void tasks_begin(struct buf *to, uint64_t batch); /* then task_run_put for each */
void task_run_put(struct buf *to, const struct task_run *run);
/* The same message with one run, in a form that lets the records be copied just once: they are
 * appended to a buf that starts with TASKS_HEAD_SIZE bytes of room, and tasks_head_write then
 * writes everything that stands before them, with numbers padded to their full width.
 * `run->records` is not looked at; TASK_TAGGED cannot be said so. */
enum { TASKS_HEAD_SIZE = FRAME_HEAD_SIZE + 4 * 10 + 2 * 5 + 1 };
void tasks_head_write(struct buf *message, struct frame_head head, uint64_t batch,
                      const struct task_run *run);
enum error tasks_take(struct bytes body, uint64_t *batch, struct bytes *runs);
/* Takes the next run off `*runs`; checks that it has `count` well-formed records, or with TASK_PIECES
 * one task and none. */
enum error task_run_take(struct bytes *runs, struct task_run *run);

/* ---- results ---- */

struct results_head {
    uint64_t batch;
    uint64_t floor;
    struct bytes worker;
};

struct result_run {
    uint64_t first;
    uint64_t count;
    struct attempt attempt;
    uint32_t tries;
    struct bytes records;
};

void results_begin(struct buf *to, const struct results_head *m); /* then result_run_put for each */
void result_run_put(struct buf *to, const struct result_run *run);
enum error results_take(struct bytes body, struct results_head *m, struct bytes *runs);
/* Takes the next run off `*runs`. The records are checked by result_take, one by one. */
enum error result_run_take(struct bytes *runs, struct result_run *run);

struct piece {
    struct bytes worker; /* empty on a lane */
    uint64_t seq;
    struct attempt attempt;
    uint32_t tries;
    uint64_t offset;
    uint64_t total;
    struct bytes content;
};
WIRE_MESSAGE(piece)

#endif
