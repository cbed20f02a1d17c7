/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PLUGIN_H
#define ZFARM_PLUGIN_H

/* Writing a plugin for zfarm: a function in C that turns one task into one result.
 *
 *     #include <string.h>
 *     #include <zfarm/plugin.h>
 *
 *     ZFARM_PLUGIN;
 *
 *     int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out,
 *                      struct zfarm_reply *err)
 *     {
 *         (void)state;
 *         if (memchr(task->data, 0, task->size)) {
 *             zfarm_appendf(err, "task %llu holds a NUL byte\n", (unsigned long long)task->seq);
 *             return 1;
 *         }
 *         zfarm_append(out, task->data, task->size);
 *         zfarm_append(out, "\n", 1);
 *         return 0;
 *     }
 *
 *     cc -shared -fPIC -O2 -o echo.so echo.c
 *     seq 5 | zfarm run --plugin ./echo.so
 *
 * A plugin is a shared object that exports zfarm_plugin_abi and zfarm_handle, and if it wants
 * zfarm_init and zfarm_destroy. It links nothing of zfarm. It must find its other libraries by
 * itself.
 *
 * Processes and threads. A worker starts one process for each of its slots, and each loads the
 * plugin for itself: two slots share no variable, and a slot's functions are called one after the
 * other, all from the process's one thread. A plugin may start threads of its own, but only the
 * thread that is inside zfarm_handle may touch the task and the replies, and only until it returns.
 *
 * What a plugin does wrong costs one task. If it crashes or calls exit, the task it was at has
 * failed with that signal or exit status (what it had appended for it is gone), and a fresh process
 * goes on behind it, from zfarm_init. The same when the task takes longer than --timeout: the
 * process is killed without a warning, so keep nothing in it that must not be lost.
 *
 * stdin is /dev/null. stdout is NOT the result: what is printed there goes, like stderr, to the
 * worker's stderr; the result is what is appended to `out`. Descriptors above 2 that a plugin did
 * not open are not its own. The environment is the worker's, with ZFARM_WORKER and ZFARM_SLOT. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when a plugin that was built before would not work any more; a worker refuses to load a
 * plugin of another number, and says so before it takes a task. */
#define ZFARM_PLUGIN_ABI 1

/* The symbols are found by name, also under -fvisibility=hidden. */
#define ZFARM_PLUGIN_EXPORT __attribute__((visibility("default")))

/* Stands once in each plugin, at file level, and a semicolon behind it. */
#define ZFARM_PLUGIN                                                                               \
    ZFARM_PLUGIN_EXPORT extern const int zfarm_plugin_abi;                                         \
    const int zfarm_plugin_abi = ZFARM_PLUGIN_ABI

/* One task. All of it belongs to the worker and is valid until zfarm_handle returns. */
struct zfarm_task {
    const char
        *data;    /* any bytes, NUL among them; no NUL is promised behind the last. Never NULL */
    size_t size;  /* bytes; 0 for an empty line. Several arguments are joined by one blank each */
    uint64_t seq; /* its place in the input, from 1: the same each time that it is tried */
    uint32_t attempt; /* which try this is, from 1 */
    uint32_t slot;    /* the worker's slot, from 1: the same for the life of the process */
};

/* Where a result's bytes go: `out` becomes what a command's stdout would be, `err` its stderr.
 * Belongs to the worker; use it by zfarm_append and zfarm_appendf. */
struct zfarm_reply {
    /* Appends a copy of the bytes. Returns 0; or -1 when the reply would become larger than the
     * worker's --output-max: then the bytes are not taken, and the task has failed for that reason
     * whatever zfarm_handle returns, so it had better return at once. Never blocks. When memory is
     * out the process ends. */
    int (*append)(struct zfarm_reply *reply, const void *data, size_t size);
};

/* Called once in each process, before any task. Optional.
 *
 * `argv` holds the `argc` words that stood behind the file's name (argv[0] is the first of them,
 * and argv[argc] is NULL); they stay valid, and may be changed, for the life of the process. `slot`
 * counts from 1. Whatever is put into `*state`, which is NULL before, is handed to each later call
 * and stays the plugin's.
 *
 * Returns 0 when ready. Anything else means that this plugin cannot work here and now: say why on
 * stderr. The worker tries it twice more, a little later, then takes no more tasks and says so; no
 * task is charged. The same if it crashes. zfarm_destroy is not called then. It may take its time:
 * tasks wait for it, --timeout does not count. */
ZFARM_PLUGIN_EXPORT int zfarm_init(int argc, char **argv, int slot, void **state);

/* Does one task. `state` is what zfarm_init made, NULL without one.
 *
 * Returns 0 when it is done, 1 to 255 when it failed, with the meaning that a command's exit status
 * has (--retries tries it again); any other value counts as 255. `out` and `err` are kept in both
 * cases. It may block as long as it likes, up to --timeout: only its own slot waits. */
ZFARM_PLUGIN_EXPORT int zfarm_handle(void *state, const struct zfarm_task *task,
                                     struct zfarm_reply *out, struct zfarm_reply *err);

/* Called once when the worker is done with the process, to free `state`. Optional. It has a second;
 * then the process is killed. It is not called when the process is killed or crashes before, nor
 * when the worker ends in the middle of a task. */
ZFARM_PLUGIN_EXPORT void zfarm_destroy(void *state);

/* Appends `size` bytes of `data`, which stay the caller's. 0, or -1 as in struct zfarm_reply. */
static inline int zfarm_append(struct zfarm_reply *reply, const void *data, size_t size)
{
    return reply->append(reply, data, size);
}

/* Appends as printf does, up to 4,095 bytes: what is longer is cut there. 0, or -1 as in struct
 * zfarm_reply or when the format is bad. */
__attribute__((format(printf, 2, 3), unused)) static inline int
zfarm_appendf(struct zfarm_reply *reply, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0)
        return -1;
    return zfarm_append(reply, text, length < (int)sizeof text ? (size_t)length : sizeof text - 1);
}

#ifdef __cplusplus
}
#endif

#endif
