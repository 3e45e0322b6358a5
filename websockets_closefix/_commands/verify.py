"""Shows the close race, and its cure, on this machine and the installed websockets."""

from __future__ import annotations

import functools
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

import websockets_closefix

from .. import _provoke
from .._provoke import Outcome, reset, stay_silent
from .._status import Status


class Scenario(NamedTuple):
    """How to end connections, and to which kind of peer."""

    name: str
    peer: Callable[[socket.socket], None]
    end_connections: Callable[[str], Iterator[Outcome]]


class Row(NamedTuple):
    """What one scenario ended in, without the shim and with it."""

    scenario: str
    without: list[Outcome]
    with_shim: list[Outcome]


class Report(NamedTuple):
    """What :func:`verify` saw."""

    status: Status
    rows: list[Row]

    @property
    def leaked(self) -> int:
        """How many connections still ended badly with the shim."""
        return sum(outcome.leaked for row in self.rows for outcome in row.with_shim)


def verify(trials: int, progress: Callable[[str], None] | None = None) -> Report:
    """
    Provoke the race without the shim, then with it.

    The shim is left as it was found.

    Args:
        trials: How many connections to close without forcing anything.
        progress: Called with a line that says what is being done, and with an empty one at last.

    Returns:
        The status of the shim while it was on, and what every scenario ended in.

    """
    if progress is None:
        progress = ignore
    was_disabled = websockets_closefix.status().state == "disabled"
    try:
        websockets_closefix.unapply()
        without = [run(scenario, "without the shim", progress) for scenario in scenarios(trials)]
        status = websockets_closefix.apply()
        with_shim = [run(scenario, "with the shim", progress) for scenario in scenarios(trials)]
    finally:
        progress("")
        if was_disabled:
            websockets_closefix.unapply()
        else:
            websockets_closefix.apply()
    names = [scenario.name for scenario in scenarios(trials)]
    return Report(status, [Row(*row) for row in zip(names, without, with_shim)])


def scenarios(trials: int) -> list[Scenario]:
    """List the scenarios in the order of the table."""
    return [
        Scenario("close(), the caller is held", stay_silent, one(_provoke.caller_held)),
        Scenario("send() fails, the reader is held", stay_silent, one(_provoke.reader_held)),
        Scenario("the peer resets the connection", reset, one(_provoke.send_until_closed)),
        Scenario(
            "the peer never answers close()",
            stay_silent,
            one(functools.partial(_provoke.close, close_timeout=0.1)),
        ),
        Scenario(
            f"{trials} closes, nobody is held",
            stay_silent,
            functools.partial(_provoke.organic, trials=trials),
        ),
    ]


def one(end_connection: Callable[[str], Outcome]) -> Callable[[str], Iterator[Outcome]]:
    """Make a series of outcomes of a single one."""
    return lambda uri: iter([end_connection(uri)])


def run(scenario: Scenario, suffix: str, progress: Callable[[str], None]) -> list[Outcome]:
    """Run a scenario, saying so."""
    progress(f"{suffix}: {scenario.name}")
    outcomes = []
    with _provoke.peer(scenario.peer) as uri:
        for outcome in scenario.end_connections(uri):
            outcomes.append(outcome)
            progress(f"{suffix}: {scenario.name} ({len(outcomes)})")
    return outcomes


def ignore(line: str) -> None:
    """Show nothing."""


def as_text(report: Report) -> str:
    """Lay the report out for a person."""
    status = report.status
    if report.leaked:
        conclusion = f"{report.leaked} connections ended badly although the shim was asked for"
    elif status.state == "applied":
        conclusion = "nothing leaks with the shim"
    else:
        conclusion = "nothing leaks"
    return f"{as_table(report)}\n\n{status.state}: {status}\n{conclusion}"


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
        "caller": dict(Counter(type_name(outcome.caller) or "closed" for outcome in outcomes)),
        "reader": dict(Counter(type_name(outcome.reader) or "ended" for outcome in outcomes)),
    }


def type_name(exc: BaseException | None) -> str | None:
    """Name an exception's type."""
    return None if exc is None else type(exc).__name__


def ended_where(outcomes: list[Outcome]) -> Iterator[str]:
    """Say in two cells what ended the calling thread and the reader thread."""
    for counted in counts(outcomes).values():
        yield ", ".join(
            name if len(outcomes) == 1 else f"{count} {name}" for name, count in counted.items()
        )
