# SPDX-License-Identifier: MPL-2.0
"""Dask distributed: a scheduler and two workers of one thread, which this starts; no port is used. See peer.h."""

import sys
import time

from distributed import Client, LocalCluster

import tasks


def main():
    work = tasks.run_true if sys.argv[2] == "true" else tasks.double
    numbers = tasks.read_tasks()
    with LocalCluster(n_workers=tasks.WORKERS, threads_per_worker=1, dashboard_address=None,
                      host="127.0.0.1") as cluster, Client(cluster) as client:
        client.wait_for_workers(tasks.WORKERS)
        began = time.monotonic()
        tasks.write_results(client.gather(client.map(work, numbers, pure=False)))
        took = time.monotonic() - began
    tasks.say(took)


if __name__ == "__main__":
    main()
