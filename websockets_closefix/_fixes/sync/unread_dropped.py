"""
Messages that were received before the connection ended can't be fetched any more, on 14.0.

``get()`` and ``get_iter()`` refuse a queue that is closed, whatever it still holds, so that
``recv()`` raises ConnectionClosed in the place of the last messages of a peer that sends them and
closes. 14.1 has them fetched first (commits f17c11ab, 30348341). The wrapper has the queue call
itself closed only once it is empty; until then, fetching from it waits for nothing.

"""

from __future__ import annotations

import functools
import queue
import sys
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.frames import Frame
    from websockets.sync.messages import Assembler


def close(wrapped: Callable[..., None], instance: Assembler, args: Args, kwargs: Kwargs) -> None:
    """Close the queue; the original isn't called, since it forgets what is in it."""
    close_when_empty(instance)


def close_when_empty(messages: Assembler) -> None:
    """
    Close a queue of 14.0, at once if it is empty, or else as soon as it is.

    Any thread may call it, also twice. A thread that is about to enter ``get()`` finds a queue that
    isn't closed, or one that has nothing left: in no order of events a message is passed over.

    """
    with messages.mutex:
        if messages.closed or is_ending(messages):
            return
        if messages.frames.empty():
            messages.closed = True
        else:
            messages.get_next_frame = functools.partial(  # type: ignore[method-assign]
                fetch_or_close, messages
            )
        # A message that the reader thread has in hand is taken in, without pausing that thread.
        messages.high = sys.maxsize
        if messages.paused:
            messages.paused = False
            messages.resume()
        messages.frames.put(None)  # wakes a thread that waits in get() or get_iter()


def is_ending(messages: Assembler) -> bool:
    """Tell whether a queue is going to be closed as soon as it is empty."""
    return "get_next_frame" in vars(messages)


def fetch_or_close(messages: Assembler, timeout: float | None = None) -> Frame:
    """Fetch a frame of a queue that gets no more, and close the queue if there is none left."""
    frame: Any = None
    try:
        while frame is None:
            frame = messages.frames.get(block=False)
    except queue.Empty:
        messages.closed = True
        raise EOFError("stream of frames ended") from None
    return frame  # type: ignore[no-any-return]


FIX = Fix(
    name="sync.unread_dropped",
    issue=None,
    symptom="messages that were received before the connection ended are lost",
    since=(14, 0),
    fixed=(14, 1),
    module="websockets.sync.connection",
    examined=("Assembler.get_next_frame",),
    flawed=r"\bframes\b",
    cured=r"\bclosed\b",
    wrappers={"Assembler.close": close},
)
