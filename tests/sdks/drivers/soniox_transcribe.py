"""soniox: a transcription that one thread sends to and another one receives from."""

import forcing
from soniox import SonioxClient
from soniox.types.realtime import RealtimeSTTConfig

CONFIG = RealtimeSTTConfig(model="stt-rt")


def connect(uri):
    return SonioxClient(api_key="key", websocket_base_url=uri).realtime.stt.connect(config=CONFIG)


def send_while_receiving():
    with forcing.peer() as uri, connect(uri) as transcription:
        return forcing.torn_while_receiving(
            lambda: transcription.send_byte_chunk(b"audio"),
            lambda: list(transcription.receive_events()),
        )


forcing.report(send_while_receiving)
