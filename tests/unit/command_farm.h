/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_COMMAND_FARM_H
#define ZFARM_COMMAND_FARM_H

#include "worker/exec/command.h"

/* A worker's loop around one command executor, for its tests. Each failure ends the test. */
enum { SLOTS = 2, DEADLINE_S = 60 };

/* How the tasks of one slot ended last. */
struct ending {
    unsigned finished, returned, cancelled;
    struct outcome outcome;
    struct buf out, err, command;
    bool stopped; /* as was told last */
    pid_t held_by;
    char held_name[32];
};

struct farm {
    struct executor_options options;
    struct executor *executor;
    int signals;
    unsigned endings;
    struct ending slots[SLOTS];
    struct buf records[SLOTS];
    unsigned broken;
    struct why why;
};

struct farm farm_of(bool shell, char *const *words); /* change its options before it is opened */
/* The executor keeps pointers into the farm, which therefore is opened where it stays. */
enum error farm_open(struct farm *farm);
void farm_close(struct farm *farm);
/* Starts a task, number 10 + slot, third try, in a free slot. */
void farm_start_task(struct farm *farm, unsigned slot, struct bytes task);
void farm_start(struct farm *farm, unsigned slot, const char *task);
void farm_turn(struct farm *farm);
void farm_await(struct farm *farm, unsigned endings); /* so many in all, of any kind */
/* Runs one task in the first slot and returns how it ended. */
struct ending *farm_run(struct farm *farm, const char *task);

void expect_out(const struct ending *ending, const char *expected);
void expect_err(const struct ending *ending, const char *part);
void expect_status(const struct ending *ending, enum result_status status, unsigned code);

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})
#define NO_WORDS ((char *[]){NULL})

#define OPEN_FARM(farm, shell, words)                                                              \
    struct farm farm = farm_of(shell, words);                                                      \
    cr_assert_eq(farm_open(&farm), ERR_NONE, "%s", farm.why.text)

#endif
