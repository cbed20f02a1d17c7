/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_DISPATCHER_STATE_H
#define ZFARM_DISPATCHER_STATE_H

#include "ventilator/core/admission.h"
#include "ventilator/core/audit.h"
#include "ventilator/core/charges.h"
#include "ventilator/core/delays.h"
#include "ventilator/core/dispatcher.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/explain.h"
#include "ventilator/core/job_end.h"
#include "ventilator/core/joins.h"
#include "ventilator/core/ledger.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/protests.h"
#include "ventilator/core/reading.h"
#include "ventilator/core/recall.h"
#include "ventilator/core/schedule.h"
#include "ventilator/core/sessions.h"
#include "ventilator/core/sink_session.h"
#include "ventilator/core/standing.h"

/* The dispatcher's state: the parts' structs, each owned by the file in whose header it stands. */

struct dispatcher {
    struct dispatcher_options options;
    char *lanes;
    char *endpoint;
    uint64_t job;
    uint64_t random;      /* for delays and incarnations */
    struct hash executor; /* of the worker that joined last */

    struct sink_session sink;
    struct audit audit;
    struct admission admission;
    struct waiting_joins waiting;
    struct sessions sessions;
    struct liveness liveness;
    struct protests protests;
    struct ledger ledger;
    struct pending_tasks pending;
    struct charges charges;
    struct input_reading reading;
    struct standings standings;
    uint64_t handed_at_ns; /* tasks were handed out; 0: never */
    bool keeps_free;       /* a worker is reserved for a task that runs alone */
    struct recall recall;
    uint64_t hedge_again_ns; /* not before, tasks to be run twice are looked for */
    struct seqset transfers; /* sessions to which something is on its way in pieces */
    struct seqset handed;    /* sessions that have `handed` */
    struct job_end end;
    struct answer answer;
    struct action_ring actions;

    bool turn_wanted; /* the input told something that the next turn acts on */
    uint64_t held_ns; /* since when it is held; 0: it is not */
    uint64_t turned_at_ns;
    uint64_t moved_at_ns;
    uint64_t stored_at_ns; /* tasks were stored; 0: never */
};

/* Something has moved: nothing is stalled. */
static inline void dispatcher_moved(struct dispatcher *d, uint64_t now_ns)
{
    d->moved_at_ns = now_ns;
}

#endif
