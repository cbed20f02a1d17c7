/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/plugin_child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    CHUNK = 64 << 10,
    CHUNKS_PER_TURN = 16, /* of one child's large result, so that the others have their turn */
};

void plugin_child_init(struct plugin_child *child, const struct capture_limits *limits)
{
    *child = (struct plugin_child){.limits = limits, .link = -1};
    capture_init(&child->out);
    capture_init(&child->err);
}

/* Sealed, so that a child cannot make it shorter: reading behind its end would kill us. */
static int open_area(void)
{
    int fd = memfd_create("zfarm-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, sizeof(struct plugin_area)) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
        close(fd);
        return -1;
    }
    return fd;
}

void plugin_child_hang_up(struct plugin_child *child)
{
    if (child->link >= 0)
        close(child->link);
    child->link = -1;
}

void plugin_child_close(struct plugin_child *child)
{
    plugin_child_hang_up(child);
    if (child->area)
        munmap(child->area, sizeof *child->area);
    child->area = NULL;
    capture_reset(&child->out);
    capture_reset(&child->err);
}

int plugin_child_open(struct plugin_child *child, int *area, int *link)
{
    int ends[2];
    assert(child->link < 0);
    child->read = child->received = 0;
    child->busy_seen_ns = 0;
    *area = open_area();
    if (*area < 0)
        return errno;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
        int error = errno;
        close(*area);
        return error;
    }
    child->link = ends[0];
    *link = ends[1];
    child->area = plugin_area_map(*area);
    if (child->area && fcntl(child->link, F_SETFL, O_NONBLOCK) == 0) /* ours, not the child's */
        return 0;
    int error = errno;
    close(*area);
    close(*link);
    plugin_child_close(child);
    return error;
}

void plugin_child_free(struct plugin_child *child)
{
    plugin_child_close(child);
    buf_free(&child->results);
    capture_free(&child->out);
    capture_free(&child->err);
}

void plugin_child_prepare(struct plugin_child *child, enum plugin_order_kind kind)
{
    atomic_store_explicit(&child->area->written, 0, memory_order_relaxed);
    if (kind == PLUGIN_BATCH) {
        atomic_store_explicit(&child->area->at, 0, memory_order_relaxed);
        atomic_store_explicit(&child->area->stop_at, 0, memory_order_relaxed);
    }
    child->read = 0;
}

/* Where the next byte of what is being received belongs, and how many may come: `scratch` for a
 * large output. */
static void *receive_place(struct plugin_child *child, uint8_t *scratch, size_t *size)
{
    size_t at = child->received;
    if (at < sizeof child->report) {
        *size = sizeof child->report - at;
        return (uint8_t *)&child->report + at;
    }
    at -= sizeof child->report;
    if (child->report.kind != PLUGIN_LARGE) {
        *size = child->report.size - at;
        return child->words.text + at;
    }
    if (at < sizeof child->large) {
        *size = sizeof child->large - at;
        return (uint8_t *)&child->large + at;
    }
    at -= sizeof child->large;
    uint64_t left = at < child->large.out_size ? child->large.out_size - at
                                               : child->large.out_size + child->large.err_size - at;
    *size = left < CHUNK ? left : CHUNK;
    return scratch;
}

/* Keeps a piece of a large output, which ends at child->received. */
static void plugin_child_keep(struct plugin_child *child, struct bytes piece)
{
    if (child->kept != CAPTURE_WHOLE)
        return; /* it comes to its end, but there is no place for it */
    size_t end = child->received - sizeof child->report - sizeof child->large;
    bool out = end <= child->large.out_size;
    child->kept = capture_add(out ? &child->out : &child->err, child->limits, piece, &child->words);
}

static bool report_is_sound(const struct plugin_child *child)
{
    uint64_t size = child->report.size;
    switch (child->report.kind) {
    case PLUGIN_UNUSABLE:
    case PLUGIN_NOT_READY:
        return size < sizeof child->words.text;
    case PLUGIN_LARGE:
        return size >= sizeof child->large;
    case PLUGIN_LOADED:
    case PLUGIN_READY:
    case PLUGIN_FULL:
    case PLUGIN_DONE:
        return size == 0;
    default:
        return false;
    }
}

static bool large_is_sound(const struct plugin_child *child, const struct plugin_result *result)
{
    return result->out_size <= child->limits->output_max &&
           result->err_size <= child->limits->output_max && result->code <= 255 &&
           result->too_large <= 1;
}

/* A head has just become whole: makes ready for what follows. */
static bool head_received(struct plugin_child *child)
{
    if (child->received == sizeof child->report) {
        memset(&child->words, 0, sizeof child->words);
        return report_is_sound(child);
    }
    if (child->report.kind == PLUGIN_LARGE &&
        child->received == sizeof child->report + sizeof child->large) {
        capture_reset(&child->out);
        capture_reset(&child->err);
        child->kept = CAPTURE_WHOLE;
        return large_is_sound(child, &child->large) &&
               child->report.size ==
                   sizeof child->large + child->large.out_size + child->large.err_size;
    }
    return true;
}

static bool report_is_whole(const struct plugin_child *child)
{
    return child->received >= sizeof child->report &&
           child->received - sizeof child->report == child->report.size;
}

enum plugin_report_kind plugin_child_receive(struct plugin_child *child)
{
    uint8_t scratch[CHUNK];
    for (int chunks = 0; chunks < CHUNKS_PER_TURN;) {
        size_t size;
        void *to = receive_place(child, scratch, &size);
        ssize_t n = recv(child->link, to, size, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return PLUGIN_NOTHING;
        if (n <= 0)
            return PLUGIN_CLOSED;
        child->received += (size_t)n;
        if (to == scratch) {
            plugin_child_keep(child, (struct bytes){scratch, (size_t)n});
            chunks++;
        } else if (!head_received(child)) {
            return PLUGIN_NONSENSE;
        }
        if (report_is_whole(child)) {
            child->received = 0;
            return child->report.kind;
        }
    }
    return PLUGIN_NOTHING;
}

bool plugin_child_read(struct plugin_child *child, struct bytes *records)
{
    uint64_t written = atomic_load_explicit(&child->area->written, memory_order_acquire);
    if (written > PLUGIN_AREA_RESULTS || written < child->read)
        return false;
    buf_clear(&child->results);
    buf_put(&child->results, child->area->results + child->read, written - child->read);
    child->read = written;
    *records = buf_bytes(&child->results);
    return true;
}

uint64_t plugin_child_more_busy_ns(struct plugin_child *child)
{
    uint64_t busy_ns = atomic_load_explicit(&child->area->busy_ns, memory_order_relaxed);
    uint64_t more_ns = busy_ns > child->busy_seen_ns ? busy_ns - child->busy_seen_ns : 0;
    child->busy_seen_ns = busy_ns;
    return more_ns;
}

uint64_t plugin_child_at(const struct plugin_child *child, uint64_t *since_ns)
{
    if (!child->area)
        return 0;
    /* In this order: what is read of `since_ns` is never older than of this task. */
    uint64_t at = atomic_load_explicit(&child->area->at, memory_order_acquire);
    *since_ns =
        atomic_load_explicit(&child->area->since_ns, memory_order_relaxed) + clock_coarse_late_ns();
    return at;
}

uint64_t plugin_child_stop_at(struct plugin_child *child, uint64_t seq)
{
    atomic_store(&child->area->stop_at, seq);
    syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0); /* plugin_link.h */
    return atomic_load(&child->area->at);
}
