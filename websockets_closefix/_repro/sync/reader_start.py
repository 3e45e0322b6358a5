"""
websockets 11.0 to 13.1: the reader thread is started before what it needs is there.

``__init__`` is held between the two, until the reader thread has met the peer's reset.

"""

from __future__ import annotations

import socket
import threading
from typing import Any, Callable

from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidHandshake
from websockets.sync.client import ClientConnection
from websockets.sync.server import ServerConnection

from ..logs import quiet_logger
from ..peers import reset_on_close
from ..scenario import Hangs, Outcome, Scenario
from ..waiting import wait_until
from . import holding
from .ends import open_connection, server
from .observing import Caller, free, has_ended, thread_exceptions


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

    def open_client(listener: socket.socket, _: object, **kwargs: Any) -> None:
        sock = socket.create_connection(listener.getsockname())
        reset(listener.accept()[0])
        open_connection("ws://127.0.0.1", sock=sock, **kwargs)

    return open_slowly(ClientConnection, open_client)


def accept(_: str) -> Outcome:
    """Serve a client that resets the connection at once; nothing is raised where it is served."""

    def open_server(listener: socket.socket, opening: dict[Any, Any], **kwargs: Any) -> None:
        with server(lambda websocket: None, sock=listener, **kwargs):
            sock = socket.create_connection(listener.getsockname())
            wait_until(lambda: opening)  # on Windows, a reset before it is accepted isn't seen
            reset(sock)
            next(iter(opening.values())).join()

    return open_slowly(ServerConnection, open_server)


def reset(sock: socket.socket) -> None:
    """Reset a connection."""
    reset_on_close(sock)
    sock.close()


def open_slowly(base: Any, open_end: Callable[..., None]) -> Outcome:
    """Open a connection whose ``__init__`` is overtaken."""
    opening: dict[Any, threading.Thread] = {}  # connections, and the threads that open them

    class Connection(SlowToInit, base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            opening[self] = threading.current_thread()
            super().__init__(*args, **kwargs)

    def open_one() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            open_end(listener, opening, create_connection=Connection, logger=quiet_logger())

    caller = Caller(open_one)
    with thread_exceptions(lambda it: it in [ws.recv_events_thread for ws in opening]) as raised:
        caller.start()
        hangs = not has_ended(caller)
        for websocket in opening:
            free(websocket)
        caller.join()
    return OpeningOutcome(Hangs() if hangs else caller.raised, next(iter(raised), None))


ENDS = ConnectionClosedError, (BrokenPipeError, ConnectionResetError, type(None))
SCENARIOS = (
    Scenario(
        "sync.reader_start", "reset while connecting", connect, AttributeError, *ENDS, ("client",)
    ),
    Scenario(
        "sync.reader_start", "reset while accepting", accept, AttributeError, sides=("server",)
    ),
)
