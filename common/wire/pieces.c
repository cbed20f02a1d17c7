/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/pieces.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/sys/tempfile.h"

void pieces_drop(struct pieces *p)
{
    if (p->map)
        munmap(p->map, p->map_size);
    if (p->in_file)
        close(p->fd);
    buf_free(&p->memory);
    *p = (struct pieces){0};
}

struct block *pieces_hold(struct pieces *p)
{
    if (!p->map)
        return NULL;
    struct block *block = block_map((struct bytes){p->map, p->map_size});
    p->map = NULL;
    return block;
}

static enum error pieces_begin(struct pieces *p, const struct pieces_limits *limits,
                               const struct pieces_part *part, struct why *why)
{
    pieces_drop(p);
    if (part->total > limits->size_max || part->total > SIZE_MAX / 8)
        return fail(why, ERR_TOO_LARGE,
                    "task %" PRIu64 ": a payload of %" PRIu64 " bytes, at most %" PRIu64
                    " are taken",
                    part->seq, part->total, limits->size_max);
    bool in_file = part->total > limits->memory_max;
    if (in_file) {
        enum error error = tempfile_open(limits->tmpdir, &p->fd, why);
        if (error)
            return error;
    }
    p->open = true;
    p->in_file = in_file;
    p->seq = part->seq;
    p->attempt = part->attempt;
    p->total = part->total;
    return ERR_NONE;
}

static bool pieces_continues(const struct pieces *p, const struct pieces_part *part)
{
    return p->open && part->seq == p->seq && attempt_equal(part->attempt, p->attempt) &&
           part->total == p->total && part->offset == p->received &&
           part->bytes.size <= p->total - p->received && (part->bytes.size > 0 || p->total == 0);
}

static enum error pieces_keep(struct pieces *p, struct bytes bytes, struct why *why)
{
    if (p->in_file) {
        enum error error = tempfile_write(p->fd, bytes, p->received, why);
        if (error)
            return error;
    } else {
        buf_put_bytes(&p->memory, bytes);
    }
    p->received += bytes.size;
    return ERR_NONE;
}

static enum error map_whole(struct pieces *p, struct why *why)
{
    void *map = mmap(NULL, (size_t)p->total, PROT_READ, MAP_PRIVATE, p->fd, 0);
    if (map == MAP_FAILED)
        return fail(why, ERR_IO, "cannot map a payload of %" PRIu64 " bytes: %s", p->total,
                    strerror(errno));
    p->map = map;
    p->map_size = (size_t)p->total;
    return ERR_NONE;
}

enum error pieces_add(struct pieces *p, const struct pieces_limits *limits,
                      const struct pieces_part *part, bool *complete, struct bytes *payload,
                      struct why *why)
{
    *complete = false;
    enum error error;
    if (part->offset == 0 && (error = pieces_begin(p, limits, part, why)))
        return error;
    if (!pieces_continues(p, part)) {
        pieces_drop(p);
        return fail(why, ERR_MALFORMED,
                    "task %" PRIu64 ": a piece at offset %" PRIu64 " of %" PRIu64
                    " does not continue what came before",
                    part->seq, part->offset, part->total);
    }
    uint64_t before = p->received;
    if ((error = pieces_keep(p, part->bytes, why)))
        return error;
    if (p->received < p->total)
        return ERR_NONE;
    if (p->in_file && (error = map_whole(p, why))) {
        p->received = before;
        return error;
    }
    p->open = false;
    *complete = true;
    *payload = p->in_file ? (struct bytes){p->map, p->map_size} : buf_bytes(&p->memory);
    return ERR_NONE;
}
