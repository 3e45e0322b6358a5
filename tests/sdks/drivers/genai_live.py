"""google-genai: a live session, which the program leaves while the model is still answering."""

import asyncio

import forcing
from google import genai

SETUP = {"setupComplete": {}}
ANSWER = {"serverContent": {"modelTurn": {"parts": [{"text": "and so on"}]}}}


async def leave(uri):
    client = genai.Client(api_key="key")
    client._api_client._websocket_base_url = lambda: uri  # it insists on TLS
    manager = client.aio.live.connect(model="live")
    session = await manager.__aenter__()
    await session.receive().__anext__()
    return await forcing.left_unread_by_task(manager.__aexit__(None, None, None))


def leave_with_answers_unread():
    with forcing.answering_peer(SETUP, *[ANSWER] * forcing.MANY) as uri:
        return asyncio.run(leave(uri))


forcing.report(leave_with_answers_unread)
