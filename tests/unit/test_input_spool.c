/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/run/spool.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"

static char parent[64], dir[96];
static const struct source_options lines = {.values = 1, .task_max = 1 << 20};

static void make_dir(void)
{
    log_init("test");
    signal(SIGXFSZ, SIG_IGN);
    strcpy(parent, "/tmp/zfarm-spool-XXXXXX");
    cr_assert_not_null(mkdtemp(parent));
    snprintf(dir, sizeof dir, "%s/kept", parent);
}

static void remove_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
}

static void remove_dir(void)
{
    remove_file("input");
    remove_file("end");
    remove_file("end.new");
    rmdir(dir);
    rmdir(parent);
}

TestSuite(input_spool, .timeout = 60, .init = make_dir, .fini = remove_dir);

/* One run of zfarm: a pipe that it reads, and what a ventilator gets from it. */
struct run {
    struct input_spool *spool;
    int in[2];
    int fd, hold_fd; /* of the ventilator */
    uint64_t now_ns;
};

static void begin_reader(struct run *r)
{
    struct why why = {""};
    cr_assert_eq(input_spool_begin(r->spool, &r->fd, &r->hold_fd, &why), ERR_NONE, "%s", why.text);
}

static void end_reader(struct run *r)
{
    close(r->fd);
    close(r->hold_fd);
}

static struct run begin(const char *input)
{
    struct run r = {.now_ns = NS_PER_S};
    struct why why = {""};
    cr_assert_eq(pipe(r.in), 0);
    cr_assert_eq(write(r.in[1], input, strlen(input)), (ssize_t)strlen(input));
    cr_assert_eq(input_spool_open(&r.spool, dir, r.in[0], &lines, &why), ERR_NONE, "%s", why.text);
    begin_reader(&r);
    return r;
}

static void end_input(struct run *r)
{
    close(r->in[1]);
    r->in[1] = -1;
}

static void end(struct run *r, bool remove)
{
    input_spool_close(&r->spool, remove);
    end_reader(r);
    close(r->in[0]);
    if (r->in[1] >= 0)
        close(r->in[1]);
}

static void turn(struct run *r)
{
    struct why why = {""};
    cr_assert_eq(input_spool_turn(r->spool, r->now_ns, &why), ERR_NONE, "%s", why.text);
}

/* What the ventilator can read now; NULL: its input has ended. */
static const char *got(struct run *r)
{
    static char text[4096];
    ssize_t size = recv(r->fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (size < 0)
        cr_assert_eq(errno, EAGAIN);
    text[size > 0 ? size : 0] = '\0';
    return size == 0 ? NULL : text;
}

static void refused(const char *input, int from_fd, enum error error, const char *words)
{
    struct input_spool *spool = NULL;
    struct why why = {""};
    int in[2];
    cr_assert_eq(pipe(in), 0);
    cr_assert_eq(write(in[1], input, strlen(input)), (ssize_t)strlen(input));
    close(in[1]);
    cr_assert_eq(input_spool_open(&spool, dir, from_fd < 0 ? in[0] : from_fd, &lines, &why), error,
                 "%s", why.text);
    cr_assert(strstr(why.text, words), "%s", why.text);
    cr_assert_null(spool);
    close(in[0]);
}

Test(input_spool, what_comes_is_handed_on_and_ends_when_it_has_ended)
{
    struct run r = begin("a\nb");
    turn(&r);
    cr_assert_str_eq(got(&r), "a\nb");
    turn(&r);
    cr_assert_str_eq(got(&r), "");
    end_input(&r);
    cr_assert_not(input_spool_is_whole(r.spool));
    turn(&r);
    cr_assert(input_spool_is_whole(r.spool));
    cr_assert_null(got(&r), "although the ventilator holds the other end, too");
    end(&r, true);
    cr_assert_neq(access(dir, F_OK), 0, "nothing is left of it");
}

Test(input_spool, the_death_of_zfarm_is_no_end_of_the_input)
{
    struct run r = begin("a\nhalf a li");
    turn(&r);
    cr_assert_str_eq(got(&r), "a\nhalf a li");
    input_spool_close(&r.spool, false);
    cr_assert_not_null(got(&r));
    end(&r, false);
}

Test(input_spool, another_reader_gets_all_from_the_beginning)
{
    struct run r = begin("a\nb\n");
    turn(&r);
    cr_assert_str_eq(got(&r), "a\nb\n");
    end_reader(&r);
    begin_reader(&r);
    cr_assert_eq(write(r.in[1], "c\n", 2), 2);
    end_input(&r);
    turn(&r);
    cr_assert_str_eq(got(&r), "a\nb\nc\n");
    cr_assert_null(got(&r));
    end(&r, false);
}

Test(input_spool, a_reader_that_died_is_no_error)
{
    struct run r = begin("a\n");
    end_reader(&r);
    turn(&r);
    begin_reader(&r);
    turn(&r);
    cr_assert_str_eq(got(&r), "a\n");
    end(&r, false);
}

Test(input_spool, what_has_not_come_again_is_not_handed_on)
{
    struct run r = begin("a\nb\n");
    turn(&r);
    end(&r, false);
    r = begin("a\n");
    turn(&r);
    cr_assert_str_eq(got(&r), "a\n");
    cr_assert_eq(write(r.in[1], "x\n", 2), 2);
    struct why why = {""};
    cr_assert_eq(input_spool_turn(r.spool, r.now_ns, &why), ERR_INVALID);
    cr_assert(strstr(why.text, "another input"), "%s", why.text);
    end_input(&r);
    turn(&r);
    cr_assert_str_eq(got(&r), "", "nothing more, and no end");
    end(&r, false);
    refused("", -1, ERR_INVALID, "cut off after task 2");
}

Test(input_spool, a_whole_spool_stands_for_an_input_that_is_not_given)
{
    struct run r = begin("a\nb");
    end_input(&r);
    turn(&r);
    end(&r, false);
    r = begin("");
    turn(&r);
    cr_assert_str_eq(got(&r), "", "it may be given");
    end_input(&r);
    turn(&r);
    cr_assert_str_eq(got(&r), "a\nb");
    cr_assert_null(got(&r));
    end(&r, false);
}

Test(input_spool, a_terminal_gives_nothing_to_go_on_with)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(terminal >= 0 && isatty(terminal));
    struct run r = begin("a\nb\nhalf");
    turn(&r);
    end(&r, false);
    refused("", terminal, ERR_INVALID, "cut off after task 2");
    r = begin("a\nb\nhalf");
    end_input(&r);
    turn(&r);
    end(&r, false);
    struct why why = {""};
    r = (struct run){.in = {-1, -1}};
    cr_assert_eq(input_spool_open(&r.spool, dir, terminal, &lines, &why), ERR_NONE, "%s", why.text);
    begin_reader(&r);
    turn(&r);
    cr_assert_str_eq(got(&r), "a\nb\nhalf");
    cr_assert_null(got(&r));
    end(&r, false);
    close(terminal);
}

Test(input_spool, a_longer_input_is_added_and_has_its_own_end)
{
    struct run r = begin("a\n");
    end_input(&r);
    turn(&r);
    end(&r, false);
    r = begin("a\nb\n");
    turn(&r);
    cr_assert_str_eq(got(&r), "a\nb\n");
    end(&r, false);
    refused("", -1, ERR_INVALID, "cut off after task 2");
    r = begin("a\nb\n");
    end_input(&r);
    turn(&r);
    end(&r, false);
    r = begin("");
    end_input(&r);
    turn(&r);
    cr_assert_str_eq(got(&r), "a\nb\n");
    end(&r, false);
}

static struct rlimit limit_files(rlim_t bytes)
{
    struct rlimit before, tight;
    getrlimit(RLIMIT_FSIZE, &before);
    tight = before;
    tight.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &tight);
    return before;
}

Test(input_spool, when_the_disk_is_full_it_reads_no_more_and_goes_on_later)
{
    struct pollfd items[SPOOL_POLL_MAX];
    struct rlimit before = limit_files(6);
    struct run r = begin("a\nb\nc\nd\n");
    turn(&r);
    cr_assert_str_eq(got(&r), "");
    cr_assert_eq(input_spool_poll(r.spool, items), 0);
    cr_assert_eq(input_spool_deadline(r.spool), r.now_ns + NS_PER_S);
    end_input(&r);
    r.now_ns += NS_PER_S;
    turn(&r);
    cr_assert_eq(input_spool_deadline(r.spool), r.now_ns + NS_PER_S, "it is still full");
    limit_files(8);
    r.now_ns += NS_PER_S;
    turn(&r);
    cr_assert_str_eq(got(&r), "a\nb\nc\nd\n", "there is room for these");
    cr_assert_not(input_spool_is_whole(r.spool), "and none for the end");
    cr_assert_str_eq(got(&r), "");
    setrlimit(RLIMIT_FSIZE, &before);
    turn(&r);
    cr_assert_not(input_spool_is_whole(r.spool), "it tries again each second");
    r.now_ns += NS_PER_S;
    turn(&r);
    cr_assert(input_spool_is_whole(r.spool));
    cr_assert_eq(input_spool_deadline(r.spool), NEVER);
    cr_assert_null(got(&r));
    end(&r, true);
}

Test(input_spool, a_slow_reader_is_waited_for_and_gets_all)
{
    enum { SIZE = 4 << 20 };
    char *input = malloc(SIZE), path[128];
    for (int i = 0; i < SIZE; i++)
        input[i] = (char)('a' + i % 23);
    snprintf(path, sizeof path, "%s/large", parent);
    struct run r = {.now_ns = NS_PER_S, .in = {open(path, O_RDWR | O_CREAT, 0600), -1}};
    unlink(path);
    cr_assert_eq(write(r.in[0], input, SIZE), SIZE);
    lseek(r.in[0], 0, SEEK_SET);
    struct why why = {""};
    cr_assert_eq(input_spool_open(&r.spool, dir, r.in[0], &lines, &why), ERR_NONE, "%s", why.text);
    begin_reader(&r);
    size_t at = 0;
    for (const char *text; (text = got(&r)); at += strlen(text)) {
        cr_assert(at + strlen(text) <= SIZE);
        cr_assert_eq(memcmp(text, input + at, strlen(text)), 0);
        turn(&r);
    }
    cr_assert_eq(at, SIZE);
    end(&r, false);
    free(input);
}
