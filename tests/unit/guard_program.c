/* SPDX-License-Identifier: MPL-2.0 */

/* A small worker for test_guard: starts /bin/sh with a script, through the guard, says on stdout
 * that it has, and stops there until it is killed, or until its stdin ends: then it says goodbye.
 * With GUARD_FLAG it is the guard. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "worker/exec/child.h"
#include "worker/exec/environment.h"
#include "worker/exec/drain.h"
#include "worker/exec/guard.h"

static int start_script(struct guard *guard, struct child *child, struct children *children,
                        char *script)
{
    static char sh[] = "sh", dash_c[] = "-c";
    struct executor_options options = {.output_max = 1 << 20, .tmpdir = "/tmp", .guard = guard};
    struct why why;
    if (children_open(children, &options, &why))
        return 1;
    struct environment *environment = environment_new("test", guard_mark(guard));
    child_init(child, children);
    struct child_spec spec = {.path = "/bin/sh",
                              .argv = (char *[]){sh, dash_c, script, NULL},
                              .environment = environment_for_task(environment, 1, 1, 1),
                              .in = -1,
                              .out = STDERR_FILENO,
                              .err = STDERR_FILENO,
                              .extra = -1};
    int error = child_start(child, &spec);
    environment_free(&environment);
    return error;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], GUARD_FLAG) == 0)
        return guard_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], DRAIN_FLAG) == 0)
        return drain_main();
    signal(SIGPIPE, SIG_IGN);
    struct guard *guard;
    struct children children;
    struct child child;
    struct why why;
    if (argc < 3 || guard_new(&guard, "/proc/self/exe", &why))
        return 1;
    if (start_script(guard, &child, &children, argv[2]))
        return 1;
    if (strcmp(argv[1], "flush") == 0)
        guard_flush(guard);
    printf("%d %d\n", guard_pid(guard), child.pid);
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    children_close(&children);
    guard_destroy(&guard);
    return 0;
}
