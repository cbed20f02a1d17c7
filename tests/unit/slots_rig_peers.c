/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/slots_rig.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

/* Whom the worker's core talks to, as its tests play them. */

/* ---- the ventilator ---- */

static void v_sends(struct rig *r, enum wire_kind kind, uint64_t session, struct buf *body)
{
    struct buf message = {0};
    wire_begin(&message, kind, (struct frame_head){kind, JOB, r->incarnation, session});
    buf_put_bytes(&message, buf_bytes(body));
    buf_free(body);
    if (kind == KIND_HELLO || kind == KIND_TASKS || kind == KIND_PIECE || kind == KIND_END)
        slots_lane_message(r->s, buf_bytes(&message), r->now_ns);
    else
        slots_control_message(r->s, buf_bytes(&message), r->now_ns);
    buf_free(&message);
}

void v_says(struct rig *r, enum wire_kind kind, struct buf *body)
{
    v_sends(r, kind, r->session, body);
}

void v_says_number(struct rig *r, enum wire_kind kind, uint64_t number)
{
    struct buf body = {0};
    number_put(&body, number);
    v_says(r, kind, &body);
}

void v_again(struct rig *r, uint64_t session)
{
    struct buf body = {0};
    again_put(&body, &(struct again){session, AGAIN_UNKNOWN_SESSION, {0}});
    v_says(r, KIND_AGAIN, &body);
}

void v_welcome(struct rig *r, struct worker_welcome m)
{
    struct buf body = {0};
    m.heartbeat_ms = 500;
    m.limit_ms = 3000;
    if (!m.lanes.size)
        m.lanes = bytes_of("5557");
    if (!m.results.size && !m.epoch) {
        m.results = bytes_of("tcp://sink:5558");
        m.epoch = 1;
    }
    worker_welcome_put(&body, &m);
    r->session++;
    r->batch = 0;
    v_says(r, KIND_WELCOME, &body);
    worker_welcome_free(&m);
}

void v_refuse(struct rig *r, uint64_t reason, const char *sentence)
{
    struct buf body = {0};
    refuse_put(&body, &(struct refuse){reason, bytes_of(sentence)});
    v_sends(r, KIND_REFUSE, 0, &body);
}

void v_heartbeat(struct rig *r, uint64_t session)
{
    struct buf body = {0};
    heartbeat_put(&body, &(struct heartbeat){.clock_ns = r->now_ns});
    v_sends(r, KIND_HEARTBEAT, session, &body);
}

void v_hello(struct rig *r)
{
    struct buf body = {0};
    token_put(&body, &(struct token){{1, 2, 3}});
    v_sends(r, KIND_HELLO, 0, &body);
}

void v_tasks(struct rig *r, uint64_t first, uint64_t count, uint64_t flags)
{
    struct buf body = {0}, records = {0};
    for (uint64_t i = 0; i < count; i++)
        task_put_line(&records, bytes_of("line"));
    tasks_begin(&body, ++r->batch);
    task_run_put(&body, &(struct task_run){.first = first,
                                           .count = count,
                                           .number = 1,
                                           .tries = 1,
                                           .flags = flags,
                                           .records = buf_bytes(&records)});
    v_says(r, KIND_TASKS, &body);
    buf_free(&records);
}

void v_end(struct rig *r)
{
    v_says_number(r, KIND_END, r->batch);
}

void v_released(struct rig *r, uint64_t first, uint64_t last)
{
    struct buf body = {0};
    struct released m = {0};
    seqset_add(&m.tasks, first, last);
    released_put(&body, &m);
    v_says(r, KIND_RELEASED, &body);
    released_free(&m);
}

void v_cancel(struct rig *r, uint64_t seq, uint64_t batch)
{
    struct buf body = {0};
    struct cancel_item item = {seq, {r->incarnation, 1}, batch};
    cancel_put(&body, &(struct cancel){&item, 1});
    v_says(r, KIND_CANCEL, &body);
}

void v_sink(struct rig *r, uint64_t epoch, const char *endpoint)
{
    struct buf body = {0};
    sink_news_put(&body, &(struct sink_news){.epoch = epoch, .results = bytes_of(endpoint)});
    v_says(r, KIND_SINK, &body);
}

void v_received(struct rig *r, uint64_t batch, uint64_t offset, uint64_t flags)
{
    struct buf body = {0};
    received_put(&body, &(struct received){batch, offset, flags});
    v_says(r, KIND_RECEIVED, &body);
}

void v_stop(struct rig *r, uint64_t reason)
{
    struct buf body = {0};
    stop_put(&body, &(struct stop){reason, r->batch});
    v_says(r, KIND_STOP, &body);
}

/* ---- the executor ---- */

void x_ends(struct rig *r, unsigned slot, uint64_t seq, enum result_status status,
            const char *output)
{
    struct outcome outcome = {.slot = slot,
                              .seq = seq,
                              .status = status,
                              .code = status == RESULT_OK ? 0 : 1,
                              .start_us = 1,
                              .duration_ns = NS_PER_S,
                              .out = {.bytes = bytes_of(output), .fd = -1},
                              .err = {.fd = -1}};
    slots_finished(r->s, &outcome, r->now_ns);
}

void x_run_ends(struct rig *r, unsigned slot, uint64_t first, uint32_t count, uint32_t failed,
                uint64_t wants)
{
    struct buf records = {0};
    for (uint32_t i = 0; i < count; i++)
        result_put(&records, &(struct result){.final = true,
                                              .status = i < failed ? RESULT_EXITED : RESULT_OK,
                                              .code = i < failed,
                                              .out = bytes_of("out")});
    struct outcome_run run = {.slot = slot,
                              .first = first,
                              .count = count,
                              .failed = failed,
                              .final = true,
                              .wants = wants,
                              .duration_ns = count * NS_PER_MS,
                              .records = buf_bytes(&records)};
    slots_finished_run(r->s, &run, r->now_ns);
    buf_free(&records);
}

void x_ok(struct rig *r, unsigned slot, uint64_t seq)
{
    x_ends(r, slot, seq, RESULT_OK, "out");
}

static void ends_itself(struct rig *r, unsigned slot, uint64_t seq, enum result_status status,
                        unsigned code)
{
    char *output = xstrdup("written before"); /* valid during the call, and not longer */
    struct outcome outcome = {.slot = slot,
                              .seq = seq,
                              .status = status,
                              .code = code,
                              .own_end = true,
                              .out = {.bytes = bytes_of(output), .fd = -1},
                              .err = {.fd = -1}};
    slots_finished(r->s, &outcome, r->now_ns);
    memset(output, 0, strlen(output));
    free(output);
}

void x_signaled(struct rig *r, unsigned slot, uint64_t seq, unsigned number)
{
    ends_itself(r, slot, seq, RESULT_SIGNALED, number);
}

void x_exits(struct rig *r, unsigned slot, uint64_t seq, unsigned status)
{
    ends_itself(r, slot, seq, RESULT_EXITED, status);
}

void x_fails(struct rig *r, unsigned slot, uint64_t seq)
{
    x_ends(r, slot, seq, RESULT_EXITED, "");
}
