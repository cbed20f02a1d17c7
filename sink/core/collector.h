/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_COLLECTOR_H
#define ZFARM_COLLECTOR_H

#include "common/wire/wire.h"

/* The sink's core: which results count, what is stored, when the job is over.
 *
 * It opens no socket, reads no clock and writes no output. The shell tells it what happened and
 * when; it answers with actions, and hands each result that counts to `accept`, at once and in the
 * order of arrival.
 *
 * When is a result stored? The shell says so with positions: what `accept` was given before
 * collector_mark (c, position) is stored as soon as collector_reached (c, position) tells that the
 * output has got that far (a count of bytes written that only grows; with an order window, of bytes
 * accepted by it).
 *
 * One turn of the shell:
 *
 *     for each message of control:  collector_control_message
 *     while collector_wants_results, for each message of results:  collector_results_message
 *     write; collector_mark (c, bytes put so far); collector_reached (c, bytes written so far)
 *     collector_turn (c, now_ns)
 *     while (collector_next_action (c, &action))  do it
 *     sleep until something happens or collector_deadline (c)
 *
 * The control connection is used once: after OPEN the shell tells up or down exactly once and then,
 * if it was up, down at most once; after CLOSE it tells nothing of the old one.
 */
struct collector;

/* What a store has from before; collector_new copies it. */
struct collector_past {
    const struct seqset *stored;
    uint64_t incarnation; /* highest life of the ventilator */
    bool closed;
    uint64_t total;   /* of a closed job */
    bool input_cut;   /* likewise: its input was not read to its end */
    uint64_t opening; /* how often the store has been opened, now included */
    uint64_t ok, failed, lost, doubled;
};

struct collector_options {
    struct peer peer;    /* its slices must outlive the core */
    uint64_t job;        /* random; from the store when there is one */
    const char *connect; /* the ventilator's control endpoint, for sentences; or NULL */
    const char *results; /* endpoint told in JOIN */
    uint64_t wants;      /* enum result_want */
    bool supervised;     /* zfarm run tells the user why it is stopped */
    bool is_volatile;    /* without a store */
    const struct collector_past *past; /* of the store; NULL: it is new, or there is none */
    const char *tmpdir;        /* large results are put together in files there; NULL: /tmp */
    uint64_t window_max_bytes; /* accepted and not stored: above it no results are read */
    uint64_t give_up_ns;
    uint64_t random_seed;
    struct halt_rule halt; /* when the job ends early */
    bool strict_results;   /* only those of tasks that their worker was handed are taken */
    void *context;
    /* A result that counts (final, the first of its task), or the history of a try that failed (not
     * final). Its slices are valid during the call. */
    void (*accept)(void *context, const struct result *result);
    /* With a store: commits that the job is open, in this life of the ventilator, before the sink says
     * that it is ready. False: not possible now; the sink joins again after its back-off. */
    bool (*begin_life)(void *context, uint64_t incarnation);
    /* With a store: the results of these tasks were taken from workers that were never handed them. */
    void (*strange)(void *context, const struct seqset *tasks);
    /* With a store: the hashes of stored tasks from `from` on, at most HASHES_MAX; returns how many. */
    size_t (*hashes)(void *context, uint64_t from, struct hashed_task to[static HASHES_MAX]);
};

enum collector_action_kind {
    COLLECTOR_OPEN_CONTROL,
    COLLECTOR_CLOSE_CONTROL,
    COLLECTOR_SEND_CONTROL, /* block */
    /* Tasks were handed out, so the input fits what is stored: the job goes on here. */
    COLLECTOR_BEGIN,
    /* All results are stored, those of collector_not_run will not come: write what is left, then
     * collector_flushed. */
    COLLECTOR_FLUSH,
    /* The end: status is the job's exit status by the counts, or 255 with why. */
    COLLECTOR_EXIT
};

struct collector_action {
    enum collector_action_kind kind;
    struct block *block; /* the shell's: it holds or releases it */
    int status;
    struct why why;
};

struct job_counts {
    uint64_t total; /* N of DONE, or the highest number known so far */
    uint64_t ok, failed, lost;
    uint64_t not_run;
    uint64_t doubled; /* late results that were dropped */
    uint64_t
        strange; /* results that were not taken, since their worker was never handed the task */
    uint64_t workers; /* that took part */
    bool input_cut;   /* the input was not read to its end */
    uint64_t dropped_messages;
    struct status status; /* as the ventilator sent it last */
};

struct collector *collector_new(const struct collector_options *options, uint64_t now_ns);
void collector_destroy(struct collector **c); /* takes NULL */

void collector_control_accepted(struct collector *c,
                                uint64_t now_ns); /* its handshake is to come */
void collector_control_up(struct collector *c, uint64_t now_ns);
void collector_control_down(struct collector *c, uint64_t now_ns);
void collector_control_message(struct collector *c, struct bytes message, uint64_t now_ns);
/* RESULTS or PIECE. A malformed message is dropped whole before anything of it is accepted. */
/* Whether it makes sense and is of this job. */
bool collector_results_message(struct collector *c, struct bytes message, uint64_t now_ns);

void collector_mark(struct collector *c, uint64_t position_bytes);
void collector_reached(struct collector *c, uint64_t position_bytes);
void collector_set_order_full(struct collector *c, bool full);
/* How the output is doing, once a turn, and how much was written to it so far: the ventilator is told
 * what holds it up. */
enum collector_output { OUTPUT_FLOWS, OUTPUT_BLOCKED, OUTPUT_NO_ROOM };
void collector_set_output(struct collector *c, enum collector_output output, uint64_t written_bytes,
                          uint64_t now_ns);
/* Whether results are read now, once a turn: workers whose results do not arrive are told that it is for
 * this, and not because of their connection. */
void collector_set_reading(struct collector *c, bool reads, uint64_t now_ns);
void collector_flushed(struct collector *c, uint64_t now_ns); /* answers COLLECTOR_FLUSH */

/* First signal: asks the ventilator to stop, and goes on to CLOSED and a status of 255. Where no
 * ventilator ever was, EXIT is next. */
void collector_stop(struct collector *c, uint64_t now_ns);

void collector_turn(struct collector *c, uint64_t now_ns);
uint64_t collector_deadline(const struct collector *c);
bool collector_next_action(struct collector *c, struct collector_action *action);

/* False while what is accepted and not stored is above the window. `unstored_bytes` is what the
 * output still has to write. */
bool collector_wants_results(const struct collector *c, uint64_t unstored_bytes);
const struct job_counts *collector_counts(const struct collector *c);
/* What keeps large results from being taken (no room, no directory); NULL if nothing does. */
const struct why *collector_stalled(const struct collector *c);
const struct seqset *collector_stored(const struct collector *c);
const struct seqset *collector_not_run(const struct collector *c); /* of DONE */
bool collector_is_done(const struct collector *c); /* the ventilator has said DONE */
/* The keys of the workers whose results are to be taken, in a farm with keys; NULL before the ventilator
 * has told them. */
const struct admitted *collector_admitted(const struct collector *c);
/* What ended the job early, or is about to; `when` is HALT_NEVER if nothing did. */
const struct halt *collector_halt(const struct collector *c);
uint64_t collector_total(const struct collector *c); /* of DONE */

uint64_t collector_moved_at(const struct collector *c);
bool collector_waits_for(const struct collector *c, uint64_t now_ns, struct why *why);

#endif
