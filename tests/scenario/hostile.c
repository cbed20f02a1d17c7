/* SPDX-License-Identifier: MPL-2.0 */

/* hostile CORPUS CONTROL LANES RESULTS MESSAGES A_SECOND SEED [SERVER.cert SINK.cert]
 *
 * Peers that mean harm, at the three ports of a farm that works (ports of this machine, by number):
 * connections that say nothing, garbage, greetings and frames that stop, frames that are too large, and, where
 * ZMTP's NULL lets them in, messages of every kind from CORPUS (one a file): whole, cut, changed,
 * of jobs and sessions that are not theirs, from peers that never read an answer. With certificates
 * also CURVE, with keys that nobody has admitted. Sends so many messages (or as good as that:
 * connections count, too), prints what it did.
 *
 * What it does not do is to lie believably, for against that a farm without keys has nothing: no
 * JOIN and no result of the job that runs is well formed, and no lane is claimed. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum {
    LINES = 500,
    KINDS_MAX = 64,
    MESSAGE_SIZE_MAX = 4096,
    LARGE = 2 << 20,
    VERSION = 2,
    HEAD_SIZE = 26,
    GREETING_SIZE = 64,
    HEARD_MAX = 2048,
    KEY_TEXT_SIZE = 41,
    GONE_AFTER = 2000, /* connections in a row that are refused: the farm has ended */
    LARGE_ONE_IN = 300,
    SLICE_NS = 10000000
};

enum kind { JOIN = 1, FINISHED = 5, WHY = 14, WELCOME = 20, PIECE = 42, RESULTS = 50 };
enum port { CONTROL, LANES, RESULTS_PORT, PORTS };
enum manner {
    SILENT,
    GARBAGE,
    SLOW_GREETING,
    BAD_FRAMES,
    HALF_FRAME,
    CURVE_GARBAGE,
    SPEAKS,
    DEAF,
    KEYED
};

struct line {
    int fd;      /* -1: none */
    void *keyed; /* or a socket of libzmq */
    enum port port;
    enum manner manner;
    unsigned left;  /* messages until it is closed */
    size_t greeted; /* bytes of the greeting that were sent; of HALF_FRAME: it was */
    uint64_t session;
    size_t heard_size, skip; /* skip: bytes of a frame that is too large to be looked at */
    unsigned char heard[HEARD_MAX];
};

struct message {
    unsigned char bytes[MESSAGE_SIZE_MAX];
    size_t size;
};

struct hostile {
    uint16_t ports[PORTS];
    const char *certificates[2]; /* of the ventilator and the sink; NULL: no keys */
    uint64_t seed;
    uint64_t job, incarnation; /* learned from a WELCOME; 0: not yet */
    struct message corpus[KINDS_MAX];
    size_t corpus_count;
    struct line lines[LINES];
    uint64_t sent, connections, unsent, closed, in_a_row;
    void *context;
    unsigned char *large;
};

/* ---- chance ---- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t chance(struct hostile *h)
{
    uint64_t z = (h->seed += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t below(struct hostile *h, uint64_t limit)
{
    return chance(h) % limit;
}

static void fill(struct hostile *h, unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)chance(h);
}

/* ---- messages ---- */

static void load(struct hostile *h, const char *directory)
{
    DIR *files = opendir(directory);
    for (struct dirent *entry; files && (entry = readdir(files)) && h->corpus_count < KINDS_MAX;) {
        char path[4096];
        struct message *m = &h->corpus[h->corpus_count];
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!file)
            continue;
        m->size = fread(m->bytes, 1, sizeof m->bytes, file);
        h->corpus_count += m->size >= HEAD_SIZE;
        fclose(file);
    }
    if (files)
        closedir(files);
    if (!h->corpus_count) {
        fprintf(stderr, "hostile: there are no messages in %s\n", directory);
        exit(2);
    }
}

static void put_u64(unsigned char *at, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        at[i] = (unsigned char)(number >> (56 - 8 * i));
}

static uint64_t u64_at(const unsigned char *at)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | at[i];
    return number;
}

static void address(struct hostile *h, const struct line *line, unsigned char *head)
{
    static const uint64_t odd[] = {0, UINT64_MAX, 9};
    uint64_t session = below(h, 4) ? 1 + below(h, 40) : odd[below(h, 3)];
    put_u64(head + 2, h->job && below(h, 4) ? h->job : chance(h));
    put_u64(head + 10, h->incarnation && below(h, 4) ? h->incarnation : chance(h));
    put_u64(head + 18, line->session && below(h, 2) ? line->session : session);
}

/* Returns whether it was cut, and so is certainly malformed. */
static bool mutate(struct hostile *h, struct message *m)
{
    switch (below(h, 6)) {
    case 0:
        m->size = below(h, m->size);
        return true;
    case 1:
        for (uint64_t i = 1 + below(h, 4); i > 0; i--)
            m->bytes[below(h, m->size)] = (unsigned char)chance(h);
        break;
    case 2:
        fill(h, m->bytes + m->size, 20);
        m->size += 1 + below(h, 20);
        break;
    case 3:
        m->bytes[below(h, 2)] = (unsigned char)chance(h); /* kind or version */
        break;
    default:
        break;
    }
    return false;
}

static void keep_honest(struct hostile *h, struct message *m, bool cut)
{
    bool weighs = m->bytes[0] == JOIN || m->bytes[0] == RESULTS || m->bytes[0] == PIECE;
    if (h->job && weighs && !cut && m->size >= HEAD_SIZE && u64_at(m->bytes + 2) == h->job)
        put_u64(m->bytes + 2, chance(h));
}

static void compose(struct hostile *h, const struct line *line, struct message *m)
{
    const struct message *from = &h->corpus[below(h, h->corpus_count)];
    memcpy(m->bytes, from->bytes, from->size);
    m->size = from->size;
    address(h, line, m->bytes);
    keep_honest(h, m, mutate(h, m));
}

/* The largest that fits: a JOIN of no job with tasks in the order that costs most, or a list of ranges. */
static size_t compose_large(struct hostile *h, const struct line *line)
{
    static const unsigned char peer[] = "\1\1\2\3\4\5\6\7\10\4eves\4here\0031.0\1\1\0";
    unsigned char *to = h->large;
    size_t size = HEAD_SIZE;
    bool is_join = below(h, 2);
    to[0] = is_join ? JOIN : FINISHED;
    to[1] = VERSION;
    address(h, line, to);
    put_u64(to + 2, chance(h));
    if (is_join) {
        memcpy(to + size, peer, sizeof peer - 1);
        size += sizeof peer - 1 + 16; /* and no hash */
    }
    uint32_t count = is_join ? 150000 : 900000;
    for (int i = 0; i < 3; i++)
        to[size++] = (unsigned char)(count >> (7 * i)) | (i < 2 ? 0x80 : 0);
    for (uint32_t i = count; i > 0; i--) {
        to[size++] = is_join ? (unsigned char)(i | 0x80) : 2;
        if (is_join) {
            to[size++] = (unsigned char)(i >> 7 | 0x80);
            to[size++] = (unsigned char)(i >> 14 & 0x7f);
            put_u64(to + size, h->incarnation ? h->incarnation : 1);
            size += 8;
            to[size++] = 1;
        } else {
            to[size++] = 0;
        }
    }
    to[size++] = 0;
    if (is_join)
        to[size++] = 0; /* no tagged parts */
    return size;
}

/* ---- ZMTP 3.0 ---- */

static void greeting(unsigned char bytes[static GREETING_SIZE], const char *mechanism)
{
    memset(bytes, 0, GREETING_SIZE);
    memcpy(bytes, "\xff\0\0\0\0\0\0\0\1\x7f\3", 11);
    memcpy(bytes + 12, mechanism, strlen(mechanism));
}

static size_t ready(enum port port, unsigned char *bytes)
{
    static const char *const types[] = {"DEALER", "PULL", "PUSH"};
    size_t size = strlen(types[port]);
    memcpy(bytes, "\4\0\5READY\13Socket-Type\0\0\0", 23);
    bytes[1] = (unsigned char)(6 + 12 + 4 + size);
    bytes[23] = (unsigned char)size;
    memcpy(bytes + 24, types[port], size);
    return 24 + size;
}

static void put(struct hostile *h, struct line *line, const void *bytes, size_t size)
{
    int patience = size < LARGE / 2 ? MSG_DONTWAIT : 0;
    ssize_t sent = send(line->fd, bytes, size, MSG_NOSIGNAL | patience);
    h->sent += sent > 0;
    if (sent == (ssize_t)size)
        return;
    h->unsent++;
    line->left = 0; /* nobody takes it, or the half of it: so be it */
}

static void put_frame(struct hostile *h, struct line *line, const unsigned char *bytes, size_t size)
{
    static unsigned char frame[9 + LARGE];
    size_t head = size < 256 ? 2 : 9;
    frame[0] = size < 256 ? 0 : 2;
    put_u64(frame + 1, size);
    frame[1] = size < 256 ? (unsigned char)size : frame[1];
    memcpy(frame + head, bytes, size);
    put(h, line, frame, head + size);
}

static void take_frame(struct hostile *h, struct line *line, const unsigned char *bytes,
                       size_t size)
{
    if (size < HEAD_SIZE || bytes[0] != WELCOME || bytes[1] != VERSION)
        return;
    h->job = u64_at(bytes + 2);
    h->incarnation = u64_at(bytes + 10);
    line->session = u64_at(bytes + 18);
}

/* Takes in answers, only for the sake of what WELCOME says. */
static void hear(struct hostile *h, struct line *line)
{
    ssize_t got =
        recv(line->fd, line->heard + line->heard_size, HEARD_MAX - line->heard_size, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        h->closed++;
        line->left = 0;
    }
    line->heard_size += got > 0 ? (size_t)got : 0;
    for (;;) {
        size_t now = line->skip < line->heard_size ? line->skip : line->heard_size;
        memmove(line->heard, line->heard + now, line->heard_size -= now);
        line->skip -= now;
        const unsigned char *at = line->heard;
        size_t head = line->heard_size && at[0] & 2 ? 9 : 2;
        if (line->skip || line->heard_size < head)
            return;
        uint64_t size = head == 9 ? u64_at(at + 1) : at[1];
        if (head + size <= line->heard_size)
            take_frame(h, line, at + head, size);
        else if (head + size <= HEARD_MAX)
            return;
        line->skip = head + size;
    }
}

/* ---- lines ---- */

static void read_key(const char *path, char key[static KEY_TEXT_SIZE])
{
    char text[256];
    FILE *file = fopen(path, "r");
    key[0] = '\0';
    while (file && fgets(text, sizeof text, file))
        if (sscanf(text, " public-key = \"%40[^\"]", key) == 1)
            break;
    if (file)
        fclose(file);
}

/* A peer with a key of its own that is nobody's. */
static void open_keyed(struct hostile *h, struct line *line)
{
    static const int types[] = {ZMQ_DEALER, ZMQ_PULL, ZMQ_PUSH};
    char server[KEY_TEXT_SIZE], public[KEY_TEXT_SIZE], secret[KEY_TEXT_SIZE], endpoint[64];
    int none = 0, never = -1;
    read_key(h->certificates[line->port == RESULTS_PORT], server);
    zmq_curve_keypair(public, secret);
    line->keyed = zmq_socket(h->context, types[line->port]);
    zmq_setsockopt(line->keyed, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(line->keyed, ZMQ_RECONNECT_IVL, &never, sizeof never);
    zmq_setsockopt(line->keyed, ZMQ_CURVE_SERVERKEY, server, KEY_TEXT_SIZE);
    zmq_setsockopt(line->keyed, ZMQ_CURVE_PUBLICKEY, public, KEY_TEXT_SIZE);
    zmq_setsockopt(line->keyed, ZMQ_CURVE_SECRETKEY, secret, KEY_TEXT_SIZE);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", h->ports[line->port]);
    zmq_connect(line->keyed, endpoint);
    h->sent++;
}

static void shut(struct line *line)
{
    if (line->fd >= 0)
        close(line->fd);
    if (line->keyed)
        zmq_close(line->keyed);
    memset(line, 0, sizeof *line);
    line->fd = -1;
}

static enum manner some_manner(struct hostile *h)
{
    static const enum manner plain[] = {SILENT,        GARBAGE,    SLOW_GREETING,
                                        BAD_FRAMES,    HALF_FRAME, SPEAKS,
                                        CURVE_GARBAGE, SPEAKS,     DEAF};
    if (h->certificates[0] && below(h, 40) == 0)
        return KEYED;
    return plain[below(h, sizeof plain / sizeof *plain)];
}

/* A farm that has much to do may answer late: a WELCOME is worth a moment, until one has said the job. */
static void hear_out(struct hostile *h, struct line *line)
{
    enum { A_MOMENT_MS = 300 };
    struct pollfd answer = {.fd = line->fd, .events = POLLIN};
    if (h->job || line->fd < 0 || line->port != CONTROL || line->manner != SPEAKS)
        return;
    if (poll(&answer, 1, A_MOMENT_MS) > 0)
        hear(h, line);
}

static void open_line(struct hostile *h, struct line *line)
{
    hear_out(h, line);
    shut(line);
    line->port = (enum port)below(h, PORTS);
    line->manner = some_manner(h);
    line->left = 1 + (unsigned)below(h, line->manner == SPEAKS || line->manner == DEAF ? 400 : 40);
    line->skip = GREETING_SIZE;
    h->connections++;
    if (line->manner == KEYED) {
        open_keyed(h, line);
        return;
    }
    struct sockaddr_in where = {.sin_family = AF_INET,
                                .sin_port = htons(h->ports[line->port]),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_usec = 200000};
    int small = 4096;
    line->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(line->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (line->manner == DEAF)
        setsockopt(line->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (line->fd < 0 || connect(line->fd, (struct sockaddr *)&where, sizeof where)) {
        h->in_a_row++;
        shut(line);
        return;
    }
    h->in_a_row = 0;
    h->sent++;
    unsigned char bytes[GREETING_SIZE + 64];
    greeting(bytes, line->manner == CURVE_GARBAGE ? "CURVE" : "NULL");
    if (line->manner != SILENT && line->manner != GARBAGE && line->manner != SLOW_GREETING &&
        line->manner != CURVE_GARBAGE)
        put(h, line, bytes, GREETING_SIZE + ready(line->port, bytes + GREETING_SIZE));
    else if (line->manner == CURVE_GARBAGE)
        put(h, line, bytes, GREETING_SIZE);
}

static void put_garbage(struct hostile *h, struct line *line)
{
    unsigned char bytes[MESSAGE_SIZE_MAX];
    size_t size = 1 + below(h, sizeof bytes);
    fill(h, bytes, size);
    if (line->manner == CURVE_GARBAGE) { /* a HELLO of the right size */
        size = 2 + 200;
        memcpy(bytes, "\4\xc8\5HELLO\1\0", 10);
    }
    put(h, line, bytes, size);
}

static void put_bad_frame(struct hostile *h, struct line *line)
{
    unsigned char bytes[300] = {2};
    fill(h, bytes + 9, sizeof bytes - 9);
    switch (below(h, 5)) {
    case 0: /* says that it is larger than anything */
        put_u64(bytes + 1, chance(h) >> below(h, 60));
        break;
    case 1: /* just over what may be */
        put_u64(bytes + 1, LARGE + 4096 + below(h, 3));
        break;
    case 2: /* one of several parts */
        memcpy(bytes, "\1\7", 2);
        break;
    case 3: /* a command, and none that there is */
        memcpy(bytes, below(h, 2) ? "\4\x20\4PING" : "\4\x20\6CANCEL", 8);
        break;
    default:
        fill(h, bytes, 9);
        break;
    }
    put(h, line, bytes, 9 + below(h, sizeof bytes - 9));
}

/* The most of a frame that is not too large, and then nothing more. */
static void put_half_a_frame(struct hostile *h, struct line *line)
{
    if (line->greeted++)
        return;
    memset(h->large, 0, 9);
    h->large[0] = 2;
    put_u64(h->large + 1, LARGE);
    put(h, line, h->large, LARGE * 3 / 4);
}

static void speak(struct hostile *h, struct line *line)
{
    struct message m;
    if (line->manner == SPEAKS)
        hear(h, line);
    if (below(h, LARGE_ONE_IN) == 0) {
        put_frame(h, line, h->large, compose_large(h, line));
        return;
    }
    compose(h, line, &m);
    put_frame(h, line, m.bytes, m.size);
}

static void turn(struct hostile *h, struct line *line)
{
    unsigned char bytes[GREETING_SIZE];
    if (line->left == 0) {
        open_line(h, line);
        return;
    }
    line->left--;
    switch (line->manner) {
    case SLOW_GREETING:
        greeting(bytes, "NULL");
        if (line->greeted < GREETING_SIZE - 1)
            put(h, line, bytes + line->greeted++, 1);
        break;
    case GARBAGE:
    case CURVE_GARBAGE:
        put_garbage(h, line);
        break;
    case BAD_FRAMES:
        put_bad_frame(h, line);
        break;
    case HALF_FRAME:
        put_half_a_frame(h, line);
        break;
    case SPEAKS:
    case DEAF:
        speak(h, line);
        break;
    case KEYED:
        zmq_send(line->keyed, "\2\1", 2, ZMQ_DONTWAIT);
        break;
    case SILENT:
        break;
    }
}

/* ---- the whole ---- */

static void nap_until(struct timespec *due)
{
    due->tv_nsec += SLICE_NS;
    if (due->tv_nsec >= 1000000000) {
        due->tv_nsec -= 1000000000;
        due->tv_sec++;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL);
}

static void attack(struct hostile *h, uint64_t messages, uint64_t a_second)
{
    struct timespec due;
    uint64_t slice = a_second * SLICE_NS / 1000000000;
    clock_gettime(CLOCK_MONOTONIC, &due);
    while (h->sent < messages && h->in_a_row < GONE_AFTER) {
        for (uint64_t from = h->sent, i = 0; h->sent - from < slice && i < 4 * slice; i++)
            turn(h, &h->lines[below(h, LINES)]);
        nap_until(&due);
    }
}

int main(int argc, char **argv)
{
    static struct hostile h;
    if (argc != 8 && argc != 10) {
        fprintf(stderr, "usage: hostile CORPUS CONTROL LANES RESULTS MESSAGES A_SECOND SEED "
                        "[SERVER.cert SINK.cert]\n");
        return 2;
    }
    load(&h, argv[1]);
    for (int i = 0; i < PORTS; i++)
        h.ports[i] = (uint16_t)atoi(argv[2 + i]);
    h.seed = strtoull(argv[7], NULL, 10);
    for (int i = 0; argc == 10 && i < 2; i++)
        h.certificates[i] = argv[8 + i];
    for (int i = 0; i < LINES; i++)
        h.lines[i].fd = -1;
    h.context = zmq_ctx_new();
    h.large = calloc(1, LARGE);
    printf("seed %" PRIu64 "\n", h.seed);
    attack(&h, strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
    printf("messages %" PRIu64 " connections %" PRIu64 " closed %" PRIu64 " not taken %" PRIu64
           " learned the job %s\n",
           h.sent, h.connections, h.closed, h.unsent, h.job ? "yes" : "no");
    for (int i = 0; i < LINES; i++)
        shut(&h.lines[i]);
    zmq_ctx_term(h.context);
    free(h.large);
    return h.in_a_row < GONE_AFTER ? 0 : 1;
}
