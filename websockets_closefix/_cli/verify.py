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
from .._repro import Hangs, Outcome, scenarios_of
from .._status import Status


class Step(NamedTuple):
    """Something to run, without the shim and with it."""

    bug: str | None
    """Name of the bug that it reproduces; :obj:`None` for the storm."""

    scenario: str
    run: Callable[[], list[Outcome]]


class Row(NamedTuple):
    """How the connections of one step ended."""

    bug: str | None
    scenario: str
    without: list[Outcome]
    with_shim: list[Outcome]

    @property
    def leaked(self) -> int:
        """How many connections didn't end properly with the shim."""
        return sum(outcome.leaked for outcome in self.with_shim)


class Report(NamedTuple):
    """What :func:`verify` saw."""

    status: Status
    rows: list[Row]

    @property
    def leaked(self) -> int:
        """How many connections didn't end properly with the shim."""
        return sum(row.leaked for row in self.rows)


def verify() -> Report:
    """
    Reproduce each bug of the installed release without the shim, then with it.

    A connection that hangs is freed, and the shim is left as it was found.

    Returns:
        The status of the shim while it was on, and how every connection ended.

    Raises:
        ImportError: If websockets can't be imported.

    """

    def run(when: str) -> list[list[Outcome]]:
        outcomes = []
        for step in planned:
            show_progress(f"{when}: {step.scenario}")
            outcomes.append(step.run())
        return outcomes

    was_wanted = _state.is_wanted()
    import_websockets()
    planned = list(plan())
    try:
        websockets_closefix.unapply()
        without = run("without the shim")
        websockets_closefix.apply()
        with_shim = run("with the shim")
        status = websockets_closefix.status()
    finally:
        (websockets_closefix.apply if was_wanted else websockets_closefix.unapply)()
    rows = [Row(step.bug, step.scenario, *ends) for step, *ends in zip(planned, without, with_shim)]
    return Report(status, rows)


def import_websockets() -> None:
    """Import each module of websockets that a fix is for, as far as this release has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # websockets.legacy is deprecated
        importlib.import_module("websockets")
        for fix in every_fix():
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(fix.module)


def plan() -> Iterator[Step]:
    """Yield the scenarios of each bug that websockets has or may have, and at last the storm."""
    bugs = {bug.name for bug in websockets_closefix.status().bugs}
    for package in _state.PACKAGES:
        if bugs & {fix.name for fix in fixes_of(package)}:
            for scenario in scenarios_of(package):
                if scenario.bug in bugs:
                    yield Step(scenario.bug, scenario.name, scenario.on_each_side)
    if "websockets.sync.connection" in sys.modules:
        from .._repro.sync import storm

        yield Step(None, f"storm of {storm.CONNECTIONS} connections", storm.storm)


def show_progress(line: str) -> None:
    """Print a line to stderr, if that is a terminal."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)


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
    leaking = {row.bug for row in report.rows if row.leaked}
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
    texts = {
        thread: ", ".join(
            name if len(names) == 1 else f"{count} x {name}" for name, count in names.items()
        )
        for thread, names in counts(outcomes).items()
    }
    reader = f"; reader thread: {texts['reader']}" if texts["reader"] != "ends" else ""
    return texts["caller"] + reader


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
