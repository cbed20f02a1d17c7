/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/plugin_host.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/task.h"
#include "worker/plugin_link.h"
#include "zfarm/plugin.h"

/* A buffer that once had to be larger than this is not kept at that size. */
enum { BUFFER_KEEP = 1 << 20 };

struct reply {
    struct zfarm_reply base; /* first: what the plugin sees */
    struct buf bytes;
    uint64_t size_max;
    bool too_large;
};

struct host {
    int link;
    struct plugin_area *area;
    size_t used; /* bytes of the area's results: ours, the plugin cannot scribble on it */
    int slot;    /* from 1 */
    void *state;
    __typeof__(zfarm_init) *init; /* or NULL */
    __typeof__(zfarm_handle) *handle;
    __typeof__(zfarm_destroy) *destroy; /* or NULL */
    struct buf records;
    struct buf joined; /* the arguments of a task that has several */
    struct reply out;
    struct reply err;
};

static bool write_all(int fd, struct iovec *parts, int count)
{
    while (count) {
        ssize_t n = writev(fd, parts, count);
        if (n < 0 && errno != EINTR)
            return false;
        size_t done = n > 0 ? (size_t)n : 0;
        for (; count && done >= parts->iov_len; parts++, count--)
            done -= parts->iov_len;
        if (count) {
            parts->iov_base = (uint8_t *)parts->iov_base + done;
            parts->iov_len -= done;
        }
    }
    return true;
}

static bool read_all(int fd, void *to, size_t size)
{
    for (uint8_t *at = to; size;) {
        ssize_t n = read(fd, at, size);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        }
    }
    return true;
}

static bool report(struct host *host, enum plugin_report_kind kind, const char *words)
{
    struct plugin_report head = {.kind = kind, .size = strlen(words)};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)(uintptr_t)words, head.size}};
    return write_all(host->link, parts, 2);
}

static int append(struct zfarm_reply *base, const void *data, size_t size)
{
    struct reply *reply = (struct reply *)base;
    if (size > reply->size_max - reply->bytes.size) {
        reply->too_large = true;
        return -1;
    }
    buf_put(&reply->bytes, data, size);
    return 0;
}

static void buffer_reuse(struct buf *buffer)
{
    if (buffer->capacity > BUFFER_KEEP)
        buf_free(buffer);
    buf_clear(buffer);
}

/* memcpy, because ISO C has no cast from a data pointer to a function pointer. */
#define FIND(object, name, into)                                                                   \
    do {                                                                                           \
        void *symbol_ = dlsym(object, name);                                                       \
        memcpy(into, &symbol_, sizeof symbol_);                                                    \
    } while (0)

/* Fills `why` when `file` is no plugin that we can run. */
static enum error load(struct host *host, const char *file, struct why *why)
{
    void *object = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!object)
        return fail(why, ERR_INVALID, "cannot load the plugin %s: %s", file, dlerror());
    const int *abi = dlsym(object, "zfarm_plugin_abi");
    if (!abi)
        return fail(why, ERR_INVALID,
                    "%s is no zfarm plugin: it does not export zfarm_plugin_abi (put ZFARM_PLUGIN; "
                    "into it, see zfarm/plugin.h)",
                    file);
    if (*abi != ZFARM_PLUGIN_ABI)
        return fail(
            why, ERR_VERSION,
            "the plugin %s was built for plugin interface %d and this worker has %d: build it "
            "again with this version's zfarm/plugin.h",
            file, *abi, ZFARM_PLUGIN_ABI);
    FIND(object, "zfarm_init", &host->init);
    FIND(object, "zfarm_handle", &host->handle);
    FIND(object, "zfarm_destroy", &host->destroy);
    if (!host->handle)
        return fail(why, ERR_INVALID, "the plugin %s does not export zfarm_handle", file);
    return ERR_NONE;
}

/* Waits until the executor has emptied the area. */
static bool wait_until_emptied(struct host *host)
{
    struct plugin_order order;
    host->used = 0;
    return read_all(host->link, &order, sizeof order) && order.kind == PLUGIN_GO_ON;
}

static bool send_large(struct host *host, struct plugin_result *result)
{
    struct plugin_report head = {.kind = PLUGIN_LARGE,
                                 .size = sizeof *result + result->out_size + result->err_size};
    struct iovec parts[] = {{&head, sizeof head},
                            {result, sizeof *result},
                            {host->out.bytes.data, result->out_size},
                            {host->err.bytes.data, result->err_size}};
    return write_all(host->link, parts, 4) && wait_until_emptied(host);
}

static void put_result(struct host *host, const struct plugin_result *result)
{
    uint8_t *to = host->area->results + host->used;
    memcpy(to, result, sizeof *result);
    to += sizeof *result;
    if (result->out_size)
        memcpy(to, host->out.bytes.data, result->out_size);
    if (result->err_size)
        memcpy(to + result->out_size, host->err.bytes.data, result->err_size);
    host->used += plugin_result_room(result->out_size, result->err_size);
    atomic_store_explicit(&host->area->written, host->used, memory_order_release);
}

/* Hands over a result that does not fit into what is left of the area. */
static bool deliver_waiting(struct host *host, struct plugin_result *result, size_t room)
{
    /* The task is done: what it waits for from here on is not its own time. */
    atomic_store_explicit(&host->area->since_ns, clock_now_ns(), memory_order_relaxed);
    if (room > PLUGIN_AREA_RESULTS)
        return send_large(host, result);
    if (!report(host, PLUGIN_FULL, "") || !wait_until_emptied(host))
        return false;
    put_result(host, result);
    return true;
}

static struct bytes task_bytes(struct host *host, struct task task)
{
    if (!task.many)
        return task.body;
    buffer_reuse(&host->joined);
    task_join(task, &host->joined);
    return buf_bytes(&host->joined);
}

/* Says that the task begins; false when it was taken back. */
static bool begin_task(struct host *host, uint64_t seq, uint64_t now_ns)
{
    atomic_store_explicit(&host->area->since_ns, now_ns, memory_order_relaxed);
    atomic_store(&host->area->at, seq);
    uint64_t stop_at = atomic_load(&host->area->stop_at);
    return !stop_at || seq < stop_at;
}

/* `*now_ns` is when the task begins, and then when it ended: one reading of the clock per task. */
static bool run_task(struct host *host, const struct zfarm_task *task, uint64_t *now_ns)
{
    buffer_reuse(&host->out.bytes);
    buffer_reuse(&host->err.bytes);
    host->out.too_large = host->err.too_large = false;
    int code = host->handle(host->state, task, &host->out.base, &host->err.base);
    uint64_t end_ns = clock_now_ns();
    struct plugin_result result = {.start_ns = *now_ns,
                                   .duration_ns = end_ns - *now_ns,
                                   .out_size = host->out.bytes.size,
                                   .err_size = host->err.bytes.size,
                                   .code = code >= 0 && code <= 255 ? (uint32_t)code : 255,
                                   .too_large = host->out.too_large || host->err.too_large};
    size_t room = plugin_result_room(result.out_size, result.err_size);
    if (room > PLUGIN_AREA_RESULTS - host->used) {
        bool delivered = deliver_waiting(host, &result, room);
        *now_ns = clock_now_ns();
        return delivered;
    }
    put_result(host, &result);
    *now_ns = end_ns;
    return true;
}

static bool run_batch(struct host *host, const struct plugin_order *order)
{
    buffer_reuse(&host->records);
    if (!read_all(host->link, buf_reserve(&host->records, order->size), order->size))
        return false;
    host->records.size = order->size;
    host->used = 0;
    struct bytes records = buf_bytes(&host->records);
    struct zfarm_task call = {.attempt = order->tries, .slot = (uint32_t)host->slot};
    uint64_t now_ns = clock_now_ns();
    for (uint32_t i = 0; i < order->count; i++) {
        struct task task;
        enum error error = task_take(&records, &task);
        assert(!error); /* wire.h has looked at each record */
        struct bytes bytes = task_bytes(host, task);
        call.data = bytes.size ? (const char *)bytes.data : "";
        call.size = bytes.size;
        call.seq = order->first + i;
        if (!begin_task(host, call.seq, now_ns))
            break;
        if (!run_task(host, &call, &now_ns))
            return false;
    }
    return report(host, PLUGIN_DONE, "");
}

static void serve(struct host *host)
{
    struct plugin_order order;
    while (read_all(host->link, &order, sizeof order))
        if (order.kind != PLUGIN_BATCH || !run_batch(host, &order))
            return;
}

/* Brings the plugin up. False when that was reported to have failed. */
static bool make_ready(struct host *host, const char *file, int argc, char **argv)
{
    struct why why;
    if (load(host, file, &why)) {
        report(host, PLUGIN_UNUSABLE, why.text);
        return false;
    }
    if (!report(host, PLUGIN_LOADED, ""))
        return false;
    int failure = host->init ? host->init(argc, argv, host->slot, &host->state) : 0;
    if (failure) {
        fail(&why, ERR_INVALID, "the plugin %s could not start: its zfarm_init returned %d", file,
             failure);
        report(host, PLUGIN_NOT_READY, why.text);
        return false;
    }
    return report(host, PLUGIN_READY, "");
}

static struct plugin_area *map_area(int fd)
{
    void *area = mmap(NULL, sizeof(struct plugin_area), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return area == MAP_FAILED ? NULL : area;
}

/* From here on the plugin finds what its header promises. Frees descriptor 0 of the area. */
static bool arrange_descriptors(void)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return false;
    close(null);
    setvbuf(stdout, NULL, _IOLBF, 0);
    return fcntl(PLUGIN_LINK_FD, F_SETFD, FD_CLOEXEC) == 0;
}

int plugin_host_main(int argc, char **argv)
{
    if (argc < PLUGIN_HOST_ARGS) {
        fprintf(stderr, "%s: %s is for the worker's own use\n", argv[0], PLUGIN_HOST_FLAG);
        return 255;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a worker without a guard leaves nothing behind either */
    uint64_t output_max = strtoull(argv[PLUGIN_HOST_OUTPUT_MAX], NULL, 10);
    struct host host = {.link = PLUGIN_LINK_FD,
                        .area = map_area(PLUGIN_AREA_FD),
                        .slot = atoi(argv[PLUGIN_HOST_SLOT]),
                        .out = {.base = {append}, .size_max = output_max},
                        .err = {.base = {append}, .size_max = output_max}};
    if (!host.area || !arrange_descriptors())
        return 255;
    if (!make_ready(&host, argv[PLUGIN_HOST_FILE], argc - PLUGIN_HOST_ARGS,
                    argv + PLUGIN_HOST_ARGS))
        return 255;
    serve(&host);
    if (host.destroy)
        host.destroy(host.state);
    buf_free(&host.records);
    buf_free(&host.joined);
    buf_free(&host.out.bytes);
    buf_free(&host.err.bytes);
    return 0;
}
