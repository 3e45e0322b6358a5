"""Version and code must agree; where they don't, the sentence says what to do."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from websockets_closefix import _gate

from .builds import FIXED, FLAWED, WITHOUT_PROTOCOL


@pytest.fixture
def examine(monkeypatch):
    def examine_build(version, connection):
        version_module = ModuleType("websockets.version")
        if version is not None:
            version_module.version = version
        monkeypatch.setitem(sys.modules, "websockets.version", version_module)
        connection_module = ModuleType("websockets.sync.connection")
        exec(connection, vars(connection_module))
        return _gate.examine(connection_module)

    return examine_build


@pytest.mark.parametrize("version", ["13.1", "14.0", "14.1", "14.1.1", "14.1+corp.1", "14.1.dev2"])
def test_affected(examine, version):
    verdict = examine(version, FLAWED)
    assert verdict.name == "affected"
    assert f"websockets {version} " in verdict.detail
    assert "14.2" in verdict.detail


@pytest.mark.parametrize(
    ("version", "connection"),
    [
        ("11.0", WITHOUT_PROTOCOL),
        ("13.0.1", WITHOUT_PROTOCOL),
        ("14.2", FIXED),
        ("14.2.dev5+gabcdef0", FIXED),
        ("15.0.1", FIXED),
        ("17.4", FIXED),
        ("100.0", FIXED),
    ],
)
def test_not_affected(examine, version, connection):
    verdict = examine(version, connection)
    assert verdict.name == "not-affected"
    assert "can be removed" in verdict.detail


@pytest.mark.parametrize(
    ("version", "connection", "advice"),
    [
        ("14.1", FIXED, "backport of the fix, uninstall"),
        ("14.1", WITHOUT_PROTOCOL, "import websockets_closefix before that patch"),
        ("14.1", "class Connection: pass", "Connection without close_socket"),
        ("14.1", "", "Connection without close_socket"),
        ("14.2", FLAWED, "install websockets 14.2 or later from the package index"),
        ("14.2.dev1+g1234567", FLAWED, "install websockets 14.2 or later from the package index"),
        ("13.0.1", FLAWED, "has the flaw of 13.1 to 14.1"),
        ("unknown", FLAWED, "can't read ('unknown')"),
        (None, FIXED, "can't read (None)"),
    ],
)
def test_unrecognised(examine, version, connection, advice):
    verdict = examine(version, connection)
    assert verdict.name == "unrecognised"
    assert "left alone" in verdict.detail
    assert advice in verdict.detail


def test_flaw_in_a_function_nested_in_close_socket(examine):
    nested = FLAWED.replace(
        "self.protocol.receive_eof()", "(lambda: self.protocol.receive_eof())()"
    )
    assert examine("14.1", nested).name == "affected"


def test_patch_that_closes_over_a_variable_not_set_yet(examine):
    replaced = """
def make():
    def close_socket(self):
        later
    if False:
        later = None
    return close_socket

class Connection:
    close_socket = make()
"""
    assert examine("14.1", replaced).name == "unrecognised"


def test_patch_that_calls_itself(examine):
    replaced = """
def close_socket(self):
    close_socket(self)

class Connection:
    close_socket = close_socket
"""
    assert examine("14.1", replaced).name == "unrecognised"


@pytest.mark.parametrize(
    ("version", "expected"),
    [("9.1", True), ("10.4", True), ("11.0", False), ("14.1", False), ("?", False), (None, False)],
)
def test_predates_sync(version, expected):
    assert _gate.predates_sync(version) is expected


def test_close_socket_that_is_no_python_function(examine):
    """Compiled, say by Cython or mypyc: nobody can tell what it does."""
    assert examine("14.1", "class Connection: close_socket = print").name == "unrecognised"
