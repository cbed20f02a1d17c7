/* SPDX-License-Identifier: MPL-2.0 */

/* Gearman by libgearman: foreground jobs, a thousand on their way. See peer.h. */
#include "peer.h"

#include <libgearman/gearman.h>
#include <string.h>

static void *work_on(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret)
{
    const char *result =
        peer_do(context, gearman_job_workload(job), gearman_job_workload_size(job));
    *size = strlen(result);
    *ret = GEARMAN_SUCCESS;
    return strdup(result); /* libgearman frees it */
}

static void work(const struct peer *peer)
{
    gearman_worker_st *worker = gearman_worker_create(NULL);
    if (!worker || gearman_worker_add_server(worker, "127.0.0.1", (in_port_t)peer->port) ||
        gearman_worker_add_function(worker, "work", 0, work_on, (void *)peer))
        peer_die("gearman: the worker cannot start");
    while (gearman_worker_work(worker) == GEARMAN_SUCCESS)
        ;
    peer_die(gearman_worker_error(worker));
}

static gearman_return_t completed(gearman_task_st *task)
{
    peer_result(gearman_task_context(task), gearman_task_data(task), gearman_task_data_size(task));
    return GEARMAN_SUCCESS;
}

static gearman_return_t failed(gearman_task_st *task)
{
    (void)task;
    peer_die("gearman: a job failed");
}

int main(int argc, char **argv)
{
    struct peer peer = peer_new(argc, argv);
    gearman_client_st *client = gearman_client_create(NULL);
    if (!client || gearman_client_add_server(client, "127.0.0.1", (in_port_t)peer.port))
        peer_die("gearman: no client");
    gearman_client_set_complete_fn(client, completed);
    gearman_client_set_fail_fn(client, failed);
    double began_s = peer_start(&peer, work);
    for (size_t at = 0; at < peer.count;) {
        gearman_return_t ret;
        for (size_t end = at + PEER_AT_ONCE; at < end && at < peer.count; at++)
            if (!gearman_client_add_task(client, NULL, &peer, "work", NULL, peer.tasks[at],
                                         strlen(peer.tasks[at]), &ret))
                peer_die("gearman: cannot add a task");
        if (gearman_client_run_tasks(client) != GEARMAN_SUCCESS)
            peer_die(gearman_client_error(client));
        gearman_client_task_free_all(client);
    }
    int status = peer_end(&peer, began_s);
    gearman_client_free(client);
    return status;
}
