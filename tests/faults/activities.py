"""What a connection is used for when it breaks, and what goes on meanwhile."""

from __future__ import annotations

import contextlib
import inspect
import ssl
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER

from .bounded import PATIENCE, Act, wait_until
from .links import NO_OPTIONS

HOLD = 0.05
"""Seconds to hold a thread at most."""

A_LOT = b"x" * 2**24
"""More than the buffers of both ends take in."""

UNREAD = 400
"""Messages that nobody reads: more than any release queues."""


def idle(connection):
    connection.recv_events_thread.join(PATIENCE)


def send(connection):
    again_and_again(connection, lambda: connection.send("x"))


def send_a_lot(connection):
    connection.send(A_LOT)


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


def nothing(connection):
    """Not even look whether it is there; whoever doesn't read can't know."""


ACTIVITIES = {
    "idle": idle,
    "sending": send,
    "receiving": lambda connection: connection.recv(),
    "closing": lambda connection: connection.close(),
    "pinging": ping,
}
UNAWARE = {"nothing": nothing, "sending a lot": send_a_lot}


class Meanwhile(NamedTuple):
    """What goes on besides the activity."""

    prepare: Callable[[Any, Any], Any]
    """Yields what may hang of it, by name; those acts that aren't started are when it breaks."""

    options: Mapping = NO_OPTIONS
    """Arguments of ``connect()`` and ``serve()``."""


@contextlib.contextmanager
def nothing_else(connection, peer):
    yield {}


@contextlib.contextmanager
def receiver_waiting(connection, peer):
    receiver = Act.started(connection.recv)
    wait_until(lambda: connection.recv_messages.get_in_progress)
    yield {"recv() meanwhile": receiver}


@contextlib.contextmanager
def ping_pending(connection, peer):
    """
    Have a ping pending, from 15.0 on one that is acknowledged by closing.

    Whoever acknowledges it is held there, so that others who close can come in between.

    """

    def acknowledge():
        set_event()
        if threading.current_thread() is connection.recv_events_thread:
            threading.Event().wait(HOLD)
        else:
            connection.recv_events_thread.join(HOLD)

    ack_on_close = "ack_on_close" in inspect.signature(connection.ping).parameters
    event = connection.ping(**{"ack_on_close": True} if ack_on_close else {})
    set_event, event.set = event.set, acknowledge
    peer.recv(1024)
    yield {}


@contextlib.contextmanager
def keepalive_pending(connection, peer):
    """Wait until the one ping has come that is sent before the timeout."""
    peer.recv(1024)
    yield {}


@contextlib.contextmanager
def messages_unread(connection, peer):
    message = Frame(Opcode.TEXT, b"unread").serialize(mask=connection.protocol.side is SERVER)
    peer.sendall(UNREAD * message)
    messages = connection.recv_messages
    # The reader thread waits: for the first one to be fetched up to 13.1, for room since.
    paused = "put_in_progress" if hasattr(messages, "put_in_progress") else "paused"
    wait_until(lambda: getattr(messages, paused))
    yield {}


@contextlib.contextmanager
def unread_and_pending(connection, peer):
    with ping_pending(connection, peer), messages_unread(connection, peer) as acts:
        yield acts


@contextlib.contextmanager
def another_closing(connection, peer):
    yield {"close() meanwhile": Act(connection.close)}


@contextlib.contextmanager
def sender_blocked(connection, peer):
    sender = Act.started(lambda: send_a_lot(connection))
    wait_until(lambda: is_sending(sender))
    yield {"send() meanwhile": sender}


def is_sending(thread):
    """Tell whether a thread is inside ``sendall()``, which has no frame of its own."""
    frame = sys._current_frames().get(thread.ident)
    return frame is not None and frame.f_code.co_name == "send_data"


MEANWHILE = {
    "-": Meanwhile(nothing_else),
    "a receiver waits": Meanwhile(receiver_waiting),
    "a ping is pending": Meanwhile(ping_pending),
    "keepalive is on": Meanwhile(
        keepalive_pending, options={"ping_interval": 0.02, "ping_timeout": 60}
    ),
    "keepalive is short": Meanwhile(
        nothing_else, options={"ping_interval": 0.2, "ping_timeout": 0.2}
    ),
    "a sender is blocked": Meanwhile(sender_blocked),
    "messages are unread": Meanwhile(messages_unread),
    "messages are unread, a ping is pending": Meanwhile(unread_and_pending),
    "another thread closes": Meanwhile(another_closing),
}
