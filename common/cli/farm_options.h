/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FARM_OPTIONS_H
#define ZFARM_FARM_OPTIONS_H

#include "common/cli/jobs.h"
#include "common/cli/ok_exit.h"
#include "common/cli/options.h"
#include "common/cli/timeout.h"
#include "common/input/trim.h"
#include "common/wire/halt_rule.h"
#include "common/wire/task.h"

/* Every option of every program: farm_options.c is the table, and here is where their values are. To add one, add a
 * row there, a field here, and use it. */

/* A bit for each program, and each verb of zfarm, that takes options. What `zfarm run` and one of the three programs
 * of a farm both take, run hands on to it. */
enum farm_program {
    FARM_RUN = 1 << 0,
    FARM_VENTILATOR = 1 << 1,
    FARM_WORKER = 1 << 2,
    FARM_SINK = 1 << 3,
    FARM_VERIFY = 1 << 4,
    FARM_FAILED = 1 << 5,
    FARM_WHY = 1 << 6,
    FARM_KEYS = 1 << 7,
};

enum { FARM_PROGRAMS = 8 };

/* --format */
enum output_format { FORMAT_TEXT, FORMAT_JSONL };
/* --bar, --no-bar */
enum bar { BAR_ON_TERMINAL, BAR_SHOWN, BAR_HIDDEN };

/* The values. A field has the name of its option, and its unit last. Those of options that the program does not take
 * are zero. Where nothing else is said here, farm_options.c says what holds when an option is not given. */
struct farm_options {
    /* where tasks run */
    struct jobs jobs;
    struct words host;
    const char *hosts;    /* NULL: none */
    uint64_t direct_port; /* and the next two; 0: through ssh */
    const char *ssh;

    /* the input, and how it becomes tasks */
    struct words arg_file;
    bool null;
    uint64_t max_args;
    const char *colsep; /* NULL: lines are not split */
    enum trim trim;
    bool pipe;
    uint64_t block_bytes;          /* 0: a task's most */
    const char *recend, *recstart; /* NULL: as common/input/blocks.h has it */
    uint64_t task_max_bytes;       /* 0: source_task_max (common/input/source.h) */
    uint64_t queue_max_bytes;      /* 0: the ventilator decides by the size of tasks */
    const char *spool;             /* NULL: none */
    bool missing;

    /* a task */
    bool shell;
    const char *plugin; /* NULL: commands */
    bool coprocess;
    const char *replace; /* NULL: {} */
    struct timeout timeout;
    uint64_t kill_after_ns;
    uint64_t linger_ns;
    struct ok_exit ok_exit;
    uint64_t output_max_bytes;
    bool dry_run;

    /* tasks that fail */
    uint64_t retries;
    uint64_t retry_delay_ns;
    bool hedge;
    struct halt_rule halt;

    /* what comes out */
    bool keep_order;
    bool tag;
    const char *output; /* NULL or "-": stdout */
    unsigned format;    /* enum output_format */
    const char *joblog; /* NULL: none; "-" is stdout */
    const char *store;  /* NULL: none */
    bool retry_failed;
    bool other_command;
    unsigned durability; /* enum store_durability (sink/store/store.h) */
    bool strict_results;
    unsigned bar; /* enum bar */
    bool quiet;
    uint64_t spool_max_bytes;
    const char *tmpdir;

    /* how the programs of a farm meet */
    const char *connect; /* zfarm why: NULL is all farms of this machine */
    const char *bind;
    const char *lanes;      /* NULL: the next port of the same host */
    const char *advertise;  /* NULL: what `bind` says */
    const char *lanes_at;   /* NULL: where the ventilator says */
    const char *results_at; /* NULL: where the ventilator says */
    const char *keys;       /* NULL: none */
    bool insecure;
    const char *name; /* NULL: HOST:PID */
    bool stay;
    uint64_t grace_ns;    /* 0: it waits for what runs */
    uint64_t workers_max; /* 0: as many as the descriptors allow */
    uint64_t heartbeat_ns;
    uint64_t give_up_ns;
    const char *trace; /* NULL: none */

    /* what zfarm run tells its programs */
    uint64_t ready_fd; /* 0: nobody wants to know */
    uint64_t parent;   /* the process with which it is to end; 0: it lives for itself */
    bool first_life;   /* no worker can be left of an earlier life of this job */
    const char *executor, *command; /* NULL: not told */
    struct hash command_hash;
    uint64_t round; /* 0: each time anew */
};

extern const struct option_table farm_option_table;
extern const struct option_program farm_programs[FARM_PROGRAMS]; /* farm_programs.c */

#endif
