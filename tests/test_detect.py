"""Version and code must agree, flaw by flaw; where they don't, the sentence says what to do."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

import pytest
import websockets.sync.connection

from websockets_closefix import _detect
from websockets_closefix._fixes import FIXES

from .builds import CODE, FIXED, FLAWED, build
from .conftest import bugs_of_the_release


@pytest.fixture
def examine(monkeypatch):
    def examine_build(version, connection):
        version_module = ModuleType("websockets.version")
        if version is not None:
            version_module.version = version
        monkeypatch.setitem(sys.modules, "websockets.version", version_module)
        connection_module = ModuleType("websockets.sync.connection")
        exec(connection, vars(connection_module))
        return [(verdict.flaw.room, verdict.name) for verdict in _detect.examine(connection_module)]

    return examine_build


@pytest.fixture
def details(monkeypatch, examine):
    """The sentences about what isn't recognised."""
    found = []
    verdict = _detect.Verdict

    def remember(flaw, name, detail=""):
        found.append(detail)
        return verdict(flaw, name, detail)

    monkeypatch.setattr(_detect, "Verdict", remember)

    def details_of(version, connection):
        examine(version, connection)
        return [detail for detail in found if detail]

    return details_of


EARLY, I1336, I1449 = "sync.reader_start", "sync.unread_message", "sync.early_wakeup"
I1555, I1558, I1662 = "sync.paused_reader", "sync.close_race", "sync.pending_ping"


@pytest.mark.parametrize(
    ("version", "code", "rooms"),
    [
        ("11.0", "11.0", [I1336, EARLY, I1449]),
        ("11.0.1", "11.0", [I1336, EARLY, I1449]),
        ("11.0.2", "11.0.2", [EARLY, I1449]),
        ("12.0", "11.0.2", [EARLY, I1449]),
        ("13.0.1", "11.0.2", [EARLY, I1449]),
        ("13.1", "13.1", [EARLY, I1558]),
        ("14.0", "14.0", [I1555, I1558]),
        ("14.1", "14.0", [I1555, I1558]),
        ("14.1.1", "14.0", [I1555, I1558]),
        ("14.1+corp.1", "14.0", [I1555, I1558]),
        ("14.1.dev2", "14.0", [I1555, I1558]),
        ("14.2", "14.2", []),
        ("14.2.dev5+gabcdef0", "14.2", []),
        ("15.0", "15.0", [I1662]),
        ("15.0.1", "15.0", [I1662]),
        ("16.0", "16.0", []),
        ("17.4", "16.0", []),
        ("100.0", "11.0", []),  # nobody knows what its code looks like
    ],
)
def test_releases(examine, version, code, rooms):
    assert examine(version, CODE[code]) == [(room, "affected") for room in rooms]


def test_the_installed_release():
    """The table speaks of the real code; this runs on every release."""
    verdicts = _detect.examine(websockets.sync.connection)
    assert [verdict.flaw.room for verdict in verdicts] == bugs_of_the_release()
    assert {verdict.name for verdict in verdicts} <= {"affected"}


@pytest.mark.parametrize(
    ("version", "connection", "room", "sentence"),
    [
        (
            "14.1",
            FIXED,
            I1558,
            "websockets calls itself 14.1, but websockets.sync.connection.Connection.close_socket "
            "already has the cure: issue 1558 is left alone; if that is a backport, nothing needs "
            "to be done",
        ),
        (
            "14.1",
            FLAWED.replace("receive_eof", "receive"),
            I1558,
            "isn't the Connection.close_socket of that release: issue 1558 is left alone; if "
            "another patch replaced it, import websockets_closefix before that patch",
        ),
        ("14.1", "", I1555, "but has no Assembler.close: issue 1555 is left alone; install"),
        ("13.0.1", CODE["13.1"], I1558, "but it has the flaw of 13.1 and later, before 14.2"),
        ("14.2", FLAWED, I1558, "but it has the flaw of 13.1 and later, before 14.2"),
        ("14.2.dev1+g1234567", FLAWED, I1555, "calls itself 14.2.dev1+g1234567, but it has"),
        ("unknown", FLAWED, I1558, "can't read ('unknown'): left alone"),
        ("1!14.1", FLAWED, I1558, "can't read ('1!14.1'): left alone"),
        (None, FIXED, I1662, "can't read (None): left alone"),
    ],
)
def test_unrecognised(examine, details, version, connection, room, sentence):
    assert (room, "unrecognised") in examine(version, connection)
    assert [detail for detail in details(version, connection) if sentence in detail]


def test_what_is_recognised_is_repaired_all_the_same(examine):
    backport_of_one = build("cured", "cured", "14.2", "14.0")
    assert examine("14.1", backport_of_one) == [(I1555, "affected"), (I1558, "unrecognised")]


def test_flaw_in_a_function_nested_in_close_socket(examine):
    nested = FLAWED.replace(
        "self.protocol.receive_eof()", "(lambda: self.protocol.receive_eof())()"
    )
    assert (I1558, "affected") in examine("14.1", nested)


def test_patch_that_closes_over_a_variable_not_set_yet(examine):
    replaced = """
def make():
    def close_socket(self):
        original(self)
    Connection.close_socket = close_socket
    return
    original = None
make()
"""
    assert (I1558, "unrecognised") in examine("14.1", FLAWED + replaced)


def test_patch_that_calls_itself(examine):
    replaced = """
def make():
    def close_socket(self):
        close_socket(self)
    Connection.close_socket = close_socket
make()
"""
    assert (I1558, "unrecognised") in examine("14.1", FLAWED + replaced)


def test_subclass_in_the_place_of_the_class(examine):
    """An application's metrics, say; the flaw is in the class that it inherits from."""
    replaced = "class MyConnection(Connection): pass\nConnection = MyConnection\n"
    assert (I1558, "affected") in examine("14.1", FLAWED + replaced)


def test_compiled_build(examine, details):
    """As by Cython: its methods have no code to look at, and that is what is said."""
    compiled = FLAWED + "Connection.close_socket = len\n"
    assert (I1558, "unrecognised") in examine("14.1", compiled)
    assert [text for text in details("14.1", compiled) if "compiled, so that it can't" in text]


@pytest.mark.parametrize(
    ("version", "expected"),
    [("10.4", True), ("11.0", False), ("unknown", False), (None, False)],
)
def test_predates_sync(version, expected):
    assert _detect.predates_sync(version) is expected


# The table.


def is_clean(release):
    return not any(flaw.since <= release < flaw.fixed for flaw in FIXES)


def test_clean_releases_are_those_of_the_table():
    releases = [(11, 0), (11, 0, 3), (12, 0), (13, 0, 1), (13, 1), (14, 0), (14, 1), (14, 2)]
    releases += [(15, 0), (15, 0, 1), (16, 0), (16, 1, 1), (17, 4)]
    clean = [release for release in releases if is_clean(release)]
    assert clean == [(14, 2), (16, 0), (16, 1, 1), (17, 4)]
    expected = "14.2, or 16.0 or later" if sys.version_info >= (3, 10) else "14.2"
    assert expected == _detect.CLEAN_RELEASES


def test_each_flaw_has_a_room_with_its_wrappers():
    folder = Path(_detect.__file__).parent / "_fixes"
    for flaw in FIXES:
        tree = ast.parse((folder / f"{flaw.room}.py").read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert {method.partition(".")[2] for method in flaw.wrapped} <= functions
        assert flaw.symptom
        assert flaw.name in (f"issue {flaw.issue}", "early reader")


def test_each_room_is_found_by_what_freezes_programs():
    """By import statements alone, as PyInstaller goes through them."""
    source = Path(_detect.__file__).with_name("_patch.py").read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    names = {name.name for node in imports if node.module == "_fixes" for name in node.names}
    assert names >= {flaw.room for flaw in FIXES}
