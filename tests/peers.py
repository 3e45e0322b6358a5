"""Peers over TLS, and a socket that tells when it blocks; all of them on 127.0.0.1."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

import trustme

from websockets_closefix._repro.peers import serve_one_by_one, shut_down_and_close, silent_client
from websockets_closefix._repro.sync.ends import server
from websockets_closefix._repro.sync.holding import HoldingSocket

__all__ = [
    "SignallingSocket",
    "client_context",
    "server",
    "server_context",
    "silent_client",
    "tls_context",
    "tls_peer",
    "uri_of",
]

authority = trustme.CA()
certificate = authority.issue_cert("127.0.0.1")


def tls_context(purpose, sslsocket_class=ssl.SSLSocket):
    """Return one end's configuration; sslsocket_class is what its wrap_socket() makes."""
    context = ssl.SSLContext(purpose)
    context.sslsocket_class = sslsocket_class
    if purpose is ssl.PROTOCOL_TLS_SERVER:
        certificate.configure_cert(context)
        # A connection of websockets.sync reads in one thread and writes in another, and OpenSSL
        # isn't safe for that while a session ticket is being read.
        context.num_tickets = 0
    else:
        authority.configure_trust(context)
    return context


server_context = tls_context(ssl.PROTOCOL_TLS_SERVER)
client_context = tls_context(ssl.PROTOCOL_TLS_CLIENT)


@contextlib.contextmanager
def tls_peer(behave):
    """As _repro.peer(), over TLS."""
    plain = socket.create_server(("127.0.0.1", 0))
    with server_context.wrap_socket(plain, server_side=True) as listener:
        thread = threading.Thread(target=serve_one_by_one, args=(listener, behave))
        thread.start()
        try:
            yield uri_of(listener, secure=True)
        finally:
            shut_down_and_close(listener)
            thread.join(5)


class SignallingSocket(HoldingSocket):
    """Tells when it is about to send more than any buffer takes, which blocks."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.blocking = threading.Event()

    def sendall(self, data, flags=0):
        if len(data) > 2**20:
            self.blocking.set()
        super().sendall(data, flags)


def uri_of(listener, *, secure):
    return f"{'wss' if secure else 'ws'}://127.0.0.1:{listener.getsockname()[1]}"
