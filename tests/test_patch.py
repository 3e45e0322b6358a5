"""Putting wrappers on and taking them off: the same for every method that is wrapped."""

from __future__ import annotations

import functools
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import wrapt
from websockets.sync import connection as connection_module
from websockets.sync.connection import Connection

import websockets_closefix
from websockets_closefix import _detect, _import_hook, _patch, _state
from websockets_closefix._fixes import fixes_of
from websockets_closefix._repro.sync import close_race

from .conftest import bugs_of_the_release, has_bug, has_none

FIXES = [fix for fix in fixes_of("websockets.sync") if fix.name in bugs_of_the_release()]
WRAPPED = sorted(
    {
        target[:2]
        for module in _import_hook.loaded(_state.MODULES)
        for fix in FIXES
        for target in _patch.targets(fix, module)
    },
    key=repr,
)
each_wrapped_method = pytest.mark.parametrize(
    ("owner", "name"), WRAPPED, ids=[f"{owner.__name__}.{name}" for owner, name in WRAPPED]
)
UNTOUCHED = ["send", "ping", "pong"]
RECEIVING = ["recv", "recv_streaming"]


def count_ours(owner, name):
    """Count our wrappers around a method; it raises where one is there twice."""
    ours = [name for name in map(_detect.name_of_fix, _detect.layers(owner, name)) if name]
    assert len(ours) == len(set(ours))
    return len(ours)


def count_expected(owner, name):
    return sum(
        (owner, name) == target[:2]
        for module in _import_hook.loaded(_state.MODULES)
        for fix in FIXES
        for target in _patch.targets(fix, module)
    )


def original(owner, name):
    return _detect.original_layers(owner, name)[0]


@each_wrapped_method
def test_apply_is_idempotent(owner, name):
    before = vars(owner)[name]
    assert websockets_closefix.apply().state == "applied"
    assert websockets_closefix.apply(strict=True).state == "applied"
    assert vars(owner)[name] is before
    assert count_ours(owner, name) == count_expected(owner, name)


@each_wrapped_method
def test_unapply_restores_the_original_function_object(owner, name):
    function = original(owner, name)
    assert websockets_closefix.unapply().state == "disabled"
    assert vars(owner)[name] is function
    assert websockets_closefix.unapply().state == "disabled"
    assert vars(owner)[name] is function
    assert websockets_closefix.apply().state == "applied"
    assert original(owner, name) is function


@pytest.mark.parametrize(
    "name", [*UNTOUCHED, *([] if "sync.early_wakeup" in bugs_of_the_release() else RECEIVING)]
)
def test_other_methods_are_the_same_function_objects(name):
    patched = vars(Connection)[name]
    websockets_closefix.unapply()
    assert vars(Connection)[name] is patched


@has_none
def test_a_release_without_bugs_is_not_touched(without_shim):
    classes = (connection_module.Connection, connection_module.Assembler)
    before = [dict(vars(owner)) for owner in classes]
    assert websockets_closefix.apply(strict=True).state == "not-affected"
    for owner, attributes in zip(classes, before):
        assert all(vars(owner)[name] is value for name, value in attributes.items())


@pytest.mark.skipif(not WRAPPED, reason="nothing is wrapped on this release")
def test_apply_and_unapply_from_many_threads(without_shim, switching):
    functions = [vars(owner)[name] for owner, name in WRAPPED]
    expected = [count_expected(*method) for method in WRAPPED]
    together = threading.Barrier(16)

    def hammer(number):
        together.wait(10)
        for turn in range(20):
            if (number + turn) % 2:
                websockets_closefix.apply()
            else:
                websockets_closefix.unapply()
            for method, count in zip(WRAPPED, expected):
                assert count_ours(*method) <= count

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(hammer, range(16)))
    assert websockets_closefix.apply().state == "applied"
    assert [count_ours(*method) for method in WRAPPED] == expected
    websockets_closefix.unapply()
    assert all(vars(owner)[name] is f for (owner, name), f in zip(WRAPPED, functions))


@each_wrapped_method
def test_unapply_while_apply_is_under_way(without_shim, monkeypatch, owner, name):
    examine = _detect.examine

    def examine_and_unapply(module):
        monkeypatch.setattr(_detect, "examine", examine)
        verdicts = examine(module)
        websockets_closefix.unapply()
        return verdicts

    monkeypatch.setattr(_detect, "examine", examine_and_unapply)
    websockets_closefix.apply()
    assert count_ours(owner, name) == 0


@each_wrapped_method
def test_wrapper_that_was_taken_off_is_put_on_again(owner, name):
    setattr(owner, name, original(owner, name))
    status = websockets_closefix.status()
    assert status.state == "applied"  # it has just been put on again
    assert count_ours(owner, name) == count_expected(owner, name)


# Somebody else's patches.


def wrapt_patch(owner, name):
    def wrapper(wrapped, instance, args, kwargs):
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(owner, name, wrapper)


def functools_patch(owner, name):
    function = vars(owner)[name]

    @functools.wraps(function)
    def patched(*args, **kwargs):
        return function(*args, **kwargs)

    setattr(owner, name, patched)


def plain_patch(owner, name):
    """As most home-made ones."""
    function = vars(owner)[name]
    setattr(owner, name, lambda *args, **kwargs: function(*args, **kwargs))


@pytest.fixture(params=[wrapt_patch, functools_patch, plain_patch])
def patch(request, owner, name):
    """Another library's patch, which a test can put below the shim or above it."""
    before = vars(owner)[name]
    yield lambda: request.param(owner, name)
    websockets_closefix.unapply()
    setattr(owner, name, before)


@each_wrapped_method
def test_foreign_patch_above_is_kept_and_the_shim_switched_off_in_place(patch, owner, name):
    patch()
    foreign = vars(owner)[name]
    assert websockets_closefix.status().state == "applied"
    assert websockets_closefix.unapply().state == "disabled"
    assert vars(owner)[name] is foreign
    assert websockets_closefix.apply().state == "applied"
    assert vars(owner)[name] is foreign
    assert count_ours(owner, name) == count_expected(owner, name)


@each_wrapped_method
def test_foreign_patch_below_is_wrapped(without_shim, patch, owner, name):
    patch()
    foreign = vars(owner)[name]
    assert websockets_closefix.apply(strict=True).state == "applied"
    assert count_ours(owner, name) == count_expected(owner, name)
    assert any(layer is foreign for layer in _detect.layers(owner, name))
    websockets_closefix.unapply()
    assert vars(owner)[name] is foreign


def send_outcome():
    return type(close_race.send("client").caller).__name__


@pytest.fixture
def close_socket():
    """Whatever a test does to close_socket is undone."""
    websockets_closefix.unapply()
    before = vars(Connection)["close_socket"]
    websockets_closefix.apply()
    yield before
    websockets_closefix.unapply()
    Connection.close_socket = before


@has_bug("sync.close_race")
def test_shim_below_a_foreign_patch_works_and_can_be_switched_off(close_socket):
    plain_patch(Connection, "close_socket")
    assert send_outcome() == "ConnectionClosedError"
    websockets_closefix.unapply()
    assert send_outcome() == "AssertionError"
    websockets_closefix.apply()
    assert send_outcome() == "ConnectionClosedError"


def close_under_the_mutex(original):
    """The home-made cure of issue 1558."""

    def close_socket(self):
        with self.protocol_mutex:
            original(self)

    return close_socket


def names_of_ours():
    layers = _detect.layers(Connection, "close_socket")
    return [name for name in map(_detect.name_of_fix, layers) if name]


@has_bug("sync.close_race")
def test_home_made_cure_below_is_left_alone(close_socket):
    websockets_closefix.unapply()
    Connection.close_socket = close_under_the_mutex(Connection.close_socket)
    names = r"\bclose_under_the_mutex\.\S+ already has the cure"
    with pytest.raises(websockets_closefix.UnrecognisedWebsockets, match=names):
        websockets_closefix.apply(strict=True)
    assert re.search(names, websockets_closefix.status().detail)  # other fixes are around it
    assert "sync.close_race" not in names_of_ours()


@has_bug("sync.close_race")
def test_home_made_cure_above_leaves_the_shim_applied(close_socket):
    Connection.close_socket = close_under_the_mutex(Connection.close_socket)
    assert websockets_closefix.status().state == "applied"
    assert websockets_closefix.apply(strict=True).state == "applied"
    assert names_of_ours().count("sync.close_race") == 1
    assert send_outcome() == "ConnectionClosedError"


@has_bug("sync.close_race")
def test_a_wrapper_that_cannot_be_put_on_leaves_the_others(monkeypatch, without_shim):
    """As where a class that somebody has put there refuses to be changed."""
    wrap = _patch.wrap

    def refuse_one(fix, module, wrapt):
        if fix.name == "sync.close_race":
            raise TypeError("it can't be changed")
        wrap(fix, module, wrapt)

    monkeypatch.setattr(_patch, "wrap", refuse_one)
    with pytest.warns(RuntimeWarning, match="couldn't be applied .*it can't be changed"):
        status = websockets_closefix.apply()
    states = {bug.name: bug.state for bug in status.bugs}
    assert states.pop("sync.close_race") == "unrecognised"
    assert set(states.values()) == {"applied"}


@has_bug("sync.close_race")
@pytest.mark.filterwarnings("ignore:.*is left alone:RuntimeWarning")
def test_replaced_close_socket_is_left_alone(close_socket):
    websockets_closefix.unapply()

    def somebody_elses(self):
        self.socket.close()

    Connection.close_socket = somebody_elses
    with pytest.raises(websockets_closefix.UnrecognisedWebsockets, match="somebody_elses"):
        websockets_closefix.apply(strict=True)
    status = websockets_closefix.status()
    assert status.state == "unrecognised"
    assert {bug.issue: bug.state for bug in status.bugs}[1558] == "unrecognised"
    assert "applied" in [bug.state for bug in status.bugs] or len(status.bugs) == 1
    assert vars(Connection)["close_socket"] is somebody_elses


class Proxy:
    """As werkzeug's LocalProxy: whatever it is asked, it raises outside of its context."""

    def __getattr__(self, name):
        raise RuntimeError("working outside of the application's context")


class Endless:
    """As a proxy of a remote object: each attribute is another one."""

    def __getattr__(self, name):
        return Endless()


@has_bug("sync.close_race")
@pytest.mark.filterwarnings("ignore:.*is left alone:RuntimeWarning")
@pytest.mark.parametrize("kind", [Proxy, Endless])
def test_object_in_the_place_of_the_method(close_socket, kind):
    websockets_closefix.unapply()
    Connection.close_socket = kind()
    status = websockets_closefix.apply()
    assert status.state == "unrecognised"
    assert f"{__name__}.{kind.__name__} isn't the Connection.close_socket" in status.detail


@has_bug("sync.close_race")
@pytest.mark.parametrize("kind", [Proxy, Endless])
def test_patch_that_reads_a_strange_variable(close_socket, kind):
    websockets_closefix.unapply()
    variable = kind()
    original = Connection.close_socket

    def patched(self):
        assert variable is not None
        original(self)

    Connection.close_socket = patched
    assert websockets_closefix.apply(strict=True).state == "applied"


@each_wrapped_method
def test_subclass_in_the_place_of_the_class(monkeypatch, owner, name):
    """An application, or its monitoring, has put it there; websockets' own class is repaired."""

    class Subclass(owner):
        """Adds metrics, touches nothing."""

    for module in _import_hook.loaded(_state.MODULES):
        if getattr(module, owner.__name__, None) is owner:
            monkeypatch.setattr(module, owner.__name__, Subclass)
    assert websockets_closefix.status().state == "applied"
    assert websockets_closefix.unapply().state == "disabled"
    assert count_ours(owner, name) == 0
    assert websockets_closefix.apply(strict=True).state == "applied"
    assert count_ours(owner, name) == count_expected(owner, name)


def test_verdicts_do_not_change_by_being_acted_upon():
    before = _detect.examine(connection_module)
    websockets_closefix.unapply()
    assert _detect.examine(connection_module) == before
