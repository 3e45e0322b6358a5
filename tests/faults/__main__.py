"""
Prints, for each way to break a connection, whether the shim is as good as upstream's fix.

Run it as ``python -m tests.faults --fixed DIRECTORY [--times N]`` on an affected release; the
directory holds websockets 14.2. Each cell is observed several times. What no schedule decides has
to be the same; the rest has to be something that a broken network explains.

"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
from collections import Counter

from ..upstream import release_in

ROW = "{:32}{:8}{:12}{}".format


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--fixed", metavar="DIRECTORY", required=True)
    parser.add_argument("--times", metavar="N", type=int, default=5)
    arguments = parser.parse_args(argv)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as executor:
        futures = [
            executor.submit(observe, "shim", arguments.times),
            executor.submit(observe, "fix", arguments.times),
            executor.submit(observe, "as-it-is", arguments.times, **release_in(arguments.fixed)),
        ]
        shim, fix, fixed = (future.result() for future in futures)
    print(f"websockets {shim['version']} with the shim, {arguments.times} times a cell")
    print(ROW("fault", "side", "activity", "compared with the fix, and with " + fixed["version"]))
    verdicts = Counter()
    for cell, outcomes in shim["cells"].items():
        verdict, text = judge(cell, outcomes, fix["cells"][cell], fixed["cells"][cell])
        verdicts[verdict] += 1
        print(ROW(*cell.split(" | "), text))
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    return 1 if verdicts["bad"] else 0


def observe(what, times, **environ):
    result = subprocess.run(
        [sys.executable, "-m", "tests.faults.observe", what, str(times)],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def judge(cell, shim, fix, fixed):
    """Compare what was seen in one cell, aspect by aspect."""
    wrong = [
        f"{aspect} {seen(shim, aspect)}"
        for aspect, good in (("reader thread", ""), ("state", "CLOSED"), ("left over", ""))
        if seen(shim, aspect) != {good}
    ]
    wrong += ["hangs"] if seen(shim, "hangs") != {False} else []
    wrong += differences(cell, shim, fix)
    if wrong:
        return "bad", "BAD: " + "; ".join(wrong)
    if otherwise := differences(cell, shim, fixed):
        return "as the fix alone", f"as the fix; otherwise: {'; '.join(otherwise)}"
    varying = [aspect for aspect in shim[0] if len(seen(shim, aspect)) > 1]
    return "the same", "the same" + (f"; varies: {', '.join(varying)}" if varying else "")


def differences(cell, shim, reference):
    """List the aspects in which the outcomes aren't the same, or aren't explained."""
    found = []
    for aspect in shim[0]:
        one, other = seen(shim, aspect), seen(reference, aspect)
        if one != other if is_settled(cell, aspect) else not all(map(is_explained, one)):
            found.append(f"{aspect} {one} instead of {other}")
    return found


def is_settled(cell, aspect):
    """Tell whether there is one outcome, whichever thread comes first."""
    fault, _, activity = cell.split(" | ")
    caller_is_passive = activity in ("idle", "receiving", "connecting")
    somebody_else_is_sending = fault.startswith("peer stops reading")
    if aspect.startswith("cause of "):
        return caller_is_passive and not somebody_else_is_sending
    if aspect == "recv() afterwards":
        return not (activity == "closing" and somebody_else_is_sending)
    return True


def is_explained(outcome):
    """Tell whether a broken network may end in this exception, or be caused by it."""
    kind, *_ = outcome.split()
    return kind in (
        "ConnectionClosedError",
        "NoneType",
        "BrokenPipeError",
        "ConnectionResetError",
        "OSError",  # bad file descriptor: the other thread has closed the socket
        "SSLEOFError",
        "SSLError",
        "TimeoutError",
    )


def seen(outcomes, aspect):
    return {outcome[aspect] for outcome in outcomes}


if __name__ == "__main__":
    raise SystemExit(main())
