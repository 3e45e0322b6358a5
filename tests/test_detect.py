"""Version and code must agree, bug by bug; where they don't, the sentence says what to do."""

from __future__ import annotations

import sys
from types import ModuleType
from unittest.mock import MagicMock

import pytest

from websockets_closefix import _detect, _state
from websockets_closefix._fixes import Fix, every_fix

from .builds import CODE, FIXED, FLAWED, build
from .conftest import bugs_of_the_release


@pytest.fixture
def examine(monkeypatch):
    def examine_build(version, connection, names=NAMES):
        version_module = ModuleType("websockets.version")
        if version is not None:
            version_module.version = version
        monkeypatch.setitem(sys.modules, "websockets.version", version_module)
        connection_module = ModuleType("websockets.sync.connection")
        exec(connection, vars(connection_module))
        return [
            (verdict.fix.name, verdict.name)
            for verdict in _detect.examine(connection_module)
            if verdict.fix.name in names
        ]

    return examine_build


@pytest.fixture
def details(monkeypatch, examine):
    """The sentences about what isn't recognised."""
    found = []
    verdict = _detect.Verdict

    def remember(fix, name, detail=""):
        found.append(detail)
        return verdict(fix, name, detail)

    monkeypatch.setattr(_detect, "Verdict", remember)

    def details_of(version, connection):
        examine(version, connection)
        return [detail for detail in found if detail]

    return details_of


EARLY, I1336, I1449 = "sync.reader_start", "sync.unread_message", "sync.early_wakeup"
I1555, I1558, I1662 = "sync.paused_reader", "sync.close_race", "sync.pending_ping"
NAMES = (EARLY, I1336, I1449, I1555, I1558, I1662)
"""The fixes whose methods the builds of tests/builds.py have."""


@pytest.mark.parametrize(
    ("version", "code", "bugs"),
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
def test_releases(examine, version, code, bugs):
    assert sorted(examine(version, CODE[code])) == sorted((bug, "affected") for bug in bugs)


EXAMINE = """
import contextlib, importlib
from websockets_closefix import _detect
from websockets_closefix._fixes import every_fix

for name in dict.fromkeys(fix.module for fix in every_fix()):
    with contextlib.suppress(ImportError):
        for verdict in _detect.examine(importlib.import_module(name)):
            print(verdict.fix.name, verdict.name)
"""


@pytest.mark.parametrize("option", ["-B", "-O"])
def test_the_installed_release(python, option):
    """The table speaks of the real code, which is another one without assertions."""
    verdicts = python(EXAMINE, option).stdout.splitlines()
    assert sorted(verdicts) == sorted(f"{name} affected" for name in bugs_of_the_release())


@pytest.mark.parametrize(
    ("version", "connection", "bug", "sentence"),
    [
        (
            "14.1",
            FIXED,
            I1558,
            "websockets calls itself 14.1, but websockets.sync.connection.Connection.close_socket "
            "already has the cure: sync.close_race is left alone; if that is a backport, nothing "
            "needs to be done",
        ),
        (
            "14.1",
            FLAWED.replace("receive_eof", "receive"),
            I1558,
            "isn't the Connection.close_socket of that release: sync.close_race is left alone; if "
            "another patch or a mock replaced it, import websockets_closefix before that",
        ),
        ("14.1", "", I1555, "but has no Assembler.close: sync.paused_reader is left alone; reinst"),
        ("13.0.1", CODE["13.1"], I1558, "but it has the bug of 13.1 and later, before 14.2"),
        ("14.2", FLAWED, I1558, "but it has the bug of 13.1 and later, before 14.2"),
        ("14.2.dev1+g1234567", FLAWED, I1555, "calls itself 14.2.dev1+g1234567, but it has"),
        ("unknown", FLAWED, I1558, "can't be read ('unknown'): sync.close_race is"),
        ("1!14.1", FLAWED, I1558, "can't be read ('1!14.1'): sync.close_race is"),
        (None, FIXED, I1662, "can't be read (None): sync.pending_ping is"),
    ],
)
def test_unrecognised(examine, details, version, connection, bug, sentence):
    assert (bug, "unrecognised") in examine(version, connection)
    assert [detail for detail in details(version, connection) if sentence in detail]


def test_what_is_recognised_is_repaired_all_the_same(examine):
    backport_of_one = build("cured", "cured", "14.2", "14.0")
    assert sorted(examine("14.1", backport_of_one)) == [
        (I1558, "unrecognised"),
        (I1555, "affected"),
    ]


def test_bug_in_a_function_nested_in_close_socket(examine):
    nested = FLAWED.replace(
        "self.protocol.receive_eof()", "(lambda: self.protocol.receive_eof())()"
    )
    assert (I1558, "affected") in examine("14.1", nested)


PATCHES = {
    "closure": """
def make(original):
    def patch(self):
        original(self)
    Connection.close_socket = patch
make(Connection.close_socket)
""",
    "global": """
original = Connection.close_socket
def patch(self):
    original(self)
Connection.close_socket = patch
""",
}


@pytest.mark.parametrize("kind", PATCHES)
def test_home_made_patch(examine, kind):
    """What it replaced is looked at, by whichever name it keeps that."""
    assert (I1558, "affected") in examine("14.1", FLAWED + PATCHES[kind])


@pytest.mark.parametrize(
    "replaced",
    [
        PATCHES["closure"].replace("original(self)", "self.socket.close()"),
        PATCHES["global"].replace("original(self)", "close_socket()"),
        """
def make():
    def close_socket(self):
        close_socket(self), later(self)
    Connection.close_socket = close_socket
    return
    later = None
make()
""",
    ],
)
def test_patch_that_hides_what_it_calls(examine, details, replaced):
    assert (I1558, "unrecognised") in examine("14.1", FLAWED + replaced)
    assert [text for text in details("14.1", FLAWED + replaced) if "isn't the Connection" in text]


def test_subclass_in_the_place_of_the_class(examine):
    """An application's metrics, say; the bug is in the class that it inherits from."""
    replaced = "class MyConnection(Connection): pass\nConnection = MyConnection\n"
    assert (I1558, "affected") in examine("14.1", FLAWED + replaced)


@pytest.mark.parametrize(
    ("replacement", "there"),
    [("len", "builtins.len"), ("MagicMock()", "unittest.mock.MagicMock")],
)
def test_what_has_no_python_code(examine, details, replacement, there):
    """A build compiled by Cython, or a mock: what is there is named, as what it is."""
    build = (
        f"{FLAWED}from unittest.mock import MagicMock\nConnection.close_socket = {replacement}\n"
    )
    assert (I1558, "unrecognised") in examine("14.1", build)
    assert [text for text in details("14.1", build) if f"but {there} isn't the Conn" in text]


@pytest.mark.parametrize("version", [MagicMock(), 13, "", b"14.1"])
def test_version_that_is_no_version(examine, version):
    """As in an application's tests, which mock websockets away."""
    assert (I1558, "unrecognised") in examine(version, FLAWED)
    assert _detect.websockets_version() in (None, "")


# Bugs that no release has cured, and releases that aren't known yet.


def uncured(cured):
    return Fix(
        name="sync.uncured",
        issue=None,
        symptom="",
        since=(13, 1),
        fixed=None,
        module="websockets.sync.connection",
        examined=("Connection.close_socket",),
        flawed=r"\breceive_eof\b",
        cured=cured,
        wrappers={},
    )


@pytest.mark.parametrize("cured", [None, r"\bprotocol_mutex\b"])
@pytest.mark.parametrize("version", ["13.1", "17.4", "17.5", "99.0"])
def test_bug_without_a_cure_is_there_while_the_code_looks_like_it(
    examine, monkeypatch, cured, version
):
    monkeypatch.setattr(_detect, "fixes_of", lambda package: (uncured(cured),))
    assert examine(version, CODE["13.1"], ["sync.uncured"]) == [("sync.uncured", "affected")]
    assert examine("13.0", CODE["11.0.2"], ["sync.uncured"]) == []


def test_release_to_come_that_has_the_cure(examine, monkeypatch):
    monkeypatch.setattr(_detect, "fixes_of", lambda package: (uncured(r"\bprotocol_mutex\b"),))
    assert examine("99.0", CODE["14.2"], ["sync.uncured"]) == []


def test_release_to_come_whose_code_is_unknown(examine, details, monkeypatch):
    monkeypatch.setattr(_detect, "fixes_of", lambda package: (uncured(None),))
    unknown = CODE["13.1"].replace("receive_eof", "receive")
    assert examine("99.0", unknown, ["sync.uncured"]) == [("sync.uncured", "unrecognised")]
    [sentence] = set(details("99.0", unknown))
    assert sentence == (
        "websockets calls itself 99.0, but Connection.close_socket is unknown to "
        "websockets-closefix: sync.uncured is left alone; upgrade websockets-closefix"
    )


@pytest.mark.parametrize(
    ("version", "module", "missing"),
    [
        ("99.0", "websockets.sync.gone", True),
        ("99.0", "websockets.sync.connection", False),
        ("17.4", "websockets.sync.gone", False),  # a build of which somebody has removed parts
        ("?", "websockets.sync.gone", False),
    ],
)
def test_release_to_come_that_has_renamed_a_module(monkeypatch, version, module, missing):
    version_module = ModuleType("websockets.version")
    version_module.version = version
    monkeypatch.setitem(sys.modules, "websockets.version", version_module)
    fix = uncured(None)._replace(module=module)
    monkeypatch.setattr(_detect, "fixes_of", lambda package: (fix,))
    sentence = (
        "websockets calls itself 99.0, but has no websockets.sync.gone: sync.uncured is left "
        "alone; upgrade websockets-closefix"
    )
    verdicts = [_detect.Verdict(fix, "unrecognised", sentence)] if missing else []
    assert _detect.examine_missing("websockets.sync") == verdicts


# The table.


def test_every_fix_is_named_after_its_file():
    for fix in every_fix():
        [*_, implementation, file] = next(iter(fix.wrappers.values())).__module__.split(".")
        assert fix.name == f"{implementation}.{file}"
        assert fix.module.startswith(f"websockets.{implementation}.")
        assert fix.module in _state.MODULES


def test_every_fix_says_what_there_is_to_know():
    for fix in every_fix():
        assert fix.symptom
        assert fix.examined
        assert fix.fixed is None or fix.since < fix.fixed


def test_names_are_unique():
    names = [fix.name for fix in every_fix()]
    assert len(names) == len(set(names))
