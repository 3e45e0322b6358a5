"""What holds for the bugs of ``websockets.legacy``; their reference is what came before, 15.0.1."""

from __future__ import annotations

import inspect
from types import FunctionType

import pytest
from websockets.legacy.protocol import WebSocketCommonProtocol

import websockets_closefix
from websockets_closefix import _detect
from websockets_closefix._fixes import fixes_of
from websockets_closefix._repro import scenarios_of, waiting

from ...conftest import bugs_of_the_release, count_descriptors, has_bug

SCENARIOS = scenarios_of("websockets.legacy")

every_scenario = pytest.mark.parametrize(
    ("scenario", "side"),
    [pytest.param(s, side, id=f"{s.name}-{side}") for s in SCENARIOS for side in s.sides],
)


def test_every_bug_is_reproduced():
    fixes = {fix.name for fix in fixes_of("websockets.legacy")}
    assert {scenario.bug for scenario in SCENARIOS} == fixes


@every_scenario
def test_leaks_without_the_shim(scenario, side, without_shim, monkeypatch):
    if scenario.bug not in bugs_of_the_release():
        pytest.skip("this release doesn't have the bug")
    monkeypatch.setattr(waiting, "HANG", 0.7)
    outcome = scenario.end_connection(side)
    assert scenario.without_fix in map(type, outcome)


@every_scenario
def test_ends_properly_with_the_shim(scenario, side):
    descriptors = count_descriptors()
    outcome = scenario.end_connection(side)
    assert outcome.reader is None
    assert type(outcome.caller) is scenario.with_fix
    assert isinstance(outcome.caller.__cause__, scenario.causes)
    assert count_descriptors() <= descriptors


@every_scenario
def test_ends_properly_on_the_reference_without_the_shim(scenario, side, without_shim):
    if scenario.bug in bugs_of_the_release():
        pytest.skip("this release has the bug")
    test_ends_properly_with_the_shim(scenario, side)


def test_nothing_that_every_message_passes_through_is_wrapped():
    with_shim = dict(vars(WebSocketCommonProtocol))
    websockets_closefix.unapply()
    after = vars(WebSocketCommonProtocol)
    changed = {name for name, value in after.items() if value is not with_shim[name]}
    assert changed == ({"pause_writing"} if bugs_of_the_release_in_legacy() else set())


def bugs_of_the_release_in_legacy():
    return [name for name in bugs_of_the_release() if name.startswith("legacy.")]


@has_bug("legacy.drain_lock")
def test_unapply_restores_the_same_function_object():
    original = _detect.original_layers(WebSocketCommonProtocol, "pause_writing")[0]
    websockets_closefix.unapply()
    restored = vars(WebSocketCommonProtocol)["pause_writing"]
    assert restored is original
    assert type(restored) is FunctionType
    assert not inspect.iscoroutinefunction(restored)
