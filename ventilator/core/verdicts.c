/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/verdicts.h"

#include "ventilator/core/charges.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/liveness.h"

static struct verdict_item verdict_of(struct dispatcher *d, uint64_t seq)
{
    struct entry *entry = ledger_find(&d->ledger, seq);
    struct story *story = entry_story(entry, seq);
    struct bytes record = ledger_record(entry, seq);
    size_t most = liveness_sink_frame_max(d, d->options.task_inline_max);
    return (struct verdict_item){.status = entry->block ? RESULT_LOST : RESULT_TASK_TOO_LARGE,
                                 .first = seq,
                                 .last = seq,
                                 .tries = story ? story->fails + story->losses : 0,
                                 .task = record.size > most ? (struct bytes){0} : record};
}

/* What the sink tells users besides the status. */
static void put_verdict_words(const struct dispatcher *d, const struct verdict_item *item,
                              struct buf *to)
{
    if (item->status == RESULT_TASK_TOO_LARGE)
        buf_printf(to, "the task is longer than --task-max, which is %llu bytes",
                   (unsigned long long)d->options.task_max_bytes);
    else
        charges_put_words(d, item->first, to);
}

/* As many as fit a frame, of those that this session of the sink has not been told; returns false if there are none. */
static bool send_some_verdicts(struct dispatcher *d)
{
    enum { MOST = 1000 };
    struct verdict_item items[MOST];
    struct verdict m = {items, 0};
    struct buf words = {0};
    size_t size_bytes = 0, most = liveness_sink_frame_max(d, FRAME_MAX / 2), words_end[MOST];
    uint64_t from = 1;
    struct range r;
    while (m.count < MOST && seqset_next(&d->pending.unsaid, from, UINT64_MAX - 1, &r)) {
        struct verdict_item item = verdict_of(d, r.first);
        if (m.count && size_bytes + words.size + item.task.size > most)
            break;
        size_bytes += item.task.size;
        put_verdict_words(d, &item, &words);
        words_end[m.count] = words.size;
        items[m.count++] = item;
        from = r.first + 1;
    }
    if (m.count == 0)
        return false;
    seqset_remove(&d->pending.unsaid, 1, from - 1);
    for (size_t i = 0, at = 0; words.size && i < m.count; at = words_end[i++])
        items[i].workers = (struct bytes){words.data + at, words_end[i] - at};
    struct buf to = {0};
    wire_begin(&to, KIND_VERDICT, dispatcher_head(d, KIND_VERDICT, d->sink.session));
    verdict_put(&to, &m);
    dispatcher_send(d, d->sink.connection, &to);
    buf_free(&words);
    return true;
}

void verdicts_send(struct dispatcher *d)
{
    while (d->sink.ready && send_some_verdicts(d))
        ;
}
