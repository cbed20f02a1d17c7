/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/sockets.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void sockets_start(void)
{
    net_start(0);
}

void sockets_end(void)
{
    net_end(NET_END_LIMIT_MS, 99);
}

void *open_socket(enum net_role role)
{
    void *socket;
    struct why why;
    cr_assert_eq(net_open(&socket, role, &why), ERR_NONE, "%s", why.text);
    return socket;
}

void *bind_socket(enum net_role role, char bound[static ENDPOINT_TEXT_SIZE])
{
    void *socket = open_socket(role);
    struct why why;
    cr_assert_eq(net_bind(socket, "tcp://127.0.0.1:*", &why), ERR_NONE, "%s", why.text);
    net_bound(socket, bound);
    return socket;
}

void *connect_socket(enum net_role role, const char *endpoint)
{
    void *socket = open_socket(role);
    struct why why;
    cr_assert_eq(net_connect(socket, endpoint, &why), ERR_NONE, "%s", why.text);
    return socket;
}

void send_text(void *socket, const char *text)
{
    struct block *message = block_copy(bytes_of(text));
    eventually(net_send(socket, message) == ERR_NONE);
    block_release(&message);
}

struct block *receive(void *socket)
{
    struct block *message;
    eventually((message = net_receive(socket)));
    return message;
}

struct block *receive_from(void *router, struct net_sender *sender)
{
    struct block *message;
    eventually((message = net_receive_from(router, sender)));
    return message;
}

void expect_text(struct block *message, const char *text)
{
    cr_assert(bytes_equal(block_bytes(message), bytes_of(text)));
    block_release(&message);
}

struct block *filled(uint8_t byte, size_t size)
{
    struct buf content = {0};
    memset(buf_reserve(&content, size), byte, size);
    content.size = size;
    return block_new(&content);
}

size_t files_in(const char *path)
{
    size_t count = 0;
    DIR *files = opendir(path);
    while (readdir(files))
        count++;
    closedir(files);
    return count - 2; /* . and .. */
}

size_t resident_bytes(void)
{
    size_t pages = 0, ignored;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert_eq(fscanf(file, "%zu %zu", &ignored, &pages), 2);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}
