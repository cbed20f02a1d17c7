/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/pieces.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/sys/tempfile.h"
#include "common/base/xalloc.h"

TestSuite(pieces, .timeout = 60);

static const struct pieces_limits limits = {
    .memory_max = 1000, .size_max = 100000, .tmpdir = "/tmp"};

static uint8_t *pattern(size_t size)
{
    uint8_t *bytes = xmalloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    return bytes;
}

static struct pieces_part part(const uint8_t *all, size_t offset, size_t size, size_t total)
{
    return (struct pieces_part){.seq = 7,
                                .attempt = {1, 1},
                                .offset = offset,
                                .total = total,
                                .bytes = {all + offset, size}};
}

static enum error add(struct pieces *p, struct pieces_part part, bool *complete,
                      struct bytes *payload)
{
    struct why why;
    return pieces_add(p, &limits, &part, complete, payload, &why);
}

static void assemble(size_t total, size_t step, bool in_file)
{
    struct pieces p = {0};
    uint8_t *all = pattern(total);
    bool complete = false;
    struct bytes payload = {0};
    for (size_t at = 0; at < total; at += step) {
        cr_assert_not(complete);
        size_t size = total - at < step ? total - at : step;
        cr_assert_eq(add(&p, part(all, at, size, total), &complete, &payload), ERR_NONE);
        cr_assert_eq(p.in_file, in_file);
    }
    cr_assert(complete);
    cr_assert(bytes_equal(payload, (struct bytes){all, total}));
    pieces_drop(&p);
    pieces_drop(&p);
    free(all);
}

Test(pieces, a_small_payload_is_put_together_in_memory)
{
    assemble(1000, 300, false);
}

Test(pieces, a_larger_payload_is_put_together_in_a_file)
{
    assemble(1001, 300, true);
    assemble(100000, 4096, true);
    assemble(50000, 50000, true);
}

Test(pieces, an_empty_payload_is_whole_at_once)
{
    struct pieces p = {0};
    bool complete;
    struct bytes payload = {.size = 99};
    uint8_t none = 0;
    cr_assert_eq(add(&p, part(&none, 0, 0, 0), &complete, &payload), ERR_NONE);
    cr_assert(complete);
    cr_assert_eq(payload.size, 0);
    pieces_drop(&p);
}

Test(pieces, whatever_does_not_continue_drops_the_assembly)
{
    uint8_t *all = pattern(3000);
    const struct pieces_part wrong[] = {
        part(all, 200, 100, 3000),  /* a gap */
        part(all, 50, 100, 3000),   /* an overlap */
        part(all, 100, 100, 2999),  /* another total */
        part(all, 100, 2901, 3000), /* more than the total */
        part(all, 100, 0, 3000),    /* nothing */
        {.seq = 8, .attempt = {1, 1}, .offset = 100, .total = 3000, .bytes = {all, 100}},
        {.seq = 7, .attempt = {1, 2}, .offset = 100, .total = 3000, .bytes = {all, 100}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct pieces p = {0};
        bool complete;
        struct bytes payload;
        cr_assert_eq(add(&p, part(all, 0, 100, 3000), &complete, &payload), ERR_NONE);
        cr_assert_eq(add(&p, wrong[i], &complete, &payload), ERR_MALFORMED, "case %zu", i);
        cr_assert_not(complete);
        cr_assert_eq(add(&p, part(all, 100, 100, 3000), &complete, &payload), ERR_MALFORMED);
        pieces_drop(&p);
    }
    free(all);
}

Test(pieces, a_piece_with_offset_0_begins_anew)
{
    struct pieces p = {0};
    uint8_t *all = pattern(3000);
    bool complete;
    struct bytes payload;
    cr_assert_eq(add(&p, part(all, 0, 100, 3000), &complete, &payload), ERR_NONE);
    cr_assert_eq(add(&p, part(all, 0, 200, 200), &complete, &payload), ERR_NONE);
    cr_assert(complete);
    cr_assert(bytes_equal(payload, (struct bytes){all, 200}));
    pieces_drop(&p);
    free(all);
}

Test(pieces, a_payload_above_the_limit_is_refused_by_its_first_piece)
{
    struct pieces p = {0};
    uint8_t byte = 1;
    bool complete;
    struct bytes payload;
    cr_assert_eq(add(&p, part(&byte, 0, 1, 100001), &complete, &payload), ERR_TOO_LARGE);
    cr_assert_eq(add(&p, part(&byte, 0, 1, SIZE_MAX), &complete, &payload), ERR_TOO_LARGE);
    cr_assert_not(p.open);
}

Test(pieces, a_full_disk_keeps_the_assembly_and_the_piece_can_be_added_again)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){5000, before.rlim_max};
    struct pieces p = {0};
    uint8_t *all = pattern(9000);
    bool complete;
    struct bytes payload;
    setrlimit(RLIMIT_FSIZE, &small);
    cr_assert_eq(add(&p, part(all, 0, 3000, 9000), &complete, &payload), ERR_NONE);
    cr_assert_eq(add(&p, part(all, 3000, 6000, 9000), &complete, &payload), ERR_DISK_FULL);
    cr_assert_eq(add(&p, part(all, 3000, 6000, 9000), &complete, &payload), ERR_DISK_FULL);
    setrlimit(RLIMIT_FSIZE, &before);
    cr_assert_eq(add(&p, part(all, 3000, 6000, 9000), &complete, &payload), ERR_NONE);
    cr_assert(complete);
    cr_assert(bytes_equal(payload, (struct bytes){all, 9000}));
    pieces_drop(&p);
    free(all);
}

Test(pieces, a_missing_directory_is_named)
{
    struct pieces p = {0};
    const struct pieces_limits nowhere = {.size_max = 10, .tmpdir = "/nonexistent/dir"};
    uint8_t bytes[2] = {1, 2};
    struct pieces_part first = part(bytes, 0, 1, 2);
    bool complete;
    struct bytes payload;
    struct why why;
    cr_assert_eq(pieces_add(&p, &nowhere, &first, &complete, &payload, &why), ERR_IO);
    cr_assert(strstr(why.text, "/nonexistent/dir"));
    cr_assert(strstr(why.text, "--tmpdir"));
    pieces_drop(&p);
}
