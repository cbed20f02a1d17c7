/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/protests.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/session_end.h"

/* Peers that err (docs/protocol.md, 15): a worker may be of another make. What makes no sense is dropped; its
 * sender is told by PROTEST, users by a few lines a minute, and zfarm why counts. */

enum {
    PROTESTS_AT_ONCE = 10, /* to one peer; then one a second */
    ASTRAY_MAX =
        10 /* messages in a row of another session than the connection's; then it is refused */
};

static void send_protest(struct dispatcher *d, uint64_t connection, uint64_t session,
                         const struct protest *m)
{
    struct buf to = {0};
    wire_begin(&to, KIND_PROTEST, dispatcher_head(d, KIND_PROTEST, session));
    protest_put(&to, m);
    dispatcher_send(d, connection, &to);
}

static bool may_say(struct dispatcher *d)
{
    return throttle_line(&d->protests.lines, SENSELESS_LINES_A_MINUTE, d->turned_at_ns);
}

/* A word of docs/protocol.md, or the number. */
static struct whereabouts kind_words(uint64_t kind)
{
    struct whereabouts words;
    const char *name = kind < 256 ? wire_kind_name((unsigned)kind) : "?";
    if (name[0] == '?')
        snprintf(words.text, sizeof words.text, "kind %llu", (unsigned long long)kind);
    else
        snprintf(words.text, sizeof words.text, "%s", name);
    return words;
}

/* `m` is about the session's message; it is passed on to its worker. */
static void protest_to_worker(struct dispatcher *d, struct session *s, const struct protest *m)
{
    char more[THROTTLE_WORDS_SIZE];
    struct whereabouts kind = kind_words(m->kind);
    s->errors.count++;
    snprintf(s->errors.last, sizeof s->errors.last, "%s, octet %llu: %.*s", kind.text,
             (unsigned long long)m->offset, (int)(m->sentence.size < 200 ? m->sentence.size : 200),
             m->sentence.size ? (const char *)m->sentence.data : "");
    if (s->connection &&
        throttle_take(&s->errors.protests, PROTESTS_AT_ONCE, NS_PER_S, d->turned_at_ns))
        send_protest(d, s->connection, s->id, m);
    if (may_say(d))
        dispatcher_say(d, "a message of worker %s makes no sense and is dropped (%s)%s",
                       session_whereabouts(s).text, s->errors.last,
                       throttle_words(&d->protests.lines, more));
}

void protests_worker(struct dispatcher *d, struct session *s, unsigned kind, size_t offset,
                     enum error error)
{
    d->protests.dropped++;
    struct protest m = {0, kind, offset, bytes_of(error_sentence(error))};
    protest_to_worker(d, s, &m);
}

/* The sink is told too: it has a store, perhaps, in which that can be seen for ever. */
static void tell_sink_strange(struct dispatcher *d, const struct seqset *tasks)
{
    struct released m = {*tasks};
    struct buf to = {0};
    wire_begin(&to, KIND_STRANGE, dispatcher_head(d, KIND_STRANGE, d->sink.session));
    released_put(&to, &m);
    dispatcher_send(d, d->sink.connection, &to);
}

void protests_strange(struct dispatcher *d, struct session *s, const struct seqset *tasks)
{
    char sentence[100], more[THROTTLE_WORDS_SIZE];
    unsigned long long count = tasks->members, first = seqset_min(tasks);
    if (!d->protests.strange.tasks)
        d->protests.strange =
            (struct strangeness){.first = first, .worker = session_whereabouts(s)};
    d->protests.strange.tasks += count;
    snprintf(sentence, sizeof sentence,
             "results of tasks that this session was never handed, first of task %llu", first);
    struct protest m = {0, KIND_RESULTS, FRAME_HEAD_SIZE, bytes_of(sentence)};
    if (s->connection &&
        throttle_take(&s->errors.protests, PROTESTS_AT_ONCE, NS_PER_S, d->turned_at_ns))
        send_protest(d, s->connection, s->id, &m);
    tell_sink_strange(d, tasks);
    if (may_say(d))
        dispatcher_say(
            d,
            "worker %s has sent results of tasks that it was never handed, and the sink has taken "
            "them: %llu, first of task %llu; --strict-results takes none%s",
            session_whereabouts(s).text, count, first, throttle_words(&d->protests.lines, more));
}

void protests_sink(struct dispatcher *d, unsigned kind, size_t offset, enum error error)
{
    char more[THROTTLE_WORDS_SIZE];
    d->protests.dropped++;
    struct protest m = {0, kind, offset, bytes_of(error_sentence(error))};
    if (throttle_take(&d->sink.protests, PROTESTS_AT_ONCE, NS_PER_S, d->turned_at_ns))
        send_protest(d, d->sink.connection, d->sink.session, &m);
    if (may_say(d))
        dispatcher_say(d, "a message of the sink makes no sense and is dropped (%s: %s)%s",
                       kind_words(kind).text, error_sentence(error),
                       throttle_words(&d->protests.lines, more));
}

void protests_frame(struct dispatcher *d, uint64_t connection, struct bytes message,
                    enum error error)
{
    unsigned kind = message.size ? message.data[0] : 0;
    size_t offset = error == ERR_KIND ? 0 : error == ERR_VERSION ? 1 : message.size;
    struct session *s = index_get(&d->sessions.by_connection, connection);
    if (s)
        protests_worker(d, s, kind, offset, error);
    else if (connection == d->sink.connection)
        protests_sink(d, kind, offset, error);
    else
        d->protests.dropped++;
}

void protests_from_sink(struct dispatcher *d, struct bytes body)
{
    char more[THROTTLE_WORDS_SIZE];
    struct protest m;
    enum error error = protest_take(body, &m);
    if (error) {
        protests_sink(d, KIND_PROTEST, FRAME_HEAD_SIZE, error);
        return;
    }
    struct session *s = index_get(&d->sessions.by_id, m.session);
    m.session = 0;
    if (s)
        protest_to_worker(d, s, &m);
    else if (may_say(d))
        dispatcher_say(
            d,
            "results that make no sense came to the sink, from nobody who is known; they are "
            "dropped (%s)%s",
            kind_words(m.kind).text, throttle_words(&d->protests.lines, more));
}

void protests_from_worker(struct dispatcher *d, struct session *s, struct bytes body)
{
    char more[THROTTLE_WORDS_SIZE];
    struct protest m;
    enum error error = protest_take(body, &m);
    if (error)
        protests_worker(d, s, KIND_PROTEST, FRAME_HEAD_SIZE, error);
    else if (may_say(d))
        dispatcher_say(
            d, "a message of this ventilator makes no sense to worker %s (%s, octet %llu: %.*s)%s",
            session_whereabouts(s).text, kind_words(m.kind).text, (unsigned long long)m.offset,
            (int)(m.sentence.size < 200 ? m.sentence.size : 200),
            m.sentence.size ? (const char *)m.sentence.data : "",
            throttle_words(&d->protests.lines, more));
}

void protests_join(struct dispatcher *d, const struct origin *from, enum error error)
{
    char sentence[200], more[THROTTLE_WORDS_SIZE];
    d->protests.dropped++;
    snprintf(sentence, sizeof sentence, "its JOIN makes no sense: %s", error_sentence(error));
    dispatcher_refuse(d, from->connection, REFUSE_SENSELESS, sentence);
    if (may_say(d))
        dispatcher_say(d, "refused a peer%s%s: %s%s", from->address[0] ? " from " : "",
                       from->address, sentence, throttle_words(&d->protests.lines, more));
}

/* ---- messages of another session ---- */

static struct again again_of(const struct dispatcher *d, struct frame_head head)
{
    if (head.job && head.job != d->job)
        return (struct again){head.session, AGAIN_OTHER_JOB,
                              bytes_of("the message is of another job: join again")};
    if (head.incarnation != d->options.incarnation)
        return (struct again){
            head.session, AGAIN_OTHER_INCARNATION,
            bytes_of("the message is of another incarnation of the ventilator: join again")};
    return (struct again){head.session, AGAIN_UNKNOWN_SESSION,
                          bytes_of("the session is not known, or over: join again")};
}

/* A connection whose JOIN was answered goes on with the head that WELCOME has. Who never does, whatever
 * it is told, would go on for ever. Returns whether it is refused. */
static bool refuse_astray(struct dispatcher *d, uint64_t connection, const struct again *m)
{
    char sentence[200], more[THROTTLE_WORDS_SIZE];
    struct session *s = index_get(&d->sessions.by_connection, connection);
    unsigned *astray = s                                  ? &s->errors.astray
                       : connection == d->sink.connection ? &d->sink.astray
                                                          : NULL;
    if (!astray || ++*astray < ASTRAY_MAX)
        return false;
    snprintf(sentence, sizeof sentence,
             "it was told again and again to join again, and does not use what WELCOME says: %.*s",
             (int)m->sentence.size, (const char *)m->sentence.data);
    dispatcher_refuse(d, connection, REFUSE_SENSELESS, sentence);
    if (may_say(d))
        dispatcher_say(d, "refused %s %s: %s%s", s ? "worker" : "the",
                       s ? session_whereabouts(s).text : "sink", sentence,
                       throttle_words(&d->protests.lines, more));
    *astray = 0;
    if (s)
        session_end(d, s, false, d->turned_at_ns);
    return true;
}

void protests_astray(struct dispatcher *d, uint64_t connection, struct frame_head head)
{
    struct again m = again_of(d, head);
    d->protests.dropped++;
    if (head.kind != KIND_BYE && !d->end.exited && !refuse_astray(d, connection, &m))
        dispatcher_again(d, connection, &m);
}
