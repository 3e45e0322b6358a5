"""
Prints, for each scenario, whether the shim is as good as upstream's fix.

Run it as ``frontrun python -m tests.schedules [SCENARIO ...]`` on an affected release.

"""

from __future__ import annotations

import inspect
import logging
import sys
import textwrap
import time

import frontrun
from websockets.sync import connection as connection_module

import websockets_closefix

from .scenarios import SCENARIOS, State

TOTAL_TIMEOUT = 90
PREEMPTION_BOUND = 2

FLAWED = """\
    self.protocol.receive_eof()
    assert self.protocol.state is CLOSED
"""

FIXED = """\
    with self.protocol_mutex:
        self.protocol.receive_eof()
        assert self.protocol.state is CLOSED
"""


def main(names):
    logging.disable(logging.CRITICAL)
    websockets_closefix.apply(strict=True)
    differing = 0
    row = "{:32}{:>10}{:>10}{:>8}{:>8}  {}".format
    print(row("scenario", "outcomes", "schedules", "fixed", "leaks", "verdict"))
    for name in names or SCENARIOS:
        scenario = SCENARIOS[name]
        with_shim, shim_runs, shim_exhausted = explore(scenario)
        websockets_closefix.unapply()
        leaks = find_leak(scenario)
        original = connection_module.Connection.close_socket
        connection_module.Connection.close_socket = with_upstream_fix(original)
        fixed, fixed_runs, fixed_exhausted = explore(scenario)
        connection_module.Connection.close_socket = original
        websockets_closefix.apply()
        same = with_shim == fixed
        differing += not same
        verdict = "same" if same else f"differ: {with_shim ^ fixed}"
        if not (shim_exhausted and fixed_exhausted):
            verdict += f", stopped after {TOTAL_TIMEOUT} s"
        print(row(name, len(with_shim), shim_runs, fixed_runs, leaks, verdict), flush=True)
    return 1 if differing else 0


def explore(scenario):
    """Return the set of outcomes, how many schedules were run, and whether that was all."""
    outcomes = set()
    started = time.monotonic()

    def remember(state):
        outcomes.add(state.outcome())
        return True

    result = run(scenario, remember, stop_on_first=False)
    result.assert_holds()  # else no schedule completed, or there was a deadlock
    return outcomes, result.num_explored, time.monotonic() - started < TOTAL_TIMEOUT


def find_leak(scenario):
    """Tell whether the exploration is able to find the flaw at all."""
    result = run(scenario, lambda state: not state.leaked(), stop_on_first=True)
    return "no" if result.property_holds else "yes"


def run(scenario, invariant, *, stop_on_first):
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
        clock="virtual",
        detect_io=False,
        preemption_bound=PREEMPTION_BOUND,
        reproduce_on_failure=0,
        stop_on_first=stop_on_first,
        timeout_per_run=20,
        total_timeout=TOTAL_TIMEOUT,
        trace_packages=["websockets.*", "websockets_closefix.*"],
    )


def with_upstream_fix(close_socket):
    """Return close_socket with the two lines of 14.2 in the place of those of 13.1 to 14.1."""
    source = textwrap.dedent(inspect.getsource(close_socket))
    assert FLAWED in source
    namespace = {}
    code = compile(source.replace(FLAWED, FIXED), connection_module.__file__, "exec")
    exec(code, vars(connection_module), namespace)
    return namespace["close_socket"]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
