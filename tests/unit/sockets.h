/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SOCKETS_H
#define ZFARM_SOCKETS_H

#include <stdint.h>

#include "common/net/net.h"
#include "tests/unit/eventually.h"

/* What tests of sockets share. Everything waits for its event and fails the test if it does not
 * come. */

/* For .init and .fini of a suite. A socket that was forgotten makes the test's process end with 99.
 */
void sockets_start(void);
void sockets_end(void);
void *open_socket(enum net_role role);
void *bind_socket(enum net_role role, char bound[static ENDPOINT_TEXT_SIZE]);
void *connect_socket(enum net_role role, const char *endpoint);
void send_text(void *socket, const char *text);
struct block *receive(void *socket);
struct block *receive_from(void *router, struct net_sender *sender);
void expect_text(struct block *message, const char *text);
struct block *filled(uint8_t byte, size_t size);
size_t files_in(const char *path); /* without . and .. */
size_t resident_bytes(void);       /* memory of this process */

#endif
