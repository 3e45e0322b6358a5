"""websockets 17.0 and later: ``Server.shutdown()`` waits for what its own thread is about."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any, Callable

from websockets.sync.server import serve

from .. import waiting
from ..logs import quiet_logger
from ..peers import shut_down_and_close, silent_client
from ..scenario import Hangs, Outcome, Scenario
from ..waiting import PATIENCE
from .observing import Caller, has_ended


class InterruptedListener(socket.socket):
    """A listening socket whose ``accept()`` is interrupted, as by a signal."""

    interrupt: Callable[[], object]

    def accept(self) -> Any:
        """Run what a signal handler would, then go on."""
        self.interrupt()
        return super().accept()


def shut_down_above_serve_forever(_: str) -> Outcome:
    """Shut down above ``serve_forever()``, as a signal handler does."""
    listener = InterruptedListener()
    with created(listener) as websocket_server:
        listener.interrupt = websocket_server.shutdown
        with socket.create_connection(listener.getsockname()):
            return outcome_of(websocket_server, websocket_server.serve_forever)


def shut_down_in_handler(_: str) -> Outcome:
    """Shut down in a connection's handler."""
    returned = threading.Event()

    def handle(_websocket: Any) -> None:
        websocket_server.shutdown()
        returned.set()

    def connect_and_wait() -> None:
        with silent_client(uri) as sock:
            if not returned.wait(waiting.HANG):
                raise Hangs
            shut_down_and_close(sock)

    with created(handler=handle) as websocket_server:
        uri = f"ws://127.0.0.1:{websocket_server.socket.getsockname()[1]}"
        serving = Caller(websocket_server.serve_forever)
        serving.start()
        outcome = outcome_of(websocket_server, connect_and_wait)
        serving.join(PATIENCE)
        return outcome


def shut_down_alone(_: str) -> Outcome:
    """Shut down a server whose ``serve_forever()`` was never called."""
    with created() as websocket_server:
        return outcome_of(websocket_server, websocket_server.shutdown)


def return_at_once(_websocket: Any) -> None:
    """Handle a connection."""


@contextlib.contextmanager
def created(
    listener: socket.socket | None = None,
    handler: Callable[[Any], None] = return_at_once,
    **kwargs: Any,
) -> Iterator[Any]:
    """Create websockets' threading server; it is left to the caller to shut it down."""
    listener = listener or socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    options = {"logger": quiet_logger(), "close_timeout": 0.1, **kwargs}
    websocket_server = serve(handler, sock=listener, **options)
    try:
        yield websocket_server
    finally:
        listener.close()
        for name in ("shutdown_watcher", "shutdown_notifier"):
            end = getattr(websocket_server, name, None)  # there is none on Windows
            if isinstance(end, int):  # up to 16.1.1
                os.close(end)
            elif end is not None:
                end.close()


def outcome_of(websocket_server: Any, act: Callable[[], object]) -> Outcome:
    """Do something with a server in a thread, and free what hangs."""
    caller = Caller(act)
    caller.start()
    hangs = not has_ended(caller, waiting.HANG + 1)
    if hangs or isinstance(caller.raised, Hangs):
        websocket_server.socket_closed.set()
        websocket_server.handler_threads.clear()
    caller.join(PATIENCE)
    return Outcome(Hangs() if hangs else caller.raised, None)


SCENARIOS = tuple(
    Scenario("sync.server_shutdown", name, act, Hangs, sides=("server",))
    for name, act in (
        ("shutdown() above serve_forever()", shut_down_above_serve_forever),
        ("shutdown() in a connection's handler", shut_down_in_handler),
        ("shutdown() without serve_forever()", shut_down_alone),
    )
)
