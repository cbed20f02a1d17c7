/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PLUGIN_FIXTURE_H
#define ZFARM_PLUGIN_FIXTURE_H

#include <criterion/criterion.h>

#include "worker/exec/plugin.h"

/* The plugin executor with real children: the host program and the plugins are built for it
 * (plugins/), and how each task ended is kept. */
enum { ENDS_MAX = 8192 };
enum how { FINISHED, RETURNED, CANCELLED };

/* How a task ended. */
struct end {
    enum how how;
    unsigned slot;
    uint64_t seq;
    uint32_t count;
    enum result_status status;
    unsigned code;
    uint64_t duration_ns;
    uint64_t start_us;
    struct buf out;
    struct buf err;
    bool out_in_file;
};

struct fixture {
    struct executor *executor;
    struct executor_events events;
    struct executor_options options;
    int children; /* signalfd */
    struct buf records;
    uint64_t first; /* of the last assignment */
    uint32_t count;
    bool last;      /* of assignments, as `wants` */
    uint64_t wants; /* WANT_TIMES, unless a test sets another */
    size_t runs;    /* of results that were told together */
    struct end ends[ENDS_MAX];
    size_t end_count;
    size_t tasks_ended;
    char broken[1024];
    unsigned held_up; /* was told so often */
    unsigned again;   /* start one more from inside `finished`, so often */
    char tmpdir[32];
};

/* Makes the executor; it must succeed. */
void launch(struct fixture *f);
/* Everything but the executor: change `options`, then launch. `file` is the plugin. */
struct fixture *prepare(const char *file);
/* One slot of the plugin `trouble` with these arguments. */
struct fixture *launched(char *const *args);
/* The same, with the patience that it has outside of tests; else it is endless. */
struct fixture *launched_impatient(void);
/* Destroys all, and looks that no child is left. */
void finish(struct fixture *f);
/* One turn of the loop of executor.h, waiting 10 s at most. */
void turn(struct fixture *f);
void run_until_ended(struct fixture *f, size_t tasks);
void run_until_broken(struct fixture *f);
/* Assigns `count` of f->records. */
void give(struct fixture *f, unsigned slot, uint64_t first, uint32_t count);
/* Assigns the lines of `text` to slot 0, numbered from `first`. */
void assign(struct fixture *f, uint64_t first, const char *text);
/* The same, until all have ended. */
void run(struct fixture *f, uint64_t first, const char *text);
bool is_text(const struct buf *bytes, const char *text);
bool has_text(const struct buf *bytes, const char *text);
void assert_end(const struct end *end, enum how how, uint64_t seq, uint32_t count);
void assert_finished(const struct end *end, uint64_t seq, enum result_status status, unsigned code);
void assert_works(struct fixture *f);

#endif
