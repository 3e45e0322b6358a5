"""
Prints, for each scenario, whether the shim is as good as upstream's fix.

Run it as ``python -m tests.schedules --clean DIRECTORY [--quick] [SCENARIO ...]`` on a release with
bugs; the directory holds a clean release.

"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
from typing import NamedTuple

from ..conftest import bugs_of_the_release
from ..releases import release_in
from .scenarios import SCENARIOS, scenarios_of

ROW = "{:34}{:>9}{:>13}{:>13}{:>13}  {:7}{}".format


class Explorations(NamedTuple):
    """What one scenario ended in."""

    shim: dict
    fix: dict  # upstream's, in the source of the same release
    clean: dict  # a release without any of these bugs
    unpatched: dict


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.schedules", description=__doc__)
    parser.add_argument("--clean", metavar="DIRECTORY", required=True)
    parser.add_argument("--quick", action="store_true", help="only what is exhausted in seconds")
    parser.add_argument("scenarios", metavar="SCENARIO", nargs="*", choices=[[], *SCENARIOS])
    arguments = parser.parse_args(argv)
    names = arguments.scenarios or scenarios_of(bugs_of_the_release())
    names = [name for name in names if SCENARIOS[name].quick or not arguments.quick]
    print("Schedules explored, until there were no others within the preemption bound;")
    print("a plus where the time limit, in brackets, stopped the search.")
    print(ROW("scenario", "outcomes", "shim", "fix", "clean", "leaks", "verdict"))
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as executor:
        pending = {name: submit(executor, name, arguments.clean) for name in names}
        for name, futures in pending.items():
            found = Explorations(*(future.result() for future in futures))
            differences = list(compare(SCENARIOS[name], found))
            bad += bool(differences)
            verdict = "; ".join(differences) or describe_sameness(found)
            runs = [describe_search(exploration) for exploration in found[:3]]
            leaks = "yes" if found.unpatched["leaked"] else "no"
            if any(not exploration["exhausted"] for exploration in found[:3]):
                verdict += f" ({SCENARIOS[name].total_timeout} s)"
            print(ROW(name, len(found.shim["outcomes"]), *runs, leaks, verdict), flush=True)
    return 1 if bad else 0


def submit(executor, name, clean_directory):
    return Explorations(
        executor.submit(explore, "shim", name),
        executor.submit(explore, "fix", name),
        executor.submit(explore, "as-it-is", name, **release_in(clean_directory)),
        executor.submit(explore, "leak", name),
    )


def explore(what, name, **environ):
    """Explore in a process of its own; frontrun has to be there before websockets is."""
    result = subprocess.run(
        ["frontrun", sys.executable, "-m", "tests.schedules.explore", what, name],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def compare(scenario, found):
    """Yield what is different with the shim, as far as the searches can tell."""
    leaks = scenario.bug and scenario.hidden_by not in bugs_of_the_release()
    if found.unpatched["leaked"] != bool(leaks):
        yield "no leak is found without the shim" if leaks else "leaks without the shim"
    shim, fix, clean = (set(map(str, found[i]["outcomes"])) for i in range(3))
    if found.fix["exhausted"] and shim - fix:
        yield f"not with the fix: {shim - fix}"
    if found.shim["exhausted"] and fix - shim:
        yield f"only with the fix: {fix - shim}"
    if found.clean["exhausted"] and shim - fix - clean:
        yield f"not on {found.clean['version']}: {shim - fix - clean}"


def describe_sameness(found):
    """Say whether the clean release differs from the fix in something else."""
    others = {str(outcome) for outcome in found.fix["outcomes"]}
    others -= {str(outcome) for outcome in found.clean["outcomes"]}
    version = found.clean["version"]
    if others and found.clean["exhausted"]:
        return f"as the fix; {version} has changed {others} besides"
    return f"as the fix, as {version}"


def describe_search(exploration):
    """Say how far a search went: a plus where a limit stopped it."""
    return f"{exploration['schedules']}{'' if exploration['exhausted'] else '+'}"


if __name__ == "__main__":
    raise SystemExit(main())
