/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/failures.h"

#include <inttypes.h>
#include <string.h>

void failures_note(struct failures *f, uint64_t seq, enum result_status status, unsigned code)
{
    if (status == RESULT_OK)
        return;
    f->count++;
    size_t at = f->kept;
    while (at && f->first[at - 1].seq > seq)
        at--;
    if (at == FAILURES_KEPT)
        return;
    size_t moved = (f->kept < FAILURES_KEPT ? f->kept++ : FAILURES_KEPT - 1) - at;
    memmove(&f->first[at + 1], &f->first[at], moved * sizeof *f->first);
    f->first[at] = (struct failure){seq, status, code};
}

void failure_put_way(struct buf *to, enum result_status status, unsigned code)
{
    const char *signal = status == RESULT_SIGNALED ? sigabbrev_np((int)code) : NULL;
    if (status == RESULT_EXITED)
        buf_printf(to, "exit %u", code);
    else if (signal)
        buf_printf(to, "SIG%s", signal);
    else if (status == RESULT_SIGNALED)
        buf_printf(to, "signal %u", code);
    else
        buf_put_text(to, result_status_word(status));
}

uint64_t failures_put(struct buf *to, const struct failures *f, size_t most)
{
    size_t shown = f->kept < most ? f->kept : most;
    uint64_t more = f->count - shown;
    for (size_t i = 0; i < shown; i++) {
        buf_printf(to, "%stask %" PRIu64 " (", i ? ", " : "", f->first[i].seq);
        failure_put_way(to, f->first[i].status, f->first[i].code);
        buf_put_byte(to, ')');
    }
    if (more)
        buf_printf(to, ", and %" PRIu64 " more", more);
    return more;
}

void failures_put_line(struct buf *to, const struct failures *f, const char *store,
                       const char *joblog)
{
    enum { SHOWN = 5 };
    if (!f->count)
        return;
    buf_put_text(to, "failed: ");
    if (failures_put(to, f, SHOWN)) {
        if (store)
            buf_printf(to, "; zfarm failed %s has all", store);
        else if (joblog)
            buf_printf(to, "; %s has all", joblog);
        else
            buf_put_text(to, "; --joblog FILE or --store FILE.db has all");
    }
    buf_put_byte(to, '\n');
}
