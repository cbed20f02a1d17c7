/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { STAT_MAX = 4096, ENVIRONMENT_MAX = 8 << 20 /* above what a program can be started with */ };

#define FRESH_NS (100 * NS_PER_MS)

void processes_free(struct processes *p)
{
    buf_free(&p->table);
    buf_free(&p->holders);
    buf_free(&p->scratch);
}

static void proc_read(pid_t pid, const char *name, struct buf *content, size_t size_max)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    buf_clear(content);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    ssize_t size = 1;
    while (size > 0 && content->size < size_max) {
        size = read(file, buf_reserve(content, STAT_MAX), STAT_MAX);
        if (size > 0)
            content->size += (size_t)size;
    }
    close(file);
}

/* The fields of /proc/PID/stat are counted from behind the name, which may hold anything. */
static bool read_process(pid_t pid, struct buf *scratch, struct process_seen *process)
{
    proc_read(pid, "stat", scratch, STAT_MAX);
    buf_put_byte(scratch, '\0');
    const char *at = strrchr((char *)scratch->data, ')');
    char state;
    *process = (struct process_seen){.pid = pid};
    return at && sscanf(at + 1, " %c %d %d %d", &state, &process->parent, &process->group,
                        &process->session) == 4;
}

static struct process_seen *table_begin(const struct processes *p)
{
    return (struct process_seen *)(void *)p->table.data;
}

static struct process_seen *table_end(const struct processes *p)
{
    return (struct process_seen *)(void *)(p->table.data + p->table.size);
}

static void processes_look(struct processes *p, uint64_t now_ns)
{
    if (p->table.size && p->looked_ns == now_ns)
        return;
    buf_clear(&p->table);
    p->looked_ns = now_ns;
    DIR *proc = opendir("/proc");
    if (!proc)
        return;
    for (struct dirent *entry; (entry = readdir(proc));) {
        struct process_seen process;
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && read_process(pid, &p->scratch, &process))
            buf_put(&p->table, &process, sizeof process);
    }
    closedir(proc);
}

/* Its number may have changed hands since the look: with a handle on it, it must still be what it
 * was. */
static void signal_one(struct processes *p, const struct process_seen *seen, int number)
{
    int handle = pidfd_open(seen->pid, 0);
    if (handle < 0)
        return;
    struct process_seen now;
    if (read_process(seen->pid, &p->scratch, &now) && now.session == seen->session)
        pidfd_send_signal(handle, number, NULL, 0);
    close(handle);
}

static bool parent_belongs(const struct processes *p, const struct process_seen *process)
{
    for (const struct process_seen *other = table_begin(p); other < table_end(p); other++)
        if (other->pid == process->parent)
            return other->belongs;
    return false;
}

/* Those in the session, the leader, and all that descend from them. */
static void find_members(struct processes *p, pid_t leader)
{
    for (struct process_seen *one = table_begin(p); one < table_end(p); one++)
        one->belongs = one->session == leader || one->pid == leader;
    for (bool more = true; more;) {
        more = false;
        for (struct process_seen *one = table_begin(p); one < table_end(p); one++)
            if (!one->belongs && one->parent > 1 && parent_belongs(p, one))
                one->belongs = more = true;
    }
}

void processes_signal(struct processes *p, pid_t leader, int number, uint64_t now_ns)
{
    processes_look(p, now_ns);
    find_members(p, leader);
    for (const struct process_seen *one = table_begin(p); one < table_end(p); one++)
        if (one->belongs && one->group != leader)
            signal_one(p, one, number);
    kill(-leader, number);
}

/* A number is not given away while a process has it as its own, its group's or its session's. So if
 * a process has it, the session is that one's, and nothing of ours is left. */
void processes_signal_rest(struct processes *p, pid_t leader, const char *mark, int number,
                           uint64_t now_ns)
{
    processes_look(p, now_ns);
    for (const struct process_seen *one = table_begin(p); one < table_end(p); one++)
        if (one->pid == leader)
            return;
    bool group = false;
    for (const struct process_seen *one = table_begin(p); one < table_end(p); one++) {
        if (one->session != leader || (mark && !process_is_marked(one->pid, mark, &p->scratch)))
            continue;
        signal_one(p, one, number);
        group = group || one->group == leader;
    }
    if (group)
        kill(-leader, number);
}

/* ---- pipes ---- */

/* Adds what `process` can write into, of all pipes. */
static void add_pipes(struct processes *p, pid_t pid)
{
    char path[64], target[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *fds = opendir(path);
    if (!fds)
        return;
    for (struct dirent *entry; (entry = readdir(fds));) {
        struct stat link;
        struct pipe_holder holder = {.pid = pid};
        unsigned long long inode;
        ssize_t size = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);
        target[size > 0 ? size : 0] = '\0';
        if (sscanf(target, "pipe:[%llu]", &inode) != 1 ||
            fstatat(dirfd(fds), entry->d_name, &link, AT_SYMLINK_NOFOLLOW) ||
            !(link.st_mode & S_IWUSR)) /* how it is open */
            continue;
        holder.pipe = (ino_t)inode;
        buf_put(&p->holders, &holder, sizeof holder);
    }
    closedir(fds);
}

static const struct pipe_holder *holders_begin(const struct processes *p)
{
    return (const struct pipe_holder *)(const void *)p->holders.data;
}

static const struct pipe_holder *holders_end(const struct processes *p)
{
    return (const struct pipe_holder *)(const void *)(p->holders.data + p->holders.size);
}

static void look_for_holders(struct processes *p, uint64_t now_ns)
{
    processes_look(p, now_ns);
    if (p->holders_ns == now_ns)
        return;
    p->holders_ns = now_ns;
    buf_clear(&p->holders);
    pid_t self = getpid();
    for (const struct process_seen *one = table_begin(p); one < table_end(p); one++)
        if (one->pid != self)
            add_pipes(p, one->pid);
}

static bool holds(const struct pipe_holder *holder, const ino_t pipes[static 2])
{
    return holder->pipe && (holder->pipe == pipes[0] || holder->pipe == pipes[1]);
}

void processes_signal_holders(struct processes *p, const ino_t pipes[static 2], int number,
                              uint64_t now_ns)
{
    pid_t last = 0;
    if (!pipes[0] && !pipes[1])
        return;
    look_for_holders(p, now_ns);
    for (const struct pipe_holder *at = holders_begin(p); at < holders_end(p); at++) {
        if (!holds(at, pipes) || at->pid == last)
            continue;
        last = at->pid;
        for (const struct process_seen *one = table_begin(p); one < table_end(p); one++)
            if (one->pid == at->pid)
                signal_one(p, one, number);
    }
}

struct output_holder processes_find_holder(struct processes *p, const ino_t pipes[static 2],
                                           uint64_t now_ns)
{
    struct output_holder holder = {0};
    if (!p->holders_ns || now_ns - p->holders_ns > FRESH_NS)
        look_for_holders(p, now_ns);
    for (const struct pipe_holder *at = holders_begin(p); at < holders_end(p); at++) {
        if (!holds(at, pipes))
            continue;
        holder.pid = at->pid;
        proc_read(at->pid, "comm", &p->scratch, PROCESS_NAME_SIZE);
        size_t size = p->scratch.size < PROCESS_NAME_SIZE ? p->scratch.size : PROCESS_NAME_SIZE;
        if (size) /* all but its newline */
            memcpy(holder.name, p->scratch.data, size - 1);
        break;
    }
    return holder;
}

bool process_is_marked(pid_t pid, const char *mark, struct buf *scratch)
{
    proc_read(pid, "environ", scratch, ENVIRONMENT_MAX);
    return scratch->size && memmem(scratch->data, scratch->size, mark, strlen(mark));
}
