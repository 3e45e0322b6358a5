"""
Situations in which a server is shut down; each function returns what came out, and if it hangs.

What becomes of open connections is up to each release: before 17.0 they stay open. So clients leave
once ``shutdown()`` has returned.

"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading

from websockets.exceptions import ConnectionClosed

from websockets_closefix._repro.sync.ends import open_connection
from websockets_closefix._repro.sync.server_shutdown import InterruptedListener, created

from ..peers import silent_client
from .activities import is_sending, send_a_lot
from .bounded import Act, wait_until


def above_serve_forever():
    listener = InterruptedListener()
    with created(listener) as server:
        listener.interrupt = server.shutdown
        with socket.create_connection(listener.getsockname()):
            return ended(server, Act.started(server.serve_forever))


def above_serve_forever_with_a_connection():
    listener = InterruptedListener()
    listener.interrupt = lambda: None
    with created(listener, handler=receive) as server:
        serving = Act.started(server.serve_forever)
        with client_of(server):
            listener.interrupt = server.shutdown
            with socket.create_connection(listener.getsockname()):
                return ended(server, serving)


def in_a_handler():
    def handle(connection):
        act = Act(server.shutdown)
        act.run()  # in this thread
        outcomes.put(act.exc)
        receive(connection)

    def wait_for_outcome():
        exc = outcomes.get()
        if exc is not None:
            raise exc

    outcomes = queue.SimpleQueue()
    with created(handler=handle) as server, serve_forever(server), client_of(server):
        return ended(server, Act.started(wait_for_outcome))


def without_serve_forever():
    with created() as server:
        return ended(server, Act.started(server.shutdown))


def twice():
    with created(handler=receive) as server, serve_forever(server), client_of(server):
        return ended(server, Act.started(lambda: [server.shutdown() for _ in range(2)]))


def while_a_handler_is_sending():
    def handle(connection):
        with contextlib.suppress(ConnectionClosed):
            send_a_lot(connection)

    with created(handler=handle) as server, serve_forever(server), silent_client(uri_of(server)):
        wait_until(lambda: any(map(is_sending, threading.enumerate())))
        return ended(server, Act.started(server.shutdown))


SHUTDOWNS = {
    "shutdown() in a signal handler": above_serve_forever,
    "shutdown() in a signal handler, with a connection": above_serve_forever_with_a_connection,
    "shutdown() in a connection's handler": in_a_handler,
    "shutdown() without serve_forever()": without_serve_forever,
    "shutdown() twice": twice,
    "shutdown() while a handler is blocked in send()": while_a_handler_is_sending,
}


def receive(connection):
    with contextlib.suppress(ConnectionClosed):
        for _ in connection:
            pass


@contextlib.contextmanager
def client_of(server):
    """Open a connection, answer what the server says, and leave."""
    client = open_connection(uri_of(server), close_timeout=1)
    receiving = Act.started(lambda: receive(client))
    try:
        yield
    finally:
        client.close()
        receiving.hangs()


@contextlib.contextmanager
def serve_forever(server):
    """Run ``serve_forever()`` in a thread, until the server is shut down."""
    serving = Act.started(server.serve_forever)
    try:
        yield
    finally:
        serving.hangs()


def uri_of(server):
    return f"ws://127.0.0.1:{server.socket.getsockname()[1]}"


def ended(server, act):
    """Return the exception of an act, and whether it had to be freed."""
    hangs = act.hangs()
    if hangs:
        server.socket_closed.set()
        server.handler_threads.clear()
        act.hangs()
    return act.exc, hangs
