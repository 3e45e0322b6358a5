"""Putting wrappers on and taking them off: the same for every method that is wrapped."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import wrapt
from websockets.sync import connection as connection_module
from websockets.sync.connection import Connection
from websockets_closefix._layers import is_ours, layers

import websockets_closefix
from websockets_closefix import _detect, _patch
from websockets_closefix._fixes import FIXES
from websockets_closefix._repro.sync import close_race

from .conftest import bugs_of_the_release, has_bug, has_none

WRAPPED = [
    target
    for flaw in FIXES
    if flaw.room in bugs_of_the_release()
    for target in _patch.targets(flaw, connection_module)
]
each_wrapped_method = pytest.mark.parametrize(
    ("owner", "name"), WRAPPED, ids=[f"{owner.__name__}.{name}" for owner, name in WRAPPED]
)
UNTOUCHED = ["send", "ping", "pong", "close"]
RECEIVING = ["recv", "recv_streaming"]


def count_ours(owner, name):
    return sum(is_ours(layer) for layer in layers(owner, name))


@each_wrapped_method
def test_apply_is_idempotent(owner, name):
    before = vars(owner)[name]
    assert websockets_closefix.apply().state == "applied"
    assert websockets_closefix.apply(strict=True).state == "applied"
    assert vars(owner)[name] is before
    assert count_ours(owner, name) == 1


@each_wrapped_method
def test_unapply_restores_the_original_function_object(owner, name):
    original = vars(owner)[name].__wrapped__
    assert websockets_closefix.unapply().state == "disabled"
    assert vars(owner)[name] is original
    assert websockets_closefix.unapply().state == "disabled"
    assert vars(owner)[name] is original
    assert websockets_closefix.apply().state == "applied"
    assert vars(owner)[name].__wrapped__ is original


@pytest.mark.parametrize(
    "name", [*UNTOUCHED, *([] if "sync.early_wakeup" in bugs_of_the_release() else RECEIVING)]
)
def test_other_methods_are_the_same_function_objects(name):
    patched = vars(Connection)[name]
    websockets_closefix.unapply()
    assert vars(Connection)[name] is patched


@has_none
def test_a_clean_release_is_not_touched(without_shim):
    classes = (connection_module.Connection, connection_module.Assembler)
    before = [dict(vars(owner)) for owner in classes]
    assert websockets_closefix.apply(strict=True).state == "not-affected"
    for owner, attributes in zip(classes, before):
        assert all(vars(owner)[name] is value for name, value in attributes.items())


@each_wrapped_method
def test_apply_and_unapply_from_many_threads(without_shim, owner, name):
    original = vars(owner)[name]
    together = threading.Barrier(16)

    def hammer(number):
        together.wait(10)
        for turn in range(20):
            if (number + turn) % 2:
                websockets_closefix.apply()
            else:
                websockets_closefix.unapply()
            assert count_ours(owner, name) <= 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(hammer, range(16)))
    assert websockets_closefix.apply().state == "applied"
    assert count_ours(owner, name) == 1
    websockets_closefix.unapply()
    assert vars(owner)[name] is original


@each_wrapped_method
def test_unapply_while_apply_is_under_way(without_shim, monkeypatch, owner, name):
    load_room = _patch.load_room

    def load_and_unapply(flaw):
        load_room(flaw)
        websockets_closefix.unapply()

    monkeypatch.setattr(_patch, "load_room", load_and_unapply)
    websockets_closefix.apply()
    assert count_ours(owner, name) == 0


@each_wrapped_method
def test_wrapper_that_somebody_took_off_is_noticed(owner, name):
    setattr(owner, name, vars(owner)[name].__wrapped__)
    status = websockets_closefix.status()
    assert status.state == "unrecognised"
    assert "its wrapper is missing" in status.detail
    assert websockets_closefix.apply().state == "applied"


# Somebody else's patches.


def wrapt_patch(owner, name):
    def wrapper(wrapped, instance, args, kwargs):
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(owner, name, wrapper)


def plain_patch(owner, name):
    # The original by the name under which a patch would keep it: the method's.
    variables = {name: vars(owner)[name]}
    setattr(owner, name, eval(f"lambda self, *args: {name}(self, *args)", variables))


@pytest.fixture(params=[wrapt_patch, plain_patch])
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
    assert count_ours(owner, name) == 1


@each_wrapped_method
def test_foreign_patch_below_is_wrapped(without_shim, patch, owner, name):
    patch()
    foreign = vars(owner)[name]
    assert websockets_closefix.apply(strict=True).state == "applied"
    assert vars(owner)[name].__wrapped__ is foreign
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


@has_bug("sync.close_race")
def test_home_made_cure_below_is_left_alone(close_socket):
    websockets_closefix.unapply()
    Connection.close_socket = close_under_the_mutex(Connection.close_socket)
    with pytest.raises(websockets_closefix.UnrecognisedWebsockets, match="already has the cure"):
        websockets_closefix.apply(strict=True)
    assert count_ours(Connection, "close_socket") == 0


@has_bug("sync.close_race")
def test_home_made_cure_above_leaves_the_shim_applied(close_socket):
    Connection.close_socket = close_under_the_mutex(Connection.close_socket)
    assert websockets_closefix.status().state == "applied"
    assert websockets_closefix.apply(strict=True).state == "applied"
    assert count_ours(Connection, "close_socket") == 1
    assert send_outcome() == "ConnectionClosedError"


@has_bug("sync.close_race")
def test_replaced_close_socket_is_left_alone(close_socket):
    websockets_closefix.unapply()

    def somebody_elses(self):
        self.socket.close()

    Connection.close_socket = somebody_elses
    with pytest.raises(websockets_closefix.UnrecognisedWebsockets, match="somebody_elses"):
        websockets_closefix.apply(strict=True)
    status = websockets_closefix.status()
    assert status.state == "unrecognised"
    assert {flaw.issue: flaw.state for flaw in status.flaws}[1558] == "unrecognised"
    assert [flaw.state for flaw in status.flaws].count("applied") == len(status.flaws) - 1
    assert vars(Connection)["close_socket"] is somebody_elses


class Proxy:
    """As werkzeug's LocalProxy: whatever it is asked, it raises outside of its context."""

    def __getattr__(self, name):
        raise RuntimeError("working outside of the application's context")


class Endless:
    """As a proxy of a remote object: each attribute is another one."""

    __name__ = "close_socket"

    def __getattr__(self, name):
        return Endless()


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

    monkeypatch.setattr(connection_module, owner.__name__, Subclass)
    assert websockets_closefix.status().state == "applied"
    assert websockets_closefix.unapply().state == "disabled"
    assert count_ours(owner, name) == 0
    assert websockets_closefix.apply(strict=True).state == "applied"
    assert count_ours(owner, name) == 1


def test_verdicts_do_not_change_by_being_acted_upon():
    before = _detect.examine(connection_module)
    websockets_closefix.unapply()
    assert _detect.examine(connection_module) == before
