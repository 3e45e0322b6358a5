"""
"unexpected internal error" is logged for messages that come while a thread closes, from 14.0 on.

The thread that closes closes the buffer of messages, and the reader thread, which has another one
in hand, meets EOFError. Up to 13.0.1 it expected that. There is nothing that anybody could do, and
the error hides those that are; of a hundred closes of a connection that is streaming, half or more
end like that.

Nothing is lost that isn't lost without the fix. It is put on the one buffer that is being closed.

"""

from __future__ import annotations

import functools
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.sync.connection import Connection
    from websockets.sync.messages import Assembler


def close_socket(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Close the socket, and have the reader thread drop what comes after that."""
    if threading.current_thread() is not instance.recv_events_thread:
        messages: Any = instance.recv_messages
        messages.put = functools.partial(put, weakref.ref(messages))
    wrapped(*args, **kwargs)


def put(reference: weakref.ref[Assembler], frame: Any) -> None:
    """Put a frame into the buffer, unless that is closed."""
    messages: Any = reference()
    try:
        type(messages).put(messages, frame)
    except EOFError:
        if not messages.closed:
            raise


FIX = Fix(
    name="sync.late_messages",
    issue=None,
    symptom='"unexpected internal error" in the log for messages that come while closing',
    since=(14, 0),
    fixed=None,
    module="websockets.sync.connection",
    examined=("Connection.recv_events",),
    # Nothing is expected of process_event() but that it returns.
    flawed=r"\brecv_flow_control\b"
    r".*\bDeadline close_timeout (state CONNECTING )?process_event receive_eof error\b",
    cured=r"\bEOFError\b",
    wrappers={"Connection.close_socket": close_socket},
)
