"""openai 1.x: realtime events, which the program leaves when it has seen enough of them."""

from contextlib import ExitStack

import forcing
from openai import OpenAI

EVENT = {"type": "response.audio.delta", "delta": ""}


def connect(uri):
    return OpenAI(api_key="key", websocket_base_url=uri).beta.realtime.connect(model="realtime")


def leave_with_events_unread():
    with forcing.peer(*[EVENT] * forcing.MANY) as uri, ExitStack() as stack:
        session = stack.enter_context(connect(uri))
        next(iter(session))
        return forcing.left_unread(stack.close)


def send():
    with forcing.peer() as uri, connect(uri) as session:
        return forcing.overtaken_in_send(lambda: session.send({"type": "response.create"}))


def close():
    with forcing.peer() as uri, connect(uri) as session:
        return forcing.overtaken_in_close(session.close)


forcing.report(leave_with_events_unread, send, close)
