/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_ENDPOINT_H
#define ZFARM_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "common/base/error.h"

/* Where a socket is bound or connected: tcp://HOST:PORT or ipc://PATH. Embed it by value; it owns
 * nothing. Nothing here looks a name up, so nothing blocks. */
enum {
    ENDPOINT_HOST_MAX = 255,
    ENDPOINT_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1, /* 107 */
    ENDPOINT_TEXT_SIZE = ENDPOINT_HOST_MAX + 32, /* holds any endpoint as text, with its NUL */
};

enum endpoint_use { ENDPOINT_BIND, ENDPOINT_CONNECT };

struct endpoint {
    bool ipc;
    char host[ENDPOINT_HOST_MAX + 1]; /* tcp: a name or an address, IPv6 without brackets, or "*";
                                         localhost becomes 127.0.0.1 */
    uint16_t port;                    /* tcp: 0 is any free port, written "*" */
    char path[ENDPOINT_PATH_MAX + 1]; /* ipc */
};

/* ERR_INVALID: `why` says what is wrong with it and shows a right one; `endpoint` is as before. "*"
 * as host or port is for ENDPOINT_BIND only. */
enum error endpoint_parse(const char *text, enum endpoint_use use, struct endpoint *endpoint,
                          struct why *why);
/* As libzmq takes it; endpoint_parse reads it back. */
void endpoint_format(const struct endpoint *endpoint, char text[static ENDPOINT_TEXT_SIZE]);
/* Whether only this machine can reach it: ipc, 127.0.0.0/8, ::1. */
bool endpoint_is_loopback(const struct endpoint *endpoint);
/* Whether the host is "*" or the unspecified address, to which nobody can connect. */
bool endpoint_is_wildcard(const struct endpoint *endpoint);
/* Replaces the host of a tcp endpoint; IPv6 with or without brackets. ERR_INVALID as above. */
enum error endpoint_set_host(struct endpoint *endpoint, const char *host, struct why *why);
/* The same host with the next port; any free port stays that. ERR_INVALID for ipc and after the
 * last port. `next` may be `endpoint`. */
enum error endpoint_next_port(const struct endpoint *endpoint, struct endpoint *next,
                              struct why *why);

#endif
