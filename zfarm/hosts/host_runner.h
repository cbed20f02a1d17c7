/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_HOST_RUNNER_H
#define ZFARM_HOST_RUNNER_H

/* One worker on one host by ssh, from the first look at the host until nothing of it is left there.
 *
 * 1. `ssh HOST /bin/sh -s` says that it is there, and is told to look only then: it makes a private directory,
 *    says the machine's kind and whether it has a zfarm-worker of our version, and writes the script that
 *    step 3 runs. A runner that is to end before that kills its ssh: nothing was made there.
 * 2. Where there is none, ours and the libraries it needs are copied into that directory; so is a plugin.
 * 3. `ssh -R` has sshd make three unix sockets in that directory, which lead to the farm's own, and
 *    runs the worker. Only the user can enter the directory, so no key and no port is needed.
 *
 * The stdin of step 3 is the leash: a line on it has the worker drain, its end has it end at once. So a
 * runner or an ssh that is killed leaves no worker, whatever the network does: without a ventilator the
 * worker ends by itself after --give-up.
 *
 * With a direct port the worker connects to that TCP port of the machine from which the host was reached
 * (SSH_CONNECTION says which), with the keys of this run, which are copied too. Then nothing is forwarded.
 *
 * TERM drains the worker, a second TERM, INT or END_NOW ends it. */

enum host_runner_status {
    HOST_ENDED = 0,   /* the worker has ended as it should: the job is over, or it was drained */
    HOST_FAILED = 1,  /* it could not be reached, or was cut off */
    HOST_REFUSED = 2, /* the worker could not work and has said why */
    HOST_BARRED =
        3, /* no login works there until the user changes something: unknown name, host key, denied */
    HOST_RUNNER_STATUSES
};

/* Its news on descriptor 3, a line each. */
#define HOST_NEWS_REACHED "reached" /* it has logged in there */
#define HOST_NEWS_READY "ready"     /* the worker works */
#define HOST_NEWS_WHY "why "        /* and why it has failed, in front of its end */

/* zfarm host-runner SSH DIR HOST PARENT PORT WORKER-ARGUMENT...: for `zfarm run` alone. Returns the exit
 * status. */
int host_runner_main(int argc, char **argv);

#endif
