/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "ventilator/core/ledger.h"

TestSuite(ledger, .timeout = 30);

enum { HEAD = 7 };

/* A batch of tasks that say their number. */
static struct entry *append(struct ledger *ledger, uint64_t count, size_t padding)
{
    static const char zeros[4096] = {0};
    struct buf records = {0}, line = {0};
    buf_put(&records, "a head!", HEAD);
    for (uint64_t i = 1; i <= count; i++) {
        buf_clear(&line);
        buf_printf(&line, "%" PRIu64, ledger->read + i);
        buf_put(&line, zeros, padding);
        task_put_line(&records, buf_bytes(&line));
    }
    struct block *block = block_new(&records);
    buf_free(&line);
    struct entry *entry = ledger_append(ledger, count, &block, HEAD);
    cr_assert_null(block);
    return entry;
}

static void store(struct ledger *ledger, uint64_t first, uint64_t last)
{
    ledger_store(ledger, ledger_find(ledger, first), first, last);
}

static void expect_text(const struct ledger *ledger, uint64_t seq)
{
    struct bytes record = ledger_record(ledger_find(ledger, seq), seq);
    struct task task;
    char text[32];
    cr_assert_eq(task_take(&record, &task), ERR_NONE);
    cr_assert_eq(record.size, 0);
    int size = snprintf(text, sizeof text, "%" PRIu64, seq);
    cr_assert(task.body.size >= (size_t)size && memcmp(task.body.data, text, (size_t)size) == 0);
}

Test(ledger, tasks_are_numbered_from_one_and_found_by_number)
{
    struct ledger ledger = {0};
    struct entry *a = append(&ledger, 3, 0), *b = append(&ledger, 2, 0);
    cr_assert_eq(ledger.read, 5);
    cr_assert_eq(ledger_find(&ledger, 1), a);
    cr_assert_eq(ledger_find(&ledger, 3), a);
    cr_assert_eq(ledger_find(&ledger, 4), b);
    cr_assert_null(ledger_find(&ledger, 6));
    cr_assert_null(ledger_find(&ledger, 0));
    for (uint64_t seq = 1; seq <= 5; seq++)
        expect_text(&ledger, seq);
    ledger_free(&ledger);
}

Test(ledger, a_stored_task_is_gone_and_with_the_last_one_its_memory)
{
    struct ledger ledger = {0};
    append(&ledger, 3, 0);
    struct entry *b = append(&ledger, 2, 0);
    store(&ledger, 2, 2);
    cr_assert_null(ledger_find(&ledger, 2));
    expect_text(&ledger, 3);
    store(&ledger, 1, 1);
    store(&ledger, 3, 3);
    cr_assert_eq(ledger.entries, 1);
    cr_assert_eq(ledger_next(&ledger, 1, 5), b);
    cr_assert_null(ledger_next(&ledger, 1, 3));
    store(&ledger, 4, 5);
    cr_assert_eq(ledger.bytes, 0);
    cr_assert_eq(ledger.stored.members, 5);
    cr_assert_null(ledger_next(&ledger, 1, 5));
    ledger_free(&ledger);
}

Test(ledger, a_task_without_bytes_has_an_empty_record)
{
    struct ledger ledger = {0};
    struct block *none = NULL;
    struct entry *entry = ledger_append(&ledger, 1, &none, 0);
    cr_assert_eq(ledger_record(entry, 1).size, 0);
    store(&ledger, 1, 1);
    cr_assert_eq(ledger.bytes, 0);
    ledger_free(&ledger);
}

Test(ledger, a_record_is_found_wherever_the_last_one_was)
{
    struct ledger ledger = {0};
    append(&ledger, 1000, 10);
    for (uint64_t i = 0, seq = 1; i < 3000; i++, seq = seq * 7919 % 1009) {
        if (seq > 1000)
            continue;
        expect_text(&ledger, seq);
        expect_text(&ledger, seq); /* the very same */
    }
    ledger_free(&ledger);
}

Test(ledger, an_entry_of_which_little_is_alive_is_copied_into_a_smaller_one)
{
    struct ledger ledger = {0};
    append(&ledger, 1000, 10);
    size_t before = ledger.bytes;
    for (uint64_t seq = 1; seq < 1000; seq++)
        if (seq % 100)
            store(&ledger, seq, seq);
    cr_assert_leq(ledger.bytes, before / 10);
    for (uint64_t seq = 100; seq <= 1000; seq += 100)
        expect_text(&ledger, seq);
    for (uint64_t seq = 1000; seq >= 100; seq -= 100)
        expect_text(&ledger, seq);
    ledger_free(&ledger);
}

Test(ledger, a_first_task_that_never_ends_does_not_keep_a_million_others)
{
    struct ledger ledger = {0};
    append(&ledger, 1000, 50);
    store(&ledger, 2, 1000);
    size_t most = 0;
    for (int i = 0; i < 100000; i++) {
        struct entry *entry = append(&ledger, 10, 0);
        ledger_store(&ledger, entry, entry->first, entry->first + 9);
        most = ledger.bytes > most ? ledger.bytes : most;
    }
    cr_assert_leq(most, 1000);
    cr_assert_leq(ledger.capacity, 64);
    cr_assert_leq(ledger.stored.count, 2);
    expect_text(&ledger, 1);
    ledger_free(&ledger);
}

Test(ledger, a_story_begins_with_the_home_as_holder_of_attempt_one)
{
    struct ledger ledger = {0};
    struct entry *entry = append(&ledger, 10, 0);
    struct session *home = (struct session *)(void *)&ledger;
    entry->home = home;
    entry->home_batch = 4;
    cr_assert_null(entry_story(entry, 5));
    struct story *story = ledger_make_story(&ledger, entry, 5, 1000);
    cr_assert_eq(story->attempts, 1);
    cr_assert_eq(story->holder_count, 1);
    cr_assert_eq(story->holders[0].batch, 4);
    cr_assert(attempt_equal(story->holders[0].attempt, (struct attempt){1000, 1}));
    story->fails = 2;
    ledger_make_story(&ledger, entry, 3, 1000);
    ledger_make_story(&ledger, entry, 7, 1000);
    cr_assert_eq(entry_story(entry, 5)->fails, 2);
    cr_assert_eq(ledger_make_story(&ledger, entry, 5, 1000)->fails, 2);
    cr_assert_eq(entry->story_count, 3);
    store(&ledger, 4, 6);
    cr_assert_not_null(entry_story(entry, 7));
    store(&ledger, 1, 3);
    store(&ledger, 8, 10);
    cr_assert_eq(entry->story_count, 1);
    cr_assert_not_null(entry_story(entry, 7));
    store(&ledger, 7, 7);
    cr_assert_eq(ledger.bytes, 0);
    ledger_free(&ledger);
}

Test(ledger, a_task_has_three_holders_at_most_and_each_once)
{
    struct story story = {.seq = 1};
    struct session *s[4];
    for (size_t i = 0; i < 4; i++)
        s[i] = (struct session *)(void *)&s[i];
    for (size_t i = 0; i < 3; i++)
        cr_assert(story_add_holder(&story, (struct holder){s[i], {1, 1}, 0}));
    cr_assert_not(story_add_holder(&story, (struct holder){s[3], {1, 1}, 0}));
    cr_assert(story_add_holder(&story, (struct holder){s[1], {1, 2}, 0}));
    cr_assert_eq(story_holder(&story, s[1])->attempt.number, 2);
    story_remove_holder(&story, s[0]);
    story_remove_holder(&story, s[0]);
    cr_assert_eq(story.holder_count, 2);
    cr_assert_null(story_holder(&story, s[0]));
    cr_assert_not_null(story_holder(&story, s[2]));
}
