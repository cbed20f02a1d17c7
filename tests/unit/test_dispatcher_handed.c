/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include "ventilator/core/pending.h"
#include "ventilator/core/standing.h"

/* A sink that wants to know who was handed what is told, before it could need it (docs/protocol.md, 19). */
TestSuite(dispatcher_handed, .timeout = 20);

static struct farm_peer *quiet(struct farm *f, struct farm_peer *p)
{
    farm_settle(f);
    buf_clear(&p->heard);
    return p;
}

Test(dispatcher_handed, a_sink_is_told_what_each_session_is_handed)
{
    struct farm f = {.input = 5, .strict = true};
    farm_begin(&f, 1);
    worker_up(&f, 2, 2);
    farm_expect(&f, f.sink, "HANDED session=2 tasks=1-2");
    worker_up(&f, 2, 3);
    farm_expect(&f, f.sink, "HANDED session=3 tasks=3-5");
    farm_end(&f);
}

Test(dispatcher_handed, one_that_does_not_ask_is_told_nothing)
{
    struct farm f = {.input = 5};
    farm_begin(&f, 1);
    worker_up(&f, 2, 2);
    farm_expect(&f, f.sink, "");
    farm_end(&f);
}

Test(dispatcher_handed, what_goes_to_another_is_said_of_that_one_behind_ENDED)
{
    struct farm f = {.input = 2, .strict = true};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 2);
    worker_up(&f, 2, 2);
    quiet(&f, f.sink);
    worker_dies(&f, w);
    farm_expect(&f, f.sink, "ENDED session=2; HANDED session=3 tasks=1");
    farm_end(&f);
}

Test(dispatcher_handed, what_a_worker_brings_when_it_joins_again_counts_as_handed)
{
    struct farm f = {.input = 4, .strict = true};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_up(&f, 2, 4);
    quiet(&f, f.sink);
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "1", "2-3");
    farm_expect(&f, f.sink, "ENDED session=2; HANDED session=3 tasks=1-3");
    farm_end(&f);
}

/* The record of that try may come behind the JOIN. */
Test(dispatcher_handed, what_failed_in_a_process_counts_as_handed_in_all_its_sessions)
{
    struct farm f = {.input = 4, .strict = true};
    farm_begin(&f, 3);
    struct farm_peer *w = worker_up(&f, 2, 4);
    worker_up(&f, 1, 0); /* another's is of no concern */
    worker_failed(&f, w, 2, 1);
    worker_failed(&f, w, 3, 1);
    quiet(&f, f.sink);
    sink_note(&f, "3");
    worker_dies(&f, w);
    farm_expect(&f, f.sink, "ENDED session=2");
    worker_reconnect(&f, w);
    worker_join(&f, w, JOB, "1", "");
    farm_expect(&f, f.sink, "HANDED session=4 tasks=1-2");
    sink_join(&f, f.sink, JOB, SINK_VOLATILE, "3");
    farm_expect(&f, f.sink, "WELCOME epoch=1; HANDED session=4 tasks=1-2");
    farm_end(&f);
}

Test(dispatcher_handed, a_sink_that_joins_again_is_told_all_of_it_also_what_was_taken_back)
{
    struct farm f = {.input = 4, .strict = true};
    farm_begin(&f, 1);
    worker_up(&f, 2, 4);
    quiet(&f, f.sink);
    pending_take_back(f.d, f.d->sessions.items[0], 4);
    standing_note(f.d, f.d->sessions.items[0]);
    sink_join(&f, f.sink, JOB, SINK_VOLATILE, "");
    farm_expect(&f, f.sink, "WELCOME epoch=1; HANDED session=2 tasks=1-4");
    farm_end(&f);
}
