"""
Upstream's own cure of each bug: its lines put into the source of a release that has the bug.

This is what the repairs are measured by, with the newest release beside it.

"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from typing import NamedTuple

from websockets.sync import client as client_module
from websockets.sync import connection as connection_module

from .conftest import bugs_of_the_release


class Cure(NamedTuple):
    """What upstream changed in one method; a regular expression and what replaces it."""

    bug: str
    method: str
    flawed: str
    cured: str


# In the order of upstream's releases, for a later cure may change what an earlier one left.
CURES = [
    # 11.0.2, c38507fd
    Cure(
        "sync.unread_message",
        "Connection.close_socket",
        r"(    self\.socket\.close\(\)\n)",
        r"\1    self.recv_messages.close()\n",
    ),
    Cure(
        "sync.unread_message",
        "Connection.recv_events",
        r"""
            for event in events:
                (?P<comment>#.*)
                self\.process_event\(event\)
""",
        r"""
            try:
                for event in events:
                    self.process_event(event)
            except EOFError:
                break
""",
    ),
    Cure(
        "sync.unread_message",
        "Connection.recv_events",
        r"        self\.recv_messages\.close\(\)\n(        self\.close_socket\(\)\n)",
        r"\1",
    ),
    # 14.0, in passing
    Cure(
        "sync.reader_start",
        "Connection.__init__",
        r"(    self\.recv_events_thread\.start\(\)\n)"
        r"((?:\n|    #.*\n)*    self\.recv_(?:events_)?exc\b.*\n)",
        r"\2\1",
    ),
    # 13.1, 36409237
    *(
        Cure(
            "sync.early_wakeup",
            method,
            r"    except EOFError:\n",
            r"    except EOFError:\n        self.recv_events_thread.join()\n",
        )
        for method in ("Connection.recv", "Connection.recv_streaming")
    ),
    # 13.1, 96055073
    Cure(
        "sync.refused_handshake",
        "ClientConnection.handshake",
        r"    if self\.protocol\.state is not OPEN:\n        self\.recv_events_thread.*\n",
        "    if self.protocol.state is not OPEN:\n",
    ),
    # 14.2, 59d4dcf7, but for the class, which isn't there yet
    Cure(
        "sync.handshake_errors",
        "ClientProtocol.parse",
        r"(except Exception as exc:\n +)(self\.handshake_exc) = exc\n( +)",
        r"\1\2 = InvalidHandshake('did not receive a valid HTTP response')\n"
        r"\3\2.__cause__ = exc\n\3",
    ),
    Cure(
        "sync.handshake_errors", "ClientProtocol.parse", r"super\(\)", "super(ClientProtocol, self)"
    ),
    # 13.0, 5f24866b
    Cure(
        "sync.program_exit",
        "Connection.__init__",
        r"target=self\.recv_events\b",
        "target=self.recv_events, daemon=True",
    ),
    # 14.2, 031ec31b
    Cure(
        "sync.paused_reader",
        "Assembler.close",
        r"( +self\.frames\.put\(None\)\n)",
        r"\1        if self.paused:\n            self.paused = False\n            self.resume()\n",
    ),
    # 14.2, e7a098e1
    Cure(
        "sync.close_race",
        "Connection.close_socket",
        r"    self\.protocol\.receive_eof\(\)\n    (assert self\.protocol\.state is CLOSED)\n",
        "    with self.protocol_mutex:\n"
        r"        self.protocol.receive_eof()\n        \1\n",
    ),
    # 16.0
    Cure(
        "sync.pending_ping",
        "Connection.close_socket",
        r"    self\.recv_messages\.close\(\)\n(?:\n|    #.*\n)*"
        r"    self\.acknowledge_pending_pings\(\)\n",
        "        self.recv_messages.close()\n        self.acknowledge_pending_pings()\n",
    ),
]


def cure():
    """Put into the installed websockets what upstream did about each bug that it has."""
    bugs = bugs_of_the_release()
    for bug, method, flawed, cured in CURES:
        if bug in bugs:
            owner, name = method.split(".")
            rewrite(getattr(module_of(owner), owner), name, flawed, cured)


def module_of(owner):
    """Return the module in which a class can be looked up."""
    return connection_module if hasattr(connection_module, owner) else client_module


def rewrite(owner, name, flawed, cured):
    """Compile a method anew, with what is wrong in its source replaced."""
    original = vars(owner)[name]
    source, count = re.subn(flawed, cured, source_of(original))
    assert count == 1, f"{owner.__name__}.{name} isn't the one that upstream changed"
    module = sys.modules[owner.__module__]
    namespace = {}
    exec(compile(source, module.__file__, "exec"), vars(module), namespace)
    namespace[name].source = source
    setattr(owner, name, namespace[name])


def source_of(function):
    """Return a method's source, be it one that was rewritten."""
    return getattr(function, "source", None) or textwrap.dedent(inspect.getsource(function))
