"""openai from 1.75 on, AsyncOpenAI: realtime events, which the program leaves early."""

import asyncio
import socket

import forcing
from openai import AsyncOpenAI

EVENT = {"type": "response.output_audio.delta", "delta": ""}
CLOSE_FRAME = b"\x88\x02\x03\xe8"


async def leave(uri):
    """Leave the session; without a time limit, so that there is no doubt whether it hangs."""
    client = AsyncOpenAI(api_key="key", websocket_base_url=uri)
    manager = client.realtime.connect(
        model="realtime", websocket_connection_options={"close_timeout": None, "proxy": None}
    )
    session = await manager.enter()
    await session.recv()
    await asyncio.sleep(0.1)  # until so much is unread that reading is paused
    leaving = asyncio.ensure_future(manager.__aexit__(None, None, None))
    await asyncio.wait([leaving], timeout=3)
    if leaving.done():
        return forcing._repro.Outcome(leaving.exception(), None)
    leaving.cancel()
    return forcing._repro.Outcome(forcing._repro.Hangs(), None)


def leave_with_events_unread():
    data = b"".join(forcing.frame(each).serialize(mask=False) for each in [EVENT] * forcing.MANY)

    def send_then_answer(sock: socket.socket) -> None:
        sock.sendall(data)
        sock.recv(65536)
        sock.sendall(CLOSE_FRAME)

    with forcing._repro.peer(send_then_answer) as uri:
        return asyncio.run(leave(uri))


forcing.report(leave_with_events_unread)
