"""Connects to servers that turn a client away, in one way or another."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, Callable

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection

from ..logs import quiet_logger
from ..peers import shut_down_and_close
from ..scenario import Hangs, Outcome
from ..waiting import PATIENCE
from .ends import open_connection
from .observing import Caller, free, has_ended


class TurnedAway(Outcome):
    """What an attempt to connect ended in that cannot succeed."""

    __slots__ = ()

    @property
    def leaked(self) -> bool:
        """Whether it is anything but what the documentation says that ``connect()`` raises."""
        documented = isinstance(self.caller, (ConnectionClosed, InvalidHandshake, OSError))
        return not documented or self.reader is not None


def connect_in_vain(
    uri: str, free: Callable[[Any], None] = free, **connect_kwargs: Any
) -> TurnedAway:
    """Connect, and free what hangs."""
    connections: list[Any] = []

    class Connection(ClientConnection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            connections.append(self)
            super().__init__(*args, **kwargs)

    options = {"create_connection": Connection, "logger": quiet_logger(), **connect_kwargs}
    caller = Caller(lambda: open_connection(uri, **options))
    caller.start()
    hangs = not has_ended(caller)
    for connection in connections:
        free(connection)
    caller.join(PATIENCE)
    return TurnedAway(Hangs() if hangs else caller.raised, None)


@contextlib.contextmanager
def server_that_answers(response: bytes, *, then_leave: bool) -> Iterator[str]:
    """Run a server that answers whatever request, and may keep TCP open; yield its URI."""
    done = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(PATIENCE)
                sock.recv(65536)
                sock.sendall(response)
                if not then_leave:
                    done.wait(PATIENCE)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        done.set()
        shut_down_and_close(listener)
        thread.join(PATIENCE)
