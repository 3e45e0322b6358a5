"""Opens a connection that is known from the start, whatever interrupts connect()."""

from __future__ import annotations

import functools
import socket
from typing import Any, Callable

from websockets.sync.client import ClientConnection, connect

from ._ending import FAREWELL_TIMEOUT, hang_up, wait_until

OPEN_TIMEOUT = 10
"""Seconds for opening a connection, as websockets has it, unless the caller says otherwise."""


def open_connection(
    uri: str,
    connect_kwargs: dict[str, Any],
    timeout: float,
    register: Callable[[ClientConnection], None],
) -> None:
    """
    Connect, as :func:`~websockets.sync.client.connect` does.

    Args:
        uri: URI of the WebSocket server.
        connect_kwargs: As for :func:`~websockets.sync.client.connect`.
        timeout: Seconds at most, however large ``open_timeout`` is.
        register: Called with each connection before its opening handshake.

    """
    kwargs = dict(connect_kwargs)
    limit = kwargs.get("open_timeout", OPEN_TIMEOUT)
    kwargs["open_timeout"] = timeout if limit is None else min(timeout, limit)
    create = kwargs.get("create_connection") or ClientConnection
    kwargs["create_connection"] = functools.partial(_create, register, create)
    # As a context manager, because 17.1 deprecates anything else.
    connect(uri, **kwargs).__enter__()


def _create(
    register: Callable[[ClientConnection], None],
    create: Callable[..., ClientConnection],
    sock: socket.socket,
    *args: Any,
    **kwargs: Any,
) -> ClientConnection:
    try:
        websocket = create(sock, *args, **kwargs)
        register(websocket)
        return websocket
    except BaseException:
        # It has a reader thread, perhaps, which closes it. Closing it here, as connect() does,
        # wouldn't wake that thread.
        hang_up(sock)
        wait_until(lambda: sock.fileno() == -1, FAREWELL_TIMEOUT)
        raise
