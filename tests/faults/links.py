"""An open connection of websockets.sync, be it a client's or a server's, and its peer's socket."""

from __future__ import annotations

import contextlib
import inspect
import queue
import socket
import threading
import types

from websockets.sync.client import connect

from websockets_closefix._repro.peers import shake_hands
from websockets_closefix._repro.sync.ends import open_connection

from ..peers import client_context, server, server_context, silent_client, uri_of
from .bounded import PATIENCE, closing

CLOSE_TIMEOUT = 0.1
NO_OPTIONS = types.MappingProxyType({})  # of connect() and serve()
TLS = "ssl" if "ssl" in inspect.signature(connect).parameters else "ssl_context"  # until 12.0


@contextlib.contextmanager
def client_link(*, secure, **options):
    """Yield a client's connection; the peer does nothing after the opening handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opened = queue.Queue()
        thread = threading.Thread(target=accept, args=(listener, secure, opened))
        thread.start()
        if secure:
            options[TLS] = client_context
        uri = uri_of(listener, secure=secure)
        connection = open_connection(uri, **{"close_timeout": CLOSE_TIMEOUT, **options})
        with opened.get(timeout=PATIENCE) as peer, closing(connection):
            yield connection, peer
        thread.join(PATIENCE)


def accept(listener, secure, opened):
    peer, _ = listener.accept()
    if secure:
        peer = server_context.wrap_socket(peer, server_side=True)
    peer.settimeout(PATIENCE)
    shake_hands(peer)
    opened.put(peer)


@contextlib.contextmanager
def server_link(*, secure, **options):
    """Yield a server's connection; the peer does nothing after the opening handshake."""
    opened, done = queue.Queue(), threading.Event()

    def handler(connection):
        opened.put(connection)
        done.wait(4 * PATIENCE)

    if secure:
        options[TLS] = server_context
    with (
        server(handler, **{"close_timeout": CLOSE_TIMEOUT, **options}) as uri,
        silent_client(uri, client_context if secure else None) as peer,
    ):
        try:
            with closing(opened.get(timeout=PATIENCE)) as connection:
                yield connection, peer
        finally:
            done.set()


LINKS = {"client": client_link, "server": server_link}
