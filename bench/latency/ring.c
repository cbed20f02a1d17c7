/* SPDX-License-Identifier: MPL-2.0 */

/* ring <NUMBERS >RESULTS
 *
 * Three processes in a ring of PUSH and PULL sockets over ipc, each of which polls and passes on
 * what comes: the first reads a number, the second doubles it, the third hands it back to the first,
 * which writes it. It does nothing else: the limit for a task that goes over three sockets, as long
 * as one number at a time is on its way. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

enum { HOPS = 3, LINE_MAX_BYTES = 64 };

static void die(const char *what)
{
    fprintf(stderr, "ring: %s: %s\n", what, zmq_strerror(errno));
    exit(1);
}

struct place {
    void *in;
    void *out;
};

/* The names are abstract ones, so that no file is left. */
static struct place join(int at)
{
    void *context = zmq_ctx_new();
    struct place place = {zmq_socket(context, ZMQ_PULL), zmq_socket(context, ZMQ_PUSH)};
    char here[64], next[64];
    pid_t ring = at ? getppid() : getpid();
    snprintf(here, sizeof here, "ipc://@zfarm-ring-%d-%d", (int)ring, at);
    snprintf(next, sizeof next, "ipc://@zfarm-ring-%d-%d", (int)ring, (at + 1) % HOPS);
    if (!place.in || !place.out || zmq_bind(place.in, here) || zmq_connect(place.out, next))
        die(here);
    return place;
}

static int receive(void *socket, char *message)
{
    zmq_pollitem_t polled = {.socket = socket, .events = ZMQ_POLLIN};
    if (zmq_poll(&polled, 1, -1) < 0)
        die("poll");
    int size = zmq_recv(socket, message, LINE_MAX_BYTES - 1, ZMQ_DONTWAIT);
    if (size < 0 || size >= LINE_MAX_BYTES)
        die("receive");
    message[size] = '\0';
    return size;
}

static void pass(void *socket, const char *message, int size)
{
    if (zmq_send(socket, message, (size_t)size, 0) < 0)
        die("send");
}

/* The second and the third. An empty message is the end; the first kills us when it is round. */
static void pass_on(int at)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct place place = join(at);
    char message[LINE_MAX_BYTES];
    for (int size = 1; size;) {
        size = receive(place.in, message);
        if (size && at == 1)
            size = snprintf(message, sizeof message, "%llu\n", strtoull(message, NULL, 10) * 2);
        pass(place.out, message, size);
    }
    for (;;)
        pause();
}

static bool read_one(const struct place *place)
{
    char message[LINE_MAX_BYTES];
    ssize_t size = read(STDIN_FILENO, message, sizeof message - 1);
    if (size < 0)
        die("stdin");
    pass(place->out, message, (int)size);
    return size;
}

static bool write_one(const struct place *place)
{
    char message[LINE_MAX_BYTES];
    int size = receive(place->in, message);
    if (size && write(STDOUT_FILENO, message, (size_t)size) != size)
        die("stdout");
    return size;
}

static void begin_and_end(void)
{
    struct place place = join(0);
    zmq_pollitem_t polled[] = {{.socket = place.in, .events = ZMQ_POLLIN},
                               {.fd = STDIN_FILENO, .events = ZMQ_POLLIN}};
    for (int reads = 1, writes = 1; writes;) {
        if (zmq_poll(polled, 1 + reads, -1) < 0)
            die("poll");
        if (polled[0].revents)
            writes = write_one(&place);
        if (reads && polled[1].revents)
            reads = read_one(&place);
    }
}

int main(void)
{
    pid_t others[HOPS - 1];
    for (int at = 1; at < HOPS; at++) {
        others[at - 1] = fork();
        if (others[at - 1] < 0)
            die("fork");
        if (!others[at - 1])
            pass_on(at);
    }
    begin_and_end();
    for (int at = 1; at < HOPS; at++)
        kill(others[at - 1], SIGKILL);
    while (wait(NULL) > 0)
        ;
    return 0;
}
