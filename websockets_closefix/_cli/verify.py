"""Reproduces the bugs of the installed websockets, without the shim and with it."""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

import websockets_closefix

from .. import _state
from .._fixes import every_fix, fixes_of
from .._repro import scenarios_of
from .._repro.scenario import Hangs, Outcome
from .._status import Status


class Row(NamedTuple):
    """How the connections of one scenario ended; the storm has no ``bug`` of its own."""

    bug: str | None
    scenario: str
    without: list[Outcome]
    with_shim: list[Outcome]


class Report(NamedTuple):
    """What :func:`verify` saw, and the status of the shim while it was on."""

    status: Status
    rows: list[Row]

    @property
    def leaked(self) -> int:
        """How many connections didn't end properly with the shim."""
        return sum(outcome.leaked for row in self.rows for outcome in row.with_shim)


def verify() -> Report:
    """
    Reproduce each bug of the installed release without the shim, then with it.

    A connection that hangs is freed, and the shim is left as it was found.

    Raises:
        ImportError: If websockets can't be imported.

    """
    was_wanted = _state.is_wanted()
    import_websockets()
    steps = list(plan())
    try:
        websockets_closefix.unapply()
        without = [run(step, "without the shim") for step in steps]
        websockets_closefix.apply()
        with_shim = [run(step, "with the shim") for step in steps]
        status = websockets_closefix.status()
    finally:
        (websockets_closefix.apply if was_wanted else websockets_closefix.unapply)()
    ends = zip(steps, without, with_shim)
    return Report(status, [Row(bug, scenario, *both) for (bug, scenario, _), *both in ends])


def import_websockets() -> None:
    """Import each module of websockets that a fix is for, as far as this release has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # websockets.legacy is deprecated
        importlib.import_module("websockets")
        for fix in every_fix():
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(fix.module)


Step = tuple[Any, str, Callable[[], list[Outcome]]]


def plan() -> Iterator[Step]:
    """Yield bug, name and function of each scenario of this release's bugs, then of the storm."""
    bugs = {bug.name for bug in websockets_closefix.status().bugs}
    for package in _state.PACKAGES:
        if bugs & {fix.name for fix in fixes_of(package)}:
            for scenario in scenarios_of(package):
                if scenario.bug in bugs:
                    yield scenario.bug, scenario.name, scenario.on_each_side
    if "websockets.sync.connection" in sys.modules:
        from .._repro.sync import storm

        yield None, f"storm of {storm.CONNECTIONS} connections", storm.storm


def run(step: Step, when: str) -> list[Outcome]:
    """Run a scenario; say so, if there is a terminal."""
    _, scenario, end_connections = step
    if sys.stderr.isatty():
        print(f"{when}: {scenario}", file=sys.stderr, flush=True)
    return end_connections()


def as_text(report: Report) -> str:
    """Lay the report out for a person."""
    lines = []
    for row in report.rows:
        lines += [
            f"{row.bug}: {row.scenario}" if row.bug else row.scenario,
            f"    without the shim: {summary(row.without)}",
            f"    with the shim:    {summary(row.with_shim)}",
        ]
    return "\n".join([*lines, f"{report.status.state}: {report.status}", *conclusion(report)])


def conclusion(report: Report) -> Iterator[str]:
    """Say in one line what came of it, if anything was run."""
    leaking = {row.bug for row in report.rows if any(outcome.leaked for outcome in row.with_shim)}
    not_fixed = [
        f"{bug.name} is {bug.state}"
        for bug in report.status.bugs
        if bug.state != "applied" and leaking & {bug.name, None}  # the storm meets any bug
    ]
    if report.leaked:
        why = f": {', '.join(not_fixed)}" if not_fixed else " although the shim is on"
        yield f"{report.leaked} connection(s) didn't end properly{why}"
    elif report.rows:
        how = " with the shim" if report.status.state == "applied" else ""
        yield f"every connection ended properly{how}"


def as_json(report: Report) -> dict[str, Any]:
    """Lay the report out for a program."""
    return {
        **report.status._asdict(),
        "bugs": [bug._asdict() for bug in report.status.bugs],
        "leaked": report.leaked,
        "scenarios": [
            {"bug": bug, "scenario": name, "without": counts(without), "with": counts(with_shim)}
            for bug, name, without, with_shim in report.rows
        ],
    }


def summary(outcomes: list[Outcome]) -> str:
    """Say what came out of the application's threads, and in the background if anything did."""
    caller, reader = (
        ", ".join(f"{count} x {name}" if len(names) > 1 else name for name, count in names.items())
        for names in counts(outcomes).values()
    )
    return caller if reader == "ends" else f"{caller}; in the background: {reader}"


def counts(outcomes: list[Outcome]) -> dict[str, dict[str, int]]:
    """Count what the application met, and what the reader thread or the event loop did."""
    callers = Counter(outcome_name(outcome.caller, "returns") for outcome in outcomes)
    readers = Counter(outcome_name(outcome.reader, "ends") for outcome in outcomes)
    return {"caller": dict(callers.most_common()), "reader": dict(readers.most_common())}


def outcome_name(exc: BaseException | None, normally: str) -> str:
    """Name what ended a thread: an exception's type, ``hangs``, or what it does normally."""
    if exc is None:
        return normally
    return "hangs" if isinstance(exc, Hangs) else type(exc).__name__
