"""What breaks a connection."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import SERVER

from websockets_closefix._repro.peers import reset_on_close

from .bounded import PATIENCE, Act, wait_until
from .links import NO_OPTIONS


class Fault(NamedTuple):
    """How to break a connection, in a context in which that is about to happen."""

    prepare: Callable[[Any, socket.socket], Any]  # yields what breaks it
    secure: bool = False
    options: Mapping = NO_OPTIONS  # arguments of connect() and serve()


@contextlib.contextmanager
def reset(connection, peer):
    def strike():
        reset_on_close(peer)
        peer.close()

    yield strike


@contextlib.contextmanager
def end_without_close_frame(connection, peer):
    yield lambda: peer.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def close_never_answered(connection, peer):
    yield connection.close


@contextlib.contextmanager
def killed(connection, peer):
    """The peer's process, which holds the socket until the end, gets a SIGKILL."""

    def strike():
        peer.close()
        process.kill()

    with subprocess.Popen(["sleep", "60"], pass_fds=[peer.fileno()]) as process:
        try:
            yield strike
        finally:
            process.kill()


@contextlib.contextmanager
def stops_reading(connection, peer):
    """Somebody is blocked in sendall(), and holds the mutex, when the peer gives up."""
    filler = Act.started(lambda: connection.send(b"x" * 2**24))
    wait_for_data(peer)
    with reset(connection, peer) as strike:
        yield strike
    assert not filler.hangs()


def sends(*frames, then_end=True):
    """Have the peer send such frames in one go, and no more."""

    @contextlib.contextmanager
    def prepare(connection, peer):
        def strike():
            mask = connection.protocol.side is SERVER
            peer.sendall(b"".join(frame.serialize(mask=mask) for frame in frames))
            if then_end:
                peer.shutdown(socket.SHUT_WR)

        yield strike

    return prepare


@contextlib.contextmanager
def nothing(connection, peer):
    """The connection itself finds that the peer doesn't answer."""
    yield lambda: None


@contextlib.contextmanager
def half_a_record(connection, peer):
    """The reader thread is in the middle of a TLS record, and the peer says no more."""
    socket.socket.sendall(peer, HALF_A_RECORD)  # below TLS
    wait_until(lambda: is_receiving(connection))
    yield lambda: None


def is_receiving(connection):
    """Tell whether the reader thread is inside ``SSLSocket.recv()``."""
    frame = sys._current_frames().get(connection.recv_events_thread.ident)
    return frame is not None and frame.f_code.co_filename == ssl.__file__


def wait_for_data(peer):
    """Return when something has come in, be it encrypted."""
    select.select([peer], [], [], PATIENCE)


CLOSE = Frame(Opcode.CLOSE, Close(1000, "").serialize())
GOING_AWAY = Frame(Opcode.CLOSE, Close(1001, "").serialize())
PING = Frame(Opcode.PING, b"ping")
TEXT = Frame(Opcode.TEXT, b"unread")
INVALID_TEXT = Frame(Opcode.TEXT, b"\xff")
BIG_TEXT = Frame(Opcode.TEXT, bytes(1000))
HALF_A_RECORD = b"\x17\x03\x03\x04\x00" + bytes(100)  # application data, 1024 bytes of them

FAULTS = {
    "RST": Fault(reset),
    "FIN without a close frame": Fault(end_without_close_frame),
    "close frame never answered": Fault(close_never_answered),
    "peer killed with SIGKILL": Fault(killed),
    "peer stops reading, then RST": Fault(stops_reading),
    "TLS without close_notify": Fault(end_without_close_frame, secure=True),
    "close frame, then FIN": Fault(sends(GOING_AWAY)),
    "ping, close frame, then FIN": Fault(sends(PING, CLOSE)),
    "invalid UTF-8": Fault(sends(INVALID_TEXT, then_end=False)),
    "messages nobody reads": Fault(sends(*400 * [TEXT], then_end=False)),
    "close frame answered": Fault(sends(CLOSE), options={"close_timeout": 10 * PATIENCE}),
    "close frame, TCP stays open": Fault(sends(CLOSE, then_end=False)),
    "message too big, TCP stays open": Fault(
        sends(BIG_TEXT, then_end=False), options={"max_size": 100}
    ),
    "half a TLS record": Fault(half_a_record, secure=True),
    "peer stops reading": Fault(nothing),
    "keepalive never answered": Fault(
        nothing, options={"ping_interval": 0.02, "ping_timeout": 0.05}
    ),
}
