"""assemblyai: a transcription, one of whose threads waits in recv() while another one sends."""

from contextlib import contextmanager

import forcing
from assemblyai.streaming.v3 import StreamingClient, StreamingClientOptions, StreamingParameters


@contextmanager
def connected(uri):
    transcription = StreamingClient(StreamingClientOptions(api_key="key", api_host=uri))
    transcription.connect(StreamingParameters(sample_rate=16000))
    yield transcription
    transcription.disconnect()


def stream():
    with forcing.peer() as uri, connected(uri) as transcription:
        return forcing.torn_while_receiving(lambda: transcription.stream(b"audio"))


forcing.report(stream)
