/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/input/source.h"

TestSuite(source_looks, .timeout = 60);

/* How an input of `text` looks when all of it was read. */
static struct source_looks looks_of(const char *text, struct source_options options)
{
    char path[] = "/tmp/zfarm-test-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    struct input file = {.path = path};
    struct inputs inputs = {&file, 1};
    struct source *source;
    struct buf records = {0};
    struct why why;
    size_t tasks;
    options.inputs = &inputs;
    options.values = options.values ? options.values : 1;
    options.task_max = 1 << 20;
    cr_assert_eq(source_open(&source, &options, &why), ERR_NONE, "%s", why.text);
    while (source_take(source, &records, 10, 1 << 16, &tasks, &why) == SOURCE_TOOK)
        ;
    struct source_looks looks = source_looks(source);
    source_close(&source);
    buf_free(&records);
    unlink(path);
    return looks;
}

static void expect(const char *text, struct source_options options, bool crlf, bool bom)
{
    struct source_looks looks = looks_of(text, options);
    cr_assert(looks.crlf == crlf && looks.bom == bom, "%s", text);
}

#define BOM "\xef\xbb\xbf"

Test(source_looks, of_lines)
{
    struct source_options plain = {0};
    expect("", plain, false, false);
    expect("a\nb\r\n", plain, false, false);
    expect("a\r\nb\n", plain, true, false);
    expect("\r\n", plain, true, false);
    expect(BOM, plain, false, true);
    expect(BOM "\nb\n", plain, false, true);
    expect("a\n" BOM "b\n", plain, false, false);
}

Test(source_looks, of_rows_and_columns)
{
    struct source_options pairs = {.values = 2}, columns = {.colsep = ","};
    expect(BOM "a\r\nb\r\n", pairs, true, true);
    expect("a\nb\r\n", pairs, false, false);
    expect("a,b\r\nc\n", columns, true, false);
    expect("a,b\nc,d\r\n", columns, false, false);
}

Test(source_looks, of_blocks)
{
    struct source_options blocks = {.pipe = true};
    expect(BOM "a\r\nb\n", blocks, true, true);
    expect("a\nb\r\n", blocks, false, false);
}
