"""What breaks a connection, and what it is being used for meanwhile."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess
import threading
import time
from typing import Any, Callable, NamedTuple

from websockets_closefix import _provoke

from .links import PATIENCE


class Fault(NamedTuple):
    """How to break a connection, in a context in which that is about to happen."""

    prepare: Callable[[Any, socket.socket], Any]  # yields what breaks it
    secure: bool = False


@contextlib.contextmanager
def reset(connection, peer):
    def strike():
        _provoke.reset_on_close(peer)
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

    def fill():
        with contextlib.suppress(Exception):
            connection.send(b"x" * 2**26)

    filler = threading.Thread(target=fill)
    filler.start()
    wait_for_data(peer)
    with reset(connection, peer) as strike:
        yield strike
    filler.join(PATIENCE)
    assert not filler.is_alive()


def wait_for_data(peer):
    """Return when something has come in, be it encrypted."""
    select.select([peer], [], [], PATIENCE)


FAULTS = {
    "RST": Fault(reset),
    "FIN without a close frame": Fault(end_without_close_frame),
    "close frame never answered": Fault(close_never_answered),
    "peer killed with SIGKILL": Fault(killed),
    "peer stops reading, then RST": Fault(stops_reading),
    "TLS without close_notify": Fault(end_without_close_frame, secure=True),
}


def idle(connection):
    connection.recv_events_thread.join(PATIENCE)


def send(connection):
    again_and_again(connection, lambda: connection.send("x"))


def ping(connection):
    again_and_again(connection, connection.ping)


def again_and_again(connection, act):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        act()
        if isinstance(connection.socket, ssl.SSLSocket):
            # A thread that reads and one that writes can corrupt OpenSSL's memory, and crash
            # (python/cpython issue 151508); so they had better not meet all the time.
            connection.recv_events_thread.join(0.005)


ACTIVITIES = {
    "idle": idle,
    "sending": send,
    "receiving": lambda connection: connection.recv(),
    "closing": lambda connection: connection.close(),
    "pinging": ping,
}
