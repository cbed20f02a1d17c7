/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/writer.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void ignore_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

TestSuite(writer, .timeout = 60, .init = ignore_signals);

static void put_pattern(struct buf *buf, size_t from, size_t size)
{
    for (size_t i = from; i < from + size; i++)
        buf_put_byte(buf, (uint8_t)(i * 31 + i / 4096));
}

static void expect_pattern(const uint8_t *data, size_t from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        cr_assert_eq(data[i], (uint8_t)((from + i) * 31 + (from + i) / 4096), "at %zu", from + i);
}

static void expect_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size + 1);
    cr_assert_eq(fread(data, 1, size + 1, file), size);
    expect_pattern(data, 0, size);
    free(data);
    fclose(file);
}

static void count_release(void *owner)
{
    ++*(int *)owner;
}

static char *temp_path(void)
{
    static char path[] = "/tmp/zfarm-test-XXXXXX";
    close(mkstemp(path));
    return path;
}

Test(writer, a_file_is_truncated_and_gets_every_byte)
{
    char *path = temp_path();
    FILE *old = fopen(path, "w");
    fprintf(old, "what was there");
    fclose(old);
    struct writer w;
    struct why why;
    cr_assert_eq(writer_open(&w, path, &why), ERR_NONE);
    size_t sizes[] = {1, 100, 3000000}, at = 0;
    for (size_t i = 0; i < 3; i++) {
        put_pattern(writer_buf(&w), at, sizes[i]);
        at += sizes[i];
        cr_assert_eq(writer_end(&w), at);
        cr_assert_eq(writer_pending(&w), sizes[i]);
        cr_assert_eq(writer_flush(&w, &why), ERR_NONE);
        cr_assert_not(writer_blocked(&w));
        cr_assert_eq(writer_written(&w), at);
        cr_assert_eq(writer_pending(&w), 0);
    }
    writer_close(&w);
    expect_file(path, at);
    unlink(path);
}

Test(writer, a_file_that_cannot_be_made_is_named)
{
    struct writer w;
    struct why why;
    cr_assert_eq(writer_open(&w, "/nonexistent/out", &why), ERR_IO);
    cr_assert(strstr(why.text, "/nonexistent/out"));
    writer_close(&w);
}

/* Fills `out` until it takes no more, then reads all from `in`: nothing is lost, nothing blocks,
 * and the descriptor's flags stay as they are. */
static void fill_and_drain(int in, int out)
{
    const size_t total = 3 << 20;
    struct writer w;
    struct why why;
    int flags = fcntl(out, F_GETFL);
    writer_use(&w, out, "standard output");
    put_pattern(writer_buf(&w), 0, total);
    cr_assert_eq(writer_flush(&w, &why), ERR_NONE);
    cr_assert(writer_blocked(&w));
    cr_assert_gt(writer_written(&w), 0);
    cr_assert_lt(writer_written(&w), total);
    cr_assert_eq(fcntl(out, F_GETFL), flags);
    uint8_t chunk[50000];
    size_t got = 0;
    while (got < total) {
        ssize_t n = read(in, chunk, sizeof chunk);
        cr_assert_gt(n, 0);
        expect_pattern(chunk, got, (size_t)n);
        got += (size_t)n;
        cr_assert_eq(writer_flush(&w, &why), ERR_NONE);
        cr_assert_eq(writer_written(&w) + writer_pending(&w), total);
    }
    cr_assert_not(writer_blocked(&w));
    cr_assert_eq(writer_written(&w), total);
    writer_close(&w);
    cr_assert_neq(fcntl(out, F_GETFL), -1, "a descriptor that is not its own stays open");
}

Test(writer, a_pipe_that_is_full_does_not_block)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    fill_and_drain(fds[0], fds[1]);
}

Test(writer, a_socket_that_is_full_does_not_block)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fill_and_drain(fds[0], fds[1]);
}

Test(writer, a_terminal_that_nobody_reads_does_not_block)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    int flags = fcntl(terminal, F_GETFL);
    struct writer w;
    struct why why;
    writer_use(&w, terminal, "standard output");
    for (int i = 0; i < 100000; i++)
        buf_put_text(writer_buf(&w), "a line of output\n");
    cr_assert_eq(writer_flush(&w, &why), ERR_NONE);
    cr_assert(writer_blocked(&w));
    cr_assert_gt(writer_written(&w), 0);
    cr_assert_eq(fcntl(terminal, F_GETFL), flags);
    uint64_t before = writer_written(&w);
    char chunk[4096];
    while (writer_written(&w) == before) {
        cr_assert_gt(read(master, chunk, sizeof chunk), 0);
        cr_assert_eq(writer_flush(&w, &why), ERR_NONE);
    }
    writer_close(&w);
    close(terminal);
    close(master);
}

Test(writer, a_consumer_that_is_gone_is_told_as_closed)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    struct writer w;
    struct why why;
    writer_use(&w, fds[1], "standard output");
    put_pattern(writer_buf(&w), 0, 10);
    close(fds[0]);
    cr_assert_eq(writer_flush(&w, &why), ERR_CLOSED);
    cr_assert(strstr(why.text, "standard output"));
    cr_assert_eq(writer_pending(&w), 10);
    writer_close(&w);
}

Test(writer, a_descriptor_that_is_closed_is_an_error)
{
    struct writer w;
    struct why why;
    writer_use(&w, 999, "standard output");
    put_pattern(writer_buf(&w), 0, 10);
    cr_assert_eq(writer_flush(&w, &why), ERR_IO);
    writer_close(&w);
}

Test(writer, a_full_device_keeps_the_bytes_pending)
{
    struct writer w;
    struct why why;
    cr_assert_eq(writer_open(&w, "/dev/full", &why), ERR_NONE);
    put_pattern(writer_buf(&w), 0, 10);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(writer_flush(&w, &why), ERR_DISK_FULL);
        cr_assert_eq(writer_pending(&w), 10);
        cr_assert_eq(writer_written(&w), 0);
    }
    writer_close(&w);
}

Test(writer, when_there_is_room_again_it_goes_on_where_it_stopped)
{
    char *path = temp_path();
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    struct writer w;
    struct why why;
    cr_assert_eq(writer_open(&w, path, &why), ERR_NONE);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1500, before.rlim_max});
    put_pattern(writer_buf(&w), 0, 4000);
    cr_assert_eq(writer_flush(&w, &why), ERR_DISK_FULL);
    cr_assert_eq(writer_written(&w), 1500);
    cr_assert_eq(writer_pending(&w), 2500);
    put_pattern(writer_buf(&w), 4000, 1000);
    setrlimit(RLIMIT_FSIZE, &before);
    cr_assert_eq(writer_flush(&w, &why), ERR_NONE);
    cr_assert_eq(writer_written(&w), 5000);
    writer_close(&w);
    expect_file(path, 5000);
    unlink(path);
}

Test(writer, a_buffer_that_never_runs_empty_does_not_grow)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    struct writer w;
    struct why why;
    writer_use(&w, fds[1], "standard output");
    put_pattern(writer_buf(&w), 0, 1 << 18);
    uint8_t chunk[4096];
    for (size_t i = 0, at = 1 << 18; i < 1000; i++, at += sizeof chunk) {
        cr_assert_eq(writer_flush(&w, &why), ERR_NONE);
        cr_assert_gt(writer_pending(&w), 0);
        cr_assert_eq(read(fds[0], chunk, sizeof chunk), sizeof chunk);
        expect_pattern(chunk, i * sizeof chunk, sizeof chunk);
        put_pattern(writer_buf(&w), at, sizeof chunk);
    }
    cr_assert_leq(writer_buf(&w)->capacity, 1 << 20);
    writer_close(&w);
}

Test(writer, a_block_is_written_between_what_was_put_before_and_after_it)
{
    char *path = temp_path();
    struct writer w;
    struct why why;
    struct buf content = {0};
    cr_assert_eq(writer_open(&w, path, &why), ERR_NONE);
    put_pattern(&content, 1000, 3 << 20);
    size_t size = content.size;
    struct block *block = block_new(&content);
    put_pattern(writer_buf(&w), 0, 1000);
    writer_put_block(&w, block, block_bytes(block));
    block_release(&block); /* the writer holds it */
    put_pattern(writer_buf(&w), 1000 + size, 500);
    cr_assert_eq(writer_end(&w), size + 1500);
    cr_assert_eq(writer_pending(&w), size + 1500);
    cr_assert_eq(writer_flush(&w, &why), ERR_NONE);
    cr_assert_eq(writer_pending(&w), 0);
    cr_assert_eq(writer_written(&w), size + 1500);
    writer_close(&w);
    expect_file(path, size + 1500);
    unlink(path);
}

Test(writer, one_flush_does_not_write_for_ever)
{
    char *path = temp_path();
    struct writer w;
    struct why why;
    struct buf content = {0};
    cr_assert_eq(writer_open(&w, path, &why), ERR_NONE);
    put_pattern(&content, 0, 32 << 20);
    struct block *block = block_new(&content);
    for (int i = 0; i < 3; i++)
        writer_put_block(&w, block, block_bytes(block));
    block_release(&block);
    cr_assert_eq(writer_flush(&w, &why), ERR_NONE);
    cr_assert(writer_tired(&w) && !writer_blocked(&w));
    cr_assert_eq(writer_pending(&w), 32 << 20);
    cr_assert_eq(writer_flush(&w, &why), ERR_NONE);
    cr_assert(!writer_tired(&w) && writer_pending(&w) == 0);
    writer_close(&w);
    unlink(path);
}

Test(writer, what_is_pending_is_let_go_with_the_writer)
{
    static int released;
    struct writer w;
    writer_use(&w, STDOUT_FILENO, "stdout");
    struct block *block = block_adopt(bytes_of("abc"), count_release, &released);
    writer_put_block(&w, block, block_bytes(block));
    writer_put_block(&w, block, (struct bytes){0});
    block_release(&block);
    cr_assert_eq(released, 0);
    writer_close(&w);
    cr_assert_eq(released, 1);
}
