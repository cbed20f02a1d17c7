/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/order.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/base/xalloc.h"

TestSuite(order, .timeout = 100);

/* Takes what is released and checks that it is what make_result made, in order. */
struct reader {
    uint64_t next;
    uint64_t (*size_of)(uint64_t seq); /* of stdout; stderr has a third */
    struct buf expected;
};

static uint64_t small_size(uint64_t seq)
{
    return seq % 13;
}

static uint64_t mixed_size(uint64_t seq)
{
    return seq % 97 == 5 ? 100000 + seq : seq * 7919 % 300;
}

static struct bytes make(struct buf *to, uint64_t seq, uint64_t size)
{
    buf_clear(to);
    for (uint64_t i = 0; i < size; i++)
        buf_put_byte(to, (uint8_t)(seq * 131 + i));
    return buf_bytes(to);
}

static void take(void *context, uint64_t seq, struct bytes out, struct bytes err,
                 struct block *holder)
{
    struct reader *reader = context;
    cr_assert_null(holder);
    cr_assert_eq(seq, reader->next);
    reader->next++;
    uint64_t size = reader->size_of(seq);
    cr_assert(bytes_equal(out, make(&reader->expected, seq, size)), "stdout of %zu", (size_t)seq);
    cr_assert(bytes_equal(err, make(&reader->expected, seq + 1, size / 3)));
}

static enum error put(struct order *o, const struct reader *reader, uint64_t seq)
{
    static struct buf out, err;
    struct why why;
    uint64_t size = reader->size_of(seq);
    return order_put(o, seq, make(&out, seq, size), make(&err, seq + 1, size / 3), &why);
}

static struct order_options options(size_t memory_max)
{
    return (struct order_options){
        .memory_max = memory_max, .spool_max = UINT64_C(10) << 30, .tmpdir = "/tmp"};
}

static struct order *make_order(size_t memory_max, struct reader *reader)
{
    struct order_options o = options(memory_max);
    return order_new(&o, take, reader);
}

/* One that fails as soon as it would use the disk. */
static struct order *make_order_in_memory(size_t memory_max, struct reader *reader)
{
    struct order_options o = options(memory_max);
    o.tmpdir = "/nonexistent";
    return order_new(&o, take, reader);
}

static void release_all(struct order *o)
{
    struct why why;
    while (order_ready(o))
        cr_assert_eq(order_release(o, 1 << 20, &why), ERR_NONE, "%s", why.text);
}

Test(order, what_comes_in_order_leaves_at_once)
{
    struct reader reader = {.next = 1, .size_of = small_size};
    struct order *o = make_order_in_memory(4096, &reader);
    for (uint64_t seq = 1; seq <= 100000; seq++) {
        cr_assert_eq(put(o, &reader, seq), ERR_NONE);
        cr_assert_not(order_ready(o));
    }
    cr_assert_eq(reader.next, 100001);
    cr_assert_eq(order_waiting_for(o), 100001);
    order_destroy(&o);
    buf_free(&reader.expected);
}

Test(order, a_result_that_the_caller_wrote_itself_is_passed)
{
    struct reader reader = {.next = 2, .size_of = small_size};
    struct order *o = make_order(4096, &reader);
    cr_assert_eq(put(o, &reader, 2), ERR_NONE);
    cr_assert_eq(order_waiting(o), 1);
    cr_assert_not(order_ready(o));
    order_pass(o);
    cr_assert(order_ready(o));
    release_all(o);
    cr_assert_eq(order_waiting_for(o), 3);
    cr_assert_eq(order_waiting(o), 0);
    order_destroy(&o);
    buf_free(&reader.expected);
}

static void shuffle(uint64_t *seqs, size_t count, unsigned *seed)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)rand_r(seed) % i;
        uint64_t kept = seqs[i - 1];
        seqs[i - 1] = seqs[j];
        seqs[j] = kept;
    }
}

/* Any order in: 1, 2, 3 ... out, at once as soon as all that is before is there. */
static void any_order(size_t count, size_t memory_max, uint64_t (*size_of)(uint64_t), unsigned seed)
{
    struct reader reader = {.next = 1, .size_of = size_of};
    struct order *o = make_order(memory_max, &reader);
    uint64_t *seqs = xmalloc(count * sizeof *seqs);
    bool *there = xcalloc(count + 2, sizeof *there);
    for (size_t i = 0; i < count; i++)
        seqs[i] = i + 1;
    shuffle(seqs, count, &seed);
    uint64_t expected = 1;
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(put(o, &reader, seqs[i]), ERR_NONE);
        there[seqs[i]] = true;
        if (i % 3 == 0)
            release_all(o);
        while (there[expected])
            expected++;
        if (i % 3 == 0)
            cr_assert_eq(order_waiting_for(o), expected);
    }
    release_all(o);
    cr_assert_eq(reader.next, count + 1);
    cr_assert_eq(order_waiting(o), 0);
    cr_assert_eq(order_spooled_bytes(o), 0);
    order_destroy(&o);
    buf_free(&reader.expected);
    free(seqs);
    free(there);
}

Test(order, a_random_order_comes_out_sorted_from_memory)
{
    for (unsigned seed = 1; seed <= 20; seed++)
        any_order(500, ORDER_MEMORY_MAX, small_size, seed);
}

Test(order, a_random_order_comes_out_sorted_from_the_file)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        any_order(700, 24, small_size, seed); /* not even one byte fits into memory */
        any_order(2000, 1000, small_size, seed);
        any_order(500, 50000, mixed_size, seed);
    }
}

Test(order, a_window_that_slides_for_long_stays_in_memory)
{
    struct reader reader = {.next = 1, .size_of = small_size};
    struct order *o = make_order_in_memory(8192, &reader);
    for (uint64_t block = 0; block < 5000; block++) {
        for (uint64_t i = 10; i >= 1; i--) /* each ten in turned order */
            cr_assert_eq(put(o, &reader, block * 10 + i), ERR_NONE);
        release_all(o);
    }
    cr_assert_eq(reader.next, 50001);
    order_destroy(&o);
    buf_free(&reader.expected);
}

Test(order, a_window_that_never_runs_empty_is_tidied)
{
    struct reader reader = {.next = 1, .size_of = small_size};
    struct order *o = make_order_in_memory(8192, &reader);
    for (uint64_t seq = 1; seq < 50000; seq += 2) { /* 2 1 4 3 ..., and always one further on */
        if (seq == 1)
            cr_assert_eq(put(o, &reader, 2), ERR_NONE);
        cr_assert_eq(put(o, &reader, seq + 3), ERR_NONE);
        cr_assert_eq(put(o, &reader, seq), ERR_NONE);
        release_all(o);
        cr_assert_eq(order_waiting(o), 1);
    }
    order_destroy(&o);
    buf_free(&reader.expected);
}

Test(order, numbers_that_never_come_are_skipped)
{
    struct reader reader = {.next = 1, .size_of = small_size};
    struct order *o = make_order(4096, &reader);
    order_skip(o, 4, 6);
    cr_assert_eq(put(o, &reader, 7), ERR_NONE);
    cr_assert_eq(put(o, &reader, 1), ERR_NONE);
    cr_assert_eq(put(o, &reader, 2), ERR_NONE);
    cr_assert_not(order_ready(o));
    cr_assert_eq(put(o, &reader, 3), ERR_NONE);
    cr_assert_eq(order_waiting_for(o), 7);
    reader.next = 7;
    release_all(o);
    order_skip(o, 8, 1000);
    cr_assert_eq(order_waiting_for(o), 1001);
    order_destroy(&o);
    buf_free(&reader.expected);
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

Test(order, a_million_results_behind_one_take_a_bounded_amount_of_memory)
{
    struct reader reader = {.next = 1, .size_of = small_size};
    struct order *o = make_order(ORDER_MEMORY_MAX, &reader);
    long before_kib = peak_kib();
    size_t most = 0;
    for (uint64_t i = 1; i < 1000000; i += 2) { /* neighbours come in turned order */
        cr_assert_eq(put(o, &reader, i + 2), ERR_NONE);
        cr_assert_eq(put(o, &reader, i + 1), ERR_NONE);
        if (order_memory_bytes(o) > most)
            most = order_memory_bytes(o);
    }
    cr_assert_eq(order_waiting(o), 1000000);
    cr_assert_gt(order_spooled_bytes(o), 1 << 20);
    cr_assert_eq(put(o, &reader, 1), ERR_NONE);
    while (order_ready(o)) {
        struct why why;
        cr_assert_eq(order_release(o, 1 << 16, &why), ERR_NONE);
        if (order_memory_bytes(o) > most)
            most = order_memory_bytes(o);
    }
    cr_assert_eq(reader.next, 1000002);
    cr_assert_lt(most, 9 << 20);
#ifndef __SANITIZE_ADDRESS__
    cr_assert_lt(peak_kib() - before_kib, 24 << 10, "%ld KiB more", peak_kib() - before_kib);
#endif
    (void)before_kib;
    cr_assert_eq(order_spooled_bytes(o), 0);
    order_destroy(&o);
    buf_free(&reader.expected);
}

static uint64_t large_then_small(uint64_t seq)
{
    return seq <= 11 ? 75000 : 100;
}

Test(order, runs_that_have_begun_do_not_keep_what_a_large_result_needed)
{
    struct reader reader = {.next = 1, .size_of = large_then_small};
    struct order *o = make_order(110000, &reader);
    for (uint64_t i = 2; i <= 11; i++) { /* each run has one large result and a small one */
        cr_assert_eq(put(o, &reader, i), ERR_NONE);
        cr_assert_eq(put(o, &reader, i + 10), ERR_NONE);
    }
    cr_assert_eq(put(o, &reader, 1), ERR_NONE);
    struct why why;
    while (order_waiting_for(o) < 12)
        cr_assert_eq(order_release(o, 1, &why), ERR_NONE);
    cr_assert_lt(order_memory_bytes(o), 800000, "%zu", order_memory_bytes(o));
    release_all(o);
    cr_assert_eq(reader.next, 22);
    order_destroy(&o);
    buf_free(&reader.expected);
}

static uint64_t two_kib(uint64_t seq)
{
    return 2048 + seq % 2;
}

/* What the spool takes of the disk, as the file system counts it. */
static uint64_t disk_bytes(void)
{
    uint64_t bytes = 0;
    struct stat st;
    for (int fd = 3; fd < 64; fd++)
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0)
            bytes += (uint64_t)st.st_blocks * 512;
    return bytes;
}

Test(order, places_on_disk_are_given_back_while_others_still_wait)
{
    struct reader reader = {.next = 1, .size_of = two_kib};
    struct order *o = make_order(64 << 10, &reader);
    uint64_t most = 0;
    for (uint64_t block = 0; block < 200; block++) { /* 100 wait always, in the file */
        for (uint64_t i = 0; i < 100; i++)
            cr_assert_eq(put(o, &reader, (block + 1) * 100 + 1 + i), ERR_NONE);
        for (uint64_t i = 0; i < (block ? 0 : 100); i++)
            cr_assert_eq(put(o, &reader, block * 100 + 1 + i), ERR_NONE);
        struct why why;
        while (order_waiting(o) > 100)
            cr_assert_eq(order_release(o, 1, &why), ERR_NONE);
        if (order_spooled_bytes(o) > most)
            most = order_spooled_bytes(o);
        cr_assert_lt(disk_bytes(), 2 << 20);
    }
    cr_assert_gt(most, 0);
    cr_assert_lt(most, 1 << 20);
    order_destroy(&o);
    buf_free(&reader.expected);
}

Test(order, past_the_limit_it_is_full_and_still_takes_results)
{
    struct reader reader = {.next = 1, .size_of = two_kib};
    struct order_options small = {.memory_max = 8192, .spool_max = 100000, .tmpdir = "/tmp"};
    struct order *o = order_new(&small, take, &reader);
    uint64_t seq = 2;
    for (; !order_full(o); seq++)
        cr_assert_eq(put(o, &reader, seq), ERR_NONE);
    cr_assert_geq(order_spooled_bytes(o), 100000);
    cr_assert_lt(order_spooled_bytes(o), 120000);
    for (uint64_t end = seq + 100; seq < end; seq++)
        cr_assert_eq(put(o, &reader, seq), ERR_NONE);
    cr_assert(order_full(o));
    cr_assert_eq(order_waiting_for(o), 1);
    cr_assert_eq(put(o, &reader, 1), ERR_NONE);
    release_all(o);
    cr_assert_not(order_full(o));
    cr_assert_eq(reader.next, seq);
    order_destroy(&o);
    buf_free(&reader.expected);
}

Test(order, a_full_disk_is_told_and_loses_nothing)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){50000, before.rlim_max});
    struct reader reader = {.next = 1, .size_of = two_kib};
    struct order *o = make_order(8192, &reader);
    uint64_t seq = 2;
    enum error error;
    while ((error = put(o, &reader, seq)) == ERR_NONE)
        seq++;
    cr_assert_eq(error, ERR_DISK_FULL);
    cr_assert_eq(order_waiting(o), seq - 2);
    cr_assert_eq(put(o, &reader, seq), ERR_DISK_FULL);
    setrlimit(RLIMIT_FSIZE, &before);
    for (uint64_t end = seq + 20; seq < end; seq++)
        cr_assert_eq(put(o, &reader, seq), ERR_NONE);
    cr_assert_eq(put(o, &reader, 1), ERR_NONE);
    release_all(o);
    cr_assert_eq(reader.next, seq);
    order_destroy(&o);
    buf_free(&reader.expected);
}

Test(order, with_a_full_disk_the_result_that_is_waited_for_still_passes)
{
    struct reader reader = {.next = 1, .size_of = two_kib};
    struct order_options nowhere = {.memory_max = 8192, .spool_max = 1, .tmpdir = "/nonexistent"};
    struct order *o = order_new(&nowhere, take, &reader);
    uint64_t seq = 2;
    while (put(o, &reader, seq) == ERR_NONE)
        seq++;
    cr_assert_eq(seq, 4);
    cr_assert_eq(put(o, &reader, 1), ERR_NONE);
    release_all(o);
    cr_assert_eq(put(o, &reader, 4), ERR_NONE);
    cr_assert_eq(reader.next, 5);
    order_destroy(&o);
    buf_free(&reader.expected);
}

/* What left, as text. */
static void note(void *context, uint64_t seq, struct bytes out, struct bytes err,
                 struct block *holder)
{
    buf_printf(context, "%zu%s%.*s%.*s ", (size_t)seq, holder ? "h" : "", (int)out.size,
               (const char *)out.data, (int)err.size, (const char *)err.data);
}

static void count_release(void *owner)
{
    ++*(int *)owner;
}

Test(order, large_results_wait_in_their_files_and_leave_in_their_turn)
{
    int released = 0;
    struct buf left = {0};
    struct why why;
    struct order_options small = {.memory_max = 4096, .spool_max = 10, .tmpdir = "/tmp"};
    struct order *o = order_new(&small, note, &left);
    struct block *block = block_adopt(bytes_of("abcdef"), count_release, &released);
    struct bytes out = {block_bytes(block).data, 4}, err = {block_bytes(block).data + 4, 2};
    order_put_held(o, 5, out, err, block);
    order_put_held(o, 2, out, err, block);
    cr_assert_eq(order_put(o, 3, bytes_of("x"), bytes_of(""), &why), ERR_NONE);
    cr_assert(order_waiting(o) == 3 && !order_ready(o));
    cr_assert(order_full(o), "they count as spooled");
    order_put_held(o, 1, out, err, block);
    cr_assert(order_ready(o));
    cr_assert_eq(order_release(o, 1 << 20, &why), ERR_NONE);
    buf_put_byte(&left, 0);
    cr_assert_str_eq((char *)left.data, "1habcdef 2habcdef 3x ");
    cr_assert(order_waiting(o) == 1 && !order_full(o));
    block_release(&block);
    cr_assert_eq(released, 0);
    order_destroy(&o);
    cr_assert_eq(released, 1);
    buf_free(&left);
}
