/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

/* An entry is copied when less than one in this many of its tasks is alive, and it is not small. */
enum { ALIVE_FRACTION = 4, COMPACT_BYTES_MIN = 1024 };

static size_t entry_bytes(const struct entry *entry)
{
    return sizeof *entry + sizeof entry + (entry->block ? block_bytes(entry->block).size : 0) +
           entry->story_capacity * sizeof *entry->stories +
           (entry->kept ? seqset_memory_bytes(entry->kept) : 0);
}

static void entry_free(struct entry *entry)
{
    block_release(&entry->block);
    if (entry->kept)
        seqset_free(entry->kept);
    free(entry->kept);
    free(entry->stories);
    free(entry);
}

void ledger_free(struct ledger *ledger)
{
    for (size_t i = ledger->head; i < ledger->end; i++)
        if (ledger->places[i].entry)
            entry_free(ledger->places[i].entry);
    free(ledger->places);
    seqset_free(&ledger->stored);
    *ledger = (struct ledger){0};
}

/* Moves the places that are not empty together, so that there are as many as entries. */
static void squeeze(struct ledger *ledger)
{
    size_t to = 0;
    for (size_t i = ledger->head; i < ledger->end; i++)
        if (ledger->places[i].entry)
            ledger->places[to++] = ledger->places[i];
    ledger->head = 0;
    ledger->end = to;
}

static struct place *add_place(struct ledger *ledger)
{
    if (ledger->end == ledger->capacity && ledger->entries <= ledger->capacity / 2)
        squeeze(ledger);
    if (ledger->end == ledger->capacity) {
        ledger->capacity = ledger->capacity ? ledger->capacity * 2 : 64;
        ledger->places = xrealloc(ledger->places, ledger->capacity * sizeof *ledger->places);
    }
    return &ledger->places[ledger->end++];
}

struct entry *ledger_append(struct ledger *ledger, uint64_t count, struct block **block,
                            size_t records_at)
{
    assert(count > 0);
    struct entry *entry = xcalloc(1, sizeof *entry);
    entry->first = ledger->read + 1;
    entry->count = entry->alive = count;
    entry->block = *block;
    entry->records_at = records_at;
    *block = NULL;
    ledger->read += count;
    *add_place(ledger) = (struct place){entry->first, ledger->read, entry};
    ledger->entries++;
    ledger->bytes += entry_bytes(entry);
    return entry;
}

void ledger_pass(struct ledger *ledger, uint64_t last)
{
    assert(last > ledger->read);
    seqset_add(&ledger->stored, ledger->read + 1, last);
    ledger->read = last;
}

/* The first place whose last task is >= seq; ledger->end if there is none. */
static size_t ledger_place_of(const struct ledger *ledger, uint64_t seq)
{
    size_t low = ledger->head, high = ledger->end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ledger->places[middle].last < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct entry *ledger_find(const struct ledger *ledger, uint64_t seq)
{
    size_t at = ledger_place_of(ledger, seq);
    if (at == ledger->end || ledger->places[at].first > seq || seqset_has(&ledger->stored, seq))
        return NULL;
    return ledger->places[at].entry;
}

struct entry *ledger_next(const struct ledger *ledger, uint64_t first, uint64_t last)
{
    for (size_t at = ledger_place_of(ledger, first); at < ledger->end; at++) {
        if (ledger->places[at].first > last)
            return NULL;
        if (ledger->places[at].entry)
            return ledger->places[at].entry;
    }
    return NULL;
}

static struct bytes entry_records(const struct entry *entry)
{
    struct bytes all = block_bytes(entry->block);
    return (struct bytes){all.data + entry->records_at, all.size - entry->records_at};
}

/* How many records in the block stand between that of `from` and that of `seq`. */
static uint64_t records_between(const struct entry *entry, uint64_t from, uint64_t seq)
{
    if (!entry->kept)
        return seq - from;
    return seq > from ? seqset_count_in(entry->kept, from, seq - 1) : 0;
}

struct bytes ledger_record(struct entry *entry, uint64_t seq)
{
    if (!entry->block)
        return (struct bytes){0};
    if (entry->next_seq == 0 || seq < entry->next_seq) {
        entry->next_seq = entry->first;
        entry->next = entry_records(entry);
    }
    enum error error = task_skip(&entry->next, records_between(entry, entry->next_seq, seq));
    struct bytes record = entry->next;
    error = error ? error : task_skip(&entry->next, 1);
    assert(!error); /* the block has been made from whole records */
    entry->next_seq = seq + 1;
    record.size -= entry->next.size;
    return record;
}

/* Copies what is alive into a block of its own and lets go of the larger one. */
static void ledger_compact(struct ledger *ledger, struct entry *entry)
{
    uint64_t last = entry->first + entry->count - 1;
    struct seqset *alive = xcalloc(1, sizeof *alive);
    struct range gap;
    for (uint64_t at = entry->first; seqset_next_gap(&ledger->stored, at, last, &gap);
         at = gap.last + 1)
        seqset_add(alive, gap.first, gap.last);
    struct buf records = {0};
    for (size_t i = 0; i < alive->count; i++)
        for (uint64_t seq = alive->ranges[i].first; seq <= alive->ranges[i].last; seq++)
            buf_put_bytes(&records, ledger_record(entry, seq));
    block_release(&entry->block);
    entry->block = block_new(&records);
    entry->records_at = 0;
    entry->next_seq = 0;
    if (entry->kept)
        seqset_free(entry->kept);
    free(entry->kept);
    entry->kept = alive;
}

static uint64_t tasks_in_block(const struct entry *entry)
{
    return entry->kept ? entry->kept->members : entry->count;
}

/* Stories of stored tasks go when they are the most, so that each costs one step in all. */
static void drop_old_stories(const struct ledger *ledger, struct entry *entry)
{
    if (entry->story_count <= 2 * entry->alive)
        return;
    size_t to = 0;
    for (size_t i = 0; i < entry->story_count; i++)
        if (!seqset_has(&ledger->stored, entry->stories[i].seq))
            entry->stories[to++] = entry->stories[i];
    entry->story_count = to;
}

static void remove_entry(struct ledger *ledger, struct entry *entry)
{
    size_t at = ledger_place_of(ledger, entry->first);
    assert(ledger->places[at].entry == entry);
    ledger->places[at].entry = NULL;
    ledger->entries--;
    while (ledger->head < ledger->end && !ledger->places[ledger->head].entry)
        ledger->head++;
    if (ledger->head == ledger->end)
        ledger->head = ledger->end = 0;
    entry_free(entry);
}

void ledger_store(struct ledger *ledger, struct entry *entry, uint64_t first, uint64_t last)
{
    assert(first >= entry->first && last < entry->first + entry->count);
    size_t before = entry_bytes(entry);
    uint64_t gone = seqset_add(&ledger->stored, first, last);
    assert(gone <= entry->alive);
    entry->alive -= gone;
    drop_old_stories(ledger, entry);
    ledger->bytes -= before;
    if (entry->alive == 0) {
        remove_entry(ledger, entry);
        return;
    }
    if (entry->block && entry->alive * ALIVE_FRACTION < tasks_in_block(entry) &&
        block_bytes(entry->block).size > COMPACT_BYTES_MIN)
        ledger_compact(ledger, entry);
    ledger->bytes += entry_bytes(entry);
}

size_t entry_story_place(const struct entry *entry, uint64_t seq)
{
    size_t low = 0, high = entry->story_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entry->stories[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct story *entry_story(const struct entry *entry, uint64_t seq)
{
    size_t at = entry_story_place(entry, seq);
    return at < entry->story_count && entry->stories[at].seq == seq ? &entry->stories[at] : NULL;
}

struct story *ledger_make_story(struct ledger *ledger, struct entry *entry, uint64_t seq,
                                uint64_t incarnation)
{
    size_t at = entry_story_place(entry, seq);
    if (at < entry->story_count && entry->stories[at].seq == seq)
        return &entry->stories[at];
    if (entry->story_count == entry->story_capacity) {
        size_t capacity = entry->story_capacity ? entry->story_capacity * 2 : 2;
        ledger->bytes += (capacity - entry->story_capacity) * sizeof *entry->stories;
        entry->stories = xrealloc(entry->stories, capacity * sizeof *entry->stories);
        entry->story_capacity = capacity;
    }
    memmove(entry->stories + at + 1, entry->stories + at,
            (entry->story_count - at) * sizeof *entry->stories);
    entry->story_count++;
    struct story *story = &entry->stories[at];
    *story = (struct story){.seq = seq};
    if (entry->home) {
        story->attempts = 1;
        story->holder_count = 1;
        story->holders[0] = (struct holder){entry->home, {incarnation, 1}, entry->home_batch};
    }
    return story;
}

struct holder *story_holder(struct story *story, const struct session *session)
{
    for (unsigned i = 0; i < story->holder_count; i++)
        if (story->holders[i].session == session)
            return &story->holders[i];
    return NULL;
}

bool story_add_holder(struct story *story, struct holder holder)
{
    struct holder *same = story_holder(story, holder.session);
    if (same) {
        *same = holder;
        return true;
    }
    if (story->holder_count == HOLDERS_MAX)
        return false;
    story->holders[story->holder_count++] = holder;
    return true;
}

void story_remove_holder(struct story *story, const struct session *session)
{
    struct holder *holder = story_holder(story, session);
    if (holder)
        *holder = story->holders[--story->holder_count];
}

bool story_is_suspect(const struct story *story)
{
    return story->losses || story->interruptions >= INTERRUPTIONS_ALONE;
}

bool story_is_lost(const struct story *story)
{
    return story->losses >= LOSSES_MAX || story->interruptions >= INTERRUPTIONS_MAX;
}
