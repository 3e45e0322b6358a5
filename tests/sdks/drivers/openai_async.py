"""openai from 1.75 on, AsyncOpenAI: realtime events, which the program leaves early."""

import asyncio

import forcing
from openai import AsyncOpenAI

EVENT = {"type": "response.output_audio.delta", "delta": ""}


async def leave(uri):
    client = AsyncOpenAI(api_key="key", websocket_base_url=uri)
    manager = client.realtime.connect(model="realtime")
    session = await manager.enter()
    await session.recv()
    return await forcing.left_unread_by_task(manager.__aexit__(None, None, None))


def leave_with_events_unread():
    with forcing.answering_peer(*[EVENT] * forcing.MANY) as uri:
        return asyncio.run(leave(uri))


forcing.report(leave_with_events_unread)
