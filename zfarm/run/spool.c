/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/run/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/base/log.h"
#include "common/sys/shortage.h"
#include "common/base/stall.h"
#include "common/sys/tempfile.h"
#include "common/base/xalloc.h"
#include "zfarm/tasks.h"

/* DIR/end: one line, which names the format, how many bytes DIR/input has, and their hash. */
#define END_FORMAT "zfarm-spool 1 %" PRIu64 " %016" PRIx64 "%016" PRIx64 "\n"
enum { END_SIZE_MAX = 128, CHUNKS_A_TURN = 16, CHILD_FD_MIN = 10 };
#define RETRY_NS (1 * NS_PER_S)

struct input_spool {
    const char *dir;
    const struct source_options *source;
    int from_fd;
    int dir_fd;
    int fd;             /* DIR/input */
    uint64_t size;      /* of it: these bytes count */
    uint64_t came;      /* bytes of the input that came in this run, and are in it */
    bool has_end;       /* DIR/end is there */
    bool reads;         /* more may come */
    bool stands;        /* nothing came, and the spool stands for it */
    bool failed;        /* nothing is done any more */
    XXH3_state_t *hash; /* of what came */
    uint8_t chunk[SPOOL_CHUNK];
    size_t chunk_at, chunk_size; /* of what came, not looked at */
    int out_fd;                  /* to the ventilator; -1: none */
    uint64_t fed;                /* bytes that it was given */
    uint64_t retry_at_ns;        /* the disk is full until then; 0: it is not */
    uint64_t full_since_ns;
    struct stall stall;
};

/* ---- words ---- */

static enum error disk_failed(const struct input_spool *s, const char *what, struct why *why)
{
    int number = errno;
    enum error error = shortage_error(TRIED_FILE, number);
    return fail(why, error, "cannot %s the spool %s: %s%s", what, s->dir, strerror(number),
                error == ERR_DISK_FULL ? "; nothing is lost, make room" : "");
}

/* Exactly `size` bytes of DIR/input. */
static enum error read_back(const struct input_spool *s, void *to, size_t size, uint64_t at,
                            struct why *why)
{
    errno = 0;
    if (!tempfile_read(s->fd, to, size, at, NULL))
        return ERR_NONE;
    return fail(why, ERR_IO, "cannot read the spool %s: %s", s->dir,
                errno ? strerror(errno) : "somebody has cut it short");
}

static enum error count_task(void *context, uint64_t seq, const struct task *task, struct why *why)
{
    (void)task;
    (void)why;
    *(uint64_t *)context = seq;
    return ERR_NONE;
}

/* How many tasks are whole in the spool: what is behind the last newline may go on. */
static uint64_t whole_tasks(const struct input_spool *s)
{
    char *path = xasprintf("%s/input", s->dir);
    struct inputs inputs = {0};
    inputs_add_file(&inputs, path);
    struct source_options lines = {
        .inputs = &inputs, .null = s->source->null, .values = 1, .task_max = s->source->task_max};
    uint64_t count = 0;
    char last = '\0';
    tasks_read(&lines, count_task, &count, NULL);
    if (s->size && pread(s->fd, &last, 1, (off_t)s->size - 1) == 1 &&
        last != (s->source->null ? '\0' : '\n'))
        count--;
    inputs_free(&inputs);
    free(path);
    return count / s->source->values;
}

static enum error cut_off(const struct input_spool *s, struct why *why)
{
    return fail(why, ERR_INVALID,
                "input cut off after task %" PRIu64 ": the spool %s has no end, and stdin gives "
                "nothing to go on with; give the same input again",
                whole_tasks(s), s->dir);
}

/* ---- the end ---- */

static enum error write_end(struct input_spool *s, struct why *why)
{
    XXH128_hash_t hash = XXH3_128bits_digest(s->hash);
    char text[END_SIZE_MAX];
    int size = snprintf(text, sizeof text, END_FORMAT, s->size, hash.high64, hash.low64);
    if (fsync(s->fd))
        return disk_failed(s, "write to", why);
    int fd = openat(s->dir_fd, "end.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return disk_failed(s, "write to", why);
    struct bytes bytes = {(const uint8_t *)text, (size_t)size};
    bool failed = tempfile_write(fd, bytes, 0, NULL) || fsync(fd) ||
                  renameat(s->dir_fd, "end.new", s->dir_fd, "end") || fsync(s->dir_fd);
    enum error error = failed ? disk_failed(s, "write to", why) : ERR_NONE;
    close(fd);
    s->has_end = !error;
    return error;
}

/* More came than there was: the end is not the end. */
static enum error remove_end(struct input_spool *s, struct why *why)
{
    if (unlinkat(s->dir_fd, "end", 0) || fsync(s->dir_fd))
        return disk_failed(s, "write to", why);
    s->has_end = false;
    return ERR_NONE;
}

static enum error damaged(const struct input_spool *s, struct why *why)
{
    return fail(why, ERR_INVALID,
                "the spool %s is damaged: it is not what its end says; remove it and "
                "give the input again",
                s->dir);
}

static enum error hash_file(struct input_spool *s, XXH128_hash_t *hash, struct why *why)
{
    XXH3_128bits_reset(s->hash);
    for (uint64_t at = 0; at < s->size;) {
        uint64_t left = s->size - at;
        size_t size = left < SPOOL_CHUNK ? (size_t)left : SPOOL_CHUNK;
        enum error error = read_back(s, s->chunk, size, at, why);
        if (error)
            return error;
        XXH3_128bits_update(s->hash, s->chunk, size);
        at += size;
    }
    *hash = XXH3_128bits_digest(s->hash);
    XXH3_128bits_reset(s->hash);
    return ERR_NONE;
}

/* Reads DIR/end, if there is one, and compares all that there is with it. */
static enum error read_end(struct input_spool *s, struct why *why)
{
    int fd = openat(s->dir_fd, "end", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ERR_NONE : disk_failed(s, "read", why);
    char text[END_SIZE_MAX] = "", expected[END_SIZE_MAX];
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    XXH128_hash_t hash = {0};
    enum error error = size < 0 ? disk_failed(s, "read", why) : hash_file(s, &hash, why);
    if (error)
        return error;
    snprintf(expected, sizeof expected, END_FORMAT, s->size, hash.high64, hash.low64);
    s->has_end = strcmp(text, expected) == 0;
    return s->has_end ? ERR_NONE : damaged(s, why);
}

/* ---- what comes ---- */

/* It has ended. */
static enum error input_ended(struct input_spool *s, struct why *why)
{
    s->reads = false;
    if (s->came == s->size)
        return ERR_NONE;
    if (s->came > 0)
        return fail(why, ERR_INVALID,
                    "the input has ended after %" PRIu64 " bytes, and the spool %s has %" PRIu64
                    " of an earlier run: it is shorter, or was cut off; give the same input again",
                    s->came, s->dir, s->size);
    if (!s->has_end)
        return cut_off(s, why);
    s->stands = true;
    return ERR_NONE;
}

static enum error read_chunk(struct input_spool *s, struct why *why)
{
    ssize_t size = read(s->from_fd, s->chunk, sizeof s->chunk);
    if (size < 0 && (errno == EINTR || errno == EAGAIN))
        return ERR_NONE;
    if (size < 0)
        return fail(why, ERR_IO, "cannot read tasks from standard input: %s", strerror(errno));
    s->chunk_at = 0;
    s->chunk_size = (size_t)size;
    return size ? ERR_NONE : input_ended(s, why);
}

static void input_spool_came(struct input_spool *s, size_t size)
{
    XXH3_128bits_update(s->hash, s->chunk + s->chunk_at, size);
    s->chunk_at += size;
    s->came += size;
}

/* The part of the chunk that is there from an earlier run. */
static enum error input_spool_compare(struct input_spool *s, struct why *why)
{
    uint8_t there[4096];
    while (s->chunk_at < s->chunk_size && s->came < s->size) {
        uint64_t left = s->size - s->came;
        size_t size = s->chunk_size - s->chunk_at;
        size = size < sizeof there ? size : sizeof there;
        size = size < left ? size : (size_t)left;
        enum error error = read_back(s, there, size, s->came, why);
        if (error)
            return error;
        if (memcmp(there, s->chunk + s->chunk_at, size) != 0)
            return fail(why, ERR_INVALID,
                        "this is another input than the one in the spool %s, which differs after "
                        "byte %" PRIu64 "; give that one, or remove the spool (the store compares "
                        "each task that has a result)",
                        s->dir, s->came);
        input_spool_came(s, size);
    }
    return ERR_NONE;
}

static enum error input_spool_append(struct input_spool *s, struct why *why)
{
    struct bytes bytes = {s->chunk + s->chunk_at, s->chunk_size - s->chunk_at};
    if (!bytes.size)
        return ERR_NONE;
    enum error error = s->has_end ? remove_end(s, why) : ERR_NONE;
    if (!error && tempfile_write(s->fd, bytes, s->size, NULL))
        error = disk_failed(s, "write to", why);
    if (error)
        return error;
    input_spool_came(s, bytes.size);
    s->size = s->came;
    return ERR_NONE;
}

static bool is_readable(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    return poll(&item, 1, 0) > 0;
}

/* Takes in what there is, up to a limit. */
static enum error input_spool_take(struct input_spool *s, struct why *why)
{
    enum error error = ERR_NONE;
    for (int i = 0; i < CHUNKS_A_TURN && !error; i++) {
        bool looked_at = s->chunk_at == s->chunk_size;
        if (looked_at && (!s->reads || !is_readable(s->from_fd)))
            break;
        if (looked_at)
            error = read_chunk(s, why);
        error = error ? error : input_spool_compare(s, why);
        error = error ? error : input_spool_append(s, why);
    }
    bool ended = !s->reads && !s->stands && s->chunk_at == s->chunk_size;
    return error || s->has_end || !ended ? error : write_end(s, why);
}

/* Says once that the disk is full, each minute that it still is, and once that it goes on. */
static enum error input_spool_note_trouble(struct input_spool *s, enum error error,
                                           const struct why *why, uint64_t now_ns)
{
    bool was_full = s->retry_at_ns;
    s->retry_at_ns = error == ERR_DISK_FULL ? now_ns + RETRY_NS : 0;
    if (error == ERR_DISK_FULL) {
        if (!was_full) {
            s->full_since_ns = now_ns;
            log_line("%s; it goes on when there is room", why->text);
        } else if (stall_due(&s->stall, s->full_since_ns, now_ns)) {
            log_line("waiting: %s", why->text);
        }
        return ERR_NONE;
    }
    if (!error && was_full)
        log_line("there is room again, it goes on");
    return error;
}

/* ---- the ventilator ---- */

static uint64_t released(const struct input_spool *s)
{
    return s->stands ? s->size : s->came;
}

static void stop_feeding(struct input_spool *s)
{
    if (s->out_fd >= 0)
        close(s->out_fd);
    s->out_fd = -1;
}

/* Hands on what the ventilator takes. Its death shows as an error here, and is seen elsewhere. */
static enum error input_spool_feed(struct input_spool *s, struct why *why)
{
    uint8_t bytes[SPOOL_CHUNK];
    while (s->out_fd >= 0 && s->fed < released(s)) {
        uint64_t left = released(s) - s->fed;
        size_t size = left < sizeof bytes ? (size_t)left : sizeof bytes;
        enum error error = read_back(s, bytes, size, s->fed, why);
        if (error)
            return error;
        ssize_t sent = send(s->out_fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return ERR_NONE;
        if (sent < 0)
            stop_feeding(s);
        else
            s->fed += (uint64_t)sent;
    }
    if (s->out_fd >= 0 && input_spool_is_whole(s) && s->fed == released(s)) {
        shutdown(s->out_fd, SHUT_WR); /* it ends for those who hold it, too */
        stop_feeding(s);
    }
    return ERR_NONE;
}

enum error input_spool_begin(struct input_spool *s, int *fd, int *hold_fd, struct why *why)
{
    int pair[2];
    stop_feeding(s);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return fail(why, ERR_IO, "cannot make a socket: %s", strerror(errno));
    s->out_fd = pair[0];
    s->fed = 0;
    /* Above those that it gets: its own could be in their way. */
    *fd = fcntl(pair[1], F_DUPFD_CLOEXEC, CHILD_FD_MIN);
    *hold_fd = fcntl(pair[0], F_DUPFD_CLOEXEC, CHILD_FD_MIN);
    int number = errno;
    close(pair[1]);
    if (*fd < 0 || *hold_fd < 0) /* the caller closes the other one */
        return fail(why, ERR_IO, "cannot keep a socket for the ventilator: %s", strerror(number));
    return ERR_NONE;
}

/* ---- a turn ---- */

size_t input_spool_poll(const struct input_spool *s, struct pollfd items[static SPOOL_POLL_MAX])
{
    size_t count = 0;
    if (s->reads && !s->retry_at_ns)
        items[count++] = (struct pollfd){.fd = s->from_fd, .events = POLLIN};
    if (s->out_fd >= 0 && s->fed < released(s))
        items[count++] = (struct pollfd){.fd = s->out_fd, .events = POLLOUT};
    return count;
}

uint64_t input_spool_deadline(const struct input_spool *s)
{
    return s->retry_at_ns ? s->retry_at_ns : NEVER;
}

enum error input_spool_turn(struct input_spool *s, uint64_t now_ns, struct why *why)
{
    enum error error = ERR_NONE;
    if (s->failed)
        return ERR_NONE;
    if (now_ns >= s->retry_at_ns)
        error = input_spool_note_trouble(s, input_spool_take(s, why), why, now_ns);
    error = error ? error : input_spool_feed(s, why);
    if (error) {
        s->failed = true;
        s->reads = false;
        stop_feeding(s);
    }
    return error;
}

bool input_spool_is_whole(const struct input_spool *s)
{
    return !s->failed && s->has_end && !s->reads && s->chunk_at == s->chunk_size;
}

/* ---- opening and closing ---- */

static enum error open_files(struct input_spool *s, struct why *why)
{
    if (mkdir(s->dir, 0777) && errno != EEXIST)
        return disk_failed(s, "make", why);
    s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd >= 0)
        s->fd = openat(s->dir_fd, "input", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    return s->fd < 0 ? disk_failed(s, "open", why) : ERR_NONE;
}

static enum error input_spool_lock(struct input_spool *s, struct why *why)
{
    struct stat ours, there;
    bool locked = flock(s->fd, LOCK_EX | LOCK_NB) == 0;
    if (fstat(s->fd, &ours))
        return disk_failed(s, "read", why);
    /* Who had it may have removed it just now. */
    locked = locked && fstatat(s->dir_fd, "input", &there, 0) == 0 && ours.st_ino == there.st_ino;
    s->size = (uint64_t)ours.st_size;
    return locked ? ERR_NONE
                  : fail(why, ERR_IN_USE,
                         "the spool %s is in use by another zfarm run; end that one, or give "
                         "another directory",
                         s->dir);
}

/* There is a spool: does it stand for the input, or go on with it? */
static enum error go_on(struct input_spool *s, struct why *why)
{
    bool is_given = !isatty(s->from_fd);
    s->stands = s->has_end && !is_given;
    s->reads = is_given;
    if (s->has_end)
        return ERR_NONE;
    if (!is_given)
        return cut_off(s, why);
    enum error error = ERR_NONE;
    while (!error && s->reads && !s->chunk_size) {
        poll(&(struct pollfd){.fd = s->from_fd, .events = POLLIN}, 1, -1);
        error = read_chunk(s, why);
    }
    return error;
}

enum error input_spool_open(struct input_spool **spool, const char *dir, int from_fd,
                            const struct source_options *source, struct why *why)
{
    struct input_spool *s = xcalloc(1, sizeof *s);
    s->dir = dir;
    s->source = source;
    s->from_fd = from_fd;
    s->dir_fd = s->fd = s->out_fd = -1;
    s->reads = true;
    s->hash = XXH3_createState();
    XXH3_128bits_reset(s->hash);
    enum error error = open_files(s, why);
    error = error ? error : input_spool_lock(s, why);
    error = error ? error : read_end(s, why);
    if (!error && (s->size || s->has_end))
        error = go_on(s, why);
    *spool = s;
    if (error)
        input_spool_close(spool, false);
    return error;
}

void input_spool_close(struct input_spool **spool, bool remove)
{
    struct input_spool *s = *spool;
    *spool = NULL;
    if (!s)
        return;
    stop_feeding(s);
    if (remove) {
        unlinkat(s->dir_fd, "end", 0);
        unlinkat(s->dir_fd, "input", 0);
        rmdir(s->dir);
    }
    if (s->fd >= 0)
        close(s->fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    XXH3_freeState(s->hash);
    free(s);
}
