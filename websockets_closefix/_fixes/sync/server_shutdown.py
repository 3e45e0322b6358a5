"""
``Server.shutdown()`` deadlocks in a signal handler and in a connection's handler, from 17.0 on.

It waits until ``serve_forever()`` has returned and until every connection's handler has. That never
happens if a signal handler calls it, above ``serve_forever()``, if a connection's handler calls it,
or if ``serve_forever()`` was never called. Up to 16.1.1 it returned at once in each case, having
closed the listening socket; closing connections and waiting for them came with 17.0 (commit
3df83f32).

Where it can't wait, it returns at once again; a thread closes the connections and waits.

"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.sync.server import Server as AnyServer
    from websockets.sync.server import ServerConnection

    class Server(AnyServer):
        """One of 17.0; the types are those of 14.1."""

        lock: threading.Lock
        connections: set[ServerConnection]
        handler_threads: set[threading.Thread]
        socket_closed: threading.Event
        shutdown_notifier: Any


MODULE = "websockets.sync.server"

GOING_AWAY = 1001

SERVE_FOREVER_TIMEOUT = 0.1
"""
Seconds to wait for ``serve_forever()``, which returns once the listening socket is closed.

If it is later, all that happens is that a client which connects at this moment is turned away.

"""

POLL_INTERVAL = 0.1
"""Seconds between two looks at the handlers' threads."""


def shutdown(wrapped: Callable[..., None], instance: Server, args: Args, kwargs: Kwargs) -> None:
    """Shut the server down, and wait for that unless this thread would wait for itself."""
    stop_accepting(instance)
    if is_waited_for(instance):
        arguments = (wrapped, instance, args, kwargs)
        threading.Thread(target=shut_down_in_background, args=arguments).start()
    else:
        end_accepting(instance)
        wrapped(*args, **kwargs)


def stop_accepting(server: Server) -> None:
    """Close the listening socket and have ``serve_forever()`` return; the original does it, too."""
    server.socket.close()
    with contextlib.suppress(OSError, AttributeError):  # closed already; there is none on Windows
        server.shutdown_notifier.send(b"x")


def end_accepting(server: Server) -> None:
    """Keep the original from waiting for a ``serve_forever()`` that isn't running."""
    if not server.socket_closed.wait(SERVE_FOREVER_TIMEOUT):
        server.socket_closed.set()


def is_waited_for(server: Server) -> bool:
    """Tell whether shutting the server down means to wait for what this thread is about."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not is_busy_with(server, frame):
        frame = frame.f_back
    return frame is not None or threading.current_thread() in server.handler_threads


def is_busy_with(server: Server, frame: FrameType) -> bool:
    """
    Tell whether a frame is of ``serve_forever()``, or of another ``shutdown()``.

    It has been interrupted, and above it a signal handler runs.

    """
    return (
        frame.f_code.co_name in ("serve_forever", "shutdown")
        and frame.f_globals.get("__name__") in (MODULE, __name__)
        and server in (frame.f_locals.get("self"), frame.f_locals.get("instance"))
    )


def shut_down_in_background(
    wrapped: Callable[..., None], server: Server, args: Args, kwargs: Kwargs
) -> None:
    """Shut the server down; in a thread of its own, which has all the time it takes."""
    end_accepting(server)
    try:
        wrapped(*args, **kwargs)
    except RuntimeError:
        # The program has reached its end, and waits for the handlers. From now on there are no
        # futures, in which the original closes connections.
        close_without_futures(server, *args, **kwargs)


def close_without_futures(
    server: Server, close_connections: bool = True, code: int = GOING_AWAY, reason: str = ""
) -> None:
    """Close connections, those that are about to open too, until there is no handler any more."""
    closing: set[ServerConnection] = set()
    while close_connections and server.handler_threads:
        for connection in server.connections - closing:
            closing.add(connection)
            try:
                threading.Thread(target=connection.close, args=(code, reason)).start()
            except RuntimeError:  # nor are there threads, on Python 3.12
                connection.close(code, reason)
        time.sleep(POLL_INTERVAL)


FIX = Fix(
    name="sync.server_shutdown",
    issue=None,
    symptom="shutdown() hangs in signal handlers, in connection handlers, without serve_forever()",
    since=(17, 0),
    fixed=None,
    module=MODULE,
    examined=("Server.shutdown",),
    # It waits, whichever thread it is in. Up to Python 3.11 a comprehension's names come last.
    flawed=r"\bsocket_closed wait lock all_connections (protocol state OPEN )?list handler_threads "
    r"time sleep SHUTDOWN_POLLING_INTERVAL concurrent futures ThreadPoolExecutor submit join\b",
    cured=None,
    wrappers={"Server.shutdown": shutdown},
)
