"""An open connection of websockets.sync, be it a client's or a server's, and its peer's socket."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading

from websockets.sync.client import connect

from websockets_closefix import _provoke

from ..peers import client_context, server, server_context, silent_client, uri_of

CLOSE_TIMEOUT = 0.1
PATIENCE = 10


@contextlib.contextmanager
def client_link(*, secure):
    """Yield a client's connection; the peer does nothing after the opening handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opened = queue.Queue()
        thread = threading.Thread(target=accept, args=(listener, secure, opened))
        thread.start()
        tls = {"ssl": client_context} if secure else {}
        connection = connect(uri_of(listener, secure=secure), close_timeout=CLOSE_TIMEOUT, **tls)
        with opened.get(timeout=PATIENCE) as peer:
            try:
                yield connection, peer
            finally:
                connection.close()
                thread.join(PATIENCE)


def accept(listener, secure, opened):
    peer, _ = listener.accept()
    if secure:
        peer = server_context.wrap_socket(peer, server_side=True)
    peer.settimeout(PATIENCE)
    _provoke.shake_hands(peer)
    opened.put(peer)


@contextlib.contextmanager
def server_link(*, secure):
    """Yield a server's connection; the peer does nothing after the opening handshake."""
    opened, done = queue.Queue(), threading.Event()

    def handler(connection):
        opened.put(connection)
        done.wait(2 * PATIENCE)

    tls = {"ssl": server_context} if secure else {}
    with (
        server(handler, close_timeout=CLOSE_TIMEOUT, **tls) as uri,
        silent_client(uri, client_context if secure else None) as peer,
    ):
        try:
            yield opened.get(timeout=PATIENCE), peer
        finally:
            done.set()


LINKS = {"client": client_link, "server": server_link}
