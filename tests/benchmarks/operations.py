"""What a program does with a connection, timed in two processes that take turns."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import NamedTuple

from ..releases import release_in


class Operation(NamedTuple):
    """What is timed, and on which releases."""

    title: str
    batch: int  # how often it is done in a turn
    releases: tuple[str, ...]
    budget: str | None


OPERATIONS = {
    # On 13.0.1 recv() is wrapped.
    "echo": Operation("echo round trip", 1000, ("13.0.1", "13.1", "15.0.1", "17.4"), "1.02"),
    "connect": Operation("connect, echo, close", 50, ("13.1", "15.0.1", "17.4"), "1.05"),
    "close_socket": Operation("close_socket() alone", 100, ("14.1",), None),
}


def pairs(rounds, releases):
    """Yield what each pair is called, the ratios of its rounds, and its budget."""
    for name, operation in OPERATIONS.items():
        for version in operation.releases:
            environ = release_in(str(releases / version))
            with (
                worker(name, "unpatched", environ) as unpatched,
                worker(name, "patched", environ) as patched,
            ):
                times = [
                    [time_batch(process, operation.batch) for process in (unpatched, patched)]
                    for _ in range(rounds)
                ]
            ratios = [with_shim / without for without, with_shim in times]
            yield f"{operation.title}, {version}: shim / none", ratios, operation.budget


@contextlib.contextmanager
def worker(operation, what, environ):
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
