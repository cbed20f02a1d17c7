/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/xalloc.h"

enum { LOSSES_MAX = 3, INTERRUPTIONS_MAX = 20 };

void model_init(struct model *model, const struct plan *plan)
{
    *model = (struct model){.plan = plan};
    model->truths = xcalloc(plan->task_count + 1, sizeof *model->truths);
}

void model_free(struct model *model)
{
    free(model->truths);
    seqset_free(&model->stored);
}

static const char *wrong(struct model *model, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static const char *wrong(struct model *model, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(model->sentence, sizeof model->sentence, format, args);
    va_end(args);
    return model->sentence;
}

static const struct plan_task *task_of(const struct model *model, uint64_t seq)
{
    return &model->plan->tasks[seq - 1];
}

/* ---- what happens ---- */

enum run_end model_begin_run(struct model *model, uint64_t seq)
{
    struct truth *t = &model->truths[seq];
    const struct plan_task *task = task_of(model, seq);
    t->runs++;
    t->running++;
    switch (task->nature) {
    case NATURE_BAD:
        return RUN_BAD;
    case NATURE_FLAKY:
        return t->bad_runs < task->times ? RUN_BAD : RUN_GOOD;
    case NATURE_CRASHER:
        return RUN_KILLS_SLOT;
    case NATURE_POISON:
        return t->kills < task->times ? RUN_KILLS_WORKER : RUN_GOOD;
    case NATURE_GOOD:
    case NATURE_TOO_LARGE:
        break;
    }
    return RUN_GOOD;
}

void model_end_run(struct model *model, uint64_t seq, enum run_end end)
{
    struct truth *t = &model->truths[seq];
    t->running--;
    t->good_runs += end == RUN_GOOD;
    t->bad_runs += end == RUN_BAD || end == RUN_KILLS_SLOT;
    t->kills += end == RUN_KILLS_WORKER;
    t->interrupted += end == RUN_INTERRUPTED;
}

void model_kill_run(struct model *model, uint64_t seq)
{
    model->truths[seq].running--;
}

void model_death(struct model *model, const struct seqset *had)
{
    model->disturbed = true;
    for (size_t i = 0; i < had->count; i++)
        for (uint64_t seq = had->ranges[i].first; seq <= had->ranges[i].last; seq++)
            model->truths[seq].deaths += model->truths[seq].finals == 0;
}

/* ---- what may come of it ---- */

const char *model_company(struct model *model, uint64_t seq)
{
    unsigned running = model->truths[seq].running, most = model->plan->hedge ? 2 : 1;
    if (running > most && !model->disturbed)
        return wrong(model, "task %llu runs %u times at once", (unsigned long long)seq, running);
    return NULL;
}

static const char *check_failed(struct model *model, const struct result *r)
{
    const struct truth *t = &model->truths[r->seq];
    enum nature nature = task_of(model, r->seq)->nature;
    if (nature != NATURE_BAD && nature != NATURE_FLAKY && nature != NATURE_CRASHER)
        return wrong(model, "task %llu is good and was called failed", (unsigned long long)r->seq);
    if (t->bad_runs < model->plan->retries)
        return wrong(model, "task %llu was called failed after %u of %u tries",
                     (unsigned long long)r->seq, t->bad_runs, model->plan->retries);
    if (!model->disturbed && t->bad_runs > model->plan->retries + model->plan->hedge)
        return wrong(model, "task %llu failed %u times and had %u tries",
                     (unsigned long long)r->seq, t->bad_runs, model->plan->retries);
    return NULL;
}

static const char *check_status(struct model *model, const struct result *r)
{
    const struct truth *t = &model->truths[r->seq];
    unsigned long long seq = r->seq;
    bool too_large = task_of(model, r->seq)->nature == NATURE_TOO_LARGE;
    if (too_large != (r->status == RESULT_TASK_TOO_LARGE))
        return wrong(model, "task %llu: too large is %d, status is %s", seq, too_large,
                     result_status_word(r->status));
    switch ((unsigned)r->status) {
    case RESULT_TASK_TOO_LARGE:
        return NULL;
    case RESULT_OK:
        if (t->good_runs == 0)
            return wrong(model, "task %llu never ran well and is ok", seq);
        return NULL;
    case RESULT_LOST:
        if (t->deaths < LOSSES_MAX && t->interrupted < INTERRUPTIONS_MAX)
            return wrong(model, "task %llu is lost after %u deaths of workers", seq, t->deaths);
        return NULL;
    default:
        return check_failed(model, r);
    }
}

/* What a task of this number writes begins with its number. */
static const char *check_output(struct model *model, const struct result *r)
{
    const uint8_t *out = r->out.data;
    uint64_t number = 0;
    for (size_t i = 0; i < 8 && r->out.size >= 8; i++)
        number = number << 8 | out[i];
    if (r->status == RESULT_OK &&
        (number != r->seq || r->out.size != task_of(model, r->seq)->out_size))
        return wrong(model, "task %llu has the output of %llu, or not all of it",
                     (unsigned long long)r->seq, (unsigned long long)number);
    if (r->status == RESULT_OK && r->cut != task_of(model, r->seq)->cut)
        return wrong(model, "the output of task %llu was %s, and its result does not say so",
                     (unsigned long long)r->seq, r->cut ? "not cut" : "cut");
    return NULL;
}

const char *model_accept(struct model *model, const struct result *r)
{
    unsigned long long seq = r->seq;
    if (r->seq == 0 || r->seq > model->read)
        return wrong(model, "task %llu has a result and was never read", seq);
    struct truth *t = &model->truths[r->seq];
    if (!r->final)
        return t->bad_runs ? NULL : wrong(model, "task %llu never failed and has a history", seq);
    if (t->finals)
        return wrong(model, "task %llu has two final results", seq);
    t->finals = 1;
    t->status = r->status;
    model->ok += r->status == RESULT_OK;
    model->lost += r->status == RESULT_LOST;
    model->innocent += r->status == RESULT_LOST && task_of(model, r->seq)->nature != NATURE_POISON;
    model->failed += r->status != RESULT_OK && r->status != RESULT_LOST;
    const char *sentence = check_status(model, r);
    return sentence ? sentence : check_output(model, r);
}

void model_forget(struct model *model, uint64_t seq)
{
    struct truth *t = &model->truths[seq];
    model->ok -= t->status == RESULT_OK;
    model->lost -= t->status == RESULT_LOST;
    model->innocent -= t->status == RESULT_LOST && task_of(model, seq)->nature != NATURE_POISON;
    model->failed -= t->status != RESULT_OK && t->status != RESULT_LOST;
    t->finals = 0;
    seqset_remove(&model->stored, seq, seq);
}

/* Without a fault each task runs as often as it must, and with --hedge once more at most. */
static const char *check_runs(struct model *model, uint64_t seq)
{
    const struct truth *t = &model->truths[seq];
    const struct plan_task *task = task_of(model, seq);
    unsigned tries = model->plan->retries, wanted = 1;
    if (task->nature == NATURE_BAD || task->nature == NATURE_CRASHER)
        wanted = tries;
    else if (task->nature == NATURE_FLAKY)
        wanted = task->times < tries ? task->times + 1 : tries;
    else if (task->nature == NATURE_TOO_LARGE)
        wanted = 0;
    if (t->runs < wanted || t->runs > wanted + (model->plan->hedge && wanted))
        return wrong(model, "task %llu ran %u times instead of %u", (unsigned long long)seq,
                     t->runs, wanted);
    return NULL;
}

const char *model_end(struct model *model)
{
    const char *sentence = NULL;
    if (model->read != model->plan->task_count)
        return wrong(model, "%llu of %zu tasks were read", (unsigned long long)model->read,
                     model->plan->task_count);
    for (uint64_t seq = 1; seq <= model->read && !sentence; seq++) {
        if (model->truths[seq].finals == 0)
            sentence = wrong(model, "task %llu has no result", (unsigned long long)seq);
        else if (!model->disturbed)
            sentence = check_runs(model, seq);
    }
    return sentence;
}

int model_status(const struct model *model)
{
    uint64_t bad = model->failed + model->lost, all = bad + model->ok;
    if (model->plan->halt.percent) /* that halted nothing */
        return all ? (int)((bad * 100 + all - 1) / all) : 0;
    return bad > 100 ? 101 : (int)bad;
}
