"""hume: a chat with the empathic voice interface."""

from contextlib import ExitStack

import forcing
from hume.client import HumeClient
from hume.empathic_voice.types import UserInput
from hume.environment import HumeClientEnvironment


def connect(uri):
    environment = HumeClientEnvironment(base=uri, evi=uri, tts=uri, stream=uri)
    return HumeClient(api_key="key", environment=environment).empathic_voice.chat.connect()


def send_publish():
    with forcing.peer() as uri, connect(uri) as chat:
        return forcing.overtaken_in_send(lambda: chat.send_publish(UserInput(text="lost")))


def leave():
    with forcing.peer() as uri, ExitStack() as stack:
        stack.enter_context(connect(uri))
        return forcing.overtaken_in_close(stack.close)


forcing.report(send_publish, leave)
