/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "tests/unit/slots_rig.h"

/* Starts that fail for a reason that passes. */
static struct rig r;

static void begin(void)
{
    rig_begin(&r);
    r.options.slots = 4;
    rig_start(&r);
    rig_join(&r);
}

static void end(void)
{
    rig_end(&r);
}

TestSuite(slots_short, .init = begin, .fini = end, .timeout = 60);

static void cannot_start(unsigned slot, uint64_t seq)
{
    slots_returned(r.s, slot, seq, 1, r.now_ns);
    slots_held_up(r.s, "too many open files", r.now_ns);
}

Test(slots_short, as_many_run_as_can_and_that_is_said_once)
{
    v_tasks(&r, 1, 6, 0);
    rig_expect(&r, "START 0:1 START 1:2 START 2:3 START 3:4");
    cannot_start(2, 3);
    cannot_start(3, 4);
    rig_pass(&r, 20 * NS_PER_MS);
    rig_expect(&r, "SAY");
    cr_assert_str_eq(r.why.text, "runs 2 tasks at a time and not 4: too many open files");
}

Test(slots_short, a_task_that_ends_makes_room_for_one_and_one_more_is_tried_each_second)
{
    v_tasks(&r, 1, 8, 0);
    rig_turn(&r);
    cannot_start(3, 4);
    cannot_start(2, 3);
    rig_forget(&r);
    x_ok(&r, 0, 1);
    rig_expect(&r, "START 0:3 FINISHED 1 RESULTS 1/1 1");
    rig_pass(&r, 900 * NS_PER_MS);
    rig_expect(&r, "SAY");
    rig_pass(&r, 200 * NS_PER_MS);
    rig_expect(&r, "START 2:4");
    cannot_start(2, 4); /* still too many: nothing is said again */
    rig_pass(&r, 100 * NS_PER_MS);
    rig_expect(&r, "");
}

Test(slots_short, a_heartbeat_says_how_many_slots_can_begin_nothing)
{
    v_tasks(&r, 1, 4, 0);
    rig_turn(&r);
    cannot_start(3, 4);
    cannot_start(2, 3);
    rig_pass(&r, 500 * NS_PER_MS);
    cr_assert_eq(r.unusable, 2);
    x_ok(&r, 0, 1);
    x_ok(&r, 1, 2);
    rig_pass(&r, 500 * NS_PER_MS);
    cr_assert_eq(r.unusable, 1); /* one more may be tried after a second */
}

Test(slots_short, when_nothing_runs_it_tries_again_and_gives_up_after_a_while)
{
    struct slots_action action;
    int starts = 1;
    uint64_t began_ns = r.now_ns;
    bool left = false;
    v_tasks(&r, 1, 1, 0);
    rig_forget(&r);
    cannot_start(0, 1);
    while (!left && r.now_ns < began_ns + 60 * NS_PER_S) {
        slots_turn(r.s, r.now_ns);
        bool asked = false;
        while (slots_next_action(r.s, &action)) {
            asked = asked || action.kind == SLOTS_START;
            if (action.kind == SLOTS_SEND_CONTROL || action.kind == SLOTS_SEND_RESULTS)
                block_release(&action.block);
        }
        if (asked) {
            starts++;
            cannot_start(0, 1);
            left = r.now_ns >= began_ns + 10 * NS_PER_S;
        }
        v_heartbeat(&r, r.session);
        r.now_ns += 50 * NS_PER_MS;
    }
    cr_assert(left && starts > 10 && starts < 60, "%d starts", starts);
    rig_turn(&r);
    buf_put_byte(&r.said, 0);
    cr_assert(strstr((char *)r.said.data, "LEAVE"), "%s", (char *)r.said.data);
}
