/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/hosts/ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/sys/fd.h"
#include "common/base/clock.h"
#include "common/base/xalloc.h"

enum { CHUNK = 4096, LINE_MAX_BYTES = 64 << 10, LEASH_ROOM = 1 << 20 };

static const char *const own_options[] = {"-T",
                                          "-oBatchMode=yes",
                                          "-oServerAliveInterval=5",
                                          "-oServerAliveCountMax=3",
                                          "-oRemoteCommand=none",
                                          NULL};

void ssh_init(struct ssh *ssh, const char *program, const char *host, const sigset_t *mask)
{
    *ssh = (struct ssh){.host = host, .mask = mask, .leash = -1};
    for (size_t i = 0; i < SSH_STREAMS; i++)
        ssh->lines[i].fd = -1;
    char *words = xstrdup(program), *rest = words;
    for (char *word; (word = strtok_r(rest, " \t", &rest));)
        words_add(&ssh->program, word);
    free(words);
}

void ssh_free(struct ssh *ssh)
{
    ssh_let_go(ssh);
    if (ssh->pid) {
        ssh_kill(ssh);
        ssh_reap(ssh);
    }
    for (size_t i = 0; i < SSH_STREAMS; i++) {
        fd_close(&ssh->lines[i].fd);
        buf_free(&ssh->lines[i].bytes);
    }
    words_free(&ssh->program);
}

/* Our end and the child's, none of which is 0, 1 or 2. */
struct ends {
    int ours;
    int theirs;
};

static bool open_ends(struct ends *ends, bool we_write)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC))
        return false;
    *ends = we_write ? (struct ends){fds[1], fds[0]} : (struct ends){fds[0], fds[1]};
    return true;
}

static enum error ssh_spawn(struct ssh *ssh, char *const *argv, int in, int out, int err,
                            struct why *why)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all;
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    posix_spawnattr_setsigmask(&attributes, ssh->mask);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    int error = posix_spawnp(&ssh->pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (!error)
        return ERR_NONE;
    ssh->pid = 0;
    return fail(why, error == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot start %s: %s", argv[0],
                strerror(error));
}

static void ssh_make_argv(const struct ssh *ssh, const struct words *options, const char *command,
                          struct words *argv)
{
    words_add_all(argv, ssh->program.items);
    for (size_t i = 0; own_options[i]; i++)
        words_add(argv, own_options[i]);
    if (options)
        words_add_all(argv, options->items);
    words_add(argv, "--");
    words_add(argv, ssh->host);
    words_add(argv, command);
}

enum error ssh_start(struct ssh *ssh, const struct words *options, const char *command, int input,
                     struct why *why)
{
    struct words argv = {0};
    struct ends in = {-1, input}, out = {-1, -1}, err = {-1, -1};
    enum error error = ERR_NONE;
    if ((input < 0 && !open_ends(&in, true)) || !open_ends(&out, false) || !open_ends(&err, false))
        error = fail(why, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    ssh_make_argv(ssh, options, command, &argv);
    if (!error)
        error = ssh_spawn(ssh, argv.items, in.theirs, out.theirs, err.theirs, why);
    words_free(&argv);
    if (input < 0)
        fd_close(&in.theirs);
    fd_close(&out.theirs);
    fd_close(&err.theirs);
    ssh->leash = in.ours;
    if (ssh->leash >= 0)
        fcntl(ssh->leash, F_SETPIPE_SZ, LEASH_ROOM); /* so that a script goes in at once */
    ssh->lines[SSH_OUT].fd = out.ours;
    ssh->lines[SSH_ERR].fd = err.ours;
    for (size_t i = 0; i < SSH_STREAMS; i++) {
        if (error)
            fd_close(&ssh->lines[i].fd);
        buf_clear(&ssh->lines[i].bytes);
        ssh->lines[i].at = 0;
    }
    if (error)
        ssh_let_go(ssh);
    return error;
}

bool ssh_tell(struct ssh *ssh, const char *line)
{
    return ssh->leash >= 0 && write(ssh->leash, line, strlen(line)) == (ssize_t)strlen(line);
}

void ssh_let_go(struct ssh *ssh)
{
    fd_close(&ssh->leash);
}

void ssh_kill(struct ssh *ssh)
{
    if (!ssh->pid)
        return;
    kill(-ssh->pid, SIGKILL);
    for (size_t i = 0; i < SSH_STREAMS; i++)
        fd_close(&ssh->lines[i].fd);
}

bool ssh_words_bar(const char *line)
{
    static const char *const words[] = {
        "Name or service not known",
        "No address associated with hostname",
        "Host key verification failed",
        "Permission denied (",
        "Too many authentication failures",
        "no matching host key type found",
        "no matching key exchange method found",
        "no matching cipher found",
        "Bad configuration option",
        "terminating, ",
        "Bad owner or permissions on ",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(line, words[i]))
            return true;
    return false;
}

/* ---- lines ---- */

const char *ssh_line(struct ssh *ssh, enum ssh_stream stream)
{
    struct ssh_lines *lines = &ssh->lines[stream];
    struct buf *bytes = &lines->bytes;
    size_t size = bytes->size - lines->at;
    uint8_t *line = bytes->data + lines->at;
    uint8_t *end = size ? memchr(line, '\n', size) : NULL;
    if (end) {
        bool has_return = end > line && end[-1] == '\r'; /* so ssh ends its own lines */
        end[has_return ? -1 : 0] = '\0';
        lines->at += (size_t)(end - line) + 1;
        return (char *)line;
    }
    if (size && (lines->fd < 0 || size > LINE_MAX_BYTES)) {
        buf_put_byte(bytes, '\0');
        line = bytes->data + lines->at;
        lines->at = bytes->size;
        return (char *)line;
    }
    buf_drop_front(bytes, lines->at);
    lines->at = 0;
    return NULL;
}

static void ssh_take(struct ssh_lines *lines)
{
    ssize_t size = read(lines->fd, buf_reserve(&lines->bytes, CHUNK), CHUNK);
    if (size > 0)
        lines->bytes.size += (size_t)size;
    else if (size == 0 || errno != EINTR)
        fd_close(&lines->fd);
}

bool ssh_is_open(const struct ssh *ssh)
{
    for (size_t i = 0; i < SSH_STREAMS; i++)
        if (ssh->lines[i].fd >= 0 || ssh->lines[i].bytes.size > ssh->lines[i].at)
            return true;
    return false;
}

static int ssh_timeout_ms(uint64_t until_ns)
{
    uint64_t now_ns = clock_now_ns();
    if (until_ns == NEVER)
        return -1;
    return until_ns <= now_ns ? 0 : (int)((until_ns - now_ns) / NS_PER_MS + 1);
}

void ssh_wait(struct ssh *ssh, int fd, uint64_t until_ns)
{
    struct pollfd items[1 + SSH_STREAMS] = {{.fd = fd, .events = POLLIN}};
    for (size_t i = 0; i < SSH_STREAMS; i++)
        items[1 + i] = (struct pollfd){.fd = ssh->lines[i].fd, .events = POLLIN};
    poll(items, 1 + SSH_STREAMS, ssh_timeout_ms(until_ns)); /* passes over a descriptor below 0 */
    for (size_t i = 0; i < SSH_STREAMS; i++)
        if (items[1 + i].revents)
            ssh_take(&ssh->lines[i]);
}

int ssh_reap(struct ssh *ssh)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(ssh->pid, &status, 0)) < 0 && errno == EINTR)
        ;
    ssh->pid = 0;
    ssh_let_go(ssh);
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}
