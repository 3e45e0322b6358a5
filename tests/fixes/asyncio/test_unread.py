"""What is unread doesn't keep a connection from closing, and isn't dropped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from websockets_closefix._fixes.asyncio import unread
from websockets_closefix._repro.asyncio._ends import opened
from websockets_closefix._repro.asyncio._peers import close_frame, holding_open, streaming
from websockets_closefix._repro.asyncio._running import wait_until
from websockets_closefix._repro.peers import messages

from ...conftest import bugs_of_the_release
from .running import in_loop

sides = pytest.mark.parametrize("side", ["client", "server"])


@contextlib.asynccontextmanager
async def paused(side, behave, **kwargs):
    """Open a connection with so much unread that reading is paused."""
    async with opened(side, behave, **kwargs) as websocket:
        await wait_until(lambda: websocket.recv_messages.paused)
        yield websocket


async def receive_all(websocket, interval=0):
    """Receive until the connection is closed, taking time for each message."""
    received = 0
    with contextlib.suppress(ConnectionClosed):
        async for _ in websocket:
            received += 1
            await asyncio.sleep(interval)
    return received


@sides
@in_loop
async def test_the_peer_s_answer_is_read(side):
    async with paused(side, streaming(side, 400), close_timeout=60) as websocket:
        await asyncio.wait_for(websocket.close(code=1001, reason="enough"), 5)
        assert websocket.protocol.state is State.CLOSED
        assert websocket.protocol.close_code == 1000
        assert websocket.protocol.close_sent.code == 1001


@sides
@in_loop
async def test_without_the_fix_it_takes_the_whole_timeout(side, without_shim):
    async with paused(side, streaming(side, 400), close_timeout=0.1) as websocket:
        await websocket.close()
        assert websocket.protocol.close_code == 1006


def slow_consumer_gets_all(side):
    @in_loop
    async def close_meanwhile():
        async with paused(side, streaming(side, 400), close_timeout=10) as websocket:
            receiving = asyncio.ensure_future(receive_all(websocket, 0.001))
            await asyncio.sleep(0.02)
            await websocket.close()
            assert await receiving == 400

    close_meanwhile()


@sides
def test_a_slow_consumer_gets_all(side):
    slow_consumer_gets_all(side)


@sides
@pytest.mark.skipif(
    "asyncio.lost_messages" in bugs_of_the_release(), reason="this release loses messages"
)
def test_a_slow_consumer_gets_all_without_the_fix(side, without_shim):
    slow_consumer_gets_all(side)


@sides
@in_loop
async def test_what_is_unread_can_be_received_after_closing(side):
    async with paused(side, streaming(side, 400)) as websocket:
        await websocket.close()
        assert await receive_all(websocket) == 400


@sides
@in_loop
async def test_a_peer_that_streams_until_it_sees_the_close_frame(side):
    frame = Frame(Opcode.BINARY, bytes(10000)).serialize(mask=side == "server")

    def behave(sock, over):
        sock.setblocking(False)
        rest = b""
        while True:
            with contextlib.suppress(BlockingIOError):
                rest = rest or frame
                rest = rest[sock.send(rest) :]
            with contextlib.suppress(BlockingIOError):
                assert sock.recv(65536)
                break
        sock.settimeout(5)
        sock.sendall(rest + close_frame(side))
        if side == "server":
            sock.recv(65536)

    async with paused(side, behave, close_timeout=None) as websocket:
        await asyncio.wait_for(websocket.close(), 5)
        assert websocket.protocol.close_code == 1000


@sides
@in_loop
async def test_beyond_the_limit_in_bytes_it_is_as_without_the_fix(side, monkeypatch):
    monkeypatch.setattr(unread, "BYTES_WHILE_CLOSING", 1000)

    def behave(sock, over):
        with contextlib.suppress(OSError):
            for _ in range(100):
                sock.sendall(Frame(Opcode.BINARY, bytes(65536)).serialize(mask=side == "server"))
        over.wait(5)

    async with paused(side, behave, close_timeout=0.2) as websocket:
        unread_before = len(websocket.recv_messages.frames)
        await websocket.close()
        assert len(websocket.recv_messages.frames) - unread_before < 20
        with pytest.raises(ConnectionClosedError) as raised:
            await websocket.send("")
        assert raised.value.rcvd is None


@sides
@in_loop
async def test_fetching_resumes_reading_beyond_the_limit(side, monkeypatch):
    monkeypatch.setattr(unread, "BYTES_WHILE_CLOSING", 0)
    async with paused(side, streaming(side, 400), close_timeout=10) as websocket:
        receiving = asyncio.ensure_future(receive_all(websocket))
        await websocket.close()
        assert await receiving == 400
        assert websocket.protocol.close_code == 1000


@in_loop
async def test_closing_twice_at_once():
    async with paused("client", streaming("client", 400), close_timeout=60) as websocket:
        await asyncio.wait_for(asyncio.gather(websocket.close(), websocket.close()), 5)
        await websocket.close()


@sides
@in_loop
async def test_a_close_that_is_not_awaited_changes_nothing(side):
    """Another thread may call ``close()`` and hand the coroutine to the event loop."""
    async with paused(side, streaming(side, 400), close_timeout=60) as websocket:
        closing = websocket.close()
        assert closing.__qualname__ == "Connection.close"
        closing.close()
        assert websocket.recv_messages.paused
        assert "maybe_pause" not in vars(websocket.recv_messages)


@sides
@in_loop
async def test_a_close_that_another_thread_asks_for(side):
    """As ``asyncio.run_coroutine_threadsafe(websocket.close(), loop)``."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)  # it raises RuntimeError in another thread, as TLS does
    resumed_in = []

    def resume():
        resumed_in.append(threading.get_ident())
        resume_reading()

    def close():
        asyncio.run_coroutine_threadsafe(websocket.close(), loop).result(5)

    async with paused(side, streaming(side, 400), close_timeout=60) as websocket:
        resume_reading = websocket.recv_messages.resume
        websocket.recv_messages.resume = resume
        await loop.run_in_executor(None, close)
        assert websocket.protocol.close_code == 1000
        assert set(resumed_in) == {threading.get_ident()}
    loop.set_debug(False)


@in_loop
async def test_cancelling_passes_through():
    async with paused(
        "client", holding_open(messages(400, mask=False)), close_timeout=60, max_queue=4
    ) as websocket:
        closing = asyncio.ensure_future(websocket.close())
        await asyncio.sleep(0.05)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing


@in_loop
async def test_without_flow_control():
    if "asyncio.lost_messages" in bugs_of_the_release():
        pytest.skip("max_queue=None came with 14.1")
    async with opened("client", streaming("client", 400), max_queue=None) as websocket:
        await wait_until(lambda: len(websocket.recv_messages.frames) == 400)
        await websocket.close()
        assert await receive_all(websocket) == 400


@in_loop
async def test_only_a_connection_that_is_closed_is_changed():
    async with opened("client", streaming("client", 400), max_queue=1000) as websocket:
        await websocket.recv()
        assert "maybe_pause" not in vars(websocket.recv_messages)


@in_loop
async def test_what_is_unread_goes_with_its_connection():
    async with paused("client", streaming("client", 400)) as websocket:
        await websocket.close()
        messages = websocket.recv_messages
    assert not any(each is messages for each in gc.get_referents(*closure_of(messages.maybe_pause)))


def closure_of(function):
    return [cell.cell_contents for cell in function.__closure__]
