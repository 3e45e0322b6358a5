"""
websockets 11.0 to 13.1: the reader thread is started before what it needs is there.

``__init__`` is held between the two, until the reader thread has met the peer's reset.

"""

from __future__ import annotations

import socket
import threading
from typing import Any

from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidHandshake
from websockets.sync.client import ClientConnection
from websockets.sync.server import ServerConnection

from .. import holding
from ..ends import open_connection, server
from ..logs import quiet_logger
from ..observing import Caller, ends, free, thread_exceptions
from ..peers import reset_on_close
from ..scenario import Hangs, Outcome, Scenario
from ..waiting import wait_until


class OpeningOutcome(Outcome):
    """What an attempt to open a connection ended in."""

    __slots__ = ()

    @property
    def leaked(self) -> bool:
        """Whether it is anything but what ``connect()`` raises when a peer turns it away."""
        turned_away = (ConnectionClosed, InvalidHandshake, EOFError, OSError, type(None))
        return not isinstance(self.caller, turned_away) or self.reader is not None


class SlowToInit:
    """A connection whose ``__init__`` is overtaken by the reader thread."""

    recv_events_thread: threading.Thread

    def __setattr__(self, name: str, value: object) -> None:
        """Wait before ``recv_exc`` is assigned, if the reader thread is running already."""
        is_init = name in ("recv_exc", "recv_events_exc") and value is None
        if is_init and hasattr(self, "recv_events_thread"):
            self.recv_events_thread.join(holding.HOLD)
        super().__setattr__(name, value)


def connect(_: str) -> Outcome:
    """Connect to a peer that has reset the connection already."""
    return open_slowly(ClientConnection, connect_to_reset)


def accept(_: str) -> Outcome:
    """Serve a client that resets the connection at once; nothing is raised to anybody."""
    return open_slowly(ServerConnection, serve_reset)


def open_slowly(base: Any, open_with: Any) -> Outcome:
    """Open a connection whose ``__init__`` is slow."""
    opened_in: dict[Any, threading.Thread] = {}

    class Connection(SlowToInit, base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            opened_in[self] = threading.current_thread()
            super().__init__(*args, **kwargs)

    def is_reader(thread: threading.Thread | None) -> bool:
        return any(thread is websocket.recv_events_thread for websocket in opened_in)

    caller = Caller(lambda: open_with(Connection, opened_in))
    with thread_exceptions(is_reader) as raised:
        caller.start()
        hangs = not ends(caller)
        for websocket in opened_in:
            free(websocket)
        caller.join()
    return OpeningOutcome(Hangs() if hangs else caller.raised, next(iter(raised), None))


def connect_to_reset(connection_class: type, _: object) -> None:
    """Connect to a peer that has reset the connection already."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        accepted = listener.accept()[0]
        reset_on_close(accepted)
        accepted.close()
        open_connection(
            "ws://127.0.0.1", sock=sock, create_connection=connection_class, logger=quiet_logger()
        )


def serve_reset(connection_class: type, opened_in: dict[Any, threading.Thread]) -> None:
    """Serve a client that resets the connection."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        server(
            lambda websocket: None,
            sock=listener,
            create_connection=connection_class,
            logger=quiet_logger(),
        ),
    ):
        sock = socket.create_connection(listener.getsockname())
        reset_on_close(sock)
        sock.close()
        wait_until(lambda: opened_in)
        next(iter(opened_in.values())).join()


SCENARIOS = (
    Scenario(
        "sync.reader_start",
        "reset while connecting",
        connect,
        AttributeError,
        ConnectionClosedError,
        (BrokenPipeError, ConnectionResetError, type(None)),
        sides=("client",),
    ),
    Scenario(
        "sync.reader_start", "reset while accepting", accept, AttributeError, sides=("server",)
    ),
)
