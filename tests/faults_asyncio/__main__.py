"""
Prints how connections of ``websockets.asyncio`` end, as far as it isn't as it ought to be.

Run it as ``python -m tests.faults_asyncio [--times N] [--releases DIRECTORY [RELEASE ...]]``.
Without releases it is the installed one. Each cell is observed several times, with the shim on:
nothing may hang, be late or be left over, and what comes out has to be what the documentation says.

"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path

from websockets_closefix._detect import release

from ..releases import release_in
from .cells import Cell, documented

AT_ONCE = 5 * os.cpu_count()  # releases; cells hardly compute
ALWAYS = {"hangs": "", "late": False, "state": "CLOSED", "behind": ""}


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.faults_asyncio", description=__doc__)
    parser.add_argument("--times", metavar="N", type=int, default=2)
    parser.add_argument("--as-it-is", action="store_true", help="leave the shim off")
    parser.add_argument("--releases", metavar="DIRECTORY", type=Path)
    parser.add_argument("only", metavar="RELEASE", nargs="*")
    arguments = parser.parse_args(argv)
    what = "as-it-is" if arguments.as_it_is else "shim"
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as executor:
        pending = {
            version: executor.submit(observe, what, arguments.times, environ)
            for version, environ in environments(arguments.releases, arguments.only)
        }
        for version, observed in pending.items():
            cells = observed.result()
            wrong = [
                f"{cell}: {fault}"
                for cell, seen in cells.items()
                for fault in faults_of(cell, seen)
            ]
            bad += len(wrong)
            print(
                f"{version}: {len(cells)} cells, {len(wrong)} wrong",
                *wrong,
                sep="\n    ",
                flush=True,
            )
    return 1 if bad else 0


def environments(directory, only):
    """Yield the releases to look at, those that have the implementation, and how to get each."""
    if directory is None:
        yield "installed", {}
        return
    for name in only or sorted((path.name for path in directory.iterdir()), key=release):
        if release(name) >= (13, 0):
            yield name, release_in(str(directory / name))


def observe(what, times, environ):
    """Return what was seen on one release, cell by cell."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.faults_asyncio.observe", what, str(times)],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=1800,
    )
    return json.loads(result.stdout)


def faults_of(cell, outcomes):
    """Yield what must not be."""
    for aspect, good in ALWAYS.items():
        bad = {outcome.get(aspect) for outcome in outcomes} - {good}
        # A machine may be busy once, but not each time.
        if bad and not (aspect == "late" and any(not outcome["late"] for outcome in outcomes)):
            yield f"{aspect}: {', '.join(sorted(map(str, bad)))}"
    for aspect, allowed in documented(Cell(*cell.split(" | "))).items():
        bad = {outcome[aspect] for outcome in outcomes if aspect in outcome} - allowed
        if bad:
            yield f"{aspect}: {', '.join(sorted(map(str, bad)))} instead of {allowed}"


if __name__ == "__main__":
    raise SystemExit(main())
