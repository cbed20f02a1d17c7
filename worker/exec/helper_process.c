/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/helper_process.h"

#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "worker/exec/environment.h"

int helper_process_start(const char *program, char *const argv[], const char *role, int input,
                         pid_t *pid)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&actions);
    int error = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    struct environment *environment = environment_new(role, NULL);
    if (!error)
        error = posix_spawn(pid, program, &actions, &attributes, argv,
                            environment_for_slot(environment, 0));
    environment_free(&environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error;
}
