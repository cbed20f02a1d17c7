/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/format.h"

#include "sink/output/jsonl.h"

static void format_put_text(struct formatter *f, const struct result *r, struct buf *out,
                            struct buf *err)
{
    text_put(&f->text, r, out, err);
}

static void format_put_jsonl(struct formatter *f, const struct result *r, struct buf *out,
                             struct buf *err)
{
    buf_clear(&f->tries);
    f->put_tries(f->context, r, &f->tries);
    jsonl_put(out, r, buf_bytes(&f->tries));
    text_put_reason(&f->text, r, err);
}

struct format {
    void (*put)(struct formatter *f, const struct result *r, struct buf *out, struct buf *err);
    unsigned wants; /* enum result_want */
    bool
        shows_tries; /* put_tries is called, so tries that failed are kept until their task has a result */
    bool is_verbatim; /* without a tag the output is what the task wrote, and nothing else */
};

static const struct format formats[] = {
    [FORMAT_TEXT] = {.put = format_put_text, .is_verbatim = true},
    [FORMAT_JSONL] = {.put = format_put_jsonl,
                      .wants = WANT_TIMES | WANT_TASK,
                      .shows_tries = true},
};

void formatter_free(struct formatter *f)
{
    buf_free(&f->tries);
}

unsigned format_wants(enum output_format format)
{
    return formats[format].wants;
}

bool formatter_shows_tries(const struct formatter *f)
{
    return formats[f->format].shows_tries;
}

void formatter_put(struct formatter *f, const struct result *r, struct buf *out, struct buf *err)
{
    formats[f->format].put(f, r, out, err);
}

bool formatter_leaves_in_file(const struct formatter *f, const struct result *r)
{
    return r->holder && formats[f->format].is_verbatim && !f->text.tag;
}

void formatter_print(struct formatter *f, const struct result *r, struct output_files *files)
{
    if (!r->holder || !formatter_leaves_in_file(f, r)) {
        formats[f->format].put(f, r, writer_buf(&files->out), writer_buf(&files->err));
        return;
    }
    writer_put_block(&files->out, r->holder, r->out);
    writer_put_block(&files->err, r->holder, r->err);
    text_put_end(&f->text, r, writer_buf(&files->err));
}
