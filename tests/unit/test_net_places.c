/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/net.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "common/net/link.h"
#include "common/net/listener.h"
#include "tests/unit/sockets.h"

TestSuite(net_places, .timeout = 60, .init = sockets_start, .fini = sockets_end);

static void expect_no_bind(const char *endpoint, enum error error, const char *words)
{
    struct why why = {""};
    void *socket = open_socket(NET_RESULTS_RECEIVER);
    cr_assert_eq(net_bind(socket, endpoint, &why), error, "%s: %s", endpoint, why.text);
    cr_assert(strstr(why.text, words), "%s", why.text);
    cr_assert(strstr(why.text, endpoint), "the sentence names the endpoint: %s", why.text);
    net_close(&socket, 0);
}

Test(net_places, an_endpoint_that_cannot_be_had_is_refused_in_words)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    void *other = bind_socket(NET_RESULTS_RECEIVER, endpoint);
    expect_no_bind(endpoint, ERR_IN_USE, "another program");
    expect_no_bind("tcp://192.0.2.1:5000", ERR_NOT_FOUND, "no such address");
    expect_no_bind("tcp://no.such.host.invalid:5000", ERR_NOT_FOUND, "no such address");
    expect_no_bind("tcp://127.0.0.1:99999", ERR_INVALID, "65535");
    expect_no_bind("carrier pigeon", ERR_INVALID, "tcp://");
    expect_no_bind("ipc:///no/such/directory/x", ERR_IO, "No such file");
    net_close(&other, 0);
}

Test(net_places, nonsense_is_not_connected_to)
{
    struct why why = {""};
    void *socket = open_socket(NET_CONTROL_CLIENT);
    cr_assert_eq(net_connect(socket, "tcp://127.0.0.1", &why), ERR_INVALID);
    cr_assert(strstr(why.text, "port"), "%s", why.text);
    cr_assert_eq(net_connect(socket, "tcp://*:5556", &why), ERR_INVALID);
    net_close(&socket, 0);
}

static void expect_way(const char *server, const char *client_host)
{
    char bound[ENDPOINT_TEXT_SIZE], client[ENDPOINT_TEXT_SIZE];
    struct why why;
    struct net_sender sender;
    void *router = open_socket(NET_CONTROL_SERVER);
    cr_assert_eq(net_bind(router, server, &why), ERR_NONE, "%s", why.text);
    net_bound(router, bound);
    snprintf(client, sizeof client, "tcp://%s%s", client_host, strrchr(bound, ':'));
    void *dealer = connect_socket(NET_CONTROL_CLIENT, client);
    send_text(dealer, "hello");
    expect_text(receive_from(router, &sender), "hello");
    cr_assert_neq(strncmp(sender.address, "::ffff:", 7), 0);
    net_close(&dealer, 0);
    net_close(&router, 0);
}

Test(net_places, every_way_to_write_this_machine_connects)
{
    expect_way("tcp://127.0.0.1:*", "127.0.0.1");
    expect_way("tcp://127.0.0.1:*", "localhost");
    expect_way("tcp://localhost:*", "localhost");
    expect_way("tcp://*:*", "127.0.0.1");
    expect_way("tcp://lo:*", "127.0.0.1");
    if (access("/proc/net/if_inet6", R_OK) == 0) {
        expect_way("tcp://[::1]:*", "[::1]");
        expect_way("tcp://*:*", "[::1]");
    }
}

Test(net_places, running_out_of_descriptors_is_an_error_and_not_the_end)
{
    struct rlimit limit, tight = {40, 40};
    void *sockets[64] = {NULL};
    struct why why = {""};
    unsigned count = 0;
    getrlimit(RLIMIT_NOFILE, &limit);
    tight.rlim_max = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &tight);
    while (count < 64 && net_open(&sockets[count], NET_LANE_SENDER, &why) == ERR_NONE)
        count++;
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_assert_lt(count, 64);
    cr_assert(strstr(why.text, "ulimit"), "%s", why.text);
    for (unsigned i = 0; i < count; i++)
        net_close(&sockets[i], 0);
}

Test(net_end, what_lingers_is_delivered_before_the_end, .timeout = 60)
{
    char directory[] = "/tmp/zfarm-net-XXXXXX", endpoint[ENDPOINT_TEXT_SIZE];
    cr_assert_not_null(mkdtemp(directory));
    snprintf(endpoint, sizeof endpoint, "ipc://%s/results", directory);
    pid_t child = fork();
    if (child == 0) {
        void *push;
        net_start(0);
        net_open(&push, NET_RESULTS_SENDER, NULL);
        net_connect(push, endpoint, NULL);
        struct block *message = block_copy(bytes_of("the last words"));
        net_send(push, message);
        net_close(&push, 5000);
        net_end(NET_END_LIMIT_MS, 99);
        _exit(0);
    }
    net_start(0);
    void *pull = open_socket(NET_RESULTS_RECEIVER);
    cr_assert_eq(net_bind(pull, endpoint, NULL), ERR_NONE);
    expect_text(receive(pull), "the last words");
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    net_close(&pull, 0);
    net_end(NET_END_LIMIT_MS, 99);
    unlink(endpoint + strlen("ipc://"));
    rmdir(directory);
}

Test(net_end, a_process_that_cannot_finish_ends_with_its_status, .timeout = 60)
{
    pid_t child = fork();
    if (child == 0) {
        void *push;
        net_start(0);
        net_open(&push, NET_RESULTS_SENDER, NULL);
        net_connect(push, "tcp://127.0.0.1:1", NULL);
        struct block *message = block_copy(bytes_of("for nobody"));
        net_send(push, message);
        net_close(&push, -1);
        net_end(50, 7);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 7);
}
