"""openai from 1.75 on: a realtime session that ends while keepalive's ping is pending."""

from contextlib import ExitStack

import forcing
from openai import OpenAI


def connect(uri):
    return OpenAI(api_key="key", websocket_base_url=uri).realtime.connect(model="realtime")


def close():
    with forcing.peer() as uri, connect(uri) as session:
        return forcing.with_ping_pending(session.close)


def leave():
    with forcing.peer() as uri, ExitStack() as stack:
        stack.enter_context(connect(uri))
        return forcing.with_ping_pending(stack.close)


forcing.report(close, leave)
