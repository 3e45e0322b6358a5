"""What verify reports, and what it leaves behind: nothing."""

from __future__ import annotations

import json
import sys
import threading

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.connection import Connection

import websockets_closefix
from websockets_closefix import _repro
from websockets_closefix._cli import command_line
from websockets_closefix._cli import verify as _verify
from websockets_closefix._repro import FORCED, ORDINARY, Hangs, Outcome, holding, observing

from ..conftest import bugs_of_the_release

HANGS = {"sync.unread_message", "sync.paused_reader"} & set(bugs_of_the_release())
FORCED_HERE = [scenario for scenario in FORCED if scenario.flaw in bugs_of_the_release()]
QUICKLY_FORCED = [scenario for scenario in FORCED_HERE if scenario.flaw not in HANGS][:1]

with_flaws = pytest.mark.skipif(not bugs_of_the_release(), reason="this release has no flaws")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(observing, "HANG", 1.0)


@pytest.fixture
def hasty(monkeypatch):
    """For tests that assert nothing about a flaw."""
    monkeypatch.setattr(_verify, "FORCED", QUICKLY_FORCED)
    monkeypatch.setattr(holding, "HOLD", 0.1)


@with_flaws
@pytest.mark.timeout(90)  # what hangs takes its time, on each side
def test_shows_each_flaw_of_the_release_without_the_shim_and_none_with_it():
    report = _verify.verify(trials=len(ORDINARY))
    assert report.status.state == "applied"
    assert report.leaked == 0
    forced, ordinary = report.rows[: len(FORCED_HERE)], report.rows[len(FORCED_HERE) :]
    assert [row.scenario for row in forced] == [scenario.name for scenario in FORCED_HERE]
    for scenario, row in zip(FORCED_HERE, forced):
        assert len(row.without) == len(row.with_shim) == len(_repro.SIDES)
        if scenario.flaw == "sync.early_wakeup" and "sync.unread_message" in HANGS:
            continue  # close_socket() doesn't wake recv() in these releases
        assert all(outcome.leaked for outcome in row.without)
    assert len(ordinary) == len(ORDINARY)
    assert all(len(row.with_shim) == 1 for row in ordinary)


@pytest.mark.skipif(bool(bugs_of_the_release()), reason="this release has flaws")
def test_shows_a_clean_release_clean():
    report = _verify.verify(trials=2 * len(ORDINARY))
    assert report.status.state == "not-affected"
    assert [row.scenario for row in report.rows] == [f"2 x {each.name}" for each in ORDINARY]
    assert not any(outcome.leaked for row in report.rows for outcome in row.without + row.with_shim)
    assert _verify.as_text(report).endswith("\nnothing leaks or hangs")


def test_trials_are_shared_out_among_the_ordinary_closes():
    ordinary = [case for case in _verify.cases(trials=7) if not case.scenario.flaw]
    assert [len(case.sides) for case in ordinary] == [2, 2, 1, 1, 1]
    ordinary = [case for case in _verify.cases(trials=2) if not case.scenario.flaw]
    assert [case.title for case in ordinary] == ["1 x a receiver waiting", "1 x a ping pending"]


@pytest.mark.skipif(not HANGS, reason="nothing hangs in this release")
def test_what_hangs_says_so_and_is_tried_once(without_shim):
    [case] = [case for case in _verify.cases(trials=50) if case.title == "10 x messages unread"]
    outcomes = _verify.run(case, "without the shim", _verify.ignore)
    assert [outcome.hangs for outcome in outcomes] == [True]
    assert next(_verify.ended_where(outcomes)) == "hangs"


@pytest.mark.parametrize("applied", [True, False])
def test_leaves_the_process_as_it_was(applied, hasty):
    if not applied:
        websockets_closefix.unapply()
    before = websockets_closefix.status().state, type(vars(Connection)["close_socket"])
    excepthook, switch_interval = threading.excepthook, sys.getswitchinterval()
    _verify.verify(trials=2)
    assert (websockets_closefix.status().state, type(vars(Connection)["close_socket"])) == before
    assert threading.excepthook is excepthook
    assert sys.getswitchinterval() == switch_interval


def test_leaves_the_process_as_it_was_when_interrupted(hasty):
    def interrupt(line):
        if line.startswith("without the shim: 1 x a ping pending"):
            raise KeyboardInterrupt

    before = websockets_closefix.status().state
    with pytest.raises(KeyboardInterrupt):
        _verify.verify(trials=2, progress=interrupt)
    assert websockets_closefix.status().state == before


def test_asks_no_proxy(hasty, monkeypatch):
    """From 15.0 on, websockets would ask the one that the environment names."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert _verify.verify(trials=5).leaked == 0


# How it is laid out.


def outcomes_of(*callers, reader=None):
    return [Outcome(caller, reader) for caller in callers]


def test_table():
    status = websockets_closefix.status()._replace(state="applied", detail="cured")
    leak, closed = AssertionError(), ConnectionClosedError(None, None)
    report = _verify.Report(
        status,
        [
            _verify.Row("forced", outcomes_of(None, reader=leak), outcomes_of(closed)),
            _verify.Row("stuck", outcomes_of(Hangs(), reader=Hangs()), outcomes_of(None)),
            _verify.Row("3 x luck", outcomes_of(None, leak, None), outcomes_of(None, None, None)),
        ],
    )
    lines = _verify.as_text(report).split("\n")
    head, columns, rule, forced, stuck, luck, _, status, conclusion = lines
    assert head.split() == ["without", "the", "shim", "with", "the", "shim"]
    assert columns.split("  ")[0] == "scenario"
    assert columns.count("caller") == columns.count("reader thread") == 2
    assert forced.split()[1:] == ["closed", "AssertionError", "ConnectionClosedError", "ended"]
    assert stuck.split()[1:] == ["hangs", "hangs", "closed", "ended"]
    assert luck.split("  ")[0] == "3 x luck"
    assert "2 closed, 1 AssertionError  ended" in luck
    assert [head.find("with the"), rule.rfind("  -", 0, -20) + 2] == [columns.rfind("caller")] * 2
    assert (status, conclusion) == ("applied: cured", "nothing leaks or hangs with the shim")


@pytest.mark.parametrize(
    ("state", "conclusion"),
    [
        ("disabled", "2 connections ended badly, because the shim is switched off"),
        ("unrecognised", "2 connections ended badly although the shim was asked for"),
    ],
)
def test_conclusion_counts_what_leaks(state, conclusion):
    status = websockets_closefix.status()._replace(state=state, detail="because")
    leaks = outcomes_of(AssertionError(), None, reader=ValueError())
    report = _verify.Report(status, [_verify.Row("3 x luck", leaks, leaks)])
    assert report.leaked == 2
    assert _verify.as_text(report).endswith(f"\n\n{state}: because\n{conclusion}")


def test_conclusion_about_a_single_connection():
    status = websockets_closefix.status()._replace(state="disabled", detail="because")
    hangs = outcomes_of(Hangs())
    text = _verify.as_text(_verify.Report(status, [_verify.Row("stuck", hangs, hangs)]))
    assert text.endswith("\n1 connection ended badly, because the shim is switched off")


# On the command line.


def test_command(capsys, hasty):
    assert command_line.main(["verify", "--trials", "3"]) == 0
    output = capsys.readouterr()
    rows = output.out.splitlines()[3 : output.out.splitlines().index("")]
    assert [row.split("  ")[0] for row in rows] == [
        *(scenario.name for scenario in QUICKLY_FORCED),
        *(f"1 x {scenario.name}" for scenario in ORDINARY[:3]),
    ]
    assert "nothing leaks or hangs" in output.out
    assert output.err == ""
    assert websockets_closefix.status().state in ("applied", "not-affected")


@with_flaws
def test_command_with_the_kill_switch(capsys, hasty, monkeypatch):
    monkeypatch.setenv("WEBSOCKETS_CLOSEFIX", "0")
    monkeypatch.setattr(holding, "HOLD", 0.5)
    assert command_line.main(["verify", "--trials", "1"]) == 1
    output = capsys.readouterr().out
    assert "disabled: " in output
    assert output.endswith(" ended badly, because the shim is switched off\n")


def test_command_prints_json_and_shows_its_progress_on_a_terminal(capsys, hasty, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert command_line.main(["verify", "--trials", "7", "--json"]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert report["leaked"] == 0
    assert len(report["flaws"]) == len(bugs_of_the_release())
    last = report["scenarios"][-1]
    assert last["scenario"] == "1 x the peer resets"
    assert sum(last["with"]["caller"].values()) == 1
    assert "with the shim: 2 x a ping pending (2)" in output.err
    assert output.err.endswith("\r\033[K")


# What provokes it.


def test_peer_that_stays_is_given_up(monkeypatch):
    """Else a scenario that goes wrong would go on for good."""
    monkeypatch.setattr(_repro.ordinary, "PATIENCE", 0.2)
    with _repro.peer(_repro.stay_silent) as uri:
        assert _repro.send_until_closed(uri) == (None, None)


def close_twice_while_close_raises(monkeypatch, raise_something):
    original = Connection.close

    def close(self):
        original(self)
        raise_something()

    monkeypatch.setattr(Connection, "close", close)
    return _repro.ordinary.close_twice("client")


def test_what_python_fails_in_is_no_leak_of_websockets(monkeypatch):
    """Joining a thread can fail where two do it; one that wasn't started fails every time."""
    outcome = close_twice_while_close_raises(monkeypatch, threading.Thread().join)
    assert not outcome.leaked


def test_what_websockets_fails_in_is_a_leak(monkeypatch):
    def fail():
        raise RuntimeError

    assert type(close_twice_while_close_raises(monkeypatch, fail).caller) is RuntimeError


def test_condition_that_never_comes_is_given_up():
    with pytest.raises(TimeoutError):
        _repro.wait_until(lambda: False, timeout=0.01)


def test_other_threads_are_left_to_the_excepthook_that_was_there(monkeypatch):
    heard = []
    monkeypatch.setattr(threading, "excepthook", heard.append)
    with _repro.reader_exceptions(threading.current_thread()) as raised:
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    assert raised == []
    [args] = heard
    assert args.exc_type is ZeroDivisionError
    assert args.thread is thread
