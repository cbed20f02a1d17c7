/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_LISTENER_H
#define ZFARM_LISTENER_H

#include <stdint.h>

#include "common/base/endpoint.h"
#include "common/base/error.h"

/* A plain listening socket, without ZeroMQ, for one endpoint. Embed it by value. */
struct listener {
    int fd;                           /* does not block; -1: closed */
    uint16_t port;                    /* the one it got; 0 for ipc */
    char path[ENDPOINT_PATH_MAX + 1]; /* of a unix socket, removed by listener_close; "" for tcp */
};

/* Fails with ERR_INVALID, ERR_IN_USE, ERR_ACCESS, ERR_NOT_FOUND, ERR_LIMIT or ERR_IO. The host may be `*`, an
 * address or a name, which is looked up (that may block). A unix socket that nobody listens on any
 * more is replaced. */
enum error listener_open(struct listener *listener, const char *endpoint, struct why *why);
void listener_close(struct listener *listener);

/* The words, for users, of a bind that failed with the errno `error`; returns the code for it. */
enum error listener_failed(const char *endpoint, int error, struct why *why);

#endif
