/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/fuzz/messages.h"
#include "tests/fuzz/steps.h"
#include "tests/unit/farm_check.h"

/* The ventilator's core under any sequence of events: peers that come, go and say anything, lanes,
 * an input, time that passes. After each turn its state must be consistent (farm_check.h), what it
 * sends can be read and goes to somebody who was there, and nobody gets more than its credit.
 *
 * The first octet has the options; then come the steps. Frames of any content are one of them; others
 * make a message of a session, so that the fuzzer need not guess its head. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PEERS = 4, LANES = 4, MEMBERS = 64, HELD = 6, INCARNATION = 1000, TASKS_MAX = 300 };
#define JOB UINT64_C(0x0101010101010101)

struct caller {
    uint64_t connection; /* the last one; 0: none */
    uint64_t job;        /* as it was told in WELCOME */
    uint64_t session;
};

struct lane {
    uint64_t number; /* 0: none */
    bool closed;     /* by the core */
    struct token token;
};

/* A session, by its number. */
struct member {
    struct credit granted;
    uint64_t got_tasks;
    uint64_t got_bytes;
    uint64_t piece_total;
    uint64_t in_turn; /* tasks that it got since the last event */
};

struct run {
    struct dispatcher *d;
    struct steps steps;
    uint64_t now_ns;
    uint64_t last_number; /* of connections and lanes */
    struct caller peers[PEERS];
    struct lane lanes[LANES];
    struct member members[MEMBERS];
    uint64_t deaf;            /* a connection: it is over at the next message to it; 0: none */
    struct block *held[HELD]; /* pieces that a lane has not taken */
    struct admitted admitted;
    bool has_keys;
    bool input_ended;
    bool gone;
};

static struct key key_of(const struct run *run, unsigned peer)
{
    struct key key = {{0}};
    if (run->has_keys)
        key.octets[0] = (uint8_t)(peer + 1);
    return key;
}

/* ---- what it does ---- */

/* The rule of credit (docs/protocol.md, 6): a session that has nothing takes a task of any size. */
static void check_credit(struct member *m, const struct task_run *run, uint64_t size_bytes)
{
    const struct credit *c = &m->granted;
    m->got_tasks++;
    m->got_bytes += size_bytes;
    bool fits = m->got_bytes <= c->size_bytes || m->in_turn == 0;
    assert((m->got_tasks <= c->tasks && fits) || (run->number > 1 && m->got_tasks <= c->reserve));
    m->in_turn++;
}

static void hear_tasks(struct member *m, struct bytes body)
{
    uint64_t batch;
    struct bytes runs;
    struct task_run run;
    enum error error = tasks_take(body, &batch, &runs);
    assert(!error && runs.size);
    while (runs.size) {
        error = task_run_take(&runs, &run);
        assert(!error && run.count && run.number && run.tries);
        for (uint64_t i = 0; i < run.count; i++) {
            struct bytes record = run.records;
            if (!(run.flags & TASK_PIECES)) {
                error = task_skip(&run.records, 1);
                assert(!error);
            }
            uint64_t size_bytes = run.flags & TASK_PIECES ? task_pieces_credit(m->piece_total)
                                                          : record.size - run.records.size;
            check_credit(m, &run, size_bytes);
        }
    }
}

static void hear_lane(struct run *run, struct block *block)
{
    struct frame_head head;
    struct bytes body;
    struct piece piece;
    enum error error = frame_take(block_bytes(block), &head, &body);
    assert(!error);
    struct member ignored = {0};
    struct member *m = head.session < MEMBERS ? &run->members[head.session] : &ignored;
    if (head.kind == KIND_TASKS && m != &ignored)
        hear_tasks(m, body);
    if (head.kind == KIND_PIECE && !piece_take(body, &piece))
        m->piece_total = piece.total;
}

static void hear_control(struct run *run, uint64_t connection, struct block *block)
{
    struct frame_head head;
    struct bytes body;
    assert(connection && connection <= run->last_number);
    enum error error = frame_take(block_bytes(block), &head, &body);
    assert(!error);
    for (size_t i = 0; i < PEERS; i++)
        if (head.kind == KIND_WELCOME && run->peers[i].connection == connection) {
            run->peers[i].job = head.job;
            run->peers[i].session = head.session;
        }
    if (connection != run->deaf)
        return;
    /* As the shell does when a peer reads nothing: in the middle of the actions. */
    dispatcher_control_closed(run->d, connection, run->now_ns);
    for (size_t i = 0; i < PEERS; i++)
        if (run->peers[i].connection == connection)
            run->peers[i].connection = 0;
    run->deaf = 0;
}

/* It was opened, and the core has not closed it. */
static struct lane *lane_of(struct run *run, uint64_t number)
{
    assert(number && number <= run->last_number);
    for (size_t i = 0; i < LANES; i++)
        if (run->lanes[i].number == number) {
            assert(!run->lanes[i].closed);
            return &run->lanes[i];
        }
    return NULL; /* another has its place by now */
}

/* A lane takes its time with pieces. */
static void hold(struct run *run, struct block **block)
{
    block_release(&run->held[HELD - 1]);
    memmove(run->held + 1, run->held, (HELD - 1) * sizeof *run->held);
    run->held[0] = *block;
}

static void let_go(struct run *run)
{
    for (size_t i = 0; i < HELD; i++)
        block_release(&run->held[i]);
}

static void act(struct run *run, struct dispatcher_action *action)
{
    if (action->block)
        assert(message_is_sound(block_bytes(action->block)));
    switch (action->kind) {
    case DISPATCHER_SEND_CONTROL:
        hear_control(run, action->connection, action->block);
        break;
    case DISPATCHER_SEND_LANE:
        lane_of(run, action->lane);
        hear_lane(run, action->block);
        if (block_bytes(action->block).data[0] == KIND_PIECE) {
            hold(run, &action->block);
            return;
        }
        break;
    case DISPATCHER_CLAIM_LANE:
        lane_of(run, action->lane);
        break;
    case DISPATCHER_CLOSE_LANE: {
        struct lane *lane = lane_of(run, action->lane);
        if (lane)
            lane->closed = true;
        break;
    }
    case DISPATCHER_CUT_CONTROL:
        assert(run->has_keys && action->connection && action->connection <= run->last_number);
        break;
    case DISPATCHER_SAY:
        assert(action->why.text[0]);
        break;
    case DISPATCHER_EXIT:
        assert(!run->gone);
        run->gone = true;
        break;
    }
    block_release(&action->block);
}

static void turn(struct run *run)
{
    struct dispatcher_action action;
    dispatcher_turn(run->d, run->now_ns);
    while (dispatcher_next_action(run->d, &action))
        act(run, &action);
    farm_check_dispatcher(run->d);
    assert(run->gone || dispatcher_deadline(run->d) > run->now_ns);
}

/* ---- what happens ---- */

static unsigned next_peer(struct run *run)
{
    return next_octet(&run->steps) % PEERS;
}

static void connect_peer(struct run *run, unsigned i)
{
    struct caller *p = &run->peers[i];
    if (p->connection)
        dispatcher_control_closed(run->d, p->connection, run->now_ns);
    p->connection = ++run->last_number;
}

static void close_peer(struct run *run)
{
    struct caller *p = &run->peers[next_peer(run)];
    if (p->connection)
        dispatcher_control_closed(run->d, p->connection, run->now_ns);
    p->connection = 0;
}

static void close_lane(struct run *run)
{
    struct lane *lane = &run->lanes[next_octet(&run->steps) % LANES];
    if (lane->number && !lane->closed)
        dispatcher_lane_closed(run->d, lane->number, run->now_ns);
    lane->number = 0;
}

static void open_lane(struct run *run)
{
    unsigned i = next_octet(&run->steps);
    struct lane *lane = &run->lanes[i % LANES];
    if (lane->number && !lane->closed)
        dispatcher_lane_closed(run->d, lane->number, run->now_ns);
    *lane = (struct lane){.number = ++run->last_number};
    memcpy(lane->token.octets, &lane->number, sizeof lane->number);
    struct key key = key_of(run, i / LANES % PEERS);
    dispatcher_lane_opened(run->d, lane->number, lane->token, &key, run->now_ns);
}

/* What was granted, by what the peer says and not by what the core has made of it. */
static void note_credit(struct run *run, struct bytes message)
{
    struct frame_head head;
    struct bytes body;
    struct credit m;
    if (frame_take(message, &head, &body) || head.kind != KIND_CREDIT || head.session >= MEMBERS ||
        credit_take(body, &m))
        return;
    struct credit *g = &run->members[head.session].granted;
    g->tasks = m.tasks > g->tasks ? m.tasks : g->tasks;
    g->size_bytes = m.size_bytes > g->size_bytes ? m.size_bytes : g->size_bytes;
    g->reserve = m.reserve > g->reserve ? m.reserve : g->reserve;
}

static void deliver(struct run *run, unsigned i, struct bytes message)
{
    if (!run->peers[i].connection)
        connect_peer(run, i);
    struct key key = key_of(run, i);
    /* A key that is not admitted at all does not get as far as here. */
    if (run->has_keys && !admitted_roles(&run->admitted, &key))
        return;
    struct origin from = {run->peers[i].connection, i & 1 ? "127.0.0.1" : "", key};
    note_credit(run, message);
    dispatcher_control_message(run->d, &from, message, run->now_ns);
}

static struct buf begin(const struct run *run, unsigned i, enum wire_kind kind)
{
    const struct caller *p = &run->peers[i];
    struct buf m = {0};
    wire_begin(&m, kind, (struct frame_head){kind, p->job, INCARNATION, p->session});
    return m;
}

static void send(struct run *run, unsigned i, struct buf *message)
{
    deliver(run, i, buf_bytes(message));
    buf_free(message);
}

/* A body of any content, in the peer's session. */
static void say(struct run *run)
{
    unsigned i = next_peer(run), kind = next_octet(&run->steps);
    struct bytes body = next_octets(&run->steps, next_octet(&run->steps));
    struct buf m = begin(run, i, (enum wire_kind)kind);
    buf_put_bytes(&m, body);
    send(run, i, &m);
}

static void join_as_worker(struct run *run)
{
    unsigned i = next_peer(run), bits = next_octet(&run->steps);
    struct worker_join m = {.peer = {.instance = bits & 7, .name = bytes_of("w")},
                            .slots = bits >> 3 & 3,
                            .flags = bits >> 5 & 1};
    struct seqset running = {0};
    next_set(&run->steps, &running);
    next_set(&run->steps, &m.kept);
    uint64_t incarnation = INCARNATION - (bits >> 6 & 1);
    for (size_t r = 0; r < running.count; r++)
        for (uint64_t seq = running.ranges[r].first; seq <= running.ranges[r].last; seq++)
            attempt_list_add(&m.running, seq, (struct attempt){incarnation, 1});
    struct buf to = {0};
    const struct caller *p = &run->peers[i];
    wire_begin(&to, KIND_JOIN,
               (struct frame_head){KIND_JOIN, bits >> 7 ? 0 : JOB, incarnation, p->session});
    worker_join_put(&to, &m);
    send(run, i, &to);
    seqset_free(&running);
    worker_join_free(&m);
}

static void join_as_sink(struct run *run)
{
    static const char *const places[] = {"tcp://:5558", "tcp://*:1", "ipc:///s", "5558"};
    unsigned i = next_peer(run), bits = next_octet(&run->steps), more = next_octet(&run->steps);
    struct sink_join m = {.peer = {.instance = 1 + (bits >> 3 & 3)},
                          .flags = bits & 7,
                          .total = more & 15,
                          .results = bytes_of(places[more >> 4 & 3]),
                          .incarnation_max = more >> 6 ? INCARNATION - 1 : 0,
                          .opening = bits >> 5 & 3,
                          .wants = more & 15};
    next_set(&run->steps, &m.stored);
    struct buf to = {0};
    wire_begin(&to, KIND_JOIN,
               (struct frame_head){KIND_JOIN, bits >> 7 ? JOB + 1 : JOB, 0, run->peers[i].session});
    sink_join_put(&to, &m);
    send(run, i, &to);
    sink_join_free(&m);
}

static void claim(struct run *run)
{
    unsigned i = next_peer(run);
    struct buf m = begin(run, i, KIND_CLAIM);
    token_put(&m, &run->lanes[next_octet(&run->steps) % LANES].token);
    send(run, i, &m);
}

/* On top of what the session got. */
static void grant(struct run *run)
{
    unsigned i = next_peer(run);
    uint64_t id = run->peers[i].session;
    struct member none = {0}, *member = id < MEMBERS ? &run->members[id] : &none;
    unsigned tasks = next_octet(&run->steps);
    struct credit credit = {.tasks = member->got_tasks + (tasks & 31),
                            .reserve = member->got_tasks + (tasks >> 5)};
    credit.size_bytes = member->got_bytes + 4 * next_octet(&run->steps);
    struct buf m = begin(run, i, KIND_CREDIT);
    credit_put(&m, &credit);
    send(run, i, &m);
}

static void report(struct run *run)
{
    unsigned i = next_peer(run), bits = next_octet(&run->steps);
    struct seqset set = {0};
    next_set(&run->steps, &set);
    struct buf m = {0};
    if (bits & 1) {
        m = begin(run, i, KIND_FINISHED);
        finished_put(&m, &(struct finished){set, bits >> 4});
    } else if (bits & 2) {
        m = begin(run, i, KIND_RETURNED);
        returned_put(&m, &(struct returned){set, (enum returned_reason)(bits >> 4 & 3)});
    } else if (bits & 4) {
        m = begin(run, i, KIND_HEARTBEAT);
        heartbeat_put(&m, &(struct heartbeat){.clock_ns = run->now_ns, .running = set});
    } else {
        struct running_attempt failed = {1 + next_octet(&run->steps),
                                         {INCARNATION, 1 + (bits >> 4)}};
        m = begin(run, i, KIND_FAILED);
        attempt_list_put(&m, &(struct attempt_list){&failed, 1, 1});
    }
    send(run, i, &m);
    seqset_free(&set);
}

static void note_stored(struct run *run)
{
    unsigned i = next_peer(run), bits = next_octet(&run->steps);
    struct gap gap = {bits >> 4, 1};
    struct stored_note note = {.epoch = bits & 3, .flags = bits >> 2 & 7, .gaps = &gap};
    note.gap_count = bits >> 7;
    next_set(&run->steps, &note.tasks);
    struct buf m = begin(run, i, KIND_STORED);
    stored_note_put(&m, &note);
    send(run, i, &m);
    seqset_free(&note.tasks);
}

/* ---- the input ---- */

/* A task's bytes are made of its number: large for one of eight. */
static void put_task(struct buf *to, uint64_t seq)
{
    uint8_t line[100] = {(uint8_t)seq, (uint8_t)(seq >> 8)};
    task_put_line(to, (struct bytes){line, seq % 8 == 7 ? 100 : 2});
}

static void tell_hashes(struct run *run)
{
    unsigned i = next_peer(run), bits = next_octet(&run->steps);
    struct seqset set = {0};
    struct hashed_task items[8];
    struct hashes m = {.from = bits & 63, .items = items, .last = bits >> 7};
    next_set(&run->steps, &set);
    for (size_t r = 0; r < set.count; r++)
        for (uint64_t seq = set.ranges[r].first; seq <= set.ranges[r].last; seq++) {
            struct buf record = {0};
            struct task task = {0};
            put_task(&record, seq);
            struct bytes records = buf_bytes(&record);
            enum error error = task_take(&records, &task);
            assert(!error);
            items[m.count++] = (struct hashed_task){seq, task_hash(task)};
            buf_free(&record);
        }
    struct buf to = begin(run, i, KIND_HASHES);
    hashes_put(&to, &m);
    send(run, i, &to);
    seqset_free(&set);
}

static void take_input(struct run *run)
{
    unsigned bits = next_octet(&run->steps);
    size_t tasks_max, bytes_max, tasks = 0;
    uint64_t next = dispatcher_counts(run->d).read + 1;
    if (!dispatcher_wants_tasks(run->d, &tasks_max, &bytes_max))
        return;
    assert(!run->input_ended && tasks_max);
    struct buf *room = dispatcher_room(run->d);
    size_t begin = room->size, wanted = bits & 15 ? bits & 15 : 1;
    if (bits >> 6 == 3 || next > TASKS_MAX) {
        run->input_ended = true;
        dispatcher_input_ended(run->d, run->now_ns);
    } else if (bits >> 4 == 5) {
        dispatcher_add_too_large(run->d, run->now_ns);
    } else if (bits == 0xa0) {
        run->input_ended = true;
        dispatcher_input_failed(run->d, "it cannot be read", run->now_ns);
    } else {
        while (tasks < tasks_max && tasks < wanted) {
            bool is_large = (next + tasks) % 8 == 7;
            if (tasks && (is_large || room->size - begin + 3 > bytes_max))
                break;
            put_task(room, next + tasks++);
            if (is_large)
                break;
        }
        dispatcher_add_tasks(run->d, tasks, run->now_ns);
    }
}

/* ---- the shell ---- */

static void admit(struct run *run)
{
    unsigned bits = next_octet(&run->steps);
    if (!run->has_keys)
        return;
    admitted_free(&run->admitted);
    for (unsigned i = 0; i < PEERS; i++, bits >>= 2) {
        struct key key = key_of(run, i);
        if (bits & 3)
            admitted_add(&run->admitted, &key, bits & 3);
    }
    dispatcher_admitted_changed(run->d, run->now_ns);
}

static void do_step(struct run *run, unsigned kind)
{
    static const uint8_t leaps_ms[] = {1, 10, 21, 100, 200, 250};
    struct why why;
    unsigned number;
    switch (kind) {
    case 0:
        connect_peer(run, next_peer(run));
        break;
    case 1:
        close_peer(run);
        break;
    case 2:
        open_lane(run);
        break;
    case 3:
        close_lane(run);
        break;
    case 4:
        number = next_peer(run);
        deliver(run, number, next_frame(&run->steps));
        break;
    case 5:
        say(run);
        break;
    case 6:
        join_as_worker(run);
        break;
    case 7:
        join_as_sink(run);
        break;
    case 8:
        claim(run);
        break;
    case 9:
        grant(run);
        break;
    case 10:
        report(run);
        break;
    case 11:
        note_stored(run);
        break;
    case 12:
        tell_hashes(run);
        break;
    case 13:
        take_input(run);
        break;
    case 14:
        number = next_octet(&run->steps);
        run->now_ns += leaps_ms[number % sizeof leaps_ms] * (1 + number / 16) * NS_PER_MS;
        break;
    case 15:
        admit(run);
        break;
    case 16:
        dispatcher_stop(run->d, "told to", run->now_ns);
        break;
    case 17:
        let_go(run);
        break;
    case 18:
        run->deaf = run->peers[next_peer(run)].connection;
        break;
    default:
        dispatcher_waits_for(run->d, run->now_ns, &why);
    }
}

/* Most steps end in a turn; the top bit says that the next event comes in the same one. */
static void step(struct run *run)
{
    unsigned octet = next_octet(&run->steps);
    do_step(run, (octet & 0x7f) % 20);
    if (!(octet & 0x80))
        turn(run);
    for (size_t i = 0; i < MEMBERS; i++)
        run->members[i].in_turn = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const lanes = "5557";
    struct run run = {.steps = {data, data + size}, .now_ns = 3600 * NS_PER_S};
    unsigned bits = next_octet(&run.steps);
    run.has_keys = bits & 1;
    struct dispatcher_options options = {.incarnation = INCARNATION,
                                         .retries = 1 + (bits >> 1 & 1),
                                         .retry_delay_ns = bits & 4 ? 300 * NS_PER_MS : 0,
                                         .hedge = bits & 8,
                                         .random_seed = 1,
                                         .queue_max_bytes = bits & 16 ? 100 : 1 << 16,
                                         .task_inline_max = 64,
                                         .task_piece_max = 32,
                                         .heartbeat_ns = 500 * NS_PER_MS,
                                         .limit_ns = 3 * NS_PER_S,
                                         .give_up_ns = 60 * NS_PER_S,
                                         .workers_max = bits & 32 ? 2 : 1000,
                                         .lanes = lanes,
                                         .endpoint = "tcp://127.0.0.1:5556",
                                         .input = "standard input",
                                         .total = bits & 64 ? 20 : 0,
                                         .is_first = bits >> 7,
                                         .admitted = run.has_keys ? &run.admitted : NULL};
    for (unsigned i = 0; run.has_keys && i < PEERS; i++) {
        struct key key = key_of(&run, i);
        admitted_add(&run.admitted, &key, i ? KEY_WORKER : KEY_SINK);
    }
    run.d = dispatcher_new(&options, run.now_ns);
    while (run.steps.at < run.steps.end && !run.gone)
        step(&run);
    if (!run.gone)
        turn(&run);
    dispatcher_destroy(&run.d);
    let_go(&run);
    admitted_free(&run.admitted);
    return 0;
}
