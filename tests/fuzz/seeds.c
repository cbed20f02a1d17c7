/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/wire/wire.h"

/* Writes what the fuzzers start from into a directory (tests/fuzz/corpus, where the files are
 * kept): a message of each kind, some records, and the course of a job for each of the cores. To be run
 * again when the protocol changes. What is text was written by hand. */

static const struct frame_head head = {
    .job = UINT64_C(0x0101010101010101), .incarnation = 1000, .session = 9};

static void save(const char *directory, const char *target, const char *name, struct buf *content)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, target);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", directory, target, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    assert(fd >= 0 && write(fd, content->data, content->size) == (ssize_t)content->size);
    close(fd);
    buf_free(content);
}

static struct buf message(enum wire_kind kind, const struct layout *layout, const void *m)
{
    struct buf content = {0};
    wire_begin(&content, kind, head);
    layout_put(&content, layout, m);
    return content;
}

#define SAVE(kind, name, ...)                                                                      \
    do {                                                                                           \
        const struct name m = __VA_ARGS__;                                                         \
        struct buf content = message(kind, &name##_layout, &m);                                    \
        save(directory, "wire", #name, &content);                                                  \
    } while (0)

static void put_results(struct buf *to)
{
    struct buf task = {0}, records = {0};
    task_put_line(&task, bytes_of("a"));
    struct result full = {.final = true,
                          .status = RESULT_EXITED,
                          .code = 3,
                          .start_us = 1,
                          .duration_ns = 2,
                          .out = bytes_of("out"),
                          .err = bytes_of("err"),
                          .task = buf_bytes(&task),
                          .command = bytes_of("c a"),
                          .has_hash = true};
    struct result ok = {.final = true, .out = bytes_of("1")};
    struct result history = {.status = RESULT_SIGNALED, .code = 9, .cut = true, .cut_pid = 1234};
    result_put(&records, &full);
    result_put(&records, &ok);
    result_put(&records, &history);
    results_begin(to, &(struct results_head){1, 1, bytes_of("w")});
    result_run_put(to, &(struct result_run){1, 3, {1000, 1}, 1, buf_bytes(&records)});
    buf_free(&task);
    buf_free(&records);
}

static struct buf results_message(void)
{
    struct buf content = {0};
    wire_begin(&content, KIND_RESULTS, head);
    put_results(&content);
    return content;
}

static struct buf task_records(void)
{
    struct bytes args[] = {bytes_of("a"), bytes_of("b")};
    struct buf records = {0};
    task_put_line(&records, bytes_of("line"));
    task_put_args(&records, args, 2);
    return records;
}

static void save_batches(const char *directory)
{
    struct buf tasks = {0}, records = task_records(), results = results_message();
    wire_begin(&tasks, KIND_TASKS, head);
    tasks_begin(&tasks, 1);
    task_run_put(&tasks, &(struct task_run){1, 2, 1, 1, TASK_LAST, {0}, buf_bytes(&records)});
    buf_free(&records);
    save(directory, "wire", "tasks", &tasks);
    wire_begin(&tasks, KIND_TASKS, head);
    tasks_begin(&tasks, 2);
    task_run_put(&tasks, &(struct task_run){3, 1, 1, 1, TASK_PIECES, {0}, {0}});
    save(directory, "wire", "tasks-pieces", &tasks);
    wire_begin(&tasks, KIND_TASKS, head);
    tasks_begin(&tasks, 3);
    task_run_put(&tasks,
                 &(struct task_run){
                     4, 1, 1, 1, TASK_TAGGED | TASK_PIECES, {(const uint8_t *)"\1\5\0", 3}, {0}});
    save(directory, "wire", "tasks-tagged", &tasks);
    save(directory, "wire", "results", &results);
}

static void save_messages(const char *directory)
{
    struct range some[] = {{1, 3}, {7, 7}};
    struct seqset set = {some, 2, 2, 4};
    struct running_attempt running = {5, {1000, 1}};
    struct attempt_list list = {&running, 1, 1};
    struct gap gap = {20, 2};
    struct held_task held = {5, 123, bytes_of("sleep 1000")};
    struct arrival arrival = {20, 5, 1 << 20};
    struct session_tasks origin = {20, set};
    struct halt_rule rule = {HALT_SOON, HALT_FAIL, 1, false};
    struct hashed_task hashed = {5, {1, 2}};
    struct cancel_item cancelled = {5, {1000, 1}, 3};
    struct verdict_item judged = {RESULT_LOST, 4, 5, 3, {0}, bytes_of("a, b, c")};
    struct because_item reason = {set, 3, bytes_of("queued")};
    struct admitted_key admitted_key = {{{1}}, KEY_WORKER};
    struct peer peer = {1, bytes_of("name"), bytes_of("host"), bytes_of("0.1.0"), 99};
    SAVE(KIND_JOIN, worker_join, {peer, 4, 0, {1, 2}, list, set, 1});
    SAVE(KIND_JOIN, sink_join, {peer, 7, 1, 9, {1, 2}, set, 1000, bytes_of("tcp://:1"), 3, 2, 0});
    SAVE(KIND_HEARTBEAT, heartbeat, {123456, set, set, &held, 1, 1500, 2});
    SAVE(KIND_CREDIT, credit, {100, 1000000, 4, 7, 65536});
    SAVE(KIND_CLAIM, token, {{1, 2, 3}});
    SAVE(KIND_FINISHED, finished, {set, 1});
    SAVE(KIND_FAILED, attempt_list, {&running, 1, 1});
    SAVE(KIND_RETURNED, returned, {set, RETURNED_LEAVING});
    SAVE(KIND_STORED, stored_note,
         {7, set, &gap, 1, STORED_ORDER_FULL | STORED_NO_ROOM, &arrival, 1, &origin, 1});
    SAVE(KIND_CLOSED, closed, {9, 5, 1, 1, 2, 0, 2});
    SAVE(KIND_HALT, halt, {HALT_NOW, 5, 3});
    SAVE(KIND_HASHES, hashes, {5, &hashed, 1, true});
    SAVE(KIND_WELCOME, worker_welcome,
         {500, 3000, bytes_of("5557"), 3, 7, bytes_of("tcp://h:1"), {{1}}, set, set, 1, rule});
    SAVE(KIND_WELCOME, sink_welcome, {500, 3000, 7, {1, 2}, 1});
    SAVE(KIND_REFUSE, refuse, {REFUSE_FULL, bytes_of("no")});
    SAVE(KIND_CANCEL, cancel, {&cancelled, 1});
    SAVE(KIND_RELEASED, released, {set});
    SAVE(KIND_SINK, sink_news, {7, bytes_of("tcp://h:1"), {{1}}, 3});
    SAVE(KIND_STOP, stop, {STOP_INTERRUPTED, 5});
    SAVE(KIND_VERDICT, verdict, {&judged, 1});
    SAVE(KIND_STATUS, status, {9, 8, 1, 2, 1, 2, {3, 4}, 6});
    SAVE(KIND_DONE, done, {9, set, 1, 2});
    SAVE(KIND_BECAUSE, because, {&reason, 1});
    SAVE(KIND_ADMITTED, admitted, {&admitted_key, 1, 1});
    SAVE(KIND_AGAIN, again, {9, AGAIN_OTHER_INCARNATION, bytes_of("no")});
    SAVE(KIND_PROTEST, protest, {9, KIND_RESULTS, 30, bytes_of("no")});
    SAVE(KIND_RECEIVED, received, {5, 0, RECEIVED_NOT_READING});
    SAVE(KIND_HANDED, session_tasks, {9, set});
    struct buf why = {0};
    wire_begin(&why, KIND_WHY, head);
    save(directory, "wire", "why", &why);
    SAVE(KIND_PIECE, piece, {bytes_of("w"), 6, {1000, 1}, 1, 0, 3, bytes_of("\1\0")});
}

static void save_records(const char *directory)
{
    struct buf tasks = {0}, results = {0}, records = task_records(), body = {0};
    buf_put_byte(&tasks, 1);
    buf_put_bytes(&tasks, buf_bytes(&records));
    put_results(&body);
    struct results_head results_head;
    struct bytes runs;
    struct result_run run;
    assert(!results_take(buf_bytes(&body), &results_head, &runs) && !result_run_take(&runs, &run));
    buf_put_byte(&results, 0);
    buf_put_bytes(&results, run.records);
    buf_free(&records);
    buf_free(&body);
    save(directory, "task_result", "tasks", &tasks);
    save(directory, "task_result", "results", &results);
}

/* ---- the steps of fuzz_collector.c ---- */

enum { UP = 0, CONTROL = 2, RESULTS = 4, PASS = 6, FLUSHED = 8, STOP = 9, TURN = 10 };

static void put_step(struct buf *to, uint8_t step, struct buf frame)
{
    buf_put_byte(to, step);
    buf_put_byte(to, (uint8_t)(frame.size >> 8));
    buf_put_byte(to, (uint8_t)frame.size);
    buf_put_bytes(to, buf_bytes(&frame));
    buf_free(&frame);
}

static struct buf joined(void)
{
    struct sink_welcome m = {500, 3000, 7, {1, 2}, 0};
    struct buf steps = {0};
    buf_put_byte(&steps, TURN);
    buf_put_byte(&steps, UP);
    put_step(&steps, CONTROL, message(KIND_WELCOME, &sink_welcome_layout, &m));
    put_step(&steps, RESULTS, results_message());
    return steps;
}

static void save_jobs(const char *directory)
{
    struct verdict_item lost = {RESULT_LOST, 3, 3, 3, {0}, {0}};
    struct verdict lost_verdict = {&lost, 1};
    struct piece part = {bytes_of("w"), 4, {1000, 1}, 1, 0, 2, bytes_of("\1")};
    struct done all = {.total = 4, .workers = 1}, three = {.total = 3, .workers = 1};
    struct buf whole = joined(), stopped = joined(), bye = {0};
    put_step(&whole, CONTROL, message(KIND_VERDICT, &verdict_layout, &lost_verdict));
    put_step(&whole, RESULTS, message(KIND_PIECE, &piece_layout, &part));
    part.offset = 1;
    part.content = (struct bytes){(const uint8_t *)"\0", 1};
    put_step(&whole, RESULTS, message(KIND_PIECE, &piece_layout, &part));
    buf_put_byte(&whole, TURN);
    put_step(&whole, CONTROL, message(KIND_DONE, &done_layout, &all));
    buf_put(&whole, (uint8_t[]){TURN, FLUSHED, PASS, 1, TURN}, 5);
    wire_begin(&bye, KIND_BYE, head);
    put_step(&whole, CONTROL, bye);
    buf_put(&stopped, (uint8_t[]){STOP, TURN}, 2);
    put_step(&stopped, CONTROL, message(KIND_DONE, &done_layout, &three));
    buf_put(&stopped, (uint8_t[]){TURN, PASS, 40, TURN, PASS, 40, TURN}, 7);
    save(directory, "collector", "whole-job", &whole);
    save(directory, "collector", "stopped", &stopped);
}

/* ---- the octets of the others ---- */

#define OCTETS(text) text, sizeof(text) - 1

static const struct {
    const char *target;
    const char *name;
    const char *octets;
    size_t size;
} others[] = {
    /* A sink, a worker with its lane and credit, five tasks, and the end. */
    {"dispatcher", "whole-job",
     OCTETS("\x00\x07\x00\x02\x00\x00\x00\x0b\x00\x01\x00\x00\x06\x01\x11\x00\x00\x00\x00"
            "\x02\x00\x08\x01\x00\x09\x01\x5f\xff\x0d\x05\x0a\x01\x01\x00\x1f\x0b\x00\x01"
            "\x00\x1f\x0d\xc0\x0e\x05\x05\x00\x0b\x07\x05\x05\x00\x00\x00\x00\x00\x0e\x05"
            "\x0e\x75")},
    /* A task in pieces, a failed try, a worker that dies and one that comes back. */
    {"dispatcher", "losses",
     OCTETS("\x02\x07\x00\x02\x00\x00\x00\x0b\x00\x01\x00\x00\x06\x01\x11\x00\x00\x00\x00"
            "\x02\x00\x08\x01\x00\x09\x01\x5f\xff\x0d\x06\x0d\x01\x11\x0a\x01\x00\x00\x00"
            "\x01\x01\x01\x03\x00\x06\x01\x12\x02\x03\x00\x00\x02\x01\x08\x01\x01\x09\x01"
            "\x5f\xff\x0e\xf5\x12\x01\x13\x10\x0e\x75")},
    /* A sink with a store of two tasks joins a new life; its hashes are compared. */
    {"dispatcher", "audit",
     OCTETS("\x00\x07\x00\x20\x40\x00\x03\x0b\x00\x01\x00\x03\x0d\x02\x0c\x00\x81\x00\x03"
            "\x0d\x03\x0e\xf5\x06\x01\x11\x00\x00\x00\x00")},
    /* Two workers: one has all tasks, which the other would take. */
    {"dispatcher", "recall",
     OCTETS("\x00\x07\x00\x02\x00\x00\x00\x0b\x00\x01\x00\x00\x06\x01\x11\x00\x00\x00\x00\x02"
            "\x00\x08\x01\x00\x06\x02\x12\x00\x00\x00\x00\x02\x01\x08\x02\x01\x09\x01\x5f\xff"
            "\x0d\x0f\x0d\x0f\x11\x0d\x0f\x0d\x0f\x11\x0d\xc0\x0e\x03\x0a\x01\x01\x00\x01\x0e"
            "\x03\x0a\x01\x01\x01\x01\x0e\x03\x09\x02\x5f\xff\x0e\x03\x0e\x13\x0e\x03\x0a\x01"
            "\x02\x0f\xff\x0e\x03\x0e\x03")},
    /* Tries that fail, later ones elsewhere, and at the end what runs long is run twice. */
    {"dispatcher", "retries-and-hedges",
     OCTETS("\x0e\x07\x00\x02\x00\x00\x00\x0b\x00\x01\x00\x00\x06\x01\x11\x00\x00\x00\x00\x02"
            "\x00\x08\x01\x00\x06\x02\x12\x00\x00\x00\x00\x02\x01\x08\x02\x01\x09\x01\x5f\xff"
            "\x0d\x06\x0a\x01\x00\x00\x00\x00\x0a\x01\x00\x00\x00\x01\x0a\x01\x00\x00\x00\x02"
            "\x0d\xc0\x0e\x03\x0e\x03\x0e\x03\x09\x01\x5f\xff\x0e\x13\x09\x02\x5f\xff\x0e\x13"
            "\x0a\x01\x04\x03\x07\x0a\x02\x04\x00\x07\x0e\xf5\x0a\x01\x04\x03\x07\x0a\x02\x04"
            "\x00\x07\x0e\xf5\x0a\x01\x01\x03\x01\x0e\xf5\x0a\x01\x04\x03\x07\x0a\x02\x04\x00"
            "\x07\x0e\xf5")},
    {"dispatcher", "keys",
     OCTETS("\x01\x07\x00\x02\x00\x00\x00\x0b\x00\x01\x00\x00\x06\x01\x11\x00\x00\x00\x00"
            "\x02\x04\x08\x01\x00\x0f\x02\x0e\x05")},
    /* Joined, four tasks, their results, released; then the job is over. */
    {"slots", "whole-job",
     OCTETS("\x00\x00\x00\x04\x10\x00\x01\x00\x00\x00\x00\x05\x00\x01\x06\x03\x00\x0a\x00"
            "\x0a\x01\x0a\x02\x0a\x00\x0c\x1f\x08\x01\x00\x0f\x09\x04\x00")},
    /* A task in two pieces and the batch behind them; then the lane ends. */
    {"slots", "pieces",
     OCTETS("\x00\x00\x00\x04\x1f\x00\x01\x00\x00\x00\x00\x05\x00\x01\x07\x08\x07\x04\x07"
            "\x10\x0a\x00\x08\x00\x02\x09\x03\x00\x0d\x00\x0c\x1f")},
    {"expand", "direct", OCTETS("\x00\x02\x04grep\x06{1}-{.}\x05it's \x05/a/b.c")},
    {"expand", "shell",
     OCTETS("\x01\x01\x0d"
            "echo {/.} {#}\x08$(reboot\x00")},
    {"input", "values",
     OCTETS("\x21\x04\x00"
            "a,b\nlonger\n\nc")},
    {"input", "blocks",
     OCTETS("\x00\x08\x01"
            "one\ntwo\nthree\na line that is too long\nfour\n")},
    {"plugin", "batch",
     OCTETS("\x01\x02\x01\x02\x03\x0a\x00\x02\x06\x01\x06\x01\x06\x01\x02\x07\x0a")},
    {"plugin", "large", OCTETS("\x00\x02\x03\x0a\x00\x01\x03\x21\x03out\x0a\x06\x01\x02\x07\x0a")},
};

static void save_others(const char *directory)
{
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct buf content = {0};
        buf_put(&content, others[i].octets, others[i].size);
        save(directory, others[i].target, others[i].name, &content);
    }
    struct buf body = {0}, json = {0};
    struct results_head results_head;
    struct bytes runs;
    struct result_run run;
    put_results(&body);
    assert(!results_take(buf_bytes(&body), &results_head, &runs) && !result_run_take(&runs, &run));
    buf_put(&json, "\1w", 2);
    buf_put_bytes(&json, run.records);
    buf_free(&body);
    save(directory, "jsonl", "result", &json);
}

int main(int argc, char **argv)
{
    const char *directory = argc == 2 ? argv[1] : NULL;
    if (!directory) {
        fputs("usage: seeds DIR\n", stderr);
        return EXIT_FAILURE;
    }
    save_messages(directory);
    save_batches(directory);
    save_records(directory);
    save_jobs(directory);
    save_others(directory);
    return EXIT_SUCCESS;
}
