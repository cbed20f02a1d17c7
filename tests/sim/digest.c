/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/digest.h"

#include <string.h>
#include <xxhash.h>

static void add(uint64_t *digest, const void *data, size_t size)
{
    *digest = XXH3_64bits_withSeed(data, size, *digest);
}

static void add_text(uint64_t *digest, const char *text)
{
    add(digest, text, strlen(text) + 1);
}

static void add_number(uint64_t *digest, uint64_t number)
{
    add(digest, &number, sizeof number);
}

static void mask(struct bytes *sentence)
{
    if (sentence->size)
        *sentence = bytes_of("...");
}

/* Encodes the body again with its sentences masked. Returns false, and writes nothing, if the kind carries none or the
 * body makes no sense. */
static bool put_masked(struct buf *to, enum wire_kind kind, struct bytes body)
{
    struct protest protest;
    struct refuse refuse;
    struct again again;
    struct leave leave;
    if (kind == KIND_LEAVE && !leave_take(body, &leave)) {
        mask(&leave.text);
        leave_put(to, &leave);
    } else if (kind == KIND_PROTEST && !protest_take(body, &protest)) {
        mask(&protest.sentence);
        protest_put(to, &protest);
    } else if (kind == KIND_REFUSE && !refuse_take(body, &refuse)) {
        mask(&refuse.sentence);
        refuse_put(to, &refuse);
    } else if (kind == KIND_AGAIN && !again_take(body, &again)) {
        mask(&again.sentence);
        again_put(to, &again);
    } else {
        return false;
    }
    return true;
}

static bool put_masked_list(struct buf *to, enum wire_kind kind, struct bytes body)
{
    struct verdict verdict = {0};
    struct because because = {0};
    bool masked = false;
    if (kind == KIND_VERDICT && !verdict_take(body, &verdict)) {
        for (size_t i = 0; i < verdict.count; i++)
            mask(&verdict.items[i].workers);
        verdict_put(to, &verdict);
        masked = true;
    } else if (kind == KIND_BECAUSE && !because_take(body, &because)) {
        for (size_t i = 0; i < because.count; i++)
            mask(&because.items[i].sentence);
        because_put(to, &because);
        masked = true;
    }
    verdict_free(&verdict);
    because_free(&because);
    return masked;
}

void digest_message(uint64_t *digest, uint64_t now_ns, const char *from, const char *to,
                    const struct frame_head *head, struct bytes body)
{
    struct buf masked = {0};
    add_number(digest, now_ns);
    add_text(digest, from);
    add_text(digest, to);
    add_number(digest, head->kind);
    add_number(digest, head->incarnation);
    add_number(digest, head->session);
    if (put_masked(&masked, head->kind, body) || put_masked_list(&masked, head->kind, body))
        body = buf_bytes(&masked);
    add(digest, body.data, body.size);
    buf_free(&masked);
}

void digest_end(uint64_t *digest, uint64_t now_ns, const char *violation)
{
    add_number(digest, now_ns);
    add_text(digest, violation);
}
