/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/steps.h"

void steps_end(struct output_steps *s, struct files_positions end)
{
    if (s->count == STEPS_MAX)
        s->count--;
    s->ring[(s->first + s->count++) % STEPS_MAX] = (struct output_step){++s->given, end};
}

void steps_reached(struct output_steps *s, struct files_positions written)
{
    while (s->count) {
        const struct output_step *oldest = &s->ring[s->first];
        if (written.out < oldest->end.out || written.err < oldest->end.err ||
            written.joblog < oldest->end.joblog)
            return;
        s->stored = oldest->step;
        s->first = (s->first + 1) % STEPS_MAX;
        s->count--;
    }
}
