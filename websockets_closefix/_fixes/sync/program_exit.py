"""
A program never ends while a connection is open that nobody closes, on 11.0 to 12.0.

The reader thread isn't a daemon, so the interpreter waits for it, and it waits for the peer. 13.0
makes it one (issue 1455, commit 5f24866b).

"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.sync.connection import Connection


def init(wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs) -> None:
    """
    Have ``__init__``, which starts the reader thread, start it as a daemon.

    A thread is a daemon if the one that creates it is. So this one is taken for a daemon meanwhile;
    its own end isn't affected, since that was decided when it was started.

    """
    thread: Any = threading.current_thread()
    is_daemon = thread._daemonic
    try:
        thread._daemonic = True
        wrapped(*args, **kwargs)
    finally:
        thread._daemonic = is_daemon


FIX = Fix(
    name="sync.program_exit",
    issue=1455,
    symptom="a program never ends while a connection is open that nobody closes",
    since=(11, 0),
    fixed=(13, 0),
    module="websockets.sync.connection",
    examined=("Connection.__init__",),
    # The cure is an argument, which doesn't show; the last attribute got another name with it.
    flawed=r"\bThread recv_events recv_events_thread start recv_events_exc\b",
    cured=None,
    wrappers={"Connection.__init__": init},
)
