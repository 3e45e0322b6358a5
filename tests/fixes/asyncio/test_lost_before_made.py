"""``connect()`` through a proxy raises what it raised, and the event loop has nothing to report."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest

from websockets_closefix._repro.asyncio.lost_before_made import proxy

from ...conftest import has_bug
from .running import in_loop


@has_bug("asyncio.lost_before_made")
@in_loop
async def test_the_real_reason_is_raised():
    from websockets.asyncio.client import connect

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=proxy, args=(listener,))
        thread.start()
        with pytest.raises(OSError) as raised:  # noqa: PT011
            await connect(
                "wss://localhost:1",
                ssl=ssl.create_default_context(),
                proxy=f"http://127.0.0.1:{listener.getsockname()[1]}",
            )
        thread.join()
    assert isinstance(raised.value, (ConnectionResetError, ssl.SSLError))
