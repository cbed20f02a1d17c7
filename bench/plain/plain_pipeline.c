/* SPDX-License-Identifier: MPL-2.0 */

/* plain_pipeline [--sleep] WORKERS COUNT <TASKS >RESULTS
 *
 * The pipeline of the ZeroMQ Guide: a ventilator with one PUSH socket for all, WORKERS workers and a
 * sink, a process each, one message a task and one a result. A task is a line with a number, and its
 * result is twice the number; with --sleep it is that many seconds of sleep, and the result is the
 * task. Results come in any order, and the sink, which knows their COUNT, ends it all. All there is
 * besides the Guide's is a start that waits until every worker is connected, so that the tasks are
 * dealt to all of them.
 *
 * Sends block at the high-water mark, so nothing is dropped, but what was dealt to a worker that dies
 * is gone: then this ends with 1. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { WORKERS_MAX = 256, LINE_MAX_BYTES = 64, OUTPUT_BUFFER = 64 << 10 };

struct pipeline {
    int workers;
    long count;
    bool sleep;
    char tasks[256];   /* the ventilator's endpoint */
    char results[256]; /* the sink's */
    int endpoint_fd;   /* where a role that binds says where */
};

static void die(const char *what)
{
    fprintf(stderr, "plain_pipeline: %s: %s\n", what, zmq_strerror(errno));
    exit(1);
}

static void *open_socket(void *context, int type)
{
    void *socket = zmq_socket(context, type);
    if (!socket)
        die("socket");
    return socket;
}

static void bind_and_tell(void *socket, int fd)
{
    char endpoint[256];
    size_t size = sizeof endpoint;
    if (zmq_bind(socket, "tcp://127.0.0.1:*") ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size))
        die("bind");
    if (write(fd, endpoint, size) != (ssize_t)size)
        die("pipe");
}

static void *watch(void *context, void *socket)
{
    void *events = open_socket(context, ZMQ_PAIR);
    if (zmq_socket_monitor(socket, "inproc://events", ZMQ_EVENT_HANDSHAKE_SUCCEEDED) ||
        zmq_connect(events, "inproc://events"))
        die("monitor");
    return events;
}

static void wait_for_workers(void *events, void *tasks, int workers)
{
    char part[256];
    for (int frames = workers * 2; frames; frames--) /* an event is two: what, and where */
        if (zmq_recv(events, part, sizeof part, 0) < 0)
            die("monitor");
    zmq_socket_monitor(tasks, NULL, 0);
    zmq_close(events);
    int ready;
    size_t size = sizeof ready;
    zmq_getsockopt(tasks, ZMQ_EVENTS, &ready, &size); /* or the first tasks are dealt to fewer */
}

static void ventilate(const struct pipeline *pipeline)
{
    void *context = zmq_ctx_new();
    void *tasks = open_socket(context, ZMQ_PUSH);
    void *events = watch(context, tasks);
    bind_and_tell(tasks, pipeline->endpoint_fd);
    wait_for_workers(events, tasks, pipeline->workers);
    char line[LINE_MAX_BYTES];
    while (fgets(line, sizeof line, stdin))
        if (zmq_send(tasks, line, strcspn(line, "\n"), 0) < 0)
            die("send");
    for (;;) /* not closed: what a worker has not read yet might go with the connection */
        pause();
}

/* By hand, as in the plugin that it is compared with. */
static int twice(const char *task, int size, char *end)
{
    unsigned long number = 0;
    for (int at = 0; at < size; at++)
        number = number * 10 + (unsigned long)(task[at] - '0');
    number *= 2;
    char *begin = end;
    do {
        *--begin = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return (int)(end - begin);
}

static void sleep_for(const char *seconds)
{
    double left = atof(seconds);
    time_t whole = (time_t)left;
    nanosleep(&(struct timespec){whole, (long)((left - (double)whole) * 1e9)}, NULL);
}

static void work(const struct pipeline *pipeline)
{
    void *context = zmq_ctx_new();
    void *tasks = open_socket(context, ZMQ_PULL), *results = open_socket(context, ZMQ_PUSH);
    if (zmq_connect(results, pipeline->results) || zmq_connect(tasks, pipeline->tasks))
        die("connect");
    for (;;) {
        char task[LINE_MAX_BYTES], number[LINE_MAX_BYTES];
        int size = zmq_recv(tasks, task, sizeof task - 1, 0);
        if (size < 0 || size >= (int)sizeof task)
            die("receive");
        const char *result = task;
        if (pipeline->sleep) {
            task[size] = '\0';
            sleep_for(task);
        } else {
            size = twice(task, size, number + sizeof number);
            result = number + sizeof number - size;
        }
        if (zmq_send(results, result, (size_t)size, 0) < 0)
            die("send");
    }
}

static void collect(const struct pipeline *pipeline)
{
    void *context = zmq_ctx_new();
    void *results = open_socket(context, ZMQ_PULL);
    bind_and_tell(results, pipeline->endpoint_fd);
    setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER);
    for (long left = pipeline->count; left; left--) {
        char result[LINE_MAX_BYTES];
        int size = zmq_recv(results, result, sizeof result - 1, 0);
        if (size < 0)
            die("receive");
        result[size] = '\n';
        fwrite(result, 1, (size_t)size + 1, stdout);
    }
    if (fflush(stdout))
        die("output");
}

static pid_t start(void (*role)(const struct pipeline *), const struct pipeline *pipeline)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* so that nobody is left when the launcher ends */
    role(pipeline);
    exit(0);
}

static pid_t start_bound(void (*role)(const struct pipeline *), struct pipeline *pipeline,
                         char *endpoint, size_t size)
{
    int ends[2];
    if (pipe(ends))
        die("pipe");
    pipeline->endpoint_fd = ends[1];
    pid_t pid = start(role, pipeline);
    close(ends[1]);
    if (read(ends[0], endpoint, size - 1) <= 0)
        die("pipe");
    close(ends[0]);
    return pid;
}

/* Waits for the sink, then ends the others and waits for them too: whoever measures this wants to
 * know how large they were. */
static int run(struct pipeline *pipeline)
{
    pid_t others[1 + WORKERS_MAX];
    int started = 0, status;
    pid_t sink = start_bound(collect, pipeline, pipeline->results, sizeof pipeline->results);
    others[started++] = start_bound(ventilate, pipeline, pipeline->tasks, sizeof pipeline->tasks);
    while (started <= pipeline->workers)
        others[started++] = start(work, pipeline);
    if (wait(&status) != sink || status)
        return 1; /* and whoever is left is killed with us */
    while (started)
        kill(others[--started], SIGKILL);
    while (wait(NULL) > 0)
        ;
    return 0;
}

int main(int argc, char **argv)
{
    struct pipeline pipeline = {.sleep = argc > 1 && !strcmp(argv[1], "--sleep")};
    if (argc == 3 + pipeline.sleep) {
        pipeline.workers = atoi(argv[argc - 2]);
        pipeline.count = atol(argv[argc - 1]);
    }
    if (pipeline.workers < 1 || pipeline.workers > WORKERS_MAX || pipeline.count < 1) {
        fprintf(stderr, "usage: plain_pipeline [--sleep] WORKERS COUNT <TASKS >RESULTS\n");
        return 2;
    }
    return run(&pipeline);
}
