/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_MESSAGES_H
#define ZFARM_MESSAGES_H

#include <assert.h>

#include "tests/codec.h"

/* Which codec reads the body of which kind of message; TASKS and RESULTS have their own functions, and
 * WHY and BYE no body. */
static const struct {
    enum wire_kind kind;
    struct codec codec;
} messages[] = {
    {KIND_JOIN, CODEC(worker_join)},
    {KIND_JOIN, CODEC(sink_join)},
    {KIND_HEARTBEAT, CODEC(heartbeat)},
    {KIND_CREDIT, CODEC(credit)},
    {KIND_CLAIM, CODEC(token)},
    {KIND_HELLO, CODEC(token)},
    {KIND_FINISHED, CODEC(finished)},
    {KIND_FAILED, CODEC(attempt_list)},
    {KIND_RETURNED, CODEC(returned)},
    {KIND_STORED, CODEC(stored_note)},
    {KIND_CLOSED, CODEC(closed)},
    {KIND_HALT, CODEC(halt)},
    {KIND_HASHES, CODEC(hashes)},
    {KIND_WELCOME, CODEC(worker_welcome)},
    {KIND_WELCOME, CODEC(sink_welcome)},
    {KIND_REFUSE, CODEC(refuse)},
    {KIND_CANCEL, CODEC(cancel)},
    {KIND_RELEASED, CODEC(released)},
    {KIND_SINK, CODEC(sink_news)},
    {KIND_STOP, CODEC(stop)},
    {KIND_VERDICT, CODEC(verdict)},
    {KIND_STATUS, CODEC(status)},
    {KIND_DONE, CODEC(done)},
    {KIND_BECAUSE, CODEC(because)},
    {KIND_ADMITTED, CODEC(admitted)},
    {KIND_PIECE, CODEC(piece)},
    {KIND_AGAIN, CODEC(again)},
    {KIND_PROTEST, CODEC(protest)},
    {KIND_RECEIVED, CODEC(received)},
    {KIND_HANDED, CODEC(session_tasks)},
    {KIND_STRANGE, CODEC(released)},
};
enum { MESSAGES = sizeof messages / sizeof *messages };

static inline bool codec_reads(const struct codec *codec, struct bytes body)
{
    union decoded m = {0};
    assert(codec->size <= sizeof m);
    bool good = codec->take(body, &m) == ERR_NONE;
    codec->free(&m);
    return good;
}

static inline bool is_one_number(enum wire_kind kind)
{
    return kind == KIND_RECALL || kind == KIND_RESEND || kind == KIND_END || kind == KIND_ENDED ||
           kind == KIND_CHECK;
}

/* Whether a peer could read what a core has made. Of TASKS and RESULTS only the head is looked at. */
static inline bool message_is_sound(struct bytes message)
{
    struct frame_head head;
    struct bytes body;
    uint64_t number;
    struct results_head results;
    if (frame_take(message, &head, &body))
        return false;
    if (is_one_number(head.kind))
        return !number_take(body, &number);
    if (head.kind == KIND_LEAVE)
        return !leave_take(body, &body);
    if (head.kind == KIND_BYE || head.kind == KIND_WHY)
        return !body.size;
    if (head.kind == KIND_TASKS)
        return !tasks_take(body, &number, &body);
    if (head.kind == KIND_RESULTS)
        return !results_take(body, &results, &body);
    for (size_t i = 0; i < MESSAGES; i++)
        if (messages[i].kind == head.kind && codec_reads(&messages[i].codec, body))
            return true;
    return false;
}

#endif
