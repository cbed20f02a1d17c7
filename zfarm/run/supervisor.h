/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SUPERVISOR_H
#define ZFARM_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/clock.h"
#include "common/base/error.h"

/* What `zfarm run` does with its three programs, without I/O: events and the time go in, actions come
 * out (farm.c carries them out). docs/supervisor.md draws the states and says what each event does in
 * each.
 *
 *     STARTING_VENTILATOR -> STARTING_WORKER -> STARTING_SINK -> RUNNING -> CLOSING -> OVER
 *     any of these -> STOPPING -> CLOSING, ENDING -> OVER
 *
 * A program is started only in the first four, and only by supervisor_turn, so that whatever was told
 * before decides. Times are monotonic nanoseconds. Embed it by value; it owns nothing. */

/* Who can be a member of the farm. */
enum member { MEMBER_VENTILATOR, MEMBER_WORKER, MEMBER_SINK, MEMBERS };
const char *member_name(enum member member); /* "ventilator" */

enum supervisor_state {
    SUPERVISOR_STARTING_VENTILATOR,
    SUPERVISOR_STARTING_WORKER, /* the ventilator is ready */
    SUPERVISOR_STARTING_SINK,   /* so is the worker; nothing is handed out before a sink is there */
    SUPERVISOR_RUNNING,
    SUPERVISOR_STOPPING, /* what runs may finish, nothing more is begun */
    SUPERVISOR_CLOSING,  /* sink or ventilator has ended; the others are about to */
    SUPERVISOR_ENDING,   /* at once */
    SUPERVISOR_OVER,
    SUPERVISOR_STATES
};
const char *supervisor_state_name(enum supervisor_state state); /* "starting the ventilator" */

/* What a member is told. */
enum order {
    ORDER_STOP,    /* TERM: what runs may finish */
    ORDER_END_NOW, /* SIGNAL_END_NOW */
    ORDER_KILL,
    ORDER_HOLD, /* SIGNAL_HOLD */
    ORDER_GO    /* SIGNAL_GO */
};

enum supervisor_action_kind {
    SUPERVISOR_START,        /* member */
    SUPERVISOR_SIGNAL,       /* member, order */
    SUPERVISOR_BEGIN_HOSTS,  /* workers on hosts can connect */
    SUPERVISOR_SIGNAL_HOSTS, /* order */
    SUPERVISOR_NO_MORE,      /* no host's worker is started any more, no input is spooled */
    SUPERVISOR_SAY,          /* why */
    SUPERVISOR_PAUSE,        /* stop this process; then supervisor_go */
    SUPERVISOR_EXIT          /* status; the last one */
};

struct supervisor_action {
    enum supervisor_action_kind kind;
    enum member member;
    enum order order;
    int status;
    struct why why;
};

struct supervisor_options {
    bool has_worker;        /* on this machine */
    bool restarts[MEMBERS]; /* another one is started when a signal has killed it */
    bool has_store;         /* what a killed sink had not written is not lost */
};

/* How a member's process has ended. */
struct member_end {
    int signal; /* 0: by itself */
    int status;
};

struct supervisor_member {
    bool alive;
    bool told_ready;
    bool has_left; /* by itself, and without an error */
    bool holds;    /* it was told to hold, and has not said that it does */
    uint64_t started_ns;
    uint64_t due_ns;   /* it is started (again) then; NEVER: it is not */
    uint64_t delay_ns; /* the last one, before it was started again; 0: it never was */
};

enum supervisor_pause { PAUSE_NONE, PAUSE_WANTED, PAUSE_HELD };

enum { SUPERVISOR_ACTIONS_MAX = 32 };

struct supervisor {
    struct supervisor_options options;
    enum supervisor_state state;
    struct supervisor_member members[MEMBERS];
    bool hosts_left;
    uint64_t interrupted_ns; /* when it was first; NEVER: it was not */
    const char *interrupted_by;
    int status;      /* of the farm; -1: not known yet */
    uint64_t due_ns; /* STOPPING and CLOSING become ENDING then, ENDING kills then */
    enum supervisor_pause pause;
    uint64_t paused_ns; /* when it began */
    bool exited;
    struct supervisor_action actions[SUPERVISOR_ACTIONS_MAX];
    unsigned action_first, action_count;
};

/* The ventilator is due. */
void supervisor_init(struct supervisor *s, const struct supervisor_options *options,
                     uint64_t now_ns);

/* SUPERVISOR_START could not be carried out. */
void supervisor_not_started(struct supervisor *s, enum member member, const char *why,
                            uint64_t now_ns);
/* A member says that it is ready: it listens, a worker has its executor. */
void supervisor_ready(struct supervisor *s, enum member member, uint64_t now_ns);
void supervisor_ended(struct supervisor *s, enum member member, struct member_end end,
                      uint64_t now_ns);
/* A signal that is to end the farm. `key`: it is a key of the terminal; then a second one counts however
 * soon it comes. `insists`: it may be the second one that ends all at once; a HUP never is. `name` is for
 * users, and static: "TERM". */
void supervisor_interrupted(struct supervisor *s, const char *name, bool key, bool insists,
                            uint64_t now_ns);
/* The job cannot go on; `why` is said. An empty one was said already. */
void supervisor_failed(struct supervisor *s, const char *why, uint64_t now_ns);
/* Whether a host's worker runs, or waits to be started: the farm is not over before. */
void supervisor_set_hosts_left(struct supervisor *s, bool left);

/* The terminal's ^Z: members are told to hold, and when they do, or after SUPERVISOR_HOLD_NS, comes
 * SUPERVISOR_PAUSE. */
void supervisor_hold(struct supervisor *s, uint64_t now_ns);
void supervisor_holds(struct supervisor *s, enum member member); /* it says so */
/* This process goes on. All times begin where they stood. Does nothing without a hold before. */
void supervisor_go(struct supervisor *s, uint64_t now_ns);

/* What is due: starts, and what follows when a member does not end. Comes last in a turn. */
void supervisor_turn(struct supervisor *s, uint64_t now_ns);
uint64_t
supervisor_deadline(const struct supervisor *s); /* NEVER: only an event changes something */
/* False if there is none. */
bool supervisor_next_action(struct supervisor *s, struct supervisor_action *action);

/* A ventilator is there, or will be, that may want input. */
bool supervisor_wants_input(const struct supervisor *s);
/* The job is over, or is to end: a host's worker that ends now is not started again. */
bool supervisor_is_ending(const struct supervisor *s);

#define SUPERVISOR_HOLD_NS NS_PER_S

#endif
