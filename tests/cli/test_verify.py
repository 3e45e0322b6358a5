"""What verify reports, and what it leaves behind: nothing."""

from __future__ import annotations

import json
import sys
import threading

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.connection import Connection

import websockets_closefix
from websockets_closefix import _detect, _state
from websockets_closefix._cli import command_line
from websockets_closefix._cli import verify as page
from websockets_closefix._fixes import fixes_of
from websockets_closefix._repro import scenarios_of, waiting
from websockets_closefix._repro.scenario import Hangs, Outcome
from websockets_closefix._repro.sync import holding, storm
from websockets_closefix._status import BugStatus

from ..conftest import bugs_of_the_release, has_none, has_some

SCENARIOS = {
    package: [each for each in scenarios_of(package) if each.bug in bugs_of_the_release()]
    for package in _state.PACKAGES
    if not {fix.name for fix in fixes_of(package)}.isdisjoint(bugs_of_the_release())
}
# The contract of the fixes ends a connection in each of them. Here one of each implementation is
# enough, one in which nothing hangs where there is such a one.
FEW = [
    next((each for each in scenarios if each.without_fix is not Hangs), scenarios[0])
    for scenarios in SCENARIOS.values()
    if scenarios
]
QUICK = [scenario for scenario in FEW if scenario.without_fix is not Hangs][:1]


@pytest.fixture(autouse=True)
def _small_storm(monkeypatch):
    monkeypatch.setattr(waiting, "HANG", 2.0)
    monkeypatch.setattr(storm, "CONNECTIONS", 5)


@pytest.fixture
def quick(monkeypatch):
    """Reproduce a single bug, one that doesn't hang."""
    reproduce_only(QUICK, monkeypatch)
    monkeypatch.setattr(holding, "HOLD", 0.2)


def reproduce_only(chosen, monkeypatch):
    monkeypatch.setattr(
        page, "scenarios_of", lambda package: [s for s in scenarios_of(package) if s in chosen]
    )


def wrapped_methods():
    return {
        name: value
        for name, value in vars(Connection).items()
        if any(map(_detect.name_of_fix, _detect.layers(Connection, name)))
    }


def test_plans_every_scenario_of_the_release():
    page.import_websockets()
    *reproductions, last = page.plan()
    of_the_release = [each for scenarios in SCENARIOS.values() for each in scenarios]
    assert [step[:2] for step in reproductions] == [scenario[:2] for scenario in of_the_release]
    assert last[:2] == (None, "storm of 5 connections")


@has_some
def test_shows_bugs_of_each_implementation_without_the_shim_and_none_with_it(monkeypatch):
    reproduce_only(FEW, monkeypatch)
    report = page.verify()
    assert report.status.state == "applied"
    assert report.leaked == 0
    *reproductions, last = report.rows
    assert [(row.bug, row.scenario) for row in reproductions] == [each[:2] for each in FEW]
    for scenario, row in zip(FEW, reproductions):
        assert len(row.without) == len(row.with_shim) == len(scenario.sides)
        if scenario.bug == "sync.early_wakeup" and "sync.unread_message" in bugs_of_the_release():
            continue  # close_socket() doesn't wake recv() in these releases
        assert all(outcome.leaked for outcome in row.without)
    assert (last.bug, last.scenario) == (None, "storm of 5 connections")
    assert len(last.without) == len(last.with_shim) == 5


@has_none
def test_says_of_a_release_without_bugs_that_it_has_none():
    report = page.verify()
    assert [row.scenario for row in report.rows] == ["storm of 5 connections"]
    assert report.leaked == 0
    status, conclusion = page.as_text(report).splitlines()[-2:]
    assert status.startswith("not-affected: ")
    assert "has none of the bugs" in status
    assert conclusion == "every connection ended properly"


def test_asks_no_proxy(quick, monkeypatch):
    """From 15.0 on, websockets would ask the one that the environment names."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert page.verify().leaked == 0


# What it leaves behind.


@pytest.mark.parametrize("wanted", [True, False])
def test_leaves_the_process_as_it_was(wanted, quick):
    if not wanted:
        websockets_closefix.unapply()
    before = websockets_closefix.status().state, wrapped_methods().keys()
    excepthook, switch_interval = threading.excepthook, sys.getswitchinterval()
    page.verify()
    assert (websockets_closefix.status().state, wrapped_methods().keys()) == before
    assert _state.wanted is wanted
    assert threading.excepthook is excepthook
    assert sys.getswitchinterval() == switch_interval


@has_some
def test_leaves_the_shim_wanted_where_every_fix_is_skipped(quick, monkeypatch):
    """Its state is "disabled" then, as if unapply() had been called."""
    websockets_closefix.unapply()
    monkeypatch.setenv("WEBSOCKETS_CLOSEFIX_SKIP", ",".join(bugs_of_the_release()))
    assert websockets_closefix.apply().state == "disabled"
    page.verify()
    assert _state.wanted


def test_leaves_the_shim_as_it_was_when_interrupted(quick, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(storm, "storm", interrupt)
    before = websockets_closefix.status().state
    with pytest.raises(KeyboardInterrupt):
        page.verify()
    assert websockets_closefix.status().state == before


# How it is laid out.

LEAK = AssertionError()
CLOSED = ConnectionClosedError(None, None)


def report(*rows, state="applied", bugs=()):
    status = websockets_closefix.status()._replace(state=state, detail="because", bugs=bugs)
    return page.Report(status, list(rows))


def bug(name, state):
    return BugStatus(name, None, "it hangs", state)


def ends(*callers, reader=None):
    return [Outcome(caller, reader) for caller in callers]


def test_text():
    rows = [
        page.Row("sync.x", "forced", ends(None, None, reader=LEAK), ends(CLOSED)),
        page.Row("sync.y", "stuck", ends(Hangs(), reader=Hangs()), ends(None)),
        page.Row(
            None, "storm", [*ends(LEAK, CLOSED, CLOSED), *ends(None, reader=LEAK)], ends(None)
        ),
    ]
    assert page.as_text(report(*rows)).split("\n") == [
        "sync.x: forced",
        "    without the shim: returns; in the background: AssertionError",
        "    with the shim:    ConnectionClosedError",
        "sync.y: stuck",
        "    without the shim: hangs; in the background: hangs",
        "    with the shim:    returns",
        "storm",
        "    without the shim: 2 x ConnectionClosedError, 1 x AssertionError, 1 x returns; "
        "in the background: 3 x ends, 1 x AssertionError",
        "    with the shim:    returns",
        "applied: because",
        "every connection ended properly with the shim",
    ]


def test_text_has_the_state_alone_where_nothing_was_run():
    assert page.as_text(report(state="not-affected")) == "not-affected: because"


@pytest.mark.parametrize(
    ("row_bug", "state", "why"),
    [
        ("sync.x", "disabled", ": sync.x is disabled"),
        ("sync.x", "skipped", ": sync.x is skipped"),
        ("sync.x", "unrecognised", ": sync.x is unrecognised"),
        (None, "skipped", ": sync.x is skipped"),
        ("sync.x", "applied", " although the shim is on"),
        ("sync.y", "skipped", " although the shim is on"),
    ],
)
def test_conclusion_says_why_connections_leak(row_bug, state, why):
    leaks = [*ends(LEAK, None), *ends(None, reader=LEAK)]
    bugs = (bug("sync.x", state), bug("sync.y", "applied"))
    seen = report(page.Row(row_bug, "luck", leaks, leaks), bugs=bugs)
    assert seen.leaked == 2
    [conclusion] = page.conclusion(seen)
    assert conclusion == f"2 connection(s) didn't end properly{why}"


# On the command line.


def test_command(capsys, quick):
    assert command_line.main(["verify"]) == 0
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 3 * (len(QUICK) + 1) + 2
    assert all(f"{scenario.bug}: {scenario.name}\n" in output.out for scenario in QUICK)
    assert "storm of 5 connections\n" in output.out
    assert "\nevery connection ended properly" in output.out
    assert output.err == ""


@has_some
@pytest.mark.parametrize(
    ("switch", "value", "state"),
    [("WEBSOCKETS_CLOSEFIX", "0", "disabled"), ("WEBSOCKETS_CLOSEFIX_SKIP", None, "skipped")],
)
def test_command_with_a_fix_left_off(capsys, quick, monkeypatch, switch, value, state):
    [scenario] = QUICK or pytest.skip("every bug of this release hangs")
    monkeypatch.setattr(holding, "HOLD", 0.5)
    monkeypatch.setenv(switch, value or scenario.bug)
    assert command_line.main(["verify"]) == 1
    *_, status, conclusion = capsys.readouterr().out.splitlines()
    assert switch in status
    assert "didn't end properly: " in conclusion
    assert f"{scenario.bug} is {state}" in conclusion


def test_command_prints_json(capsys, quick):
    assert command_line.main(["verify", "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["state"] in ("applied", "not-affected")
    assert {each["name"] for each in seen["bugs"]} == set(bugs_of_the_release())
    assert seen["leaked"] == 0
    *reproductions, last = seen["scenarios"]
    assert [each["bug"] for each in reproductions] == [scenario.bug for scenario in QUICK]
    assert (last["bug"], last["scenario"]) == (None, "storm of 5 connections")
    assert last["with"] == {"caller": {"ConnectionClosedError": 5}, "reader": {"ends": 5}}
    assert sum(last["without"]["caller"].values()) == 5


def test_command_shows_its_progress_on_a_terminal(capsys, quick, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert command_line.main(["verify"]) == 0
    lines = capsys.readouterr().err.splitlines()
    names = [*(scenario.name for scenario in QUICK), "storm of 5 connections"]
    assert lines == [f"{when} the shim: {name}" for when in ("without", "with") for name in names]
