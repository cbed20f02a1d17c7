/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/progress.h"

#include <inttypes.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/clock.h"

struct progress_numbers progress_numbers_of(const struct job_counts *c)
{
    return (struct progress_numbers){.total = c->status.total,
                                     .done = c->ok + c->failed + c->lost,
                                     .failed = c->failed + c->lost,
                                     .running = c->status.out,
                                     .slots = c->status.slots,
                                     .queued = c->status.queued,
                                     .workers = (unsigned)c->status.workers};
}

static const uint64_t redraw_ns = NS_PER_S / 5;

static void put_time_left(struct buf *to, double seconds)
{
    if (seconds < 60)
        buf_printf(to, ", %.0f s left", seconds);
    else if (seconds < 3600)
        buf_printf(to, ", %u:%02u left", (unsigned)seconds / 60, (unsigned)seconds % 60);
    else if (seconds < 1e9)
        buf_printf(to, ", %u:%02u:%02u left", (unsigned)seconds / 3600, (unsigned)seconds / 60 % 60,
                   (unsigned)seconds % 60);
}

void progress_put(struct buf *to, const struct progress_numbers *n, const struct estimate *estimate,
                  uint64_t now_ns, unsigned columns)
{
    size_t start = to->size;
    double per_second = estimate_per_second(estimate);
    buf_printf(to, "%" PRIu64, n->done);
    if (n->total)
        buf_printf(to, "/%" PRIu64, n->total);
    buf_put_text(to, " done");
    if (n->failed)
        buf_printf(to, ", %" PRIu64 " failed", n->failed);
    buf_printf(to, ", %" PRIu64 " running, %" PRIu64 " queued, %u %s", n->running, n->queued,
               n->workers, n->workers == 1 ? "worker" : "workers");
    if (per_second > 0)
        buf_printf(to, per_second < 1000 ? ", %.1f/s" : ", %.0f/s", per_second);
    if (per_second > 0 && n->total > n->done)
        put_time_left(to, estimate_left_s(estimate, n->total - n->done, now_ns));
    if (to->size - start > columns)
        to->size = start + columns;
}

void progress_init(struct progress *p, int fd)
{
    *p = (struct progress){.fd = fd};
}

/* One less than the terminal has: in the last column some terminals begin a new line. */
static unsigned columns_of(int fd)
{
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79;
}

/* A terminal that does not take it now is left alone: the line is not worth waiting for. */
static bool write_now(int fd, struct bytes bytes)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLOUT};
    return poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLOUT) &&
           write(fd, bytes.data, bytes.size) == (ssize_t)bytes.size;
}

void progress_draw(struct progress *p, const struct progress_numbers *numbers, uint64_t now_ns)
{
    if (p->fd < 0 || now_ns < progress_due_ns(p))
        return;
    p->drawn_ns = now_ns;
    estimate_note(&p->estimate, numbers->done, numbers->running, numbers->slots, now_ns);
    struct buf line = {0};
    buf_put_text(&line, PROGRESS_CLEAR_SEQUENCE);
    progress_put(&line, numbers, &p->estimate, now_ns, columns_of(p->fd));
    p->shown = write_now(p->fd, buf_bytes(&line)) || p->shown;
    buf_free(&line);
}

uint64_t progress_due_ns(const struct progress *p)
{
    if (p->fd < 0)
        return NEVER;
    return p->drawn_ns ? p->drawn_ns + redraw_ns : 0;
}

void progress_clear(struct progress *p)
{
    if (!p->shown || !write_now(p->fd, bytes_of(PROGRESS_CLEAR_SEQUENCE)))
        return;
    p->shown = false;
    p->drawn_ns = 0;
}
