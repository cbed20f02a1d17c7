/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/hosts/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/xalloc.h"
#include "zfarm/run/process.h"

/* Of the C library: they fit the host's kernel and loader, and ours would not. */
static bool is_of_libc(const char *name)
{
    static const char *const names[] = {"linux-vdso",   "ld-linux",  "ld-musl",  "libc.so",
                                        "libm.so",      "libdl.so",  "librt.so", "libpthread.so",
                                        "libresolv.so", "libutil.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* We are linked with what the worker is linked with, and more. */
static int add_library(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    const char *slash = strrchr(info->dlpi_name, '/');
    if (slash && !is_of_libc(slash + 1))
        words_add(context, info->dlpi_name);
    return 0;
}

/* A file by its own name, whatever its directory. */
static void add_file(struct words *argv, const char *path)
{
    const char *slash = strrchr(path, '/');
    words_add(argv, "-C");
    words_take(argv, slash ? xasprintf("%.*s", (int)(slash - path) + 1, path) : xstrdup("."));
    words_add(argv, slash ? slash + 1 : path);
}

enum error bundle_tar(struct words *argv, bool program, const char *plugin, struct why *why)
{
    char *worker;
    enum error error = process_find("worker", &worker, why);
    if (error)
        return error;
    /* Of what is named with a directory, the libraries, only the name stays. */
    words_add(argv, "tar");
    words_add(argv, "-chPf");
    words_add(argv, "-");
    words_add(argv, "--transform=s,^/.*/,lib/,");
    if (program) {
        dl_iterate_phdr(add_library, argv);
        add_file(argv, worker);
    }
    /* -C is taken from where the one before led to: so a relative one comes first or is made whole. */
    if (plugin) {
        char *whole = realpath(plugin, NULL);
        if (!whole)
            error = fail(why, ERR_NOT_FOUND, "cannot find the plugin %s", plugin);
        else
            add_file(argv, whole);
        free(whole);
    }
    free(worker);
    return error;
}

enum error bundle_start(const struct words *argv, const sigset_t *mask, pid_t *pid, int *reader,
                        struct why *why)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return fail(why, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawnattr_setsigmask(&attributes, mask);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawnp(pid, argv->items[0], &actions, &attributes, argv->items, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(ends[1]);
    *reader = ends[0];
    if (!error)
        return ERR_NONE;
    close(ends[0]);
    return fail(why, ERR_NOT_FOUND, "cannot start tar: %s", strerror(error));
}

int bundle_end(pid_t pid)
{
    int status;
    pid_t reaped;
    while ((reaped = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    return reaped > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}
