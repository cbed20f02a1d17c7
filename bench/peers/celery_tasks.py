# SPDX-License-Identifier: MPL-2.0
"""Celery over a Redis server on port sys.argv[1] or, in its worker, $PEER_PORT. See peer.h."""

import os
import subprocess
import sys
import time

from celery import Celery, group

import tasks

PORT = os.environ.get("PEER_PORT") or sys.argv[1]
app = Celery("celery_tasks", broker="redis://127.0.0.1:%s/0" % PORT, backend="redis://127.0.0.1:%s/1" % PORT)


@app.task(name="double")
def double(number):
    return tasks.double(number)


@app.task(name="true")
def run_true(number):
    return tasks.run_true(number)


def main():
    work = run_true if sys.argv[2] == "true" else double
    numbers = tasks.read_tasks()
    command = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "-c", str(tasks.WORKERS), "-l", "ERROR"]
    worker = subprocess.Popen(command, cwd=os.path.dirname(os.path.abspath(__file__)), stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, env=dict(os.environ, PEER_PORT=PORT))
    try:
        work.delay(0).get(timeout=60)  # it is there
        began = time.monotonic()
        tasks.write_results(group(work.s(number) for number in numbers)().get(timeout=600))
        took = time.monotonic() - began
    finally:
        worker.terminate()
        worker.wait()
    tasks.say(took)


if __name__ == "__main__":
    main()
