# SPDX-License-Identifier: MPL-2.0
"""What the drivers in Python share; how they are called is in peer.h."""

import subprocess
import sys

WORKERS = 2


def double(number):
    return 2 * number


def run_true(number):
    subprocess.run(["/bin/true"], check=True)


def read_tasks():
    return [int(line) for line in sys.stdin]


def write_results(results):
    for result in results:
        if result is not None:
            print(result)
    sys.stdout.flush()


def say(seconds):
    """The last that is written, when all else has ended."""
    print("%.6f" % seconds, file=sys.stderr, flush=True)
