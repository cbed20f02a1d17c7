/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OUTPUT_RIG_H
#define ZFARM_OUTPUT_RIG_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sink/output/format.h"
#include "sink/output/output.h"

/* An output below test, whose results go to a file of the test's own. */
struct output_rig {
    struct output_files files;
    struct formatter formatter;
    const struct output_kind *kind;
    void *self;
    char path[64];
};

/* The name of a file that does not exist. */
static inline void name_file(char path[static 64])
{
    strcpy(path, "/tmp/zfarm-output-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    unlink(path);
}

static inline void expect_written(const char *path, const char *expected)
{
    char got[4096] = "";
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    got[fread(got, 1, sizeof got - 1, file)] = '\0';
    fclose(file);
    cr_assert_str_eq(got, expected);
}

static inline struct result result_of(uint64_t seq, const char *out)
{
    return (struct result){
        .seq = seq, .attempt = {5, 1}, .tries = 1, .final = true, .out = bytes_of(out)};
}

static inline void rig_accept(struct output_rig *rig, uint64_t seq, const char *out)
{
    struct result r = result_of(seq, out);
    rig->kind->accept(rig->self, &r);
}

static inline enum error rig_flush(struct output_rig *rig)
{
    struct why why;
    return rig->kind->flush(rig->self, &why);
}

static inline struct output_state rig_state(const struct output_rig *rig)
{
    return rig->kind->state(rig->self);
}

/* All that it was given is stored. */
static inline bool rig_has_stored(const struct output_rig *rig)
{
    struct output_state state = rig_state(rig);
    return state.stored == state.given;
}

static inline void rig_close(struct output_rig *rig)
{
    rig->kind->close(rig->self);
    formatter_free(&rig->formatter);
    files_close(&rig->files);
    unlink(rig->path);
}

#endif
