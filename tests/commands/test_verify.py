"""What verify reports, and what it leaves behind: nothing."""

from __future__ import annotations

import threading

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.connection import Connection

import websockets_closefix
from websockets_closefix import _provoke
from websockets_closefix._commands import verify as _verify
from websockets_closefix._provoke import Outcome

from ..conftest import affected, installed_release

VERSION = installed_release()


@affected
def test_shows_the_leak_without_the_shim_and_none_with_it():
    report = _verify.verify(trials=2)
    assert report.status.state == "applied"
    assert report.leaked == 0
    caller_held, reader_held, *_, organic = report.rows
    assert [type(outcome.reader) for outcome in caller_held.without] == [AssertionError]
    assert [type(outcome.caller) for outcome in reader_held.without] == [AssertionError]
    assert [type(outcome.caller) for outcome in reader_held.with_shim] == [ConnectionClosedError]
    assert len(organic.without) == len(organic.with_shim) == 2


@pytest.mark.skipif(VERSION in ("13.1", "14.0", "14.1"), reason="this release has the flaw")
def test_both_columns_are_clean_on_other_releases():
    report = _verify.verify(trials=2)
    assert report.status.state == "not-affected"
    assert not any(outcome.leaked for row in report.rows for outcome in row.without + row.with_shim)
    assert "doesn't have the close race" in _verify.as_text(report)


@pytest.mark.parametrize("applied", [True, False])
def test_leaves_the_process_as_it_was(applied, monkeypatch):
    monkeypatch.setattr(_provoke, "HOLD", 0.1)  # nothing is asserted about the race
    if not applied:
        websockets_closefix.unapply()
    before = websockets_closefix.status().state, type(vars(Connection)["close_socket"])
    excepthook = threading.excepthook
    _verify.verify(trials=1)
    assert (websockets_closefix.status().state, type(vars(Connection)["close_socket"])) == before
    assert threading.excepthook is excepthook


def test_leaves_the_process_as_it_was_when_interrupted():
    def interrupt(line):
        if line.startswith("without the shim: send()"):
            raise KeyboardInterrupt

    before = websockets_closefix.status().state
    with pytest.raises(KeyboardInterrupt):
        _verify.verify(trials=1, progress=interrupt)
    assert websockets_closefix.status().state == before


def outcomes_of(*callers, reader=None):
    return [Outcome(caller, reader) for caller in callers]


def test_table():
    status = websockets_closefix.status()._replace(state="applied", detail="cured")
    leak, closed = AssertionError(), ConnectionClosedError(None, None)
    report = _verify.Report(
        status,
        [
            _verify.Row("forced", outcomes_of(None, reader=leak), outcomes_of(closed)),
            _verify.Row("organic", outcomes_of(None, leak, None), outcomes_of(None, None, None)),
        ],
    )
    head, columns, rule, forced, organic, _, status, conclusion = _verify.as_text(report).split(
        "\n"
    )
    assert head.split() == ["without", "the", "shim", "with", "the", "shim"]
    assert columns.split("  ")[0] == "scenario"
    assert columns.count("caller") == columns.count("reader thread") == 2
    assert forced.split()[1:] == ["closed", "AssertionError", "ConnectionClosedError", "ended"]
    assert organic.split("  ")[0] == "organic"
    assert "2 closed, 1 AssertionError  3 ended" in organic
    assert [head.find("with the"), rule.rfind("  -", 0, -20) + 2] == [columns.rfind("caller")] * 2
    assert (status, conclusion) == ("applied: cured", "nothing leaks with the shim")


def test_conclusion_counts_what_leaks():
    status = websockets_closefix.status()._replace(state="disabled", detail="switched off")
    leaks = outcomes_of(AssertionError(), None, reader=ValueError())
    report = _verify.Report(status, [_verify.Row("organic", leaks, leaks)])
    assert report.leaked == 2
    assert _verify.as_text(report).endswith(
        "disabled: switched off\n2 connections ended badly although the shim was asked for"
    )


def test_peer_that_stays_is_given_up(monkeypatch):
    """Else a scenario that goes wrong would go on for good."""
    monkeypatch.setattr(_provoke, "PATIENCE", 0.2)
    with _provoke.peer(_provoke.stay_silent) as uri:
        assert _provoke.send_until_closed(uri) == (None, None)


def test_other_threads_are_left_to_the_excepthook_that_was_there(monkeypatch):
    heard = []
    monkeypatch.setattr(threading, "excepthook", heard.append)
    with _provoke.reader_exceptions(threading.current_thread()) as raised:
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    assert raised == []
    [args] = heard
    assert args.exc_type is ZeroDivisionError
    assert args.thread is thread
