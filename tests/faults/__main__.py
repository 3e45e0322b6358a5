"""
Prints how connections end on each release with the shim, as far as it isn't as it ought to be.

Run it as ``python -m tests.faults --releases DIRECTORY [--times N] [RELEASE ...]``; the directory
holds a folder for each release of websockets, the reference among them. Each cell is observed
several times. What no schedule decides has to be the same as with upstream's cures in the same
release, and as on the reference of its bug (references.py); the rest has to be something that a
broken network explains. Where a release is known to be different, known.py says why.

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
from .judge import contradictions, differences, faults_of
from .known import KNOWN, applies
from .references import REFERENCE, documented

AT_ONCE = 2 * os.cpu_count()  # cells wait more than they compute
OBSERVATION_TIMEOUT = 1800  # seconds; a release takes one minute where nothing hangs


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--releases", metavar="DIRECTORY", type=Path, required=True)
    parser.add_argument("--times", metavar="N", type=int, default=3)
    parser.add_argument("only", metavar="RELEASE", nargs="*")
    arguments = parser.parse_args(argv)
    releases = sorted((path.name for path in arguments.releases.iterdir()), key=release)
    used, bad = [], 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as executor:

        def submit(version, what):
            environ = release_in(str(arguments.releases / version))
            return executor.submit(observe, what, arguments.times, environ)

        reference = submit(REFERENCE, "as-it-is")
        pending = {
            version: (submit(version, "shim"), submit(version, "fix"))
            for version in arguments.only or releases
        }
        for version, (shim, fix) in pending.items():
            wrong, known = compare(version, shim.result(), fix.result(), reference.result())
            bad += len(wrong)
            used += known
            print(
                f"{version}: {len(shim.result())} cells, {len(wrong)} wrong, "
                f"{len(known)} known differences from {REFERENCE}",
                *wrong,
                sep="\n    ",
                flush=True,
            )
    if not arguments.only and (unseen := [each.why for each in KNOWN if each not in used]):
        print("Known, but not seen this time:", *unseen, sep="\n    ")
    return 1 if bad else 0


def observe(what, times, environ):
    """Return what was seen on one release, cell by cell."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.faults.observe", what, str(times)],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=OBSERVATION_TIMEOUT,
    )
    return json.loads(result.stdout)


def compare(version, shim, fix, reference):
    """Return what is wrong, and the known differences that were met."""
    wrong, met = [], []
    for cell, outcomes in shim.items():
        wrong += [f"{cell}: {fault}" for fault in faults_of(outcomes)]
        for aspect, one, allowed in contradictions(outcomes, documented(cell) or {}):
            wrong.append(f"{cell}: {aspect} {one} instead of {allowed}")
        for aspect, one, other in differences(cell, outcomes, fix.get(cell, outcomes)):
            wrong.append(f"{cell}: {aspect} {one} instead of the fix's {other}")
        for aspect, one, other in differences(cell, outcomes, reference.get(cell, outcomes)):
            known = [each for each in KNOWN if applies(each, version, cell, aspect, one, other)]
            met += [each for each in known if each not in met]
            if not known:
                wrong.append(f"{cell}: {aspect} {one} instead of {REFERENCE}'s {other}")
    return wrong, met


if __name__ == "__main__":
    raise SystemExit(main())
