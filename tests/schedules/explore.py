"""
Explores one scenario, and prints as JSON what it ended in.

Run it as ``frontrun python -m tests.schedules.explore {shim,fix,as-it-is,leak} SCENARIO``.

"""

from __future__ import annotations

import json
import logging
import sys
import time

import frontrun
import websockets.version

import websockets_closefix

from .. import upstream
from .scenarios import SCENARIOS, State


def main(what, name):
    logging.disable(logging.CRITICAL)
    if what == "shim":
        websockets_closefix.apply(strict=True)
        assert websockets_closefix.status().state == "applied"
    else:
        websockets_closefix.unapply()
    if what == "fix":
        upstream.cure()
    find = find_leak if what == "leak" else find_outcomes
    found = find(SCENARIOS[name])
    print(json.dumps({"version": websockets.version.version, **found}))


def find_outcomes(scenario):
    """Return the set of outcomes, how many schedules were run, and whether that was all."""
    outcomes = set()
    started = time.monotonic()

    def remember(state):
        outcomes.add(state.outcome())
        return True

    result = explore(scenario, remember, stop_on_first=False)
    result.assert_holds()  # else no schedule completed, or there was a deadlock
    return {
        "outcomes": sorted(outcomes, key=repr),
        "schedules": result.num_explored,
        "exhausted": time.monotonic() - started < scenario.total_timeout,
    }


def find_leak(scenario):
    """Tell whether the exploration is able to find the bug at all."""
    result = explore(scenario, lambda state: not state.leaked(), stop_on_first=True)
    return {"leaked": not result.property_holds}


def explore(scenario, invariant, *, stop_on_first):
    workers = [
        lambda state, number=number, act=act: state.call(number, act)
        for number, act in enumerate(scenario.callers)
    ]
    if scenario.has_reader:
        workers.append(State.receive)
    return frontrun.explore(
        setup=lambda: State(scenario),
        workers=workers,
        invariant=invariant,
        clock=scenario.clock,
        detect_io=False,
        preemption_bound=scenario.preemption_bound,
        reproduce_on_failure=0,
        stop_on_first=stop_on_first,
        timeout_per_run=20,
        total_timeout=scenario.total_timeout,
        trace_packages=["websockets.*", "websockets_closefix.*"],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
