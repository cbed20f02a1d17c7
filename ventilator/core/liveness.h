/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_LIVENESS_H
#define ZFARM_LIVENESS_H

#include "ventilator/core/session.h"

struct dispatcher;

/* Whether each connection lives, by what has arrived on it (docs/protocol.md, 18). It owns struct heard,
 * lane_state and results_state of each session, and decides how long silence may last. workers and sink_session
 * call it with messages; it calls pending for what is run elsewhere, sessions to close a lane. */

struct liveness {
    uint64_t silent_from_ns;  /* before, no session can be found to be silent */
    struct patience patience; /* with all of them: how late this process and they are */
    struct throttle lines;    /* about workers that are silent */
};

/* What the worker's heartbeat says of its connections, and by it is judged: its lane may be closed. */
void liveness_heartbeat(struct dispatcher *d, struct session *s, const struct heartbeat *m,
                        uint64_t now_ns);
/* It has said something: how late it is. */
void liveness_heard(const struct dispatcher *d, struct session *s, uint64_t now_ns);
void liveness_sink_heard(struct dispatcher *d, uint64_t now_ns);
/* Once a heartbeat: how late all are. */
void liveness_look(struct dispatcher *d);
/* By how much this turn is late. */
uint64_t liveness_late_ns(const struct dispatcher *d, uint64_t now_ns);
/* How long the worker may be silent. */
uint64_t liveness_limit(const struct dispatcher *d, const struct session *s);
/* CREDIT says what has arrived on the lane. */
void liveness_lane(struct session *s, const struct credit *m, uint64_t now_ns);
/* The sink's note says what of its results has. */
void liveness_results(struct dispatcher *d, const struct stored_note *m);
/* The worker goes on in another session. */
void liveness_go_on(struct session *s, const struct session *before);
/* The most bytes of tasks in one frame, where `usual` is that for others. `s` may be NULL. */
size_t liveness_frame_max(const struct session *s, size_t usual);
/* The most bytes of records in one VERDICT, likewise. */
size_t liveness_sink_frame_max(const struct dispatcher *d, size_t usual);
bool liveness_lane_is_busy(const struct session *s); /* something that was sent has not arrived */
/* For how long nothing has arrived on its lane though something is under way; 0: all is well. */
uint64_t liveness_lane_silence_ns(const struct dispatcher *d, const struct session *s,
                                  uint64_t now_ns);

#endif
