"""Shows how connections end with the installed websockets, without the repairs and with them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple

import websockets_closefix

from .. import _detect
from .._repro import FORCED, ORDINARY, SIDES, Hangs, Outcome, Scenario
from .._status import Status


class Case(NamedTuple):
    """A scenario, and the sides on which to run it, one connection each."""

    title: str
    scenario: Scenario
    sides: Sequence[str]


class Row(NamedTuple):
    """What one case ended in, without the shim and with it."""

    scenario: str
    without: list[Outcome]
    with_shim: list[Outcome]


class Report(NamedTuple):
    """What :func:`verify` saw."""

    status: Status
    rows: list[Row]

    @property
    def leaked(self) -> int:
        """How many connections still ended badly with the shim, or didn't end."""
        return sum(outcome.leaked for row in self.rows for outcome in row.with_shim)


def verify(trials: int, progress: Callable[[str], None] | None = None) -> Report:
    """
    Force each flaw of this release, and close connections in ordinary ways, without the shim.

    Then do it again with the shim, which is left as it was found. A connection that hangs is freed.

    Args:
        trials: How many connections to close without forcing anything.
        progress: Called with a line that says what is being done, and with an empty one at last.

    Returns:
        The status of the shim while it was on, and what every scenario ended in.

    """
    if progress is None:
        progress = ignore
    was_disabled = websockets_closefix.status().state == "disabled"
    planned = cases(trials)
    try:
        websockets_closefix.unapply()
        without = [run(case, "without the shim", progress) for case in planned]
        status = websockets_closefix.apply()
        with_shim = [run(case, "with the shim", progress) for case in planned]
    finally:
        progress("")
        if was_disabled:
            websockets_closefix.unapply()
        else:
            websockets_closefix.apply()
    titles = [case.title for case in planned]
    return Report(status, [Row(*row) for row in zip(titles, without, with_shim)])


def cases(trials: int) -> list[Case]:
    """List what there is to run, in the order of the table."""
    connection_module = sys.modules[websockets_closefix.CONNECTION_MODULE]
    flaws = {verdict.flaw.room for verdict in _detect.examine(connection_module)}
    forced = [Case(each.name, each, SIDES) for each in FORCED if each.flaw in flaws]
    least, more = divmod(trials, len(ORDINARY))
    shares = [least + (position < more) for position in range(len(ORDINARY))]
    ordinary = [
        Case(f"{share} x {each.name}", each, ["client"] * share)
        for each, share in zip(ORDINARY, shares)
        if share
    ]
    return forced + ordinary


def run(case: Case, suffix: str, progress: Callable[[str], None]) -> list[Outcome]:
    """Run a case, saying so; what has been left to chance and hangs isn't tried again."""
    progress(f"{suffix}: {case.title}")
    outcomes: list[Outcome] = []
    for side in case.sides:
        outcomes.append(case.scenario.end_connection(side))
        progress(f"{suffix}: {case.title} ({len(outcomes)})")
        if outcomes[-1].hangs and not case.scenario.flaw:
            break
    return outcomes


def ignore(line: str) -> None:
    """Show nothing."""


def as_text(report: Report) -> str:
    """Lay the report out for a person."""
    status = report.status
    return f"{as_table(report)}\n\n{status.state}: {status}\n{conclusion(report)}"


def conclusion(report: Report) -> str:
    """Say in a few words what came of it."""
    state = report.status.state
    if not report.leaked:
        return "nothing leaks or hangs" + (" with the shim" if state == "applied" else "")
    connections = f"{report.leaked} connection{'s' if report.leaked > 1 else ''} ended badly"
    if state == "disabled":
        return f"{connections}, because the shim is switched off"
    return f"{connections} although the shim was asked for"


def as_table(report: Report) -> str:
    """Set out the scenarios as rows; what ended where, as columns."""
    head = [
        ("", "without the shim", "", "with the shim", ""),
        ("scenario", "caller", "reader thread", "caller", "reader thread"),
    ]
    body = [
        (row.scenario, *ended_where(row.without), *ended_where(row.with_shim))
        for row in report.rows
    ]
    widths = [max(map(len, column)) for column in zip(*head, *body)]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
        for line in [*head, rule, *body]
    )


def as_json(report: Report) -> dict[str, Any]:
    """Lay the report out for a program."""
    return {
        **report.status._asdict(),
        "flaws": [flaw._asdict() for flaw in report.status.flaws],
        "leaked": report.leaked,
        "scenarios": [
            {
                "scenario": row.scenario,
                "without": counts(row.without),
                "with": counts(row.with_shim),
            }
            for row in report.rows
        ],
    }


def counts(outcomes: list[Outcome]) -> dict[str, dict[str, int]]:
    """Count what ended each thread; a caller that met no exception has ``closed``."""
    return {
        "caller": dict(Counter(in_a_word(outcome.caller, "closed") for outcome in outcomes)),
        "reader": dict(Counter(in_a_word(outcome.reader, "ended") for outcome in outcomes)),
    }


def in_a_word(exc: BaseException | None, well: str) -> str:
    """Say what ended a thread: an exception's type, or that it hangs."""
    if exc is None:
        return well
    return "hangs" if isinstance(exc, Hangs) else type(exc).__name__


def ended_where(outcomes: list[Outcome]) -> Iterator[str]:
    """Say in two cells what ended the calling thread and the reader thread."""
    for counted in counts(outcomes).values():
        yield ", ".join(
            name if len(counted) == 1 else f"{count} {name}" for name, count in counted.items()
        )
