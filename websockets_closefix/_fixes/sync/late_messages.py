"""
"unexpected internal error" is logged for data that come while another thread closes, from 14.0 on.

The thread that closes ends the stream and closes the buffer of messages; the reader thread, which
has data in hand, meets EOFError at the one or at the other. Up to 13.0.1 it expected that. There is
nothing to be done about it, and it hides errors that are some: of a hundred closes of a connection
that is streaming, half or more end like that.

The one connection that is being closed drops what comes too late. Nothing is lost that isn't lost
without that.

"""

from __future__ import annotations

import functools
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.frames import Frame
    from websockets.protocol import Protocol
    from websockets.sync.connection import Connection
    from websockets.sync.messages import Assembler


def close(wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs) -> None:
    """Send a close frame; when its answer doesn't come in time, the reader thread is prepared."""
    drop_late_messages(instance.recv_messages)
    wrapped(*args, **kwargs)


def close_socket(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Close the socket, and have the reader thread drop what it has in hand then."""
    if threading.current_thread() is not instance.recv_events_thread:
        drop_late_messages(instance.recv_messages)
        drop_late_data(instance.protocol)
    wrapped(*args, **kwargs)


def drop_late_messages(messages: Any) -> None:
    """Have no error raised for messages that come when their buffer is closed."""
    put_frame = vars(messages).get("put")  # another fix has put it there, or this one
    if getattr(put_frame, "func", None) is not put:
        messages.put = functools.partial(put, weakref.ref(messages), put_frame)


def drop_late_data(protocol: Any) -> None:
    """Have no error raised for data that come when their stream has ended."""
    protocol.receive_data = functools.partial(receive_data, weakref.ref(protocol))


def put(
    reference: weakref.ref[Assembler], put_frame: Callable[[Frame], None] | None, frame: Frame
) -> None:
    """Put a frame into the buffer, unless that is closed."""
    messages: Any = reference()
    try:
        if put_frame is None:
            type(messages).put(messages, frame)
        else:
            put_frame(frame)
    except EOFError:
        if not messages.closed:
            raise


def receive_data(reference: weakref.ref[Protocol], data: bytes) -> None:
    """Parse data, unless the stream has ended; in the reader thread, which holds the mutex."""
    protocol: Any = reference()
    if not protocol.reader.eof:
        type(protocol).receive_data(protocol, data)


FIX = Fix(
    name="sync.late_messages",
    issue=None,
    symptom='"unexpected internal error" in the log for data that come while closing',
    since=(14, 0),
    fixed=None,
    module="websockets.sync.connection",
    examined=("Connection.recv_events",),
    # Nothing is expected of process_event() but that it returns.
    flawed=r"\brecv_flow_control\b.*"
    r"\bDeadline close_timeout (state CONNECTING )?process_event receive_eof error\b",
    cured=r"\bEOFError\b",
    wrappers={"Connection.close": close, "Connection.close_socket": close_socket},
)
