"""
What holds for every flaw: the leak or the hang without its repair, and the cure with it.

Every scenario runs on each release from the first that has its flaw: what the repaired releases
end in is what the clean ones do.

"""

from __future__ import annotations

import socket
import threading
from types import FunctionType

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync import connection as connection_module
from websockets.sync.connection import Connection
from websockets.sync.messages import Assembler

import websockets_closefix
from websockets_closefix import _detect, _layers, _repro, _patch
from websockets_closefix._fixes import FIXES
from websockets_closefix._repro import FORCED, ORDINARY, SIDES, Hangs, observing

from ..conftest import bugs_of_the_release, installed_release

RELEASE = _detect.release(installed_release())

NETWORK_ERRORS = (BrokenPipeError, ConnectionResetError)

# What comes out of the application's thread: the exception's type, and its cause's.
ENDS_WELL = {
    "close(), a message unread": (None, ()),
    "send() after a reset, a message unread": (ConnectionClosedError, NETWORK_ERRORS),
    "reset while opening": (ConnectionClosedError, (*NETWORK_ERRORS, type(None))),
    "recv(), another thread closes": (ConnectionClosedError, TimeoutError),
    "recv_streaming(), another thread closes": (ConnectionClosedError, TimeoutError),
    "iteration, another thread closes": (ConnectionClosedError, TimeoutError),
    "close(), max_queue exceeded": (None, ()),
    "send() after a reset, max_queue exceeded": (ConnectionClosedError, NETWORK_ERRORS),
    "close(), the reader thread closes too": (None, ()),
    "send() fails, the reader thread closes too": (ConnectionClosedError, BrokenPipeError),
    "close(), a ping pending": (None, ()),
}

# What comes out without the repair, of whichever thread.
ENDS_BADLY = {
    "sync.unread_message": Hangs,
    "sync.reader_start": AttributeError,
    "sync.early_wakeup": AssertionError,
    "sync.paused_reader": Hangs,
    "sync.close_race": AssertionError,
    "sync.pending_ping": RuntimeError,
}


def since(scenario):
    return next(flaw.since for flaw in FIXES if flaw.room == scenario.flaw)


every_flaw = pytest.mark.parametrize("flaw", [pytest.param(f, id=f.room) for f in FIXES])
every_side = pytest.mark.parametrize("side", SIDES)
every_scenario = pytest.mark.parametrize(
    "scenario",
    [pytest.param(s, id=s.name) for s in FORCED if since(s) <= RELEASE],
)


def test_every_flaw_is_forced():
    assert {scenario.flaw for scenario in FORCED} == {flaw.room for flaw in FIXES}


@every_side
@every_scenario
def test_leaks_or_hangs_without_the_shim(scenario, side, without_shim, monkeypatch):
    if scenario.flaw not in bugs_of_the_release():
        pytest.skip("this release doesn't have the flaw")
    if scenario.flaw == "sync.early_wakeup" and "sync.unread_message" in bugs_of_the_release():
        pytest.skip("close_socket() doesn't wake recv() in this release: see test_issue_1449.py")
    monkeypatch.setattr(observing, "HANG", 1.0)
    outcome = scenario.end_connection(side)
    assert outcome.leaked
    assert ENDS_BADLY[scenario.flaw] in map(type, outcome)


@every_side
@every_scenario
def test_ends_well_with_the_shim(scenario, side):
    outcome = scenario.end_connection(side)
    expected, causes = ENDS_WELL[scenario.name]
    if scenario.flaw == "sync.reader_start" and side == "server":
        expected = None  # serve() logs it
    assert outcome.reader is None
    assert type(outcome.caller) is (expected or type(None))
    if expected:
        if scenario.flaw == "sync.unread_message" and scenario.flaw not in bugs_of_the_release():
            # The reader thread, which isn't stuck, may be the first to meet the reset; only the
            # newest releases tell send() of it.
            causes = (type(None), *NETWORK_ERRORS)
        assert isinstance(outcome.caller.__cause__, causes)


@every_side
@every_scenario
def test_ends_well_on_a_clean_release_without_the_shim(scenario, side, without_shim):
    if bugs_of_the_release():
        pytest.skip("this release has flaws")
    test_ends_well_with_the_shim(scenario, side)


@every_side
@pytest.mark.parametrize("scenario", [pytest.param(s, id=s.name) for s in ORDINARY])
def test_ordinary_closes_end_well(scenario, side):
    for _ in range(5):
        assert not scenario.end_connection(side).leaked


# Putting on and taking off.


def wrapped_by(flaw):
    return list(_patch.targets(flaw, connection_module))


@every_flaw
def test_unapply_restores_the_same_function_objects(flaw):
    if flaw.room not in bugs_of_the_release():
        pytest.skip("this release doesn't have the flaw")
    methods = wrapped_by(flaw)
    originals = [vars(owner)[name].__wrapped__ for owner, name in methods]
    assert originals
    for _ in range(2):
        websockets_closefix.unapply()
        restored = [vars(owner)[name] for owner, name in methods]
        assert all(type(function) is FunctionType for function in restored)
        assert all(a is b for a, b in zip(restored, originals))
        websockets_closefix.apply()
        assert [vars(owner)[name].__wrapped__ for owner, name in methods] == originals


@every_flaw
def test_apply_twice_wraps_once(flaw):
    if flaw.room not in bugs_of_the_release():
        pytest.skip("this release doesn't have the flaw")
    websockets_closefix.apply()
    websockets_closefix.apply(strict=True)
    for owner, name in wrapped_by(flaw):
        layers = _layers.layers(owner, name)
        assert [_layers.is_ours(layer) for layer in layers] == [True, False]


@every_flaw
def test_flaws_of_other_releases_are_left_alone(flaw):
    if flaw.room in bugs_of_the_release():
        pytest.skip("this release has the flaw")
    for owner, name in wrapped_by(flaw):
        wrapper = getattr(vars(owner)[name], "_self_wrapper", None)
        assert getattr(wrapper, "__module__", None) != f"websockets_closefix._fixes.{flaw.room}"


def changed_names(owner):
    with_shim = dict(vars(owner))
    websockets_closefix.unapply()
    return {name for name, value in vars(owner).items() if value is not with_shim[name]}


@pytest.mark.parametrize("owner", [Connection, Assembler])
def test_nothing_changes_but_what_the_bugs_of_the_release_need(owner):
    needed = {
        method.partition(".")[2]
        for flaw in FIXES
        if flaw.room in bugs_of_the_release()
        for method in flaw.wrapped
        if method.startswith(f"{owner.__name__}.")
    }
    assert changed_names(owner) == needed & set(vars(owner))


def test_send_and_ping_are_the_same_function_objects_everywhere():
    changed = changed_names(Connection)
    assert not changed & {"send", "ping", "pong", "close", "__iter__", "__exit__"}
    assert bool(changed & {"recv", "recv_streaming"}) is (RELEASE < (13, 1))


def test_observe_tells_of_a_reader_thread_that_hangs_alone(monkeypatch):
    """That the caller comes back doesn't mean that everything has ended."""
    monkeypatch.setattr(observing, "HANG", 0.2)
    monkeypatch.setattr(observing, "PATIENCE", 0.2)
    released = threading.Event()
    with _repro.opened("client", _repro.stay_silent) as websocket:
        reader = websocket.recv_events_thread

        def close():
            websocket.socket.shutdown(socket.SHUT_RDWR)
            reader.join(5)
            websocket.socket.close()

        websocket.recv_events_thread = threading.Thread(target=released.wait, args=(5,))
        websocket.recv_events_thread.start()
        outcome = _repro.observe(websocket, close)
        released.set()
    assert outcome.caller is None
    assert type(outcome.reader) is Hangs
    assert outcome.hangs
