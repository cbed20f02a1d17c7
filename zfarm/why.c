/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/why.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "common/sys/beacon.h"
#include "common/cli/cli.h"
#include "common/base/clock.h"
#include "common/net/connection.h"
#include "common/net/far.h"
#include "common/net/keys.h"
#include "common/base/log.h"
#include "common/base/shown.h"
#include "common/wire/wire.h"

/* All that are asked together have so long to answer. */
#define ANSWER_NS (3 * NS_PER_S)
enum {
    ASKED_AT_ONCE = POLLER_MAX / 2, /* two descriptors each */
    DESCRIPTORS_WANTED = 256,
    COMMAND_SHOWN = 100 /* bytes of a command line */
};

/* A ventilator that is asked. */
struct asked {
    const struct beacon *at;
    const struct connection_keys *keys; /* NULL: none */
    struct connection control;
    bool answered;
    bool over; /* it has answered, or cannot */
    struct why why;
    struct buf text; /* the answer, as it is printed */
};

/* ---- text ---- */

/* "tasks 1-3, 7 and 12 more (16): " */
static void put_tasks(struct buf *to, const struct because_item *item)
{
    uint64_t count = item->tasks.members + item->more;
    for (size_t i = 0; i < item->tasks.count; i++) {
        struct range r = item->tasks.ranges[i];
        buf_printf(to, "%s%" PRIu64, i ? ", " : count == 1 ? "task " : "tasks ", r.first);
        if (r.last > r.first)
            buf_printf(to, "-%" PRIu64, r.last);
    }
    if (item->more)
        buf_printf(to, " and %" PRIu64 " more", item->more);
    if (count > 1)
        buf_printf(to, " (%" PRIu64 ")", count);
    if (count)
        buf_put_text(to, ": ");
}

static void put_answer(struct buf *to, const struct because *m)
{
    for (size_t i = 0; i < m->count; i++) {
        buf_put_text(to, "  ");
        put_tasks(to, &m->items[i]);
        shown_put(to, m->items[i].sentence);
        buf_put_byte(to, '\n');
    }
}

/* What was called, with blanks between its words. */
static void put_command(struct buf *to, pid_t pid)
{
    char path[32];
    uint8_t words[COMMAND_SHOWN];
    snprintf(path, sizeof path, "/proc/%ld/cmdline", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, words, sizeof words) : 0;
    if (fd >= 0)
        close(fd);
    bool cut = size == sizeof words;
    while (size > 0 && words[size - 1] == '\0')
        size--;
    for (ssize_t i = 0; i < size; i++)
        if (words[i] == '\0')
            words[i] = ' ';
    if (size > 0)
        shown_put(to, (struct bytes){words, (size_t)size});
    buf_put_text(to, cut ? "..." : "");
}

static void why_put_head(struct buf *to, const struct beacon *at)
{
    pid_t pid = at->parent ? at->parent : at->pid;
    if (pid) {
        put_command(to, pid);
        buf_printf(to, " (process %ld, at %s):\n", (long)pid, at->endpoint);
    } else {
        buf_printf(to, "the ventilator at %s:\n", at->endpoint);
    }
}

/* ---- asking ---- */

static void why_ask(struct asked *a)
{
    struct buf message = {0};
    wire_begin(&message, KIND_WHY, (struct frame_head){0});
    struct block *block = block_new(&message);
    connection_send(&a->control, &block);
}

static void why_take_answer(struct asked *a, struct bytes message)
{
    struct frame_head head;
    struct bytes body;
    struct because because = {0};
    struct refuse refuse;
    enum error error = frame_take(message, &head, &body);
    if ((error == ERR_VERSION || !error) && head.kind == KIND_REFUSE) {
        fail(&a->why, ERR_VERSION, "the ventilator at %s is of another release of zfarm",
             a->at->endpoint);
        if (!error && !refuse_take(body, &refuse))
            fail(&a->why, ERR_VERSION, "%.*s", (int)refuse.sentence.size,
                 (const char *)refuse.sentence.data);
        a->over = true;
    } else if (!error && head.kind == KIND_BECAUSE && !because_take(body, &because)) {
        put_answer(&a->text, &because);
        a->answered = a->over = true;
    }
    because_free(&because);
}

static void why_turn(struct asked *a)
{
    enum connection_event event = connection_turn(&a->control);
    if (event == CONNECTION_UP)
        why_ask(a);
    struct block *message;
    while ((message = connection_receive(&a->control))) {
        why_take_answer(a, block_bytes(message));
        block_release(&message);
    }
    connection_flush(&a->control);
    if (event == CONNECTION_DOWN && !a->over) {
        char named[ENDPOINT_TEXT_SIZE + 32];
        snprintf(named, sizeof named, "the ventilator at %s", a->at->endpoint);
        if (!connection_refused(&a->control, named, a->keys, &a->why))
            fail(&a->why, ERR_CLOSED, "there is no ventilator at %s", a->at->endpoint);
        a->over = true;
    }
}

static void why_begin(struct asked *a, const struct beacon *at, const struct connection_keys *keys)
{
    *a = (struct asked){.at = at, .keys = keys};
    a->over =
        connection_open(&a->control, NET_CONTROL_CLIENT, at->endpoint, keys, &a->why) != ERR_NONE;
}

/* Asks them all and waits until each has answered or the time is over. */
static void converse(struct asked *all, size_t count)
{
    uint64_t due_ns = clock_now_ns() + ANSWER_NS;
    for (bool waits = true; waits && clock_now_ns() < due_ns;) {
        struct poller poller = {0};
        waits = false;
        for (size_t i = 0; i < count; i++) {
            if (all[i].over)
                continue;
            why_turn(&all[i]);
            connection_poll(&all[i].control, &poller);
            waits |= !all[i].over;
        }
        if (waits)
            poller_wait(&poller, due_ns);
    }
}

/* Prints what it said; returns the exit status. */
static int why_finish(struct asked *a)
{
    bool told = a->control.told_up;
    connection_close(&a->control, 0);
    if (a->answered) {
        struct buf head = {0};
        why_put_head(&head, a->at);
        bool written = fwrite(head.data, 1, head.size, stdout) == head.size &&
                       fwrite(a->text.data, 1, a->text.size, stdout) == a->text.size;
        buf_free(&head);
        buf_free(&a->text);
        return written ? 0 : 255;
    }
    if (!a->over)
        fail(&a->why, ERR_CLOSED, "the ventilator at %s does not %s within %d s; is it %s?",
             a->at->endpoint, told ? "answer" : "let itself be reached",
             (int)(ANSWER_NS / NS_PER_S),
             told ? "stopped, or of an older release" : "stopped, or behind a firewall");
    log_line("%s", a->why.text);
    return 255;
}

static int ask_all(const struct beacon *items, size_t count, const struct connection_keys *keys)
{
    int status = 0;
    net_start(DESCRIPTORS_WANTED);
    for (size_t at = 0; at < count; at += ASKED_AT_ONCE) {
        struct asked all[ASKED_AT_ONCE];
        size_t some = count - at < ASKED_AT_ONCE ? count - at : ASKED_AT_ONCE;
        for (size_t i = 0; i < some; i++)
            why_begin(&all[i], &items[at + i], keys);
        converse(all, some);
        for (size_t i = 0; i < some; i++) {
            if (at + i && printf("\n") < 0)
                status = 255;
            int one = why_finish(&all[i]);
            status = one ? one : status;
        }
    }
    if (fflush(stdout))
        status = 255;
    net_end(NET_END_LIMIT_MS, status);
    return status;
}

static int ask_one(const struct farm_options *o, struct far_means means,
                   const struct connection_keys *keys)
{
    struct beacon beacon = {0};
    struct endpoint endpoint;
    struct why why;
    enum error error = endpoint_parse(o->connect, ENDPOINT_CONNECT, &endpoint, &why);
    error = error ? error : far_allowed(o->connect, means, &why);
    if (error) {
        log_line("%s", why.text);
        return 255;
    }
    endpoint_format(&endpoint, beacon.endpoint);
    return ask_all(&beacon, 1, keys);
}

static int why_run(const struct farm_options *options, const struct options *given)
{
    struct beacons found = {0};
    int status = 1;
    struct why why;
    struct far_means means;
    struct keys keys;
    struct connection_keys with = {&keys.own, &keys.ventilator};
    if (given->word_count) {
        log_line("why takes no word (here: %s); see zfarm why --help", given->words[0]);
        return 255;
    }
    if (far_take(&means, options->keys, options->insecure, &why) ||
        (options->keys && keys_load(&keys, options->keys, NULL, &why))) {
        log_line("%s", why.text);
        return 255;
    }
    if (options->connect)
        return ask_one(options, means, options->keys ? &with : NULL);
    beacons_find(&found);
    if (found.count)
        status = ask_all(found.items, found.count, options->keys ? &with : NULL);
    else
        log_line("you have no farm on this machine; ask another one with: zfarm why --connect "
                 "tcp://HOST:PORT");
    beacons_free(&found);
    return status;
}

int why_main(int argc, char **argv)
{
    return cli_main(FARM_WHY, argc, argv, why_run);
}
