"""websockets.asyncio 15.0 to 17.4, Python 3.11 and later: TLS fails behind an HTTP proxy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading

from .. import waiting
from ..scenario import Hangs, Scenario
from ..waiting import PATIENCE
from ._running import in_event_loop


@in_event_loop
async def connect(_: str) -> BaseException | None:
    """Connect through a proxy that closes the connection in the TLS handshake."""
    from websockets.asyncio.client import connect

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=proxy, args=(listener,), daemon=True)
        thread.start()
        connecting = asyncio.ensure_future(
            connect(
                "wss://localhost:1",
                ssl=ssl.create_default_context(),
                proxy=f"http://127.0.0.1:{listener.getsockname()[1]}",
            ).__aenter__()
        )
        await asyncio.wait([connecting], timeout=waiting.HANG)
        hangs = not connecting.done()
        connecting.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await connecting
        await asyncio.get_running_loop().run_in_executor(None, thread.join, PATIENCE)
        return Hangs() if hangs else None


def proxy(listener: socket.socket) -> None:
    """Accept a connection, agree to connect it, and close it when TLS begins."""
    sock, _ = listener.accept()
    with sock:
        sock.settimeout(PATIENCE)
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        sock.recv(65536)


SCENARIOS = (
    Scenario(
        "asyncio.lost_before_made",
        "connect() through a proxy that closes",
        connect,
        AttributeError,
        sides=("client",),
    ),
)
