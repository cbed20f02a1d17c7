/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/results.h"

void results_init(struct results *r, struct bytes worker, uint64_t max_bytes)
{
    *r = (struct results){.max_bytes = max_bytes};
    kept_init(&r->kept, worker);
}

void results_free(struct results *r)
{
    kept_free(&r->kept);
    large_free(&r->large);
}

uint64_t results_count(const struct results *r)
{
    return r->kept.tasks.members + r->large.tasks.members;
}

uint64_t results_bytes(const struct results *r)
{
    return kept_size_bytes(&r->kept) + r->large.size_bytes;
}

bool results_full(const struct results *r)
{
    return results_bytes(r) > r->max_bytes || large_full(&r->large);
}

bool results_empty(const struct results *r)
{
    return kept_empty(&r->kept) && r->large.count == 0;
}

bool results_have(const struct results *r, uint64_t first, uint64_t last)
{
    return kept_has(&r->kept, first, last) ||
           (r->large.count && seqset_count_in(&r->large.tasks, first, last));
}

void results_list(const struct results *r, struct seqset *tasks)
{
    seqset_copy(tasks, &r->kept.tasks);
    seqset_add_all(tasks, &r->large.tasks);
}

void results_put(struct results *r, struct result *result, const struct output *out,
                 const struct output *err, struct block *block, struct report *report)
{
    size_t inline_max = r->is_careful ? FRAME_CAREFUL : RESULT_INLINE_MAX;
    if (large_fits(result, out, err, inline_max)) {
        large_put(&r->large, result, out, err, block);
        return;
    }
    result->out = out->bytes;
    result->err = err->bytes;
    if (kept_put(&r->kept, result))
        results_close(r, report);
}

void results_put_run(struct results *r, const struct result_run *run, size_t failed,
                     struct report *report)
{
    if (kept_put_run(&r->kept, run, failed))
        results_close(r, report);
}

void results_close(struct results *r, struct report *report)
{
    kept_close(&r->kept, &report->finished, &report->not_ok);
}

void results_report_large(struct results *r, struct report *report)
{
    large_report(&r->large, &report->finished, &report->not_ok);
}

uint64_t results_release(struct results *r, const struct seqset *tasks)
{
    return kept_release(&r->kept, tasks) + large_release(&r->large, tasks);
}

void results_drop(struct results *r)
{
    kept_drop(&r->kept);
    large_free(&r->large);
}

void results_send_again(struct results *r)
{
    kept_resend(&r->kept, 1);
    large_restart(&r->large);
}

/* A result of a batch that is too large for a frame. */
static void take_large(void *context, const struct result *result)
{
    struct results *r = context;
    struct output out = {.bytes = result->out, .fd = -1}, err = {.bytes = result->err, .fd = -1};
    large_put(&r->large, result, &out, &err, NULL);
}

void results_begin_session(struct results *r, uint64_t arrived)
{
    if (r->is_careful) {
        kept_take_apart(&r->kept, FRAME_CAREFUL, arrived, take_large, r);
        r->large.piece_max = FRAME_CAREFUL;
    } else {
        kept_take_apart(&r->kept, r->kept.batch_max, arrived, NULL, NULL);
    }
    kept_begin_session(&r->kept);
    results_send_again(r);
}

void results_usual_frames(struct results *r)
{
    r->is_careful = false;
    r->kept.batch_max = BATCH_BYTES_MAX;
    r->large.piece_max = PIECE_BYTES_MAX;
}
