/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WIRE_H
#define ZFARM_WIRE_H

#include "common/base/block.h"
#include "common/base/error.h"
#include "common/wire/halt_rule.h"
#include "common/base/key.h"
#include "common/wire/result.h"
#include "common/base/seqset.h"
#include "common/wire/task.h"

/* The messages of docs/protocol.md as structs: encoding and decoding, and nothing else.
 *
 * To send: wire_begin, the message's *_put, block_new. To receive: frame_take, then the *_take that
 * fits frame.kind. Every *_take checks all lengths and numbers and refuses bytes behind the end; it
 * returns ERR_TRUNCATED, ERR_MALFORMED, ERR_TRAILING   the message is to be dropped and counted.
 * Slices (struct bytes) in a decoded struct point into the message. A struct with a seqset in it has
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
    TASK_PIECE_MAX = 256 << 10,
    TOKEN_SIZE = 16
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

const char *wire_kind_name(unsigned kind); /* "JOIN"; "?" if unknown */

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
void attempt_list_free(struct attempt_list *list);

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

struct fields;
/* A halt-rule in a tag, nothing if there is none; and read again. */
void halt_rule_put(struct buf *to, const struct halt_rule *rule);
struct halt_rule fields_tag_halt_rule(struct fields *r, struct bytes tag);

/* Both kinds of JOIN begin with the role. ERR_MALFORMED for any other. */
enum error join_role(struct bytes body, enum wire_role *role);
void worker_join_put(struct buf *to, const struct worker_join *m);
enum error worker_join_take(struct bytes body, struct worker_join *m);
void worker_join_free(struct worker_join *m);
void sink_join_put(struct buf *to, const struct sink_join *m);
enum error sink_join_take(struct bytes body, struct sink_join *m);
void sink_join_free(struct sink_join *m);

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
};
void heartbeat_put(struct buf *to, const struct heartbeat *m);
enum error heartbeat_take(struct bytes body, struct heartbeat *m);
void heartbeat_free(struct heartbeat *m);

struct credit {
    uint64_t tasks;
    uint64_t size_bytes;
    uint64_t reserve; /* tasks */
    /* Tag 1: what has arrived on the lane, so that it is known to live: the last batch, and of the
     * task that comes in pieces up to where. Both 0: nothing has. */
    uint64_t received_batch;
    uint64_t received_offset;
};
void credit_put(struct buf *to, const struct credit *m);
enum error credit_take(struct bytes body, struct credit *m);

struct token {
    uint8_t octets[TOKEN_SIZE];
};
void token_put(struct buf *to, const struct token *m); /* CLAIM and HELLO */
enum error token_take(struct bytes body, struct token *m);

struct finished {
    struct seqset tasks;
    uint64_t failed; /* how many of them are not ok */
};
void finished_put(struct buf *to, const struct finished *m);
enum error finished_take(struct bytes body, struct finished *m);
void finished_free(struct finished *m);

/* FAILED is a bare list of attempts. */
void attempt_list_put(struct buf *to, const struct attempt_list *m);
enum error attempt_list_take(struct bytes body, struct attempt_list *m);

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
void returned_put(struct buf *to, const struct returned *m);
enum error returned_take(struct bytes body, struct returned *m);
void returned_free(struct returned *m);

void leave_put(struct buf *to, struct bytes text); /* LEAVE: why */
enum error leave_take(struct bytes body, struct bytes *text);

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
void stored_note_put(struct buf *to, const struct stored_note *m);
enum error stored_note_take(struct bytes body, struct stored_note *m);
void stored_note_free(struct stored_note *m);

struct closed {
    uint64_t total, ok, failed, lost, not_run, doubled;
    uint64_t status; /* the job's exit status */
};
void closed_put(struct buf *to, const struct closed *m);
enum error closed_take(struct bytes body, struct closed *m);

/* The job ends early: from the sink that decides it, and from the ventilator to one that joins
 * later. */
struct halt {
    enum halt_when when;
    uint64_t seq;    /* the task that fired it */
    uint64_t status; /* the job's exit status */
};
void halt_put(struct buf *to, const struct halt *m);
enum error halt_take(struct bytes body, struct halt *m);

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
void hashes_put(struct buf *to, const struct hashes *m);
enum error hashes_take(struct bytes body, struct hashes *m);
void hashes_free(struct hashes *m);

/* ---- control, both ways ---- */

/* A message made no sense. To whom sent it; and from the sink about a worker's RESULTS, which the
 * ventilator passes on. */
struct protest {
    uint64_t session; /* whose message it was; 0: of whom this goes to */
    uint64_t kind;    /* of the message, also an unknown one */
    uint64_t offset;  /* from its begin: where it stopped making sense */
    struct bytes sentence;
};
void protest_put(struct buf *to, const struct protest *m);
enum error protest_take(struct bytes body, struct protest *m);

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
void worker_welcome_put(struct buf *to, const struct worker_welcome *m);
enum error worker_welcome_take(struct bytes body, struct worker_welcome *m);
void worker_welcome_free(struct worker_welcome *m);

struct sink_welcome {
    uint64_t heartbeat_ms;
    uint64_t limit_ms;
    uint64_t epoch;
    struct hash fingerprint;
    uint64_t features; /* tag 1, as in JOIN */
};
void sink_welcome_put(struct buf *to, const struct sink_welcome *m);
enum error sink_welcome_take(struct bytes body, struct sink_welcome *m);

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
void refuse_put(struct buf *to, const struct refuse *m);
enum error refuse_take(struct bytes body, struct refuse *m);

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
void again_put(struct buf *to, const struct again *m);
enum error again_take(struct bytes body, struct again *m);

/* What the sink has received of this worker's results (struct arrival, without the session). */
enum received_flag { RECEIVED_NOT_READING = 1 };

struct received {
    uint64_t batch;
    uint64_t offset;
    uint64_t flags;
};
void received_put(struct buf *to, const struct received *m);
enum error received_take(struct bytes body, struct received *m);

/* HANDED: which tasks a session was handed, for a sink that takes no others from it. */
void session_tasks_put(struct buf *to, const struct session_tasks *m);
enum error session_tasks_take(struct bytes body, struct session_tasks *m);
void session_tasks_free(struct session_tasks *m);

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
void cancel_put(struct buf *to, const struct cancel *m);
enum error cancel_take(struct bytes body, struct cancel *m);
void cancel_free(struct cancel *m);

/* RELEASED; and STRANGE: tasks whose result was taken from a session that never had them. */
struct released {
    struct seqset tasks;
};
void released_put(struct buf *to, const struct released *m);
enum error released_take(struct bytes body, struct released *m);
void released_free(struct released *m);

/* ADMITTED: the keys of all workers that may send results. Adds to `m`; ERR_TOO_LARGE for more than
 * ADMITTED_MAX. */
void admitted_put(struct buf *to, const struct admitted *m);
enum error admitted_take(struct bytes body, struct admitted *m);

struct sink_news {
    uint64_t epoch; /* 0: there is no sink now */
    struct bytes results;
    struct key sink; /* its public key, as in WELCOME */
    uint64_t wants;
};
void sink_news_put(struct buf *to, const struct sink_news *m);
enum error sink_news_take(struct bytes body, struct sink_news *m);

enum stop_reason { STOP_JOB_OVER = 0, STOP_INTERRUPTED = 1 };

struct stop {
    uint64_t reason;
    uint64_t batch; /* the lane's last */
};
void stop_put(struct buf *to, const struct stop *m);
enum error stop_take(struct bytes body, struct stop *m);

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
void verdict_put(struct buf *to, const struct verdict *m);
enum error verdict_take(struct bytes body, struct verdict *m);
void verdict_free(struct verdict *m);

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
void status_put(struct buf *to, const struct status *m);
enum error status_take(struct bytes body, struct status *m);

enum done_flag { DONE_INPUT_CUT = 1 /* the input was not read to its end */ };

struct done {
    uint64_t total;
    struct seqset not_run;
    uint64_t flags;
    uint64_t workers; /* that took part */
};
void done_put(struct buf *to, const struct done *m);
enum error done_take(struct bytes body, struct done *m);
void done_free(struct done *m);

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
void because_put(struct buf *to, const struct because *m);
enum error because_take(struct bytes body, struct because *m);
void because_free(struct because *m);

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
void piece_put(struct buf *to, const struct piece *m);
enum error piece_take(struct bytes body, struct piece *m);

#endif
