/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/result.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

TestSuite(result, .timeout = 60);

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static struct bytes random_bytes(uint64_t *seed)
{
    static const uint8_t octets[300] = "what a task wrote\n\x00\xff";
    return (struct bytes){octets, next_random(seed) % 3 ? next_random(seed) % 300 : 0};
}

static struct result random_result(uint64_t *seed)
{
    struct result r = {.final = next_random(seed) % 2,
                       .status = (enum result_status)(next_random(seed) % RESULT_STATUS_COUNT),
                       .out = random_bytes(seed),
                       .err = random_bytes(seed),
                       .task = random_bytes(seed),
                       .command = random_bytes(seed),
                       .has_hash = next_random(seed) % 2};
    if (r.status != RESULT_OK)
        r.code = (unsigned)(next_random(seed) % 256);
    if (next_random(seed) % 2) {
        r.start_us = next_random(seed);
        r.duration_ns = next_random(seed) >> (next_random(seed) % 64);
    }
    r.cut = next_random(seed) % 2;
    if (r.cut)
        r.cut_pid = next_random(seed) >> (next_random(seed) % 64);
    if (r.has_hash)
        r.hash = (struct hash){next_random(seed), next_random(seed)};
    return r;
}

static bool same(const struct result *a, const struct result *b)
{
    return a->final == b->final && a->status == b->status && a->code == b->code &&
           a->start_us == b->start_us && a->duration_ns == b->duration_ns &&
           bytes_equal(a->out, b->out) && bytes_equal(a->err, b->err) &&
           bytes_equal(a->task, b->task) && bytes_equal(a->command, b->command) &&
           a->has_hash == b->has_hash && (!a->has_hash || hash_equal(a->hash, b->hash)) &&
           a->cut == b->cut && a->cut_pid == b->cut_pid;
}

Test(result, records_come_out_as_they_went_in)
{
    for (uint64_t round = 1; round <= 500; round++) {
        struct result in[5], out;
        struct buf buf = {0};
        uint64_t seed = round;
        for (size_t i = 0; i < 5; i++) {
            in[i] = random_result(&seed);
            result_put(&buf, &in[i]);
        }
        struct bytes records = buf_bytes(&buf);
        memset(&out, 0xff, sizeof out); /* what the one before left behind does not show */
        for (size_t i = 0; i < 5; i++) {
            cr_assert_eq(result_take(&records, &out), ERR_NONE);
            cr_assert(same(&in[i], &out), "seed %d, record %zu", (int)round, i);
        }
        cr_assert_eq(records.size, 0);
        buf_free(&buf);
    }
}

Test(result, a_small_one_takes_two_bytes_and_its_output)
{
    struct result r = {.final = true, .out = bytes_of("42\n")};
    struct buf buf = {0};
    result_put(&buf, &r);
    cr_assert_eq(buf.size, 5);
    buf_free(&buf);
}

Test(result, the_head_and_then_the_output_is_the_record)
{
    for (uint64_t round = 1; round <= 100; round++) {
        uint64_t seed = round;
        struct result r = random_result(&seed);
        struct buf whole = {0}, parts = {0};
        result_put(&whole, &r);
        result_put_head(&parts, &r, r.out.size, r.err.size);
        buf_put_bytes(&parts, r.out);
        buf_put_bytes(&parts, r.err);
        cr_assert(bytes_equal(buf_bytes(&whole), buf_bytes(&parts)));
        buf_free(&whole);
        buf_free(&parts);
    }
}

Test(result, what_is_not_in_a_record_is_left_alone)
{
    struct result in = {.final = true};
    struct result out = {.seq = 7, .attempt = {8, 9}, .tries = 3, .worker = bytes_of("w")};
    struct buf buf = {0};
    result_put(&buf, &in);
    struct bytes records = buf_bytes(&buf);
    cr_assert_eq(result_take(&records, &out), ERR_NONE);
    cr_assert(out.seq == 7 && out.tries == 3 && out.attempt.number == 9 && out.worker.size == 1);
    buf_free(&buf);
}

static enum error take_exact(const uint8_t *data, size_t size)
{
    uint8_t *exact = xmalloc(size);
    if (size)
        memcpy(exact, data, size);
    struct bytes records = {exact, size};
    struct result r;
    enum error error = result_take(&records, &r);
    if (error)
        cr_assert(records.data == exact && records.size == size, "it is left where it was");
    free(exact);
    return error;
}

Test(result, a_record_that_is_cut_at_any_length_is_an_error)
{
    for (uint64_t round = 1; round <= 50; round++) {
        uint64_t seed = round;
        struct result r = random_result(&seed);
        struct buf buf = {0};
        result_put(&buf, &r);
        for (size_t size = 0; size < buf.size; size++)
            cr_assert_eq(take_exact(buf.data, size), ERR_TRUNCATED);
        buf_free(&buf);
    }
}

Test(result, a_record_with_any_octet_changed_breaks_nothing)
{
    for (uint64_t round = 1; round <= 50; round++) {
        uint64_t seed = round;
        struct result r = random_result(&seed);
        struct buf buf = {0};
        result_put(&buf, &r);
        for (size_t at = 0; at < buf.size; at++) {
            uint8_t before = buf.data[at];
            buf.data[at] = (uint8_t)next_random(&seed);
            take_exact(buf.data, buf.size);
            buf.data[at] = 0xff;
            take_exact(buf.data, buf.size);
            buf.data[at] = before;
        }
        buf_free(&buf);
    }
}

Test(result, an_exit_status_that_is_ok_is_kept)
{
    struct buf record = {0};
    struct result given = {.final = true, .code = 1}, taken = {0};
    result_put(&record, &given);
    struct bytes records = buf_bytes(&record);
    cr_assert_eq(result_take(&records, &taken), ERR_NONE);
    cr_assert_eq(taken.status, RESULT_OK);
    cr_assert_eq(taken.code, 1);
    buf_free(&record);
}

Test(result, values_that_the_protocol_does_not_know_are_refused)
{
    static const struct {
        const char *octets;
        size_t size;
    } cases[] = {
        {"\x80\3\1\1\0\0", 6},     /* a cut by nobody: a tag without its number */
        {"\x80\5\1\1\1\7\0\0", 8}, /* octets behind the tags */
        {"\x80\5\2\7\0\7\0\0", 8}, /* a tag twice */
        {"\x80\1\1\0", 4},         /* a tag that is not there */
        {"\2\0\0\0", 4},           /* ok needs no status */
        {"\2\x08\0\0", 4},         /* a status */
        {"\2\1\x80\2\0", 5},       /* an exit status of 256 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert_eq(take_exact((const uint8_t *)cases[i].octets, cases[i].size), ERR_MALFORMED,
                     "case %zu", i);
}

Test(result, tags_that_are_not_known_are_skipped)
{
    /* final; 1: cut by process 300, 2 and 9: not known here; no output */
    static const uint8_t record[] = {0x81, 10, 3, 1, 2, 0xac, 2, 2, 1, 7, 9, 0, 0};
    struct bytes records = {record, sizeof record};
    struct result r;
    cr_assert_eq(result_take(&records, &r), ERR_NONE);
    cr_assert(r.final && r.cut && r.cut_pid == 300 && records.size == 0);
    cr_assert_eq(take_exact((const uint8_t[]){0x80, 3, 1, 9, 0, 0}, 6), ERR_NONE);
}

Test(result, sizes_that_overflow_together_are_refused)
{
    /* final and stderr; stdout of 2^64 - 1 bytes, stderr of 2 */
    static const uint8_t record[] = {5,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 1,    2,    'x'};
    cr_assert_eq(take_exact(record, sizeof record), ERR_TRUNCATED);
}

Test(result, every_status_has_a_word_and_a_meaning)
{
    for (int i = 0; i < RESULT_STATUS_COUNT; i++) {
        cr_assert_str_neq(result_status_word((enum result_status)i), "unknown");
        cr_assert_gt(strlen(result_status_meaning((enum result_status)i)), 5);
    }
    cr_assert_str_eq(result_status_word((enum result_status)99), "unknown");
}
