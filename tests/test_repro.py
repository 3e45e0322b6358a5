"""What the reproductions rely on: bounded, and nothing of the process is changed for good."""

from __future__ import annotations

import os
import sys
import threading

import pytest
from websockets.sync.connection import Connection

from websockets_closefix._repro.peers import stay_silent
from websockets_closefix._repro.sync import ends as ends_module
from websockets_closefix._repro.sync import storm
from websockets_closefix._repro.sync.ends import keep_sending, opened
from websockets_closefix._repro.sync.observing import observe, thread_exceptions
from websockets_closefix._repro.waiting import wait_until

from .conftest import ROOT, bugs_of_the_release, has_bug

SHOWN_BY_THE_STORM = {"sync.close_race", "sync.early_wakeup", "sync.unread_message"}


@pytest.fixture
def small(monkeypatch):
    """A storm in which the close race shows five times, on average."""
    monkeypatch.setattr(storm, "CONNECTIONS", 100)


def test_storm_ends_every_connection_with_the_shim(small):
    switch_interval = sys.getswitchinterval()
    outcomes = storm.storm()
    assert 0 < len(outcomes) <= storm.CONNECTIONS  # fewer where its time limit comes first
    assert not any(outcome.leaked for outcome in outcomes)
    assert sys.getswitchinterval() == switch_interval


@pytest.mark.skipif(
    not SHOWN_BY_THE_STORM.isdisjoint(bugs_of_the_release()), reason="the storm shows its bugs"
)
def test_storm_shows_nothing_on_a_reference_without_the_shim(without_shim, small):
    assert not any(outcome.leaked for outcome in storm.storm())


@has_bug("sync.close_race")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the race is too rare")
@pytest.mark.timeout(120)
def test_storm_shows_the_close_race_without_the_shim(without_shim, small):
    """By chance, it might not."""
    assert any(outcome.leaked for _ in range(30) for outcome in storm.storm())


@pytest.mark.parametrize("method", ["recv", "send"])
def test_storm_tells_what_comes_out_of_each_thread(method, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(storm, "CONNECTIONS", 1)
    monkeypatch.setattr(Connection, method, fail)
    [outcome] = storm.storm()
    assert type(outcome.caller) is ZeroDivisionError
    assert outcome.leaked


def test_storm_opens_nothing_after_its_time_limit(monkeypatch):
    monkeypatch.setattr(storm, "TIME_LIMIT", -1.0)
    assert storm.storm() == []


def test_peer_that_stays_is_given_up(monkeypatch):
    """Else a scenario that goes wrong would go on for good."""
    monkeypatch.setattr(ends_module, "PATIENCE", 0.2)
    with opened("client", stay_silent, close_timeout=0.1) as websocket:
        assert observe(websocket, lambda: keep_sending(websocket)) == (None, None)


def test_condition_that_never_comes_is_given_up():
    with pytest.raises(TimeoutError):
        wait_until(lambda: False, timeout=0.01)


def fail():
    raise ZeroDivisionError


def test_other_threads_are_left_to_the_excepthook_that_was_there(monkeypatch):
    heard = []
    monkeypatch.setattr(threading, "excepthook", heard.append)
    with thread_exceptions(lambda thread: False) as raised:
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    assert raised == []
    [args] = heard
    assert (args.exc_type, args.thread) == (ZeroDivisionError, thread)


IMPORTED = """
import sys
from _repro import scenarios_of
print("websockets.sync" in sys.modules)
print(len(scenarios_of("websockets.sync")) > 0, "websockets.sync" in sys.modules)
print(any(name in sys.modules for name in ("_repro.asyncio", "_repro.legacy")))
print("websockets_closefix" in sys.modules)
"""


def test_scenarios_import_one_implementation_and_nothing_of_the_shim(python):
    paths = [str(ROOT / "websockets_closefix"), str(ROOT)]
    lines = python(IMPORTED, PYTHONPATH=os.pathsep.join(paths)).stdout.splitlines()
    assert lines == ["False", "True True", "False", "False"]
