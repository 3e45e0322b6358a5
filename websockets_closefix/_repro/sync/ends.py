"""This end of a connection: websockets' own client or server."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

from websockets.sync.client import connect
from websockets.sync.server import serve
from websockets.uri import parse_uri

from ..logs import quiet_logger
from ..peers import Behaviour, peer, silent_client
from ..waiting import PATIENCE
from .holding import HoldingListener, HoldingSocket
from .observing import free


def opened(side: str, behave: Behaviour, **kwargs: Any) -> contextlib.AbstractContextManager[Any]:
    """
    Open a connection and yield one end, ``client`` or ``server``; ``behave`` is the other's part.

    Its socket is a :class:`.holding.HoldingSocket`. Without a ``logger``, nothing is logged.

    """
    open_end = opened_client if side == "client" else opened_server
    return open_end(behave, **{"logger": quiet_logger(), **kwargs})


@contextlib.contextmanager
def opened_client(behave: Behaviour, **kwargs: Any) -> Iterator[Any]:
    """Connect to a peer."""
    with peer(behave) as uri:
        websocket = open_connection(uri, sock=HoldingSocket.connected_to(uri), **kwargs)
        try:
            yield websocket
        finally:
            free(websocket)


@contextlib.contextmanager
def opened_server(behave: Behaviour, **kwargs: Any) -> Iterator[Any]:
    """Serve one client; the handler does nothing until the connection isn't needed any more."""
    handled: queue.SimpleQueue[tuple[Any, threading.Thread]] = queue.SimpleQueue()
    done = threading.Event()

    def handle(websocket: Any) -> None:
        handled.put((websocket, threading.current_thread()))
        done.wait()

    def behave_until_closed() -> None:
        with client, contextlib.suppress(OSError):
            behave(client)

    sock = HoldingListener.listening()
    with server(handle, sock=sock, **kwargs) as uri, silent_client(uri) as client:
        websocket, handler = handled.get(timeout=PATIENCE)
        thread = threading.Thread(target=behave_until_closed, daemon=True)
        thread.start()
        try:
            yield websocket
        finally:
            free(websocket)
            done.set()
            handler.join(PATIENCE)
            thread.join(PATIENCE)


def open_connection(uri: str, **connect_kwargs: Any) -> Any:
    """Connect as ``with connect(…)`` does (17.1 deprecates others), without closing at the end."""
    if "sock" not in connect_kwargs:  # from 15.0 on, websockets would look for a proxy
        wsuri = parse_uri(uri)
        connect_kwargs["sock"] = socket.create_connection((wsuri.host, wsuri.port))
    return connect(uri, **connect_kwargs).__enter__()


@contextlib.contextmanager
def server(
    handler: Callable[[Any], None],
    *,
    sock: socket.socket | None = None,
    ssl: ssl.SSLContext | None = None,
    **serve_kwargs: Any,
) -> Iterator[str]:
    """Run websockets' own threading server and yield its URI."""
    listener = sock or socket.create_server(("127.0.0.1", 0))
    uri = f"{'wss' if ssl else 'ws'}://127.0.0.1:{listener.getsockname()[1]}"
    if ssl is not None:
        serve_kwargs["ssl"] = ssl  # up to 12.0 it has another name
    websocket_server = serve(handler, sock=listener, **serve_kwargs)
    thread = threading.Thread(target=websocket_server.serve_forever)
    thread.start()
    try:
        yield uri
    finally:
        websocket_server.shutdown()
        thread.join(PATIENCE)
        for name in ("shutdown_watcher", "shutdown_notifier"):
            if isinstance(end := getattr(websocket_server, name, None), int):
                os.close(end)  # a pipe, which websockets leaves open; from 17.0 on it isn't one


def keep_sending(websocket: Any) -> None:
    """Send until the connection ends, but no longer than PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        websocket.send("anybody there?")
