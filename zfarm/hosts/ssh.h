/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SSH_H
#define ZFARM_SSH_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/words.h"

/* One ssh client process at a time, with its output as lines. The user's configuration, agent and
 * known hosts are ssh's own matter; it is never to ask for anything (BatchMode), and gives a
 * connection up that is silent for 15 s. Embed it by value; nothing blocks but ssh_wait. */

enum ssh_stream { SSH_OUT, SSH_ERR, SSH_STREAMS };

struct ssh_lines {
    int fd; /* -1: closed */
    struct buf bytes;
    size_t at; /* before it all was handed out */
};

struct ssh {
    struct words program; /* and its options */
    const char *host;
    const sigset_t *mask; /* of children */
    pid_t pid;            /* 0: none runs */
    int leash;            /* its stdin; -1: let go, or another owner's */
    struct ssh_lines lines[SSH_STREAMS];
};

/* `program` is split at blanks. `host` and `mask` must outlive it. */
void ssh_init(struct ssh *ssh, const char *program, const char *host, const sigset_t *mask);
void ssh_free(struct ssh *ssh); /* kills what runs */

/* Runs `command` on the host, by whatever shell the user has there. `options` may be NULL. stdin is
 * the descriptor `input`, which stays the caller's; -1: a leash, see ssh_tell. ERR_IO with words. */
enum error ssh_start(struct ssh *ssh, const struct words *options, const char *command, int input,
                     struct why *why);
/* Writes to the leash; false when it is let go, or taken by nobody. */
bool ssh_tell(struct ssh *ssh, const char *line);
void ssh_let_go(struct ssh *ssh); /* the other side reads the end of its stdin */
/* It, and what it has started here (a ProxyCommand). Its streams are closed. */
void ssh_kill(struct ssh *ssh);
/* Whether what ssh says tells that no try will log in there until the user changes something. */
bool ssh_words_bar(const char *line);

/* The next whole line that has come, without its end; NULL: none yet. Valid until the next call. A
 * last line that lacks its end is one too. */
const char *ssh_line(struct ssh *ssh, enum ssh_stream stream);
/* Whether more may come. */
bool ssh_is_open(const struct ssh *ssh);
/* Sleeps until something has come, `fd` is readable, or until `until_ns`. */
void ssh_wait(struct ssh *ssh, int fd, uint64_t until_ns);
/* Waits for its end, which comes soon when it is not open. Returns its exit status, 255 for ssh's own
 * troubles and for a signal. */
int ssh_reap(struct ssh *ssh);

#endif
