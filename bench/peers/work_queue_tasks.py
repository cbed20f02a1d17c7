# SPDX-License-Identifier: MPL-2.0
"""Work Queue, whose tasks are commands: a manager on port sys.argv[1] and a worker with two cores. See peer.h."""

import subprocess
import sys
import time

import work_queue

import tasks

AT_ONCE = 100  # it slows down when it has thousands of them


def main():
    left = len(tasks.read_tasks())
    manager = work_queue.WorkQueue(port=int(sys.argv[1]))
    worker = subprocess.Popen(["work_queue_worker", "--cores", str(tasks.WORKERS), "127.0.0.1", sys.argv[1]],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        run(manager, 1)  # it is there
        began = time.monotonic()
        run(manager, left)
        took = time.monotonic() - began
    finally:
        worker.terminate()
        worker.wait()
    tasks.say(took)


def run(manager, left):
    out = 0
    while left or out:
        while left and out < AT_ONCE:
            task = work_queue.Task("/bin/true")
            task.specify_cores(1)
            manager.submit(task)
            left, out = left - 1, out + 1
        task = manager.wait(60)
        if task is None or task.return_status != 0:
            raise SystemExit("a task failed, or none came back within a minute")
        out -= 1


if __name__ == "__main__":
    main()
