"""What a program does with a connection, timed in three processes that take turns."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from ..upstream import release_in

BATCH = {"connect": 50, "close_socket": 100}
TITLES = {
    "connect": "connect, echo, close on loopback",
    "close_socket": "close_socket() on a socket pair",
}
BUDGETS = {"connect": "1.02", "close_socket": None}


def pairs(rounds, fixed_directory):
    """Yield what each pair is called, the ratios of its rounds, and its budget."""
    for operation, title in TITLES.items():
        with (
            worker(operation, "unpatched") as unpatched,
            worker(operation, "patched") as patched,
            worker(operation, "unpatched", **release_in(fixed_directory)) as upstream,
        ):
            times = [
                [
                    time_batch(process, BATCH[operation])
                    for process in (unpatched, patched, upstream)
                ]
                for _ in range(rounds)
            ]
        yield f"{title}: shim / none", [b / a for a, b, _ in times], BUDGETS[operation]
        yield f"{title}: 14.2 / none", [c / a for a, _, c in times], None


@contextlib.contextmanager
def worker(operation, what, **environ):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.worker", operation, what],
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            time_batch(process, 10)  # warms it up
            yield process
        finally:
            process.stdin.close()


def time_batch(process, count):
    """Have a worker do it ``count`` times, and return the median of the seconds it took."""
    print(count, file=process.stdin, flush=True)
    return float(process.stdout.readline())
