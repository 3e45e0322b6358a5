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
    """How the connections of one scenario ended."""

    bug: str | None
    """Name of the bug that it reproduces; :obj:`None` for the storm."""

    scenario: str
    without: list[Outcome]
    with_shim: list[Outcome]


class Report(NamedTuple):
    """What :func:`verify` saw."""

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

    Returns:
        The status of the shim while it was on, and how every connection ended.

    Raises:
        ImportError: If websockets can't be imported.

    """
    was_wanted = _state.is_wanted()
    import_websockets()
    scenarios = list(plan())
    try:
        websockets_closefix.unapply()
        without = [run(each, "without the shim") for each in scenarios]
        websockets_closefix.apply()
        with_shim = [run(each, "with the shim") for each in scenarios]
        status = websockets_closefix.status()
    finally:
        (websockets_closefix.apply if was_wanted else websockets_closefix.unapply)()
    names = [(bug, name) for bug, name, _ in scenarios]
    return Report(status, [Row(*name, *ends) for name, *ends in zip(names, without, with_shim)])


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
    _, name, end_connections = step
    if sys.stderr.isatty():
        print(f"{when}: {name}", file=sys.stderr, flush=True)
    return end_connections()


def as_text(report: Report) -> str:
    """Lay the report out for a person."""
    status = f"{report.status.state}: {report.status}"
    if not report.rows:
        return status
    return f"{as_table(report.rows)}\n\n{status}\n{conclusion(report)}"


def conclusion(report: Report) -> str:
    """Say in one line what came of it."""
    if not report.leaked:
        how = " with the shim" if report.status.state == "applied" else ""
        return f"every connection ended properly{how}"
    leaking = {row.bug for row in report.rows if any(outcome.leaked for outcome in row.with_shim)}
    not_fixed = [
        f"{bug.name} is {bug.state}"
        for bug in report.status.bugs
        if bug.state != "applied" and leaking & {bug.name, None}  # the storm meets any bug
    ]
    why = f": {', '.join(not_fixed)}" if not_fixed else " although the shim is on"
    return f"{report.leaked} connection(s) didn't end properly{why}"


def as_table(rows: list[Row]) -> str:
    """Set out the scenarios as rows."""
    lines = [
        ["bug", "scenario", "without the shim", "with the shim"],
        *([row.bug or "", row.scenario, cell(row.without), cell(row.with_shim)] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def cell(outcomes: list[Outcome]) -> str:
    """Say what came out of the application's threads, and of reader threads if anything did."""
    caller, reader = (
        ", ".join(f"{count} x {name}" if len(names) > 1 else name for name, count in names.items())
        for names in counts(outcomes).values()
    )
    return caller if reader == "ends" else f"{caller}; reader thread: {reader}"


def counts(outcomes: list[Outcome]) -> dict[str, dict[str, int]]:
    """Count what came out of the application's threads and of reader threads."""
    return {
        "caller": Counter(outcome_name(outcome.caller, "returns") for outcome in outcomes),
        "reader": Counter(outcome_name(outcome.reader, "ends") for outcome in outcomes),
    }


def outcome_name(exc: BaseException | None, normally: str) -> str:
    """Name what ended a thread: an exception's type, ``hangs``, or what it does normally."""
    if exc is None:
        return normally
    return "hangs" if isinstance(exc, Hangs) else type(exc).__name__


def as_json(report: Report) -> dict[str, Any]:
    """Lay the report out for a program."""
    return {
        **report.status._asdict(),
        "bugs": [bug._asdict() for bug in report.status.bugs],
        "leaked": report.leaked,
        "scenarios": [
            {
                "bug": row.bug,
                "scenario": row.scenario,
                "without": counts(row.without),
                "with": counts(row.with_shim),
            }
            for row in report.rows
        ],
    }
