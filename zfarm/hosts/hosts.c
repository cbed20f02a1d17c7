/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/hosts/hosts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/xalloc.h"
#include "zfarm/hosts/host_name.h"
#include "zfarm/hosts/host_runner.h"
#include "zfarm/hosts/host_trial.h"
#include "zfarm/run/process.h"

#define LOOK_NS NS_PER_S /* into the file */
enum { REASONS_SHOWN = 3, NEWS_CHUNK = 512 };

struct host {
    struct host_name name;
    struct process runner;
    int news_fd;     /* of the runner; -1: it is gone */
    struct buf news; /* not a whole line yet */
    uint64_t due_ns; /* when it is started (again); NEVER: it runs, or is not to */
    struct host_trial trial;
    struct why why; /* of this try's failure, as the runner says */
    bool by_option; /* --host names it, so that it stays */
    bool in_file;
    bool drains;
    bool again; /* it is started anew as soon as it has drained */
};

struct hosts {
    struct hosts_options options;
    struct host *list;
    size_t count;
    bool include_this;
    char *this_slots;
    const char *dir; /* NULL: not begun */
    char *program;   /* ours */
    bool no_more;
    struct stat file_taken, file_seen;
    uint64_t look_ns;
};

/* ---- names ---- */

static struct host *hosts_find(struct hosts *h, const char *target)
{
    for (size_t i = 0; i < h->count; i++)
        if (strcmp(h->list[i].name.target, target) == 0)
            return &h->list[i];
    return NULL;
}

struct names {
    struct host_name *items;
    size_t count;
};

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        host_name_free(&names->items[i]);
    free(names->items);
}

/* Appends those in `list`, which has commas between them and is cut up. */
static enum error names_take(struct names *names, char *list, struct why *why)
{
    for (char *word; (word = strsep(&list, ","));) {
        while (isspace((unsigned char)*word))
            word++;
        for (char *end = word + strlen(word); end > word && isspace((unsigned char)end[-1]);)
            *--end = '\0';
        struct host_name name;
        enum error error = host_name_parse(&name, word, why);
        if (error)
            return error;
        names->items = xrealloc(names->items, (names->count + 1) * sizeof *names->items);
        names->items[names->count++] = name;
    }
    return ERR_NONE;
}

static bool same_slots(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* It ends what it is at; told twice, a runner would end at once. */
static void drain(struct host *host)
{
    if (!host->drains)
        process_signal(&host->runner, SIGTERM);
    host->drains = host->runner.pid != 0;
    host->due_ns = NEVER;
}

static void start_anew(struct host *host)
{
    drain(host);
    host->again = host->drains;
    host_trial_begin(&host->trial, clock_now_ns());
    host->due_ns = host->again ? NEVER : 0;
}

static void change_slots(struct hosts *h, struct host *host, struct host_name *name)
{
    if (same_slots(host->name.slots, name->slots))
        return;
    char *before = host->name.slots;
    host->name.slots = name->slots;
    name->slots = before;
    if (!h->dir)
        return;
    log_line("%s has another number of tasks at a time: it ends what it is at, and begins anew",
             host->name.target);
    start_anew(host);
}

static void add_this(struct hosts *h, const struct host_name *name)
{
    if (h->dir && (!h->include_this || !same_slots(h->this_slots, name->slots))) {
        log_line("this machine is taken in, and its number of tasks changed, only at the start");
        return;
    }
    h->include_this = true;
    free(h->this_slots);
    h->this_slots = name->slots ? xstrdup(name->slots) : NULL;
}

/* Takes what it needs of the name, which the caller frees. */
static struct host *hosts_add(struct hosts *h, struct host_name *name)
{
    struct host *host = hosts_find(h, name->target);
    if (host) {
        change_slots(h, host, name);
        return host;
    }
    h->list = xrealloc(h->list, (h->count + 1) * sizeof *h->list);
    host = &h->list[h->count++];
    *host = (struct host){.name = *name, .news_fd = -1, .due_ns = h->dir ? 0 : NEVER};
    host_trial_begin(&host->trial, clock_now_ns());
    *name = (struct host_name){0};
    return host;
}

static enum error add_list(struct hosts *h, const char *list, struct why *why)
{
    char *words = xstrdup(list);
    struct names names = {0};
    enum error error = names_take(&names, words, why);
    for (size_t i = 0; !error && i < names.count; i++)
        if (names.items[i].target)
            hosts_add(h, &names.items[i])->by_option = true;
        else
            add_this(h, &names.items[i]);
    names_free(&names);
    free(words);
    return error;
}

/* ---- the file ---- */

/* Hosts of a line; # begins a remark. */
static enum error take_line(struct names *names, char *line, struct why *why)
{
    line[strcspn(line, "#\n")] = '\0';
    return line[strspn(line, " \t\r\f\v")] ? names_take(names, line, why) : ERR_NONE;
}

/* Who was in the file and is no longer drains. */
static void let_go_of(struct hosts *h, const struct names *names)
{
    for (size_t i = 0; i < h->count; i++) {
        struct host *host = &h->list[i];
        bool stays = !host->in_file;
        for (size_t at = 0; at < names->count && !stays; at++)
            stays =
                names->items[at].target && strcmp(names->items[at].target, host->name.target) == 0;
        if (stays)
            continue;
        host->in_file = false;
        if (host->by_option)
            continue;
        log_line("%s is no longer in %s: it ends what it is at", host->name.target,
                 h->options.file);
        drain(host);
        host->again = false;
    }
}

static void apply(struct hosts *h, struct names *names)
{
    let_go_of(h, names);
    for (size_t i = 0; i < names->count; i++) {
        if (!names->items[i].target) {
            add_this(h, &names->items[i]);
            continue;
        }
        size_t before = h->count;
        struct host *host = hosts_add(h, &names->items[i]);
        bool is_back = h->count == before && h->dir && !host->in_file && !host->by_option;
        host->in_file = true;
        if (is_back)
            start_anew(host);
    }
}

static enum error hosts_read_file(struct hosts *h, struct why *why)
{
    FILE *file = fopen(h->options.file, "re");
    struct stat status;
    if (!file || fstat(fileno(file), &status)) {
        enum error error = fail(why, ERR_NOT_FOUND, "cannot read the hosts in %s: %s",
                                h->options.file, strerror(errno));
        if (file)
            fclose(file);
        return error;
    }
    h->file_taken = status;
    size_t capacity = 0;
    char *line = NULL;
    struct names names = {0};
    enum error error = ERR_NONE;
    while (!error && getline(&line, &capacity, file) >= 0)
        error = take_line(&names, line, why);
    if (!error)
        apply(h, &names);
    names_free(&names);
    free(line);
    fclose(file);
    return error;
}

static bool is_unchanged(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void look_into_file(struct hosts *h, uint64_t now_ns)
{
    struct stat status;
    struct why why;
    if (!h->options.file || h->no_more || now_ns < h->look_ns)
        return;
    h->look_ns = now_ns + LOOK_NS;
    if (stat(h->options.file, &status) || is_unchanged(&status, &h->file_taken))
        return;
    bool is_whole = is_unchanged(&status, &h->file_seen); /* else it is just being written */
    h->file_seen = status;
    if (is_whole && hosts_read_file(h, &why))
        log_line("%s; the hosts stay as they are", why.text);
}

enum error hosts_open(struct hosts **hosts, const struct hosts_options *options, struct why *why)
{
    struct hosts *h = xcalloc(1, sizeof *h);
    h->options = *options;
    enum error error = ERR_NONE;
    for (size_t i = 0; !error && i < options->names->count; i++)
        error = add_list(h, options->names->items[i], why);
    if (!error && options->file)
        error = hosts_read_file(h, why);
    h->program = realpath("/proc/self/exe", NULL);
    if (!error && !h->program)
        error = fail(why, ERR_NOT_FOUND, "cannot tell where this program is: /proc is not there");
    *hosts = h;
    if (error)
        hosts_close(hosts);
    return error;
}

static void close_news(struct host *host)
{
    if (host->news_fd >= 0)
        close(host->news_fd);
    host->news_fd = -1;
    buf_free(&host->news);
}

static void host_close(struct host *host)
{
    close_news(host);
    host_name_free(&host->name);
}

void hosts_close(struct hosts **hosts)
{
    struct hosts *h = *hosts;
    *hosts = NULL;
    if (!h)
        return;
    for (size_t i = 0; i < h->count; i++)
        host_close(&h->list[i]);
    free(h->list);
    free(h->this_slots);
    free(h->program);
    free(h);
}

bool hosts_include_this(const struct hosts *hosts, const char **slots)
{
    *slots = hosts->this_slots;
    return hosts->include_this;
}

/* ---- runners ---- */

void hosts_add_worker(const struct words *worker, const char *slots, struct words *to)
{
    for (char *const *word = worker->items; *word; word++) {
        if (slots && strcmp(*word, "--") == 0) {
            words_take(to, xasprintf("--jobs=%s", slots)); /* the last one counts */
            slots = NULL;
        }
        words_add(to, *word);
    }
}

static enum error hosts_start(struct hosts *h, struct host *host, struct why *why)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
        return fail(why, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    /* Descriptor 3 in the child must be a copy: dup2 onto itself would leave it close-on-exec. */
    int writer = fcntl(fds[1], F_DUPFD_CLOEXEC, 10);
    close(fds[1]);
    struct words argv = {0};
    words_add(&argv, h->program);
    words_add(&argv, "host-runner");
    words_add(&argv, h->options.ssh);
    words_add(&argv, h->dir);
    words_add(&argv, host->name.target);
    words_take(&argv, xasprintf("%d", (int)getpid()));
    words_take(&argv, xasprintf("%" PRIu64, h->options.direct_port));
    hosts_add_worker(h->options.worker, host->name.slots, &argv);
    struct process_io io = {.stdin_fd = -1, .ready_fd = writer, .hold_fd = -1};
    enum error error = process_start(&host->runner, "host-runner", &argv, &io, why);
    words_free(&argv);
    close(writer);
    host->news_fd = fds[0];
    host->why.text[0] = '\0';
    host_trial_started(&host->trial);
    return error;
}

/* It is tried again later, and why is said. */
static void try_later(struct hosts *h, struct host *host, enum host_runner_status status,
                      uint64_t now_ns)
{
    host->due_ns = now_ns + host_trial_failed(&host->trial, status, host->why.text,
                                              h->options.give_up_ns, now_ns);
    if (!host_trial_says(&host->trial, now_ns))
        return;
    if (host->trial.unsaid)
        log_line("%s: %s (%u times more)", host->name.target, host->trial.why.text,
                 host->trial.unsaid);
    else
        log_line("%s: %s", host->name.target, host->trial.why.text);
    host->trial.unsaid = 0;
}

static void start_due(struct hosts *h, struct host *host, uint64_t now_ns)
{
    struct why why;
    if (h->no_more || now_ns < host->due_ns)
        return;
    host->due_ns = NEVER;
    if (hosts_start(h, host, &why)) {
        host->why = why;
        try_later(h, host, HOST_FAILED, now_ns);
    }
}

static void take_news(struct host *host, const char *line)
{
    if (strcmp(line, HOST_NEWS_REACHED) == 0)
        host_trial_reached(&host->trial);
    else if (strcmp(line, HOST_NEWS_READY) == 0)
        host_trial_ready(&host->trial);
    else if (strncmp(line, HOST_NEWS_WHY, strlen(HOST_NEWS_WHY)) == 0)
        fail(&host->why, ERR_CLOSED, "%s", line + strlen(HOST_NEWS_WHY));
}

/* What its runner has said since. */
static void hosts_hear(struct host *host)
{
    ssize_t size;
    while (host->news_fd >= 0 &&
           (size = read(host->news_fd, buf_reserve(&host->news, NEWS_CHUNK), NEWS_CHUNK)) > 0)
        host->news.size += (size_t)size;
    uint8_t *end;
    while (host->news.size && (end = memchr(host->news.data, '\n', host->news.size))) {
        *end = '\0';
        take_news(host, (char *)host->news.data);
        buf_drop_front(&host->news, (size_t)(end - host->news.data) + 1);
    }
}

void hosts_begin(struct hosts *hosts, const char *dir, uint64_t now_ns)
{
    hosts->dir = dir;
    hosts->look_ns = now_ns + LOOK_NS;
    for (size_t i = 0; i < hosts->count; i++) {
        hosts->list[i].due_ns = 0;
        host_trial_begin(&hosts->list[i].trial, now_ns);
    }
}

void hosts_turn(struct hosts *hosts, uint64_t now_ns)
{
    if (!hosts->dir)
        return;
    look_into_file(hosts, now_ns);
    for (size_t i = 0; i < hosts->count; i++) {
        hosts_hear(&hosts->list[i]);
        start_due(hosts, &hosts->list[i], now_ns);
    }
}

static bool is_wanted(const struct host *host)
{
    return host->by_option || host->in_file;
}

uint64_t hosts_deadline(const struct hosts *hosts, uint64_t now_ns)
{
    uint64_t due_ns = hosts->options.file && hosts->dir && !hosts->no_more ? hosts->look_ns : NEVER;
    for (size_t i = 0; i < hosts->count; i++) {
        const struct host *host = &hosts->list[i];
        if (host->due_ns < due_ns)
            due_ns = host->due_ns;
        uint64_t lost_ns = host_trial_deadline(&host->trial, hosts->options.give_up_ns);
        if (!hosts->include_this && !hosts->no_more && is_wanted(host) && lost_ns > now_ns &&
            lost_ns < due_ns)
            due_ns = lost_ns;
    }
    return due_ns;
}

bool hosts_reaped(struct hosts *hosts, pid_t pid, int status, bool over, uint64_t now_ns)
{
    struct host *host = NULL;
    for (size_t i = 0; i < hosts->count && !host; i++)
        if (hosts->list[i].runner.pid == pid)
            host = &hosts->list[i];
    if (!host)
        return false;
    hosts_hear(host);
    close_news(host);
    host->runner.pid = 0;
    host->drains = false;
    if (over || hosts->no_more)
        return true;
    enum host_runner_status how = HOST_FAILED;
    if (WIFEXITED(status) && WEXITSTATUS(status) < HOST_RUNNER_STATUSES)
        how = (enum host_runner_status)WEXITSTATUS(status);
    if (host->again)
        host->due_ns = now_ns;
    else if (how != HOST_ENDED)
        try_later(hosts, host, how, now_ns);
    host->again = false;
    return true;
}

bool hosts_are_left(const struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++)
        if (hosts->list[i].runner.pid || hosts->list[i].due_ns != NEVER)
            return true;
    return false;
}

static void put_reason(struct buf *to, const struct host *host)
{
    buf_printf(to, "%s%s", to->size ? "; " : "", host->name.target);
    if (host->trial.why.text[0])
        buf_printf(to, ": %s", host->trial.why.text);
    else if (!host->trial.refused)
        buf_put_text(to, ": does not answer");
}

bool hosts_are_lost(const struct hosts *hosts, uint64_t now_ns, struct why *why)
{
    size_t wanted = 0;
    bool all_refused = true; /* their workers have said why */
    struct buf reasons = {0};
    if (hosts->include_this || hosts->no_more || !hosts->dir)
        return false;
    for (size_t i = 0; i < hosts->count; i++) {
        const struct host *host = &hosts->list[i];
        if (!is_wanted(host))
            continue;
        if (!host_trial_is_lost(&host->trial, hosts->options.give_up_ns, now_ns)) {
            buf_free(&reasons);
            return false;
        }
        all_refused = all_refused && host->trial.refused;
        if (wanted++ < REASONS_SHOWN)
            put_reason(&reasons, host);
    }
    why->text[0] = '\0';
    if (wanted > REASONS_SHOWN)
        buf_printf(&reasons, "; and %zu more", wanted - REASONS_SHOWN);
    if (wanted && !all_refused)
        fail(why, ERR_CLOSED, "no host can work (%.*s)", (int)reasons.size, (char *)reasons.data);
    buf_free(&reasons);
    return wanted > 0;
}

void hosts_start_no_more(struct hosts *hosts)
{
    hosts->no_more = true;
    for (size_t i = 0; i < hosts->count; i++)
        hosts->list[i].due_ns = NEVER;
}

void hosts_signal(const struct hosts *hosts, int number)
{
    for (size_t i = 0; i < hosts->count; i++)
        process_signal(&hosts->list[i].runner, number);
}
