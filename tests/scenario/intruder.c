/* SPDX-License-Identifier: MPL-2.0 */

/* intruder TYPE ENDPOINT SERVER.cert OWN.cert [HEX]
 *
 * A peer with keys that is none of ours: connects a socket of TYPE (dealer, pull, push) to
 * ENDPOINT, whose public key is in the first certificate, with both keys of the second. Prints "let
 * in", or "refused" and what libzmq says of it. With HEX it then reads a line, and sends that
 * message again and again: "cut" or "still in". Ends with 0 if it was let in, with 1 if it was
 * refused, with 3 if neither happened within 5 s. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { KEY_TEXT_SIZE = 41, HANDSHAKE_MS = 5000, ROUNDS = 50, ROUND_MS = 100, MESSAGE_MAX = 4096 };

/* The value of `name = "..."` in a certificate. */
static void read_key(const char *path, const char *name, char key[static KEY_TEXT_SIZE])
{
    char line[256], format[64];
    FILE *file = fopen(path, "r");
    snprintf(format, sizeof format, " %s = \"%%40[^\"]", name);
    key[0] = '\0';
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, format, key) == 1)
            break;
    if (!key[0]) {
        fprintf(stderr, "intruder: there is no %s in %s\n", name, path);
        exit(2);
    }
    fclose(file);
}

static void *open_socket(void *context, const char *name)
{
    int type = strcmp(name, "pull") == 0   ? ZMQ_PULL
               : strcmp(name, "push") == 0 ? ZMQ_PUSH
                                           : ZMQ_DEALER;
    return zmq_socket(context, type);
}

static void use_keys(void *socket, const char *server, const char *own)
{
    char key[KEY_TEXT_SIZE];
    read_key(server, "public-key", key);
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, key, KEY_TEXT_SIZE);
    read_key(own, "public-key", key);
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, key, KEY_TEXT_SIZE);
    read_key(own, "secret-key", key);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key, KEY_TEXT_SIZE);
}

/* How the handshake ended. */
static int outcome(void *events)
{
    unsigned char head[6];
    unsigned short kind;
    unsigned value;
    while (zmq_recv(events, head, sizeof head, 0) == (int)sizeof head) {
        zmq_recv(events, NULL, 0, 0);
        memcpy(&kind, head, sizeof kind);
        memcpy(&value, head + sizeof kind, sizeof value);
        if (kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            printf("let in\n");
            return 0;
        }
        if (kind != ZMQ_EVENT_DISCONNECTED && kind != ZMQ_EVENT_CLOSED) {
            printf("refused %s %u\n", kind == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH ? "key" : "handshake",
                   value);
            return 1;
        }
    }
    return 3;
}

static size_t bytes_of_hex(const char *hex, unsigned char bytes[static MESSAGE_MAX])
{
    size_t size = 0;
    for (unsigned byte; size < MESSAGE_MAX && sscanf(hex, "%2x", &byte) == 1; hex += 2)
        bytes[size++] = (unsigned char)byte;
    return size;
}

/* Sends the message until the connection is closed, ROUNDS times at most. */
static void insist(void *socket, void *events, const char *hex)
{
    unsigned char bytes[MESSAGE_MAX];
    zmq_pollitem_t item = {events, 0, ZMQ_POLLIN, 0};
    size_t size = bytes_of_hex(hex, bytes);
    int closed = 0;
    for (int round = 0; round < ROUNDS && !closed; round++) {
        zmq_send(socket, bytes, size, ZMQ_DONTWAIT);
        closed = zmq_poll(&item, 1, ROUND_MS) > 0;
    }
    printf(closed ? "cut\n" : "still in\n");
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: intruder TYPE ENDPOINT SERVER.cert OWN.cert [HEX]\n");
        return 2;
    }
    void *context = zmq_ctx_new();
    void *socket = open_socket(context, argv[1]);
    void *events = zmq_socket(context, ZMQ_PAIR);
    int handshake_ms = HANDSHAKE_MS, none = 0, never = -1;
    use_keys(socket, argv[3], argv[4]);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &never, sizeof never);
    zmq_setsockopt(events, ZMQ_RCVTIMEO, &handshake_ms, sizeof handshake_ms);
    zmq_socket_monitor(socket, "inproc://events",
                       ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                           ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                           ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_DISCONNECTED |
                           ZMQ_EVENT_CLOSED);
    zmq_connect(events, "inproc://events");
    zmq_connect(socket, argv[2]);
    int status = outcome(events);
    fflush(stdout);
    if (status == 0 && argc > 5) {
        getchar();
        insist(socket, events, argv[5]);
    }
    zmq_socket_monitor(socket, NULL, 0);
    zmq_close(events);
    zmq_close(socket);
    zmq_ctx_term(context);
    return status;
}
