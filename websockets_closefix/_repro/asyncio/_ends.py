"""This end of a connection: websockets' own client or server, in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

from websockets.uri import parse_uri

from ..logs import quiet_logger
from ..peers import peer, silent_client
from ..waiting import PATIENCE
from ._peers import Behaviour
from ._running import free


def opened(side: str, behave: Behaviour, **kwargs: Any) -> Any:
    """
    Open a connection and yield this end of it, in an asynchronous context manager.

    Args:
        side: Which end to yield, ``client`` or ``server``.
        behave: What the other end does, in a thread.
        kwargs: Passed to ``connect()`` or ``serve()``. Unless there is a ``logger``, nothing is
            logged; unless there is a ``ping_interval``, there is no keepalive.

    """
    from websockets.asyncio import client, server

    return opened_by(client, server, side, behave, **kwargs)


def opened_by(
    client: ModuleType, server: ModuleType, side: str, behave: Behaviour, **kwargs: Any
) -> Any:
    """Do so with one of the implementations that have an event loop."""
    defaults = {"logger": quiet_logger(), "ping_interval": None, "compression": None}
    kwargs = {**defaults, **kwargs}
    if side == "client":
        return opened_client(client.connect, behave, **kwargs)
    return opened_server(server.serve, behave, **kwargs)


@contextlib.asynccontextmanager
async def opened_client(connect: Any, behave: Behaviour, **kwargs: Any) -> AsyncIterator[Any]:
    """Connect to a peer."""
    over = threading.Event()
    with peer(lambda sock: behave(sock, over)) as uri:
        try:
            websocket = await connect(uri, sock=connected_to(uri), **kwargs)
            yield websocket
            await free(websocket)
        finally:
            over.set()


def connected_to(uri: str) -> socket.socket:
    """
    Return a socket that is connected to a peer.

    From 15.0 on, websockets would ask the environment for a proxy.

    """
    wsuri = parse_uri(uri)
    sock = socket.create_connection((wsuri.host, wsuri.port))
    sock.setblocking(False)
    return sock


@contextlib.asynccontextmanager
async def opened_server(serve: Any, behave: Behaviour, **kwargs: Any) -> AsyncIterator[Any]:
    """Serve one client; the handler does nothing until the connection isn't needed any more."""
    loop = asyncio.get_running_loop()
    handled: asyncio.Future[Any] = loop.create_future()
    done = asyncio.Event()

    async def handle(websocket: Any) -> None:
        handled.set_result(websocket)
        await done.wait()

    async with serving(serve, handle, **kwargs) as (_, uri), client_of(uri, behave):
        websocket = await asyncio.wait_for(handled, PATIENCE)
        try:
            yield websocket
        finally:
            done.set()
            await free(websocket)


@contextlib.asynccontextmanager
async def serving(serve: Any, handle: Any, **kwargs: Any) -> AsyncIterator[tuple[Any, str]]:
    """Run websockets' own server, and yield it and its URI."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = await serve(handle, sock=listener, **kwargs)
    try:
        yield server, f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.close()
        closing = asyncio.ensure_future(server.wait_closed())
        await asyncio.wait([closing], timeout=PATIENCE)
        closing.cancel()
        await asyncio.wait([closing])


@contextlib.asynccontextmanager
async def client_of(uri: str, behave: Behaviour) -> AsyncIterator[None]:
    """Have a peer connect, in a thread."""

    over = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError), silent_client(uri) as sock:
            behave(sock, over)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        await asyncio.get_running_loop().run_in_executor(None, thread.join, PATIENCE)
