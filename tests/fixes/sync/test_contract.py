"""
What holds for every bug: the leak or the hang without its fix, and a proper end with it.

Every scenario runs on each release from the first that has its bug: what a release with the fix
ends in is what the releases do that upstream has cured.

"""

from __future__ import annotations

import importlib
import socket
import sys
import threading
from types import FunctionType

import pytest
from websockets.sync.connection import Connection

import websockets_closefix
from websockets_closefix import _detect, _patch
from websockets_closefix._fixes import fixes_of
from websockets_closefix._repro import scenarios_of, waiting
from websockets_closefix._repro.peers import stay_silent
from websockets_closefix._repro.scenario import Hangs
from websockets_closefix._repro.sync import observing
from websockets_closefix._repro.sync.ends import opened
from websockets_closefix._repro.sync.observing import observe

from ...conftest import bugs_of_the_release, installed_release, is_wine, marks_of

RELEASE = _detect.release(installed_release())
FIXES = {fix.name: fix for fix in fixes_of("websockets.sync")}
SCENARIOS = [s for s in scenarios_of("websockets.sync") if FIXES[s.bug].since <= RELEASE]
OF_THE_RELEASE = [FIXES[name] for name in bugs_of_the_release() if name in FIXES]

every_scenario = pytest.mark.parametrize(
    ("scenario", "side"),
    [
        pytest.param(s, side, id=f"{s.name}-{side}", marks=marks_of(s))
        for s in SCENARIOS
        for side in s.sides
    ],
)
every_fix = pytest.mark.parametrize("fix", [pytest.param(f, id=f.name) for f in OF_THE_RELEASE])


def test_every_bug_is_reproduced():
    not_here = set() if hasattr(socket, "TCP_USER_TIMEOUT") else {"sync.blocked_keepalive"}
    bugs = {scenario.bug for scenario in scenarios_of("websockets.sync")}
    assert bugs == set(FIXES) - not_here


@every_scenario
def test_leaks_or_hangs_without_the_shim(scenario, side, without_shim, monkeypatch):
    if scenario.bug not in bugs_of_the_release():
        pytest.skip("this release doesn't have the bug")
    if scenario.bug == "sync.early_wakeup" and "sync.unread_message" in bugs_of_the_release():
        pytest.skip("close_socket() doesn't wake recv() here: see test_early_wakeup.py")
    if scenario.bug == "sync.socket_shutdown" and sys.platform == "win32":
        pytest.skip("Windows wakes a thread in recv() when its socket is closed")
    monkeypatch.setattr(waiting, "HANG", 1.0)
    outcome = scenario.end_connection(side)
    assert outcome.leaked
    assert scenario.without_fix in map(type, outcome)


@every_scenario
def test_ends_properly_with_the_shim(scenario, side):
    if scenario.bug == "sync.unread_message" and RELEASE >= (17, 0) and is_wine():
        pytest.skip("under Wine 8, a recv() that comes after a reset meets the end of the stream")
    outcome = scenario.end_connection(side)
    assert outcome.reader is None
    assert type(outcome.caller) is (scenario.with_fix or type(None))
    if scenario.with_fix:
        assert isinstance(outcome.caller.__cause__, scenario.causes)


@every_scenario
def test_ends_properly_on_the_reference_without_the_shim(scenario, side, without_shim):
    if scenario.bug in bugs_of_the_release():
        pytest.skip("this release has the bug")
    test_ends_properly_with_the_shim(scenario, side)


# Putting on and taking off.


def methods_of(fix):
    return [(owner, name) for owner, name, _ in _patch.targets(fix, module_of(fix))]


def module_of(fix):
    return importlib.import_module(fix.module)


@every_fix
def test_unapply_restores_the_same_function_objects(fix):
    methods = methods_of(fix)
    originals = [_detect.original_layers(owner, name)[0] for owner, name in methods]
    assert originals
    for _ in range(2):
        websockets_closefix.unapply()
        restored = [vars(owner)[name] for owner, name in methods]
        assert all(type(function) is FunctionType for function in restored)
        assert all(a is b for a, b in zip(restored, originals))
        websockets_closefix.apply()
        assert [_detect.original_layers(*method)[0] for method in methods] == originals


@every_fix
def test_apply_twice_wraps_once(fix):
    websockets_closefix.apply()
    websockets_closefix.apply(strict=True)
    for owner, name in methods_of(fix):
        layers = [_detect.name_of_fix(layer) for layer in _detect.layers(owner, name)]
        assert layers.count(fix.name) == 1


def test_fixes_of_other_releases_are_not_put_on():
    for fix in FIXES.values():
        if fix in OF_THE_RELEASE:
            continue
        assert not any(_patch.is_wrapped(fix, *method) for method in methods_of(fix))


def changed_names(owner):
    with_shim = dict(vars(owner))
    websockets_closefix.unapply()
    return {name for name, value in vars(owner).items() if value is not with_shim[name]}


@pytest.mark.parametrize(
    "owner",
    {owner: None for fix in FIXES.values() for owner, _ in methods_of(fix)},
    ids=lambda owner: owner.__name__,
)
def test_nothing_changes_but_what_the_bugs_of_the_release_need(owner):
    wrapped = [method for fix in OF_THE_RELEASE for method in methods_of(fix)]
    assert changed_names(owner) == {name for each, name in wrapped if each is owner}


def test_send_and_ping_are_the_same_function_objects_everywhere():
    changed = changed_names(Connection)
    assert not changed & {"send", "ping", "pong", "__iter__", "__exit__"}
    assert bool(changed & {"recv", "recv_streaming"}) is (RELEASE < (13, 1))


def test_observe_tells_of_a_reader_thread_that_hangs_alone(monkeypatch):
    """That the caller comes back doesn't mean that everything has ended."""
    monkeypatch.setattr(waiting, "HANG", 0.2)
    monkeypatch.setattr(observing, "PATIENCE", 0.2)
    released = threading.Event()
    with opened("client", stay_silent) as websocket:
        reader = websocket.recv_events_thread

        def close():
            websocket.socket.shutdown(socket.SHUT_RDWR)
            reader.join(5)
            websocket.socket.close()

        websocket.recv_events_thread = threading.Thread(target=released.wait, args=(5,))
        websocket.recv_events_thread.start()
        outcome = observe(websocket, close)
        released.set()
    assert outcome.caller is None
    assert type(outcome.reader) is Hangs
