"""deepgram-sdk: a live transcription, whose own thread waits in recv()."""

from contextlib import contextmanager

import forcing
from deepgram import DeepgramClient, DeepgramClientOptions, LiveOptions


@contextmanager
def started(uri):
    # Or else send() returns False, whatever went wrong.
    options = DeepgramClientOptions(url=uri, options={"termination_exception_send": True})
    transcription = DeepgramClient("key", options).listen.websocket.v("1")
    assert transcription.start(LiveOptions())
    yield transcription
    transcription.finish()


def send():
    with forcing.peer() as uri, started(uri) as transcription:
        return forcing.overtaken_in_send(lambda: transcription.send(b"audio"))


def finish():
    with forcing.peer() as uri, started(uri) as transcription:
        return forcing.overtaken_in_close(transcription.finish)


forcing.report(send, finish)
