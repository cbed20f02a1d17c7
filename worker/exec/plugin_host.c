/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/plugin_host.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/wire/result.h"
#include "worker/exec/plugin_link.h"
#include "zfarm/plugin.h"

/* A buffer that once had to be larger than this is not kept at that size. */
enum { BUFFER_KEEP = 1 << 20 };

struct reply {
    struct zfarm_reply base; /* first: what the plugin sees */
    struct buf bytes;
    uint64_t size_max;
    bool too_large;
};

struct plugin_host {
    int link;
    struct plugin_area *area;
    struct buf results; /* the area's, which never grows: ours, the plugin cannot scribble on it */
    struct plugin_order order; /* the batch that it is at */
    uint64_t began_ns;         /* since when its time is counted in busy_ns */
    int slot;                  /* from 1 */
    bool fenced;               /* the executor can have a fence made here */
    void *state;
    __typeof__(zfarm_init) *init; /* or NULL */
    __typeof__(zfarm_handle) *handle;
    __typeof__(zfarm_destroy) *destroy; /* or NULL */
    struct buf records;
    struct buf joined; /* the arguments of a task that has several */
    struct reply out;
    struct reply err;
};

static bool plugin_host_write_all(int fd, struct iovec *parts, int count)
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

static bool plugin_host_read_all(int fd, void *to, size_t size)
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

static void count_time(struct plugin_host *host)
{
    uint64_t now_ns = clock_now_ns();
    atomic_fetch_add_explicit(&host->area->busy_ns, now_ns - host->began_ns, memory_order_relaxed);
    host->began_ns = now_ns;
}

static bool report(struct plugin_host *host, enum plugin_report_kind kind, const char *words)
{
    count_time(host);
    struct plugin_report head = {.kind = kind, .size = strlen(words)};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)(uintptr_t)words, head.size}};
    return plugin_host_write_all(host->link, parts, 2);
}

static int plugin_host_append(struct zfarm_reply *base, const void *data, size_t size)
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
static enum error plugin_host_load(struct plugin_host *host, const char *file, struct why *why)
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
static bool wait_until_emptied(struct plugin_host *host)
{
    struct plugin_order order;
    buf_clear(&host->results);
    bool emptied =
        plugin_host_read_all(host->link, &order, sizeof order) && order.kind == PLUGIN_GO_ON;
    host->began_ns = clock_now_ns();
    return emptied;
}

static bool send_large(struct plugin_host *host, const struct result *r, uint64_t start_ns,
                       bool too_large)
{
    count_time(host);
    struct plugin_result result = {.start_ns = start_ns,
                                   .duration_ns = start_ns ? host->began_ns - start_ns : 0,
                                   .out_size = r->out.size,
                                   .err_size = r->err.size,
                                   .code = r->code,
                                   .too_large = too_large};
    struct plugin_report head = {.kind = PLUGIN_LARGE,
                                 .size = sizeof result + r->out.size + r->err.size};
    struct iovec parts[] = {{&head, sizeof head},
                            {&result, sizeof result},
                            {host->out.bytes.data, r->out.size},
                            {host->err.bytes.data, r->err.size}};
    return plugin_host_write_all(host->link, parts, 4) && wait_until_emptied(host);
}

static size_t results_room(const struct plugin_host *host)
{
    return host->results.capacity - host->results.size;
}

/* Puts a result into the area; waits for the executor to empty it when there is no room. */
static bool deliver(struct plugin_host *host, const struct result *r, uint64_t start_ns,
                    bool too_large)
{
    size_t most = RESULT_RECORD_OVERHEAD + r->out.size + r->err.size + r->task.size;
    /* The task is done: what it waits for from here on is not its own time. */
    if (most > results_room(host))
        atomic_store_explicit(&host->area->since_ns, clock_coarse_ns(), memory_order_relaxed);
    if (most > PLUGIN_AREA_RESULTS)
        return send_large(host, r, start_ns, too_large);
    if (most > results_room(host) && !(report(host, PLUGIN_FULL, "") && wait_until_emptied(host)))
        return false;
    result_put(&host->results, r);
    atomic_store_explicit(&host->area->written, host->results.size, memory_order_release);
    return true;
}

static struct bytes task_bytes(struct plugin_host *host, struct task task)
{
    if (!task.many)
        return task.body;
    buffer_reuse(&host->joined);
    task_join(task, &host->joined);
    return buf_bytes(&host->joined);
}

/* Says that the task begins; false when it was taken back (plugin_link.h). */
static bool begin_task(struct plugin_host *host, uint64_t seq)
{
    atomic_store_explicit(&host->area->since_ns, clock_coarse_ns(), memory_order_relaxed);
    atomic_store_explicit(&host->area->at, seq, memory_order_release);
    if (host->fenced)
        atomic_signal_fence(memory_order_seq_cst);
    else
        atomic_thread_fence(memory_order_seq_cst);
    uint64_t stop_at = atomic_load_explicit(&host->area->stop_at, memory_order_relaxed);
    return !stop_at || seq < stop_at;
}

static void add_wanted(const struct plugin_host *host, struct bytes record, uint64_t start_ns,
                       struct result *r)
{
    if (host->order.wants & WANT_TIMES) {
        r->start_us = start_ns / NS_PER_US + host->order.wall_offset_us;
        r->duration_ns = clock_now_ns() - start_ns;
    }
    if (host->order.wants & WANT_TASK)
        r->task = record;
    if (host->order.wants & WANT_HASH) {
        struct task task;
        r->has_hash = !task_take(&record, &task);
        r->hash = task_hash(task);
    }
}

static bool run_task(struct plugin_host *host, const struct zfarm_task *task, struct bytes record)
{
    uint64_t start_ns = host->order.wants & WANT_TIMES ? clock_now_ns() : 0;
    buffer_reuse(&host->out.bytes);
    buffer_reuse(&host->err.bytes);
    host->out.too_large = host->err.too_large = false;
    int code = host->handle(host->state, task, &host->out.base, &host->err.base);
    bool too_large = host->out.too_large || host->err.too_large;
    struct result r = {.out = buf_bytes(&host->out.bytes), .err = buf_bytes(&host->err.bytes)};
    r.status = too_large ? RESULT_OUTPUT_TOO_LARGE : code ? RESULT_EXITED : RESULT_OK;
    if (r.status == RESULT_EXITED)
        r.code = code > 0 && code <= 255 ? (unsigned)code : 255;
    r.final = r.status == RESULT_OK || host->order.last;
    if (host->order.wants)
        add_wanted(host, record, start_ns, &r);
    return deliver(host, &r, start_ns, too_large);
}

static bool run_batch(struct plugin_host *host)
{
    const struct plugin_order *order = &host->order;
    buffer_reuse(&host->records);
    if (!plugin_host_read_all(host->link, buf_reserve(&host->records, order->size), order->size))
        return false;
    host->records.size = order->size;
    buf_clear(&host->results);
    struct bytes records = buf_bytes(&host->records);
    struct zfarm_task call = {.attempt = order->tries, .slot = (uint32_t)host->slot};
    host->began_ns = clock_now_ns();
    for (uint32_t i = 0; i < order->count; i++) {
        struct task task;
        struct bytes record = records;
        enum error error = task_take(&records, &task);
        assert(!error); /* wire.h has looked at each record */
        record.size -= records.size;
        struct bytes bytes = task_bytes(host, task);
        call.data = bytes.size ? (const char *)bytes.data : "";
        call.size = bytes.size;
        call.seq = order->first + i;
        if (!begin_task(host, call.seq))
            break;
        if (!run_task(host, &call, record))
            return false;
    }
    return report(host, PLUGIN_DONE, "");
}

static void serve(struct plugin_host *host)
{
    while (plugin_host_read_all(host->link, &host->order, sizeof host->order))
        if (host->order.kind != PLUGIN_BATCH || !run_batch(host))
            return;
}

/* Brings the plugin up. False when that was reported to have failed. */
static bool make_ready(struct plugin_host *host, const char *file, int argc, char **argv)
{
    struct why why;
    if (plugin_host_load(host, file, &why)) {
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
    /* A host that is woken does not interrupt the worker that wakes it, which has more to give out: its session
     * (child.h) makes it a scheduling group of its own (autogroup), and tiny tasks would lose a tenth of their speed
     * to these switches. What the plugin starts is as ever. */
    sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &(struct sched_param){0});
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a worker without a guard leaves nothing behind either */
    uint64_t output_max = strtoull(argv[PLUGIN_HOST_OUTPUT_MAX], NULL, 10);
    struct plugin_host host = {
        .link = PLUGIN_LINK_FD,
        .area = plugin_area_map(PLUGIN_AREA_FD),
        .slot = atoi(argv[PLUGIN_HOST_SLOT]),
        .fenced = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0,
        .out = {.base = {plugin_host_append}, .size_max = output_max},
        .err = {.base = {plugin_host_append}, .size_max = output_max}};
    if (!host.area || !arrange_descriptors())
        return 255;
    host.results = (struct buf){.data = host.area->results, .capacity = PLUGIN_AREA_RESULTS};
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
