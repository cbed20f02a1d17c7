/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/hosts/host_runner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/quote.h"
#include "common/base/random.h"
#include "common/sys/signals.h"
#include "common/base/xalloc.h"
#include "zfarm/hosts/bundle.h"
#include "zfarm/hosts/ssh.h"

enum { ARG_SSH = 1, ARG_DIR, ARG_HOST, ARG_PARENT, ARG_PORT, ARG_WORKER, NEWS_FD = 3 };
#define END_NS (5 * NS_PER_S) /* of a worker whose leash was let go */
#define LACKS_COMMAND "does not exist"

enum phase {
    CONNECTING, /* nothing was made there */
    LOOKING,
    COPYING,
    WORKING,
    CLEANING
};

struct runner {
    const char *host;
    enum phase phase;
    const char *dir;      /* the farm's, here */
    uint64_t direct_port; /* 0: through ssh */
    struct ssh ssh;
    struct words worker; /* its options, "--" and COMMAND, as they are there */
    const char *command; /* its name there; "": none */
    char *plugin;        /* to be copied; NULL: none */
    struct signals signals;
    char name[32];        /* of our directory there */
    char remote_dir[256]; /* "": not known */
    char kind[64];        /* of the host: Linux-x86_64 */
    bool has_program;     /* it has a zfarm-worker of our version, in remote_program */
    char remote_program[256];
    struct buf script;     /* of the look, until it is told */
    struct why last_words; /* of ssh */
    bool barred;           /* they are of a reason that does not pass */
    bool ended, refused;   /* what its worker has done */
    int killed_by;         /* its worker: a signal, or 0 */
    unsigned interrupts;
    uint64_t end_by_ns; /* when ssh is killed; NEVER: it has its leash */
};

/* ---- the scripts ---- */

/* Step 3 on the host: $1 is the program, $2 the directory. Descriptor 4 is our stdout, for news. The FIFO is
 * opened once for both (5), so that neither the reader (6) nor the worker (7) waits in open() for the other, who
 * may have been killed before it came so far; from then on it is a pipe, whose reader ends when the worker does. */
static const char run_script[] =
    "w=$1 d=$2\n"
    "exec 3<&0 4>&1\n"
    "mkfifo \"$d/ready\"\n"
    "exec 5<>\"$d/ready\"\n"
    "exec 6<\"$d/ready\" 7>\"$d/ready\"\n"
    "exec 5>&-\n"
    "{ read -r word && echo \"zfarm-ready: $word\" >&4; } <&6 3<&- 7>&- &\n"
    "\"$w\" --ready-fd=7 --parent=$$ \"$@\" </dev/null >&2 3<&- 4>&- 6<&- &\n"
    "p=$!\n"
    "exec 6<&- 7>&-\n"
    "{ while read -r word; do kill -TERM \"$p\"; done; kill -USR1 \"$p\"; } <&3 >&- 2>&- 4>&- &\n"
    "g=$!\n"
    "wait \"$p\"\n"
    "s=$?\n"
    "kill \"$g\" 2>/dev/null\n"
    "rm -rf \"$d\"\n"
    "echo \"zfarm-ended: $s\" >&4\n";

/* Sets d to our directory there. What stands in other command lines later must be plain, and the names of
 * sockets in it are at most 107 bytes long. */
static void put_dir(const struct runner *r, struct buf *script)
{
    buf_printf(script,
               "d=${TMPDIR:-/tmp}\n"
               "case $d in [!/]* | *[!A-Za-z0-9/._+@-]*) d=/tmp ;; esac\n"
               "[ ${#d} -le 64 ] || d=/tmp\n"
               "d=$d/%s\n",
               r->name);
}

/* Step 1: the look, which leaves the script of step 3 in the private directory. */
static void put_look(struct runner *r, struct buf *script)
{
    char end[32];
    snprintf(end, sizeof end, "ZFARM-%016llx", (unsigned long long)random_u64());
    put_dir(r, script);
    buf_put_text(script, "umask 077\n"
                         "mkdir \"$d\" || exit 1\n"
                         "w=$(command -v zfarm-worker)\n");
    buf_printf(script,
               "[ \"$(\"${w:-false}\" --version 2>/dev/null)\" = 'zfarm-worker %s' ] || w=\n",
               ZFARM_VERSION);
    buf_printf(script, "cat >\"$d/run\" <<'%s'\n", end);
    buf_put_text(script, "w=$1 d=$2\n");
    if (r->direct_port)
        buf_printf(script,
                   "a=${SSH_CONNECTION%%%% *}\n"
                   "case $a in *:*) a=\"[$a]\" ;; esac\n"
                   "set -- --connect=\"tcp://$a:%" PRIu64 "\" --keys=\"$d/worker\"",
                   r->direct_port);
    else
        buf_put_text(script, "set -- --connect=\"ipc://$d/control\" --lanes-at=\"ipc://$d/gate\" "
                             "--results-at=\"ipc://$d/results\"");
    for (size_t i = 0; i < r->worker.count; i++) {
        buf_put_byte(script, ' ');
        const char *word = r->worker.items[i];
        if (r->plugin && strncmp(word, "--plugin=", strlen("--plugin=")) == 0) {
            const char *slash = strrchr(word, '/');
            buf_put_text(script, "--plugin=\"$d\"/");
            word = slash ? slash + 1 : word + strlen("--plugin=");
        }
        shell_quote(script, bytes_of(word));
    }
    buf_put_byte(script, '\n');
    buf_put_text(script, strchr(run_script, '\n') + 1);
    buf_printf(script, "%s\n", end);
    buf_put_text(script, "echo \"zfarm-host: $(uname -s)-$(uname -m) $d ${w:-none}\"\n");
}

/* ---- the steps ---- */

static void interrupt(struct runner *r, int number, uint64_t now_ns)
{
    bool first_term = number == SIGTERM && r->interrupts == 0;
    r->interrupts++;
    if (r->phase == WORKING && first_term && ssh_tell(&r->ssh, "drain\n"))
        return;
    if (r->phase == CONNECTING || r->phase == COPYING)
        ssh_kill(&r->ssh); /* what a look that is cut off has left would not be known */
    ssh_let_go(&r->ssh);
    if (r->end_by_ns == NEVER)
        r->end_by_ns = now_ns + END_NS;
}

static void heed_signals(struct runner *r, uint64_t now_ns)
{
    for (int number; (number = signals_next(&r->signals)) != 0;)
        if (number != SIGHUP && number != SIGXCPU && number != SIGCHLD)
            interrupt(r, number, now_ns);
}

static void tell_news(const char *word, const char *text)
{
    dprintf(NEWS_FD, "%s%s\n", word, text); /* if nobody reads it any more, nobody wants to know */
}

typedef void line_fn(struct runner *r, const char *line);

/* Runs ssh to its end and hands on what it says; returns its status. */
static int follow(struct runner *r, line_fn *out, line_fn *err)
{
    while (ssh_is_open(&r->ssh)) {
        const char *line;
        heed_signals(r, clock_now_ns());
        if (clock_now_ns() >= r->end_by_ns)
            ssh_kill(&r->ssh);
        while ((line = ssh_line(&r->ssh, SSH_OUT)))
            out(r, line);
        while ((line = ssh_line(&r->ssh, SSH_ERR)))
            err(r, line);
        ssh_wait(&r->ssh, r->signals.fd, r->end_by_ns);
    }
    return ssh_reap(&r->ssh);
}

static void ignore(struct runner *r, const char *line)
{
    (void)r, (void)line;
}

/* The last words of an ssh that fails are why; of those that tell why nobody is let in the first. */
static void note_words(struct runner *r, const char *line)
{
    if (!line[0] || r->barred)
        return;
    fail(&r->last_words, ERR_IO, "%s", line);
    r->barred = r->phase == CONNECTING && ssh_words_bar(line);
}

/* One of the short steps. */
static enum error host_runner_step(struct runner *r, const char *command, int input, line_fn *out,
                                   struct why *why)
{
    r->last_words.text[0] = '\0';
    r->barred = false;
    enum error error = ssh_start(&r->ssh, NULL, command, input, why);
    if (error)
        return error;
    if (r->phase == CONNECTING)
        ssh_tell(&r->ssh, "echo; echo zfarm-here\n");
    int status = follow(r, out, note_words);
    if (status == 0)
        return ERR_NONE;
    if (r->last_words.text[0])
        return fail(why, ERR_IO, "%s", r->last_words.text);
    return fail(why, ERR_IO, "ssh ended with status %d", status);
}

/* What comes back from shells must be usable in a command line of any shell. */
static bool is_plain_path(const char *path)
{
    return path[0] == '/' &&
           path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "/._-+@")] == '\0';
}

/* What the look says, among what else a login may print. */
static void hear_look(struct runner *r, const char *line)
{
    if (strcmp(line, "zfarm-here") == 0 && r->phase == CONNECTING && !r->interrupts) {
        r->phase = LOOKING;
        tell_news(HOST_NEWS_REACHED, "");
        ssh_tell(&r->ssh, (char *)r->script.data);
        ssh_let_go(&r->ssh);
    }
    sscanf(line, "zfarm-host: %63s %255s %255s", r->kind, r->remote_dir, r->remote_program);
}

/* Has a shell there run the script, which is freed. */
static enum error run_there(struct runner *r, struct buf *script, line_fn *out, struct why *why)
{
    int input = memfd_create("zfarm-script", MFD_CLOEXEC);
    bool written = input >= 0 &&
                   write(input, script->data, script->size) == (ssize_t)script->size &&
                   lseek(input, 0, SEEK_SET) == 0;
    buf_free(script);
    enum error error = written
                           ? host_runner_step(r, "exec /bin/sh -s", input, out, why)
                           : fail(why, ERR_IO, "cannot make a file in memory: %s", strerror(errno));
    if (input >= 0)
        close(input);
    return error;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static enum error host_runner_look(struct runner *r, struct why *why)
{
    put_look(r, &r->script);
    buf_put_byte(&r->script, '\0');
    enum error error = host_runner_step(r, "exec /bin/sh -s", -1, hear_look, why);
    buf_free(&r->script);
    if (error)
        return error;
    if (!is_plain_path(r->remote_dir) || !ends_with(r->remote_dir, r->name))
        return fail(why, ERR_IO, "its shell does not say where it has made our directory");
    struct utsname here;
    char ours[sizeof here];
    uname(&here);
    snprintf(ours, sizeof ours, "%s-%s", here.sysname, here.machine);
    r->has_program = is_plain_path(r->remote_program);
    if (!r->has_program && strcmp(r->kind, ours) != 0)
        return fail(why, ERR_VERSION,
                    "it is %s and this zfarm is for %s, so that it cannot be copied there; install "
                    "zfarm %s on it",
                    r->kind, ours, ZFARM_VERSION);
    return ERR_NONE;
}

/* tar | ssh tar */
static enum error copy(struct runner *r, struct why *why)
{
    struct words argv = {0};
    if (r->has_program && !r->plugin && !r->direct_port)
        return ERR_NONE;
    r->phase = COPYING;
    enum error error = bundle_tar(&argv, !r->has_program, r->plugin, why);
    if (r->direct_port) {
        words_add(&argv, "-C");
        words_take(&argv, xasprintf("%s/keys", r->dir));
        words_add(&argv, "worker");
    }
    int input = -1;
    pid_t tar = 0;
    error = error ? error : bundle_start(&argv, &r->signals.before, &tar, &input, why);
    words_free(&argv);
    if (error)
        return error;
    char *command = xasprintf("exec tar -xof - -C %s", r->remote_dir);
    error = host_runner_step(r, command, input, ignore, why);
    free(command);
    close(input);
    int status = bundle_end(tar);
    if (!error && status)
        error =
            fail(why, ERR_IO, "tar ended with status %d here, so that nothing was copied", status);
    if (!r->has_program)
        snprintf(r->remote_program, sizeof r->remote_program, "%.200s/zfarm-worker", r->remote_dir);
    return error;
}

/* What the script says, among what else a login may print. */
static void hear_news(struct runner *r, const char *line)
{
    int status;
    if (sscanf(line, "zfarm-ended: %d", &status) == 1) {
        r->ended = true;
        r->killed_by = status > 128 && status < 192 ? status - 128 : 0;
        r->refused = status && !r->killed_by;
        if (r->end_by_ns == NEVER)
            r->end_by_ns =
                clock_now_ns() + END_NS; /* for a process that holds the connection there */
    } else if (strncmp(line, "zfarm-ready: ", strlen("zfarm-ready: ")) == 0) {
        tell_news(HOST_NEWS_READY, "");
    }
}

static void hear_words(struct runner *r, const char *line)
{
    if (!line[0])
        return;
    bool relative = r->phase == WORKING && !r->ended && strstr(line, LACKS_COMMAND) &&
                    strstr(line, r->command) && r->command[0] != '/' && strchr(r->command, '/');
    log_line("%s: %s%s", r->host, line,
             relative ? "; COMMAND runs in the login directory there: give its whole path" : "");
}

static int work(struct runner *r, struct why *why)
{
    static const char *const sockets[] = {"control", "gate", "results"};
    struct words options = {0};
    if (strpbrk(r->dir, ":%") && !r->direct_port) {
        fail(why, ERR_INVALID,
             "ssh cannot forward to sockets in %s; set TMPDIR to a directory without : and %% in "
             "its name",
             r->dir);
        log_line("%s: %s", r->host, why->text);
        return HOST_REFUSED;
    }
    words_add(&options, "-oExitOnForwardFailure=yes");
    for (size_t i = 0; !r->direct_port && i < sizeof sockets / sizeof *sockets; i++) {
        words_add(&options, "-R");
        words_take(&options,
                   xasprintf("%s/%s:%s/%s", r->remote_dir, sockets[i], r->dir, sockets[i]));
    }
    char *command =
        xasprintf("exec /bin/sh %s/run %s %s", r->remote_dir, r->remote_program, r->remote_dir);
    enum error error = ssh_start(&r->ssh, &options, command, -1, why);
    free(command);
    words_free(&options);
    if (error)
        return HOST_FAILED;
    r->phase = WORKING;
    int status = follow(r, hear_news, hear_words);
    if (r->refused)
        return HOST_REFUSED;
    if (r->ended && !r->killed_by)
        return HOST_ENDED;
    if (r->ended)
        fail(why, ERR_CLOSED, "its worker was killed by signal %d; another one is started",
             r->killed_by);
    else
        fail(why, ERR_CLOSED, "the ssh connection is gone (status %d)", status);
    return HOST_FAILED;
}

/* Nothing is left there when the last step could not be made, or what the first one has done is not known. */
static void clean(struct runner *r)
{
    struct why ignored;
    struct buf script = {0};
    put_dir(r, &script);
    buf_put_text(&script, "rm -rf \"$d\"\n");
    r->phase = CLEANING;
    r->end_by_ns = clock_now_ns() + END_NS;
    run_there(r, &script, ignore, &ignored);
}

static int host_runner_run(struct runner *r)
{
    struct why why = {""};
    int status = HOST_FAILED;
    enum error error = host_runner_look(r, &why);
    bool barred = error && r->barred;
    if (!error && !r->interrupts)
        error = copy(r, &why);
    if (!error && !r->interrupts)
        status = work(r, &why);
    if (r->phase != CONNECTING && !r->ended)
        clean(r);
    if (r->interrupts)
        return HOST_ENDED;
    if (status == HOST_FAILED)
        tell_news(HOST_NEWS_WHY, why.text);
    if (barred || error == ERR_NOT_FOUND)
        return HOST_BARRED;
    return error == ERR_VERSION ? HOST_REFUSED : status;
}

static void take_worker(struct runner *r, char *const *words)
{
    words_add_all(&r->worker, words);
    for (; *words && strcmp(*words, "--") != 0; words++)
        if (strncmp(*words, "--plugin=", strlen("--plugin=")) == 0)
            r->plugin = xstrdup(*words + strlen("--plugin="));
    r->command = *words && words[1] ? words[1] : "";
}

int host_runner_main(int argc, char **argv)
{
    if (argc <= ARG_WORKER) {
        log_line("host-runner is for zfarm run's own use; see zfarm run --host");
        return 255;
    }
    struct runner r = {.host = argv[ARG_HOST], .dir = argv[ARG_DIR], .end_by_ns = NEVER};
    struct why why;
    if (signals_open(&r.signals, (pid_t)atol(argv[ARG_PARENT]), &why)) {
        log_line("%s", why.text);
        return HOST_FAILED;
    }
    fcntl(NEWS_FD, F_SETFD, FD_CLOEXEC); /* ssh and tar have no part in it */
    snprintf(r.name, sizeof r.name, "zfarm-host-%016llx", (unsigned long long)random_u64());
    r.direct_port = strtoull(argv[ARG_PORT], NULL, 10);
    take_worker(&r, argv + ARG_WORKER);
    ssh_init(&r.ssh, argv[ARG_SSH], r.host, &r.signals.before);
    int status = host_runner_run(&r);
    ssh_free(&r.ssh);
    words_free(&r.worker);
    free(r.plugin);
    return status;
}
