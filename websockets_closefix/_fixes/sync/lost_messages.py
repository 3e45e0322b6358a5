"""
Messages are lost that came with a close frame and a reset in one go, from 14.0 on.

The reader thread answers the close frame before it hands the messages out that came before it. If
the answer can't be sent, since the peer has gone, it drops them, and ``recv()`` says that all is
well: :exc:`ConnectionClosedOK`. Upstream knows (a comment in ``recv_events``) and no release cures
it. Here the error is met after the messages have been handed out, as one of reading.

"""

from __future__ import annotations

import functools
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs
from ._closing import connection_that_closes

if TYPE_CHECKING:
    from websockets.protocol import Protocol


def discard(
    wrapped: Callable[..., Generator[None]], instance: Protocol, args: Args, kwargs: Kwargs
) -> Generator[None]:
    """Have the reader thread go on if the answer to the close frame can't be sent."""
    connection = connection_that_closes(instance)
    if connection is not None:
        # This is called by receive_data(), and what sends is called next.
        previous = vars(connection).get("send_data")
        connection.send_data = functools.partial(send_answer, connection, previous)
    return wrapped(*args, **kwargs)


def send_answer(connection: Any, previous: Callable[[], None] | None) -> None:
    """Send the answer to a close frame, once; the reader thread meets an error when it reads."""
    del connection.send_data
    if previous is not None:  # of another fix, or of somebody else
        connection.send_data = previous
    try:
        connection.send_data()
    except Exception as exc:
        connection.recv_flow_control = Failed(exc)


class Failed:
    """What the reader thread enters before it reads, to find that there is no use in it."""

    def __init__(self, exc: Exception) -> None:
        self.exc = exc

    def __enter__(self) -> None:
        raise self.exc

    def __exit__(self, *exc_info: object) -> None:
        pass


FIX = Fix(
    name="sync.lost_messages",
    issue=None,
    symptom="messages are lost that came with a close frame and a reset in one go",
    since=(14, 0),
    fixed=None,
    module="websockets.sync.connection",
    examined=("Connection.recv_events",),
    # Events are processed after the answer has been sent, and nowhere else.
    flawed=r"\brecv_flow_control\b.*\bevents_received send_data close_expected\b"
    r".*\bDeadline close_timeout (state CONNECTING )?process_event receive_eof error\b",
    cured=None,
    wrappers={"Protocol.discard": discard},
)
