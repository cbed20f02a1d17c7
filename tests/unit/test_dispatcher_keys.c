/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <stdio.h>

#include "ventilator/core/dispatcher.h"

/* Whose key may do what (docs/protocol.md, 13). Keys are named by their first octet: the sink's is 1. */
TestSuite(dispatcher_keys, .timeout = 20);

static struct key key_of(uint8_t name)
{
    return (struct key){{name}};
}

static void admit(struct admitted *a, uint8_t name, unsigned roles)
{
    struct key key = key_of(name);
    cr_assert(admitted_add(a, &key, roles));
}

/* Keys 2, 3 and 4 are workers'; the sink has joined. */
static void begin(struct farm *f, struct admitted *a)
{
    struct dispatcher_options options = farm_options(1);
    admit(a, 1, KEY_SINK);
    for (uint8_t name = 2; name <= 4; name++)
        admit(a, name, KEY_WORKER);
    options.admitted = a;
    farm_begin_bare(f, &options);
    sink_connect(f, 500)->key = key_of(1);
    sink_join(f, f->sink, JOB, SINK_VOLATILE, "");
    farm_expect(f, f->sink, "WELCOME epoch=1; ADMITTED");
    sink_note(f, "");
}

static void end(struct farm *f, struct admitted *a)
{
    farm_end(f);
    admitted_free(a);
}

static void revoke(struct farm *f, struct admitted *a, uint8_t name)
{
    struct key key = key_of(name);
    struct admitted left = {0};
    for (size_t i = 0; i < a->count; i++)
        if (!key_equal(&a->items[i].key, &key))
            admitted_add(&left, &a->items[i].key, a->items[i].roles);
    admitted_free(a);
    *a = left;
    dispatcher_admitted_changed(f->d, f->now_ns);
    farm_turn(f);
}

static struct farm_peer *come(struct farm *f, uint8_t name)
{
    struct farm_peer *w = worker_connect(f, 1);
    w->key = key_of(name);
    worker_join(f, w, 0, "", "");
    return w;
}

/* Joined, with a lane of its own and credit. */
static struct farm_peer *up(struct farm *f, uint8_t name, uint64_t tasks)
{
    struct farm_peer *w = come(f, name);
    farm_turn(f);
    worker_open_lane(f, w);
    worker_claim(f, w, w->token);
    buf_clear(&w->heard);
    worker_credit(f, w, tasks, 1 << 20, 1);
    return w;
}

Test(dispatcher_keys, a_worker_is_told_the_key_of_the_sink)
{
    struct farm f = {0};
    struct admitted a = {0};
    begin(&f, &a);
    farm_expect(&f, come(&f, 2), "WELCOME epoch=1 sink=1");
    end(&f, &a);
}

Test(dispatcher_keys, a_sink_s_key_is_refused_as_a_worker_and_people_are_told_once)
{
    struct farm f = {0};
    struct admitted a = {0};
    begin(&f, &a);
    struct farm_peer *w = come(&f, 1);
    farm_expect(&f, w, "REFUSE 7");
    farm_expect_said(&f, "refused a worker, its key is not admitted for that key=0100");
    buf_clear(&f.said);
    worker_join(&f, w, 0, "", "");
    farm_expect(&f, w, "REFUSE 7");
    cr_assert_eq(f.said.size, 0);
    cr_assert_eq(dispatcher_counts(f.d).workers, 0);
    end(&f, &a);
}

Test(dispatcher_keys, a_worker_s_key_is_refused_as_a_sink)
{
    struct farm f = {0};
    struct admitted a = {0};
    struct dispatcher_options options = farm_options(1);
    admit(&a, 2, KEY_WORKER);
    options.admitted = &a;
    farm_begin_bare(&f, &options);
    sink_connect(&f, 500)->key = key_of(2);
    sink_join(&f, f.sink, JOB, SINK_VOLATILE, "");
    farm_expect(&f, f.sink, "REFUSE 7");
    farm_expect_said(&f, "refused a sink");
    cr_assert_eq(f.d->sink.connection, 0);
    end(&f, &a);
}

Test(dispatcher_keys, a_key_that_is_not_admitted_or_none_joins_as_nothing)
{
    struct farm f = {0};
    struct admitted a = {0};
    begin(&f, &a);
    farm_expect(&f, come(&f, 9), "REFUSE 7");
    farm_expect(&f, come(&f, 0), "REFUSE 7");
    end(&f, &a);
}

Test(dispatcher_keys, a_lane_of_another_key_cannot_be_claimed_even_with_its_token)
{
    struct farm f = {.input = 5};
    struct admitted a = {0};
    begin(&f, &a);
    struct farm_peer *thief = come(&f, 2), *owner = come(&f, 3);
    farm_turn(&f);
    worker_open_lane(&f, owner);
    farm_expect(&f, owner, "WELCOME epoch=1 sink=1; HELLO");
    farm_expect(&f, thief, "WELCOME epoch=1 sink=1");
    worker_claim(&f, thief, owner->token);
    worker_credit(&f, thief, 5, 1 << 20, 1);
    farm_expect(&f, thief, "AGAIN 2");
    cr_assert_not(f.d->sessions.items[0]->lane_claimed || f.d->sessions.items[1]->lane_claimed);
    worker_claim(&f, owner, owner->token);
    worker_credit(&f, owner, 5, 1 << 20, 1);
    farm_expect(&f, owner, "TASKS 1: 1#1 last; TASKS 2: 2-5#1 last");
    end(&f, &a);
}

Test(dispatcher_keys,
     a_revoked_worker_is_out_at_once_and_its_tasks_are_run_elsewhere_without_a_loss)
{
    struct farm f = {.input = 3};
    struct admitted a = {0};
    begin(&f, &a);
    struct farm_peer *revoked = up(&f, 2, 3), *other = up(&f, 3, 0);
    farm_expect(&f, revoked, "TASKS 1: 1-3#1 last");
    uint64_t session = revoked->session, lane = revoked->lane;
    cr_assert_neq(lane, 0);
    buf_clear(&f.sink->heard);
    revoke(&f, &a, 2);
    cr_assert_eq(f.cut, revoked->connection);
    cr_assert_eq(revoked->lane, 0, "its lane is closed");
    cr_assert_eq(dispatcher_counts(f.d).workers, 1);
    farm_expect_said(&f,
                     "the key of worker worker on here is revoked, its tasks go to others tasks=3");
    char words[64];
    snprintf(words, sizeof words, "ENDED session=%llu; ADMITTED", (unsigned long long)session);
    farm_expect(&f, f.sink, words);
    worker_credit(&f, other, 3, 1 << 20, 3);
    farm_expect(&f, other, "TASKS 1: 1#2 last; TASKS 2: 2-3#2 last");
    buf_clear(&revoked->heard);
    worker_finished(&f, revoked, "1-3", 0);
    farm_expect(&f, revoked, "AGAIN 2");
    worker_join(&f, revoked, JOB, "", "1-3");
    farm_expect(&f, revoked, "REFUSE 7");
    farm_check(&f);
    end(&f, &a);
}

Test(dispatcher_keys, a_revoked_worker_that_waits_for_a_sink_is_forgotten)
{
    struct farm f = {0};
    struct admitted a = {0};
    struct dispatcher_options options = farm_options(1);
    admit(&a, 2, KEY_WORKER);
    admit(&a, 1, KEY_SINK);
    options.admitted = &a;
    farm_begin_bare(&f, &options);
    struct farm_peer *w = come(&f, 2);
    farm_expect(&f, w, "WAIT");
    revoke(&f, &a, 2);
    cr_assert_eq(f.cut, w->connection);
    sink_connect(&f, 500)->key = key_of(1);
    sink_join(&f, f.sink, JOB, SINK_VOLATILE, "");
    farm_settle(&f);
    sink_note(&f, "");
    farm_settle(&f);
    cr_assert_eq(dispatcher_counts(f.d).workers, 0);
    end(&f, &a);
}

Test(dispatcher_keys, a_revoked_sink_is_as_one_that_went_and_comes_back_when_admitted)
{
    struct farm f = {.input = 2};
    struct admitted a = {0};
    begin(&f, &a);
    struct farm_peer *w = up(&f, 2, 1);
    farm_expect(&f, w, "TASKS 1: 1#1 last");
    revoke(&f, &a, 1);
    cr_assert_eq(f.cut, f.sink->connection);
    farm_expect_said(&f, "the key of the sink is revoked");
    cr_assert_eq(f.d->sink.connection, 0);
    worker_credit(&f, w, 1, 1 << 20, 1);
    farm_settle(&f);
    cr_assert_eq(dispatcher_counts(f.d).read, 1, "nothing is handed out");
    admit(&a, 1, KEY_SINK);
    dispatcher_admitted_changed(f.d, f.now_ns);
    buf_clear(&f.sink->heard);
    sink_join(&f, f.sink, JOB, SINK_VOLATILE, "");
    farm_expect(&f, f.sink, "WELCOME epoch=1; ADMITTED");
    end(&f, &a);
}

Test(dispatcher_keys, a_farm_without_keys_takes_everybody_and_tells_no_keys)
{
    struct farm f = {0};
    farm_begin(&f, 1);
    struct farm_peer *w = worker_connect(&f, 1);
    worker_join(&f, w, 0, "", "");
    farm_expect(&f, w, "WELCOME epoch=1");
    farm_expect(&f, f.sink, "");
    farm_end(&f);
}
