"""
The flaws in how connections of ``websockets.sync`` end, release by release.

This is data: :mod:`websockets_closefix._gate` reads it to judge a build, and the module that
``room`` names, beside this one, repairs what is wrong. To add a flaw, add a row and a room.

"""

from __future__ import annotations

from typing import NamedTuple


class Flaw(NamedTuple):
    """
    A flaw, the releases that have it, and how it shows in their code.

    A method's code is known by the names that it uses, in the order of their first use.

    """

    room: str
    """Module in this package whose functions are the wrappers, each under its method's name."""

    issue: int | None
    """Upstream's issue, where there is one."""

    symptom: str
    """What an application meets."""

    since: tuple[int, ...]
    """First release that has it."""

    fixed: tuple[int, ...]
    """First release that doesn't have it any more."""

    examined: tuple[str, ...]
    """Methods of ``websockets.sync.connection`` in which the flaw, or its cure, can be seen."""

    flawed: str
    """Regular expression that finds the flaw in the names of each of them."""

    cured: str
    """Regular expression that finds the cure there; it is looked for first."""

    wrapped: tuple[str, ...]
    """Methods that are wrapped, as far as the release has them."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"issue {self.issue}" if self.issue else self.room.replace("_", " ")


FLAWS = (
    Flaw(
        room="issue_1336",
        issue=1336,
        symptom="close() and send() hang for ever while a message is unread",
        since=(11, 0),
        fixed=(11, 0, 2),
        examined=("Connection.close_socket",),
        flawed=r"\bshutdown\b",
        cured=r"\brecv_messages\b",
        wrapped=("Connection.close_socket", "Connection.process_event"),
    ),
    Flaw(
        room="early_reader",
        issue=None,
        symptom="AttributeError in the reader thread when the peer resets a connection as it opens",
        since=(11, 0),
        fixed=(14, 0),
        examined=("Connection.__init__",),
        flawed=r"\bstart\b.*\brecv_(events_)?exc\b",
        cured=r"\brecv_(events_)?exc\b.*\bstart\b",
        wrapped=("Connection.set_recv_exc", "Connection.set_recv_events_exc"),
    ),
    Flaw(
        room="issue_1449",
        issue=1449,
        symptom="recv() raises AssertionError when another thread closes",
        since=(11, 0),
        fixed=(13, 1),
        examined=("Connection.recv", "Connection.recv_streaming"),
        flawed=r"\bclose_exc\b",
        cured=r"\bjoin\b",
        wrapped=("Connection.recv", "Connection.recv_streaming"),
    ),
    Flaw(
        room="issue_1555",
        issue=1555,
        symptom="close() and send() hang for ever while more than max_queue messages are unread",
        since=(14, 0),
        fixed=(14, 2),
        examined=("Assembler.close",),
        flawed=r"\bframes\b",
        cured=r"\bresume\b",
        wrapped=("Assembler.close",),
    ),
    Flaw(
        room="issue_1558",
        issue=1558,
        symptom="AssertionError, ValueError or EOFError when two threads close at once",
        since=(13, 1),
        fixed=(14, 2),
        examined=("Connection.close_socket",),
        flawed=r"\breceive_eof\b",
        cured=r"\bprotocol_mutex\b",
        wrapped=("Connection.close_socket",),
    ),
    Flaw(
        room="issue_1662",
        issue=1662,
        symptom="RuntimeError when two threads close at once while a ping is pending",
        since=(15, 0),
        fixed=(16, 0),
        examined=("Connection.close_socket",),
        flawed=r"\backnowledge_pending_pings\b",
        cured=r"\bterminate_pending_pings\b",
        wrapped=("Connection.close_socket",),
    ),
)
