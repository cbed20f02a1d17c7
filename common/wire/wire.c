/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/wire.h"

#include <assert.h>
#include <string.h>

#include "common/wire/fields.h"

const char *const wire_kind_names[KIND_RESULTS + 1] = {
#define X(name, code) [code] = &#name[sizeof "KIND_" - 1],
    WIRE_KIND_LIST(X)
#undef X
};

static bool kind_known(unsigned kind)
{
    return kind <= KIND_RESULTS && wire_kind_names[kind];
}

const char *wire_kind_name(unsigned kind)
{
    return kind_known(kind) ? wire_kind_names[kind] : "?";
}

/* One number at the beginning of nothing else: a uint64_t. */
#define ONE_NUMBER(message, word)                                                                  \
    static const struct field message##_fields[] = {{.name = word, .kind = FIELD_NUMBER}, {0}};    \
    static const struct layout message##_layout = {#message, sizeof(uint64_t), message##_fields,   \
                                                   NULL}
ONE_NUMBER(recall, "tasks");
ONE_NUMBER(resend, "batch");
ONE_NUMBER(ended, "session");
ONE_NUMBER(check, "from");
ONE_NUMBER(lane_end, "batch");
static const struct layout bare_layout = {"bare", 0, (const struct field[]){{0}}, NULL};

static const struct layout *const layouts[KIND_RESULTS + 1] = {
    [KIND_HEARTBEAT] = &heartbeat_layout,
    [KIND_CREDIT] = &credit_layout,
    [KIND_CLAIM] = &token_layout,
    [KIND_FINISHED] = &finished_layout,
    [KIND_FAILED] = &attempt_list_layout,
    [KIND_RETURNED] = &returned_layout,
    [KIND_LEAVE] = &leave_layout,
    [KIND_BYE] = &bare_layout,
    [KIND_STORED] = &stored_note_layout,
    [KIND_CLOSED] = &closed_layout,
    [KIND_HASHES] = &hashes_layout,
    [KIND_HALT] = &halt_layout,
    [KIND_WHY] = &bare_layout,
    [KIND_PROTEST] = &protest_layout,
    [KIND_REFUSE] = &refuse_layout,
    [KIND_AGAIN] = &again_layout,
    [KIND_RECALL] = &recall_layout,
    [KIND_CANCEL] = &cancel_layout,
    [KIND_RELEASED] = &released_layout,
    [KIND_SINK] = &sink_news_layout,
    [KIND_RESEND] = &resend_layout,
    [KIND_STOP] = &stop_layout,
    [KIND_VERDICT] = &verdict_layout,
    [KIND_STATUS] = &status_layout,
    [KIND_DONE] = &done_layout,
    [KIND_ENDED] = &ended_layout,
    [KIND_CHECK] = &check_layout,
    [KIND_BECAUSE] = &because_layout,
    [KIND_ADMITTED] = &admitted_layout,
    [KIND_RECEIVED] = &received_layout,
    [KIND_HANDED] = &session_tasks_layout,
    [KIND_STRANGE] = &released_layout,
    [KIND_HELLO] = &token_layout,
    [KIND_PIECE] = &piece_layout,
    [KIND_END] = &lane_end_layout,
};

const struct layout *wire_layout(enum wire_kind kind, struct bytes body)
{
    enum wire_role role;
    bool joins = kind == KIND_JOIN;
    if (!joins && kind != KIND_WELCOME)
        return layouts[kind];
    if (join_role(body, &role))
        return NULL;
    if (role == ROLE_SINK)
        return joins ? &sink_join_layout : &sink_welcome_layout;
    return joins ? &worker_join_layout : &worker_welcome_layout;
}

void wire_begin(struct buf *to, enum wire_kind kind, struct frame_head head)
{
    assert(to->size == 0);
    buf_put_byte(to, (uint8_t)kind);
    buf_put_byte(to, WIRE_VERSION);
    u64_put(to, head.job);
    u64_put(to, head.incarnation);
    u64_put(to, head.session);
}

enum error frame_take(struct bytes message, struct frame_head *head, struct bytes *body)
{
    *head = (struct frame_head){0};
    if (message.size > FRAME_MAX)
        return ERR_TOO_LARGE;
    if (message.size < 2)
        return ERR_TRUNCATED;
    if (!kind_known(message.data[0]))
        return ERR_KIND;
    head->kind = message.data[0];
    if (message.data[1] != WIRE_VERSION)
        return ERR_VERSION;
    struct fields r = fields_of((struct bytes){message.data + 2, message.size - 2});
    head->job = fields_u64(&r);
    head->incarnation = fields_u64(&r);
    head->session = fields_u64(&r);
    *body = fields_rest(&r);
    return r.error;
}
