/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CODEC_H
#define ZFARM_CODEC_H

#include "common/wire/wire.h"

/* The functions of each message of the protocol in one shape, so that a test can go through all of
 * them. */
struct codec {
    size_t size; /* of the struct */
    void (*put)(struct buf *to, const void *m);
    enum error (*take)(struct bytes body, void *m);
    void (*free)(void *m);
};

#define CODEC(name)                                                                                \
    {                                                                                              \
        sizeof(struct name), name##_put_any, name##_take_any, name##_free_any                      \
    }

/* Room for any of them. */
union decoded {
    uint64_t words[64];
    uint8_t bytes[512];
};

#define CODEC_FUNCTIONS(name, release)                                                             \
    static inline void name##_put_any(struct buf *to, const void *m)                               \
    {                                                                                              \
        name##_put(to, m);                                                                         \
    }                                                                                              \
    static inline enum error name##_take_any(struct bytes body, void *m)                           \
    {                                                                                              \
        return name##_take(body, m);                                                               \
    }                                                                                              \
    static inline void name##_free_any(void *m)                                                    \
    {                                                                                              \
        release(m);                                                                                \
    }

static inline void codec_frees_nothing(void *m)
{
    (void)m;
}

CODEC_FUNCTIONS(admitted, admitted_free)
CODEC_FUNCTIONS(again, codec_frees_nothing)
CODEC_FUNCTIONS(attempt_list, attempt_list_free)
CODEC_FUNCTIONS(because, because_free)
CODEC_FUNCTIONS(cancel, cancel_free)
CODEC_FUNCTIONS(closed, codec_frees_nothing)
CODEC_FUNCTIONS(credit, codec_frees_nothing)
CODEC_FUNCTIONS(done, done_free)
CODEC_FUNCTIONS(finished, finished_free)
CODEC_FUNCTIONS(halt, codec_frees_nothing)
CODEC_FUNCTIONS(hashes, hashes_free)
CODEC_FUNCTIONS(heartbeat, heartbeat_free)
CODEC_FUNCTIONS(piece, codec_frees_nothing)
CODEC_FUNCTIONS(protest, codec_frees_nothing)
CODEC_FUNCTIONS(received, codec_frees_nothing)
CODEC_FUNCTIONS(refuse, codec_frees_nothing)
CODEC_FUNCTIONS(released, released_free)
CODEC_FUNCTIONS(returned, returned_free)
CODEC_FUNCTIONS(session_tasks, session_tasks_free)
CODEC_FUNCTIONS(sink_join, sink_join_free)
CODEC_FUNCTIONS(sink_news, codec_frees_nothing)
CODEC_FUNCTIONS(sink_welcome, codec_frees_nothing)
CODEC_FUNCTIONS(status, codec_frees_nothing)
CODEC_FUNCTIONS(stop, codec_frees_nothing)
CODEC_FUNCTIONS(stored_note, stored_note_free)
CODEC_FUNCTIONS(token, codec_frees_nothing)
CODEC_FUNCTIONS(verdict, verdict_free)
CODEC_FUNCTIONS(worker_join, worker_join_free)
CODEC_FUNCTIONS(worker_welcome, worker_welcome_free)

#endif
