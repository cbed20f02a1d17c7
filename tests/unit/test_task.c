/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/task.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/varint.h"
#include "common/base/xalloc.h"

TestSuite(task, .timeout = 60);

static struct task take(struct bytes *records)
{
    struct task task;
    cr_assert_eq(task_take(records, &task), ERR_NONE);
    return task;
}

static enum error take_exact(const uint8_t *data, size_t size)
{
    uint8_t *exact = xmalloc(size);
    if (size)
        memcpy(exact, data, size);
    struct bytes records = {exact, size};
    struct task task;
    enum error error = task_take(&records, &task);
    if (error)
        cr_assert(records.data == exact && records.size == size, "it is left where it was");
    free(exact);
    return error;
}

Test(task, lines_of_any_length_come_out_as_they_went_in)
{
    enum { LARGEST = 70000 };
    char *line = xmalloc(LARGEST);
    memset(line, 'x', LARGEST);
    static const size_t sizes[] = {0, 1, 63, 64, 8191, 8192, LARGEST};
    struct buf buf = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        task_put_line(&buf, (struct bytes){(uint8_t *)line, sizes[i]});
    struct bytes records = buf_bytes(&buf);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct task task = take(&records);
        size_t at = 0;
        struct bytes arg;
        cr_assert(task_next_arg(task, &at, &arg));
        cr_assert(bytes_equal(arg, (struct bytes){(uint8_t *)line, sizes[i]}));
        cr_assert_not(task_next_arg(task, &at, &arg));
        cr_assert_eq(task_arg_count(task), 1);
    }
    cr_assert_eq(records.size, 0);
    buf_free(&buf);
    free(line);
}

Test(task, a_ten_byte_line_takes_eleven_bytes)
{
    struct buf buf = {0};
    task_put_line(&buf, bytes_of("0123456789"));
    cr_assert_eq(buf.size, 11);
    buf_free(&buf);
}

Test(task, several_arguments_come_out_as_they_went_in)
{
    struct bytes args[] = {bytes_of("one"), bytes_of(""), {(const uint8_t *)"a\0b", 3}, {NULL, 0}};
    struct buf buf = {0}, joined = {0};
    task_put_args(&buf, args, 4);
    struct bytes records = buf_bytes(&buf), arg;
    struct task task = take(&records);
    size_t at = 0;
    cr_assert(task.many);
    for (size_t i = 0; i < 4; i++) {
        cr_assert(task_next_arg(task, &at, &arg));
        cr_assert(bytes_equal(arg, args[i]), "argument %zu", i);
    }
    cr_assert_not(task_next_arg(task, &at, &arg));
    cr_assert_eq(task_arg_count(task), 4);
    task_join(task, &joined);
    cr_assert(bytes_equal(buf_bytes(&joined), (struct bytes){(const uint8_t *)"one  a\0b ", 9}));
    buf_free(&joined);
    buf_free(&buf);
}

Test(task, one_argument_is_a_line)
{
    struct bytes arg = bytes_of("only");
    struct buf line = {0}, args = {0};
    task_put_line(&line, arg);
    task_put_args(&args, &arg, 1);
    cr_assert(bytes_equal(buf_bytes(&line), buf_bytes(&args)));
    buf_free(&line);
    buf_free(&args);
}

Test(task, a_record_that_is_cut_at_any_length_is_an_error)
{
    struct bytes args[] = {bytes_of("one"), bytes_of("two"), bytes_of("three")};
    struct buf many = {0}, line = {0};
    task_put_args(&many, args, 3);
    for (int i = 0; i < 30; i++)
        buf_put_text(&line, "a long line ");
    struct buf record = {0};
    task_put_line(&record, buf_bytes(&line));
    for (size_t size = 0; size < many.size; size++)
        cr_assert_eq(take_exact(many.data, size), ERR_TRUNCATED);
    for (size_t size = 0; size < record.size; size++)
        cr_assert_eq(take_exact(record.data, size), ERR_TRUNCATED);
    buf_free(&many);
    buf_free(&line);
    buf_free(&record);
}

Test(task, a_list_whose_sizes_do_not_fit_is_refused)
{
    static const struct {
        const char *octets;
        size_t size;
    } cases[] = {
        {"\1", 1},         /* an empty list */
        {"\5\5a", 3},      /* an argument beyond the body */
        {"\3\1", 2},       /* likewise, its one octet is missing */
        {"\7\1a\1", 4},    /* the second argument is beyond it */
        {"\5\x80\x80", 3}, /* a size that does not end */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert_eq(take_exact((const uint8_t *)cases[i].octets, cases[i].size), ERR_MALFORMED,
                     "case %zu", i);
}

Test(task, sizes_near_the_largest_number_are_refused)
{
    struct buf buf = {0};
    for (uint64_t head = UINT64_MAX - 3; head != 0; head++) {
        buf_clear(&buf);
        varint_put(&buf, head);
        buf_put_text(&buf, "xyz");
        cr_assert_eq(take_exact(buf.data, buf.size), ERR_TRUNCATED);
    }
    buf_free(&buf);
}

Test(task, skipping_is_taking_without_looking)
{
    struct bytes args[] = {bytes_of("one"), bytes_of("two")};
    struct buf buf = {0};
    for (int i = 0; i < 5; i++) {
        task_put_line(&buf, bytes_of("line"));
        task_put_args(&buf, args, 2);
    }
    struct bytes taken = buf_bytes(&buf), skipped = taken;
    for (int i = 0; i < 7; i++)
        take(&taken);
    cr_assert_eq(task_skip(&skipped, 7), ERR_NONE);
    cr_assert(skipped.data == taken.data && skipped.size == taken.size);
    cr_assert_eq(task_skip(&skipped, 4), ERR_TRUNCATED);
    cr_assert_eq(skipped.size, taken.size);
    cr_assert_eq(task_skip(&skipped, 3), ERR_NONE);
    cr_assert_eq(skipped.size, 0);
    buf_free(&buf);
}

Test(task, the_hash_tells_tasks_apart_and_a_line_from_a_list)
{
    struct task a = {.body = bytes_of("\1a")}, b = {.body = bytes_of("\1b")};
    struct task list = {.many = true, .body = bytes_of("\1a")};
    cr_assert(hash_equal(task_hash(a), task_hash(a)));
    cr_assert_not(hash_equal(task_hash(a), task_hash(b)));
    cr_assert_not(hash_equal(task_hash(a), task_hash(list)));
}

Test(task, attempts_are_equal_when_both_numbers_are)
{
    struct attempt a = {1, 2};
    cr_assert(attempt_equal(a, (struct attempt){1, 2}));
    cr_assert_not(attempt_equal(a, (struct attempt){1, 3}));
    cr_assert_not(attempt_equal(a, (struct attempt){2, 2}));
}
