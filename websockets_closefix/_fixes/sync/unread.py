"""
Closing takes the whole ``close_timeout`` while messages are unread, on every release.

So it is when a program leaves a stream early: ``close()``, or leaving a ``with`` block, takes 10 s,
and for good if ``close_timeout`` is None, then ends in 1006, though the peer answers at once. Its
close frame comes after its messages, and the reader thread reads no further: up to 13.1 it waits
until the message in hand is fetched, from 14.0 on it is paused while more than ``max_queue`` are
unread. No release has cured it; the reference is the documentation of ``close_timeout``.

While a connection is closing, the wrapper has the reader thread go on:

* From 14.0 on, the queue takes in LIMIT bytes more than ``max_queue`` allows. Nothing is dropped:
  what is unread can be fetched afterwards, as ever (on 14.0, as on 14.1).
* Up to 13.1 there is no queue. The reader thread waits on while messages are being fetched; what
  nobody has fetched for PATIENCE seconds is dropped, as it is today when the connection ends.

"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs
from .._waiting import wait_until
from .unread_dropped import close_when_empty

if TYPE_CHECKING:
    from websockets.frames import Frame
    from websockets.sync.connection import Connection
    from websockets.sync.messages import Assembler

LIMIT = 16 * 2**20
"""
Bytes of messages to take in while closing; beyond that, ``max_queue`` holds again.

FRAME_SIZE is added for each frame, so that many that are empty don't fill the memory.

"""

FRAME_SIZE = 256

PATIENCE = 1.0
"""Seconds after which a message that nobody fetches is dropped, up to 13.1."""

GET_TIMEOUT = 1.0
"""
Seconds to wait for the mutex of the queue, which ``get()`` holds for some microseconds.

A signal handler that closes the connection may have interrupted a ``get()`` just there.

"""


def close(wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs) -> None:
    """Close the connection, while the reader thread goes on to the peer's close frame."""
    messages: Any = instance.recv_messages
    if not hasattr(messages, "frames"):  # up to 13.1
        drop_what_nobody_fetches(messages)
        wrapped(*args, **kwargs)
        return
    high = messages.high
    if high is None or high == sys.maxsize:  # no limit, or another thread is closing, too
        wrapped(*args, **kwargs)
        return
    put = vars(messages).get("put")  # of another fix, or of somebody else
    try:
        lift_limit(messages)
        wrapped(*args, **kwargs)
    finally:
        # The connection has ended; else close() was interrupted, and may be called again.
        messages.high = high
        if put is None:
            vars(messages).pop("put", None)
        else:
            messages.put = put


# From 14.0 on.


def lift_limit(messages: Assembler) -> None:
    """Have a queue take in LIMIT bytes without pausing the reader thread; resume that thread."""
    high, put, room = messages.high, messages.put, LIMIT

    def put_within_limit(frame: Frame) -> None:
        nonlocal room
        room -= len(frame.data) + FRAME_SIZE
        if room < 0:
            messages.high = high
        put(frame)

    messages.put = put_within_limit  # type: ignore[method-assign]
    messages.high = sys.maxsize
    if forgets_what_is_unread(messages):
        messages.close = functools.partial(  # type: ignore[method-assign]
            close_when_empty, messages
        )
    resume(messages)


def forgets_what_is_unread(messages: Assembler) -> bool:
    """Tell whether this is 14.0, where a queue that is closed can't be fetched from."""
    return "closed" not in type(messages).get_next_frame.__code__.co_names


def resume(messages: Assembler) -> None:
    """Have the reader thread go on, if it is paused."""
    mutex = messages.mutex
    if not mutex.locked() or wait_until(lambda: not mutex.locked(), GET_TIMEOUT):
        with mutex:
            if messages.paused:
                messages.paused = False
                messages.resume()


# Up to 13.1.


def drop_what_nobody_fetches(messages: Any) -> None:
    """Have the reader thread wait for a message to be fetched only while there's hope."""
    if isinstance(messages.message_fetched, Patience):
        return  # another thread is closing, too
    messages.message_fetched = patience = Patience(messages)
    chunks = messages.chunks
    if messages.put_in_progress and not patience.event.is_set():
        # The reader thread waits already, without patience.
        with contextlib.suppress(RuntimeError):  # no thread is to be had: it is as without the fix
            threading.Thread(
                target=patience.wait_beside_the_reader, args=[chunks], daemon=True
            ).start()


class Patience:
    """Stands in for ``message_fetched``, the event that ``put()`` waits for."""

    def __init__(self, messages: Any) -> None:
        self.messages = messages
        self.event = messages.message_fetched

    def __getattr__(self, name: str) -> Any:
        return getattr(self.event, name)

    def wait(self) -> None:
        """Wait until the message is fetched, by this thread if need be: the reader thread."""
        while not self.event.wait(PATIENCE):
            self.drop(self.messages.chunks)

    def wait_beside_the_reader(self, chunks: list[Any]) -> None:
        """
        Do the same for a reader thread that is in the event's own ``wait()``.

        That thread clears the event, maybe before this one has seen it, but then ``chunks`` aren't
        those of the message any more.

        """
        messages = self.messages
        while not (messages.closed or messages.chunks is not chunks or self.event.wait(PATIENCE)):
            self.drop(chunks)

    def drop(self, chunks: list[Any]) -> None:
        """
        Fetch a message, as ``get()`` does, and drop it with all that follow.

        A thread in ``recv_streaming()`` may take its time for a message, so as long as there is
        one, nothing is dropped.

        """
        messages = self.messages
        with messages.mutex:
            is_complete = messages.chunks is chunks and messages.message_complete.is_set()
            if is_complete and not messages.get_in_progress and not messages.closed:
                messages.put = drop_frame
                messages.message_complete.clear()
                messages.chunks = []
                self.event.set()


def drop_frame(frame: Frame) -> None:
    """Stand in for ``put()``."""


FIX = Fix(
    name="sync.unread",
    issue=None,
    symptom="close() takes all of close_timeout, and ends in 1006, while messages are unread",
    since=(11, 0),
    fixed=None,
    module="websockets.sync.connection",
    examined=("Connection.close", "Assembler.put"),
    flawed=(
        r"^(maybe_raise_legacy_warning )?send_context send_in_progress protocol fail "
        r"(CloseCode INTERNAL_ERROR )?send_close ConnectionClosed$"
        r"|^mutex closed EOFError put_in_progress .* message_fetched wait clear$"
        r"|^mutex closed EOFError frames put maybe_pause$"
    ),
    cured=None,
    wrappers={"Connection.close": close},
)
