"""
websockets 11.0 to 13.1: the reader thread is started before what it needs is there.

``__init__`` is held between the two, until the reader thread has met the peer's reset.

"""

from __future__ import annotations

import socket
import threading
from typing import Any, NamedTuple

from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidHandshake
from websockets.sync.client import ClientConnection
from websockets.sync.server import ServerConnection

from .. import holding
from ..ends import open_connection, server
from ..holding import quiet_logger
from ..observing import Caller, Hangs, Outcome, ends, free, thread_exceptions, wait_until
from ..peers import reset_on_close
from ..scenario import Scenario


class OpeningOutcome(Outcome):
    """What an attempt to open a connection ended in."""

    __slots__ = ()

    @property
    def leaked(self) -> bool:
        """Whether it is anything but what ``connect()`` raises when nobody wants to talk to it."""
        turned_away = (ConnectionClosed, InvalidHandshake, EOFError, OSError, type(None))
        return not isinstance(self.caller, turned_away) or self.reader is not None


class Opening(NamedTuple):
    """A connection that is being opened, and the thread that does it."""

    websocket: Any
    thread: threading.Thread


class SlowToInit:
    """A connection whose ``__init__`` is overtaken by the reader thread."""

    recv_events_thread: threading.Thread

    def __setattr__(self, name: str, value: object) -> None:
        """Wait before ``recv_exc`` is assigned, if the reader thread is running already."""
        is_init = name in ("recv_exc", "recv_events_exc") and value is None
        if is_init and hasattr(self, "recv_events_thread"):
            self.recv_events_thread.join(holding.HOLD)
        super().__setattr__(name, value)


def reset_while_opening(side: str) -> Outcome:
    """Reset a connection before the opening handshake."""
    openings: list[Opening] = []
    base, open_end = {
        "client": (ClientConnection, connect_to_reset),
        "server": (ServerConnection, serve_reset),
    }[side]

    class Connection(SlowToInit, base):  # type: ignore[valid-type, misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            openings.append(Opening(self, threading.current_thread()))
            super().__init__(*args, **kwargs)

    def is_reader(thread: threading.Thread | None) -> bool:
        return any(thread is opening.websocket.recv_events_thread for opening in openings)

    caller = Caller(lambda: open_end(Connection, openings))
    with thread_exceptions(is_reader) as raised:
        caller.start()
        hangs = not ends(caller)
        for opening in openings:
            free(opening.websocket)
        caller.join()
    return OpeningOutcome(Hangs() if hangs else caller.raised, next(iter(raised), None))


def connect_to_reset(connection_class: type, _: list[Opening]) -> None:
    """Connect to a peer that has reset the connection already."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        accepted = listener.accept()[0]
        reset_on_close(accepted)
        accepted.close()
        open_connection(
            "ws://127.0.0.1", sock=sock, create_connection=connection_class, logger=quiet_logger()
        )


def serve_reset(connection_class: type, openings: list[Opening]) -> None:
    """Serve a client that resets the connection; of that, nobody is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = server(
            lambda websocket: None,
            sock=listener,
            create_connection=connection_class,
            logger=quiet_logger(),
        )
        with serving:
            sock = socket.create_connection(listener.getsockname())
            reset_on_close(sock)
            sock.close()
            wait_until(lambda: openings)
            openings[0].thread.join()


SCENARIOS = (
    Scenario(
        "sync.reader_start",
        "reset while connecting",
        reset_while_opening,
        AttributeError,
        ConnectionClosedError,
        (BrokenPipeError, ConnectionResetError, type(None)),
        sides=("client",),
    ),
    Scenario(
        "sync.reader_start",
        "reset while accepting",
        reset_while_opening,
        AttributeError,
        sides=("server",),
    ),
)
