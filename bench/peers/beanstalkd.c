/* SPDX-License-Identifier: MPL-2.0 */

/* beanstalkd by its protocol: a tube of tasks and one of results; whoever has done a task puts its
 * result and deletes the task, which are sent together. See peer.h. */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static FILE *from, *to;

static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(to, format, args);
    va_end(args);
}

static void expect(const char *word)
{
    char line[128];
    if (!fgets(line, sizeof line, from) || strncmp(line, word, strlen(word)) != 0)
        peer_die("beanstalkd: an unexpected answer");
}

static void join(const struct peer *peer, const char *use, const char *watch)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)peer->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        peer_die("beanstalkd: cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    from = fdopen(fd, "r");
    to = fdopen(dup(fd), "w");
    say("use %s\r\nwatch %s\r\nignore default\r\n", use, watch);
    fflush(to);
    expect("USING");
    expect("WATCHING");
    expect("WATCHING");
}

/* Returns the job's id; its body is in `body`. */
static unsigned long long reserve(char *body)
{
    char line[128];
    unsigned long long id;
    size_t size;
    say("reserve\r\n");
    fflush(to);
    if (!fgets(line, sizeof line, from) || sscanf(line, "RESERVED %llu %zu", &id, &size) != 2 ||
        size >= PEER_TASK_MAX || fread(body, 1, size + 2, from) != size + 2)
        peer_die("beanstalkd: cannot reserve");
    body[size] = '\0';
    return id;
}

static void work(const struct peer *peer)
{
    char task[PEER_TASK_MAX + 2];
    join(peer, "results", "tasks");
    for (;;) {
        unsigned long long id = reserve(task);
        const char *result = peer_do(peer, task, strlen(task));
        say("put 0 0 60 %zu\r\n%s\r\ndelete %llu\r\n", strlen(result), result, id);
        fflush(to);
        expect("INSERTED");
        expect("DELETED");
    }
}

static void collect(const struct peer *peer, size_t count)
{
    char result[PEER_TASK_MAX + 2];
    while (count--) {
        unsigned long long id = reserve(result);
        peer_result(peer, result, strlen(result));
        say("delete %llu\r\n", id);
        fflush(to);
        expect("DELETED");
    }
}

int main(int argc, char **argv)
{
    struct peer peer = peer_new(argc, argv);
    double began_s = peer_start(&peer, work);
    join(&peer, "tasks", "results");
    for (size_t at = 0; at < peer.count;) {
        size_t begin = at, end = at + PEER_AT_ONCE < peer.count ? at + PEER_AT_ONCE : peer.count;
        for (; at < end; at++)
            say("put 0 0 60 %zu\r\n%s\r\n", strlen(peer.tasks[at]), peer.tasks[at]);
        fflush(to);
        for (size_t i = begin; i < end; i++)
            expect("INSERTED");
        collect(&peer, end - begin);
    }
    return peer_end(&peer, began_s);
}
