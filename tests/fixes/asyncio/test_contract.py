"""
What holds for every bug of ``websockets.asyncio``: the hang or the error without its fix, and a
proper end with it.

Every scenario runs on each release from the first that has its bug: what a release with the fix
ends in is what the releases do that upstream has cured.

"""

from __future__ import annotations

import importlib
import inspect
import sys
from types import FunctionType
from unittest.mock import create_autospec

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.messages import Assembler, SimpleQueue
from websockets.asyncio.server import Server, ServerConnection

import websockets_closefix
from websockets_closefix import _detect, _patch
from websockets_closefix._fixes import fixes_of
from websockets_closefix._repro import scenarios_of, waiting

from ...conftest import bugs_of_the_release, count_descriptors, installed_release, marks_of

RELEASE = _detect.release(installed_release())
FIXES = {fix.name: fix for fix in fixes_of("websockets.asyncio")}
SCENARIOS = [s for s in scenarios_of("websockets.asyncio") if FIXES[s.bug].since <= RELEASE]
if (17, 0) <= RELEASE < (17, 2):  # 17.2 is the reference
    SCENARIOS = [s for s in SCENARIOS if s.bug != "asyncio.handler_cancelled"]
OF_THE_RELEASE = [FIXES[name] for name in bugs_of_the_release() if name in FIXES]
CLASSES = (ClientConnection, Connection, ServerConnection, Assembler, SimpleQueue, Server)

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
    assert {scenario.bug for scenario in scenarios_of("websockets.asyncio")} == set(FIXES)


@every_scenario
def test_leaks_or_hangs_without_the_shim(scenario, side, without_shim, monkeypatch):
    if scenario.bug not in bugs_of_the_release():
        pytest.skip("this release doesn't have the bug")
    if scenario.bug == "asyncio.lost_before_made" and sys.version_info < (3, 11):
        pytest.skip("this Python's TLS doesn't call connection_lost() without connection_made()")
    monkeypatch.setattr(waiting, "HANG", 0.7)
    outcome = scenario.end_connection(side)
    assert outcome.leaked
    assert scenario.without_fix in map(type, outcome)


@every_scenario
def test_ends_properly_with_the_shim(scenario, side):
    descriptors = count_descriptors()
    outcome = scenario.end_connection(side)
    assert outcome.reader is None
    assert type(outcome.caller) is (scenario.with_fix or type(None))
    if scenario.with_fix:
        assert isinstance(outcome.caller.__cause__, scenario.causes)
    assert count_descriptors() <= descriptors


@every_scenario
def test_ends_properly_with_no_other_fix(scenario, side, without_shim, monkeypatch):
    """Each fix works alone."""
    others = ",".join(FIXES.keys() - {scenario.bug})
    monkeypatch.setenv("WEBSOCKETS_CLOSEFIX_SKIP", others)
    websockets_closefix.apply()
    test_ends_properly_with_the_shim(scenario, side)
    websockets_closefix.unapply()


@every_scenario
def test_ends_properly_on_the_reference_without_the_shim(scenario, side, without_shim):
    if scenario.bug in bugs_of_the_release():
        pytest.skip("this release has the bug")
    test_ends_properly_with_the_shim(scenario, side)


# Putting on and taking off.


def methods_of(fix):
    module = importlib.import_module(fix.module)
    return [(owner, name) for owner, name, _ in _patch.targets(fix, module)]


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


@every_fix
def test_only_classes_of_websockets_are_wrapped(fix):
    for owner, _ in methods_of(fix):
        assert owner.__module__.startswith("websockets.asyncio.")


def test_fixes_of_other_releases_are_not_put_on():
    for fix in FIXES.values():
        if fix in OF_THE_RELEASE:
            continue
        assert not any(_patch.is_wrapped(fix, *method) for method in methods_of(fix))


def changed_names(owner):
    with_shim = dict(vars(owner))
    websockets_closefix.unapply()
    return {name for name, value in vars(owner).items() if value is not with_shim[name]}


@pytest.mark.parametrize("owner", CLASSES)
def test_nothing_changes_but_what_the_bugs_of_the_release_need(owner):
    needed = {name for fix in OF_THE_RELEASE for cls, name in methods_of(fix) if cls is owner}
    assert changed_names(owner) == needed


def test_what_every_message_passes_through_is_the_same_everywhere():
    changed = changed_names(Connection)
    on_sending = {"send", "ping", "pong", "send_context", "send_data", "drain", "pause_writing"}
    on_receiving = {"recv", "recv_streaming", "__aiter__", "data_received", "process_event"}
    assert not changed & (on_sending | on_receiving | {"__aenter__", "__aexit__"})
    websockets_closefix.apply()
    assert not changed_names(Assembler) & {"get", "get_iter", "put", "maybe_pause", "maybe_resume"}
    websockets_closefix.apply()
    assert not changed_names(SimpleQueue) & {"get", "put"}


@every_fix
def test_coroutine_functions_are_still_coroutine_functions(fix):
    for owner, name in methods_of(fix):
        with_shim = getattr(owner, name)
        [original] = _detect.original_layers(owner, name)[:1]
        for tell in (inspect.iscoroutinefunction, inspect.isasyncgenfunction):
            assert tell(with_shim) is tell(original)
        assert inspect.signature(with_shim) == inspect.signature(original)


@every_fix
def test_create_autospec_mocks_coroutine_functions_as_such(fix):
    methods = [method for method in methods_of(fix) if not method[1].startswith("__")]
    with_shim = [type(getattr(create_autospec(owner), name)).__name__ for owner, name in methods]
    websockets_closefix.unapply()
    assert with_shim == [
        type(getattr(create_autospec(owner), name)).__name__ for owner, name in methods
    ]
