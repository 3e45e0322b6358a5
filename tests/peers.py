"""Peers that several test modules need, all of them on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading

import trustme
from websockets.client import ClientProtocol
from websockets.sync.server import serve
from websockets.uri import parse_uri

from websockets_closefix import _provoke

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
def server(handler, *, sock=None, **serve_kwargs):
    """Run websockets' own threading server and yield its URI."""
    listener = sock or socket.create_server(("127.0.0.1", 0))
    uri = uri_of(listener, secure="ssl" in serve_kwargs)
    websocket_server = serve(handler, sock=listener, **serve_kwargs)
    thread = threading.Thread(target=websocket_server.serve_forever)
    thread.start()
    try:
        yield uri
    finally:
        websocket_server.shutdown()
        thread.join(5)
        for name in ("shutdown_watcher", "shutdown_notifier"):
            if isinstance(end := getattr(websocket_server, name, None), int):
                os.close(end)  # a pipe, which websockets leaves open; from 17.0 on it isn't one


@contextlib.contextmanager
def tls_peer(behave):
    """As _provoke.peer(), over TLS."""
    plain = socket.create_server(("127.0.0.1", 0))
    with server_context.wrap_socket(plain, server_side=True) as listener:
        thread = threading.Thread(target=_provoke.serve_one_by_one, args=(listener, behave))
        thread.start()
        try:
            yield uri_of(listener, secure=True)
        finally:
            _provoke.hang_up(listener)
            thread.join(5)


@contextlib.contextmanager
def silent_client(uri, context=None):
    """Open a connection by hand and yield its socket; nothing the server says is answered."""
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(uri.rpartition(":")[2]))
        sock = stack.enter_context(socket.create_connection(address, timeout=5))
        if context is not None:
            sock = stack.enter_context(context.wrap_socket(sock, server_hostname="127.0.0.1"))
        protocol = ClientProtocol(parse_uri(uri))
        protocol.send_request(protocol.connect())
        for data in protocol.data_to_send():
            sock.sendall(data)
        while not protocol.events_received():
            protocol.receive_data(sock.recv(65536))
        yield sock


class SignallingSocket(_provoke.HoldingSocket):
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
