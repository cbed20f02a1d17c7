/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static enum error wrong(const char *text, struct why *why, const char *reason)
{
    return fail(why, ERR_INVALID,
                "'%.300s' is no endpoint: %s; one looks like tcp://127.0.0.1:5556", text, reason);
}

static bool endpoint_is_ipv6(const char *host)
{
    char address[ENDPOINT_HOST_MAX + 1];
    struct in6_addr ignored;
    strcpy(address, host);
    address[strcspn(address, "%")] = '\0'; /* a zone: fe80::1%eth0 */
    return inet_pton(AF_INET6, address, &ignored) == 1;
}

static bool is_ipv4(const char *host)
{
    struct in_addr ignored;
    return inet_pton(AF_INET, host, &ignored) == 1;
}

/* A name as DNS, /etc/hosts or an interface has it. What is made of digits and dots alone was meant
 * as an address. */
static bool is_name(const char *host)
{
    static const char digits[] = "0123456789.";
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    bool has_letter = false;
    for (const char *at = host; *at; at++) {
        if (strchr(letters, *at))
            has_letter = true;
        else if (!strchr(digits, *at))
            return false;
    }
    return has_letter && host[0] != '-' && host[0] != '.';
}

static const char *host_fault(const char *host, bool bracketed, enum endpoint_use use)
{
    if (!*host)
        return "the host is missing";
    if (bracketed)
        return endpoint_is_ipv6(host) ? NULL : "what is in brackets is no IPv6 address";
    if (strcmp(host, "*") == 0)
        return use == ENDPOINT_BIND ? NULL
                                    : "* stands for all addresses and one can only bind to it";
    if (strchr(host, ':'))
        return "an IPv6 address stands in brackets, as in tcp://[::1]:5556";
    return is_ipv4(host) || is_name(host) ? NULL : "the host is neither a name nor an address";
}

static const char *port_fault(const char *text, enum endpoint_use use, uint16_t *port)
{
    if (use == ENDPOINT_BIND && (strcmp(text, "*") == 0 || strcmp(text, "0") == 0)) {
        *port = 0;
        return NULL;
    }
    size_t digits = strspn(text, "0123456789");
    unsigned value = 0;
    if (digits == 0 || digits > 5 || text[digits] || sscanf(text, "%u", &value) != 1 || value < 1 ||
        value > UINT16_MAX)
        return "the port is a number from 1 to 65535";
    *port = (uint16_t)value;
    return NULL;
}

/* localhost means this machine (RFC 6761, 6.3), whatever a file or a server makes of it. `host` may
 * be the endpoint's own. */
static void set_host(struct endpoint *endpoint, const char *host)
{
    bool local = strcasecmp(host, "localhost") == 0;
    memmove(endpoint->host, local ? "127.0.0.1" : host,
            local ? sizeof "127.0.0.1" : strlen(host) + 1);
}

static enum error parse_tcp(const char *text, enum endpoint_use use, struct endpoint *endpoint,
                            struct why *why)
{
    struct endpoint parsed = {.ipc = false};
    const char *host = text + strlen("tcp://"), *colon = strrchr(host, ':');
    if (!colon || strchr(colon, ']'))
        return wrong(text, why, "the port is missing");
    bool bracketed = host[0] == '[' && colon[-1] == ']';
    host += bracketed;
    size_t size = (size_t)(colon - host) - bracketed;
    if (size > ENDPOINT_HOST_MAX)
        return wrong(text, why, "the host is longer than 255 characters");
    memcpy(parsed.host, host, size);
    const char *fault = host_fault(parsed.host, bracketed, use);
    if (!fault)
        fault = port_fault(colon + 1, use, &parsed.port);
    if (fault)
        return wrong(text, why, fault);
    set_host(&parsed, parsed.host);
    *endpoint = parsed;
    return ERR_NONE;
}

static enum error parse_ipc(const char *text, struct endpoint *endpoint, struct why *why)
{
    const char *path = text + strlen("ipc://");
    if (!*path)
        return fail(why, ERR_INVALID,
                    "'%s' is no endpoint: the path is missing; one looks like ipc:///tmp/farm",
                    text);
    if (strlen(path) > ENDPOINT_PATH_MAX)
        return fail(
            why, ERR_INVALID,
            "the path of '%.300s' has %zu bytes and a socket's path may have %d: use a shorter "
            "directory, as in ipc:///tmp/farm",
            text, strlen(path), ENDPOINT_PATH_MAX);
    *endpoint = (struct endpoint){.ipc = true};
    strcpy(endpoint->path, path);
    return ERR_NONE;
}

enum error endpoint_parse(const char *text, enum endpoint_use use, struct endpoint *endpoint,
                          struct why *why)
{
    if (strncmp(text, "ipc://", strlen("ipc://")) == 0)
        return parse_ipc(text, endpoint, why);
    if (strncmp(text, "tcp://", strlen("tcp://")) == 0)
        return parse_tcp(text, use, endpoint, why);
    return wrong(text, why, "it starts with neither tcp:// nor ipc://");
}

void endpoint_format(const struct endpoint *endpoint, char text[static ENDPOINT_TEXT_SIZE])
{
    if (endpoint->ipc) {
        snprintf(text, ENDPOINT_TEXT_SIZE, "ipc://%s", endpoint->path);
        return;
    }
    bool brackets = strchr(endpoint->host, ':');
    char port[8] = "*";
    if (endpoint->port)
        snprintf(port, sizeof port, "%u", endpoint->port);
    snprintf(text, ENDPOINT_TEXT_SIZE, "tcp://%s%s%s:%s", brackets ? "[" : "", endpoint->host,
             brackets ? "]" : "", port);
}

bool endpoint_is_loopback(const struct endpoint *endpoint)
{
    struct in6_addr v6;
    if (endpoint->ipc)
        return true;
    if (inet_pton(AF_INET6, endpoint->host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    return is_ipv4(endpoint->host) && strncmp(endpoint->host, "127.", 4) == 0;
}

bool endpoint_is_wildcard(const struct endpoint *endpoint)
{
    struct in6_addr v6;
    if (endpoint->ipc)
        return false;
    if (inet_pton(AF_INET6, endpoint->host, &v6) == 1)
        return IN6_IS_ADDR_UNSPECIFIED(&v6);
    return strcmp(endpoint->host, "*") == 0 || strcmp(endpoint->host, "0.0.0.0") == 0;
}

enum error endpoint_set_host(struct endpoint *endpoint, const char *host, struct why *why)
{
    if (endpoint->ipc)
        return fail(why, ERR_INVALID, "ipc://%s has no host to replace by '%.255s'", endpoint->path,
                    host);
    size_t size = strlen(host);
    bool bracketed = size > 2 && host[0] == '[' && host[size - 1] == ']';
    host += bracketed;
    size -= 2 * (size_t)bracketed;
    char copy[ENDPOINT_HOST_MAX + 1] = "";
    if (size <= ENDPOINT_HOST_MAX)
        memcpy(copy, host, size);
    const char *fault = host_fault(copy, strchr(copy, ':'), ENDPOINT_CONNECT);
    if (fault)
        return fail(why, ERR_INVALID,
                    "'%.255s' is no host: %s; one looks like node7.example.org or 192.0.2.7", host,
                    size > ENDPOINT_HOST_MAX ? "it is longer than 255 characters" : fault);
    set_host(endpoint, copy);
    return ERR_NONE;
}

enum error endpoint_next_port(const struct endpoint *endpoint, struct endpoint *next,
                              struct why *why)
{
    char text[ENDPOINT_TEXT_SIZE];
    endpoint_format(endpoint, text);
    if (endpoint->ipc)
        return fail(why, ERR_INVALID, "%s has no port, so there is no next one", text);
    if (endpoint->port == UINT16_MAX)
        return fail(why, ERR_INVALID, "there is no port after that of %s: use a lower one", text);
    *next = *endpoint;
    next->port = (uint16_t)(endpoint->port ? endpoint->port + 1 : 0);
    return ERR_NONE;
}
