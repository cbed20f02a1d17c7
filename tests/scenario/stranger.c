/* SPDX-License-Identifier: MPL-2.0 */

/* stranger TYPE ENDPOINT [HEX...]
 *
 * A ZeroMQ peer that is none of ours: connects a socket of TYPE (push, pull, dealer, router, req,
 * pub, sub) to ENDPOINT, sends each HEX as one message, ten times over if it can, and prints in hex
 * what comes back within a second. Ends with 0 whatever happens, for that is for the test to say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { ROUNDS = 10, WAIT_MS = 1000, MESSAGE_MAX = 4096 };

static int type_of(const char *name)
{
    static const struct {
        const char *name;
        int type;
    } types[] = {{"push", ZMQ_PUSH},     {"pull", ZMQ_PULL}, {"dealer", ZMQ_DEALER},
                 {"router", ZMQ_ROUTER}, {"req", ZMQ_REQ},   {"pub", ZMQ_PUB},
                 {"sub", ZMQ_SUB}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    fprintf(stderr, "stranger: what is a socket of type %s?\n", name);
    exit(2);
}

static size_t bytes_of_hex(const char *hex, unsigned char bytes[static MESSAGE_MAX])
{
    size_t size = 0;
    for (unsigned byte; size < MESSAGE_MAX && sscanf(hex, "%2x", &byte) == 1; hex += 2)
        bytes[size++] = (unsigned char)byte;
    return size;
}

static void print_answers(void *socket)
{
    unsigned char answer[MESSAGE_MAX];
    for (int size; (size = zmq_recv(socket, answer, sizeof answer, 0)) >= 0;) {
        for (int i = 0; i < size && i < MESSAGE_MAX; i++)
            printf("%02x", answer[i]);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: stranger TYPE ENDPOINT [HEX...]\n");
        return 2;
    }
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, type_of(argv[1]));
    int wait_ms = WAIT_MS, none = 0;
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &wait_ms, sizeof wait_ms);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0); /* fails for all but SUB */
    if (zmq_connect(socket, argv[2]) == 0) {
        unsigned char bytes[MESSAGE_MAX];
        int sent = 0;
        for (int round = 0; round < ROUNDS && sent >= 0; round++)
            for (int i = 3; i < argc && sent >= 0; i++)
                sent = zmq_send(socket, bytes, bytes_of_hex(argv[i], bytes), 0);
        print_answers(socket);
    }
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
