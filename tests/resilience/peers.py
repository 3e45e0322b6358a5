"""Both ends of a connection, and servers that are driven by hand, so that they can misbehave."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import struct
import threading
import time

import trustme
from websockets.server import ServerProtocol
from websockets.sync.client import connect
from websockets.sync.connection import Connection
from websockets.sync.server import serve
from websockets.uri import parse_uri

PATIENCE = 20
"""Seconds after which a peer gives up, longer than any test waits."""

HAS_ITS_OWN_KEEPALIVE = hasattr(Connection, "keepalive")

# Where websockets has a keepalive of its own, it must be off for ours to have something to do.
OFF = {"ping_interval": None} if HAS_ITS_OWN_KEEPALIVE else {}

certificate = (authority := trustme.CA()).issue_cert("127.0.0.1")
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
certificate.configure_cert(server_context)
# A connection of websockets.sync reads in one thread and writes in another, and OpenSSL isn't safe
# for that while a session ticket is being read.
server_context.num_tickets = 0
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
authority.configure_trust(client_context)


def wait_until(condition, what="it", timeout=10):
    """Poll a condition, and fail unless it's met in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} wasn't met in time"
        threading.Event().wait(0.002)


def open_connection(uri, **kwargs):
    """Connect as ``with connect(…)`` does (17.1 deprecates others), without closing at the end."""
    if "sock" not in kwargs:  # from 15.0 on, connect() would ask the environment for a proxy
        wsuri = parse_uri(uri)
        kwargs["sock"] = socket.create_connection((wsuri.host, wsuri.port))
    return connect(uri, **kwargs).__enter__()


def is_paused(websocket):
    """Tell whether unread messages keep the reader thread from reading."""
    messages = websocket.recv_messages
    return bool(getattr(messages, "put_in_progress", False) or getattr(messages, "paused", False))


def has_unread(websocket):
    messages = websocket.recv_messages
    return bool(messages.chunks if hasattr(messages, "chunks") else messages.frames.qsize())


def echo(websocket):
    for message in websocket:
        websocket.send(message)


@contextlib.contextmanager
def serving(handler=echo, ssl=None, **kwargs):
    """Run websockets' own server, which logs nothing, and yield its URI."""
    logger = logging.Logger(__name__, logging.CRITICAL + 1)
    scheme = "ws"
    if ssl is not None:
        scheme, kwargs["ssl"] = "wss", ssl
    listener = socket.create_server(("127.0.0.1", 0))
    uri = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
    server = serve(handler, sock=listener, logger=logger, **kwargs)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield uri
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        for name in ("shutdown_watcher", "shutdown_notifier"):
            if isinstance(end := getattr(server, name, None), int):
                os.close(end)  # a pipe, which websockets leaves open; from 17.0 on it isn't one


@contextlib.contextmanager
def peer(behave, context=None):
    """Run a server that does with each connection, one after the other, what it's told to."""
    listener = socket.create_server(("127.0.0.1", 0))
    if context is not None:
        listener = context.wrap_socket(listener, server_side=True)
    thread = threading.Thread(target=serve_one_by_one, args=(listener, behave), daemon=True)
    thread.start()
    try:
        scheme = "ws" if context is None else "wss"
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        shut_down(listener)
        thread.join(PATIENCE)


def serve_one_by_one(listener, behave):
    with contextlib.suppress(OSError):
        while True:
            sock, _ = listener.accept()
            with sock, contextlib.suppress(OSError):
                sock.settimeout(PATIENCE)
                shake_hands(sock)
                behave(sock)


def shake_hands(sock):
    """Perform the server's side of the opening handshake."""
    protocol, request = ServerProtocol(), None
    while request is None:
        protocol.receive_data(sock.recv(65536))
        request = next(iter(protocol.events_received()), None)
    protocol.send_response(protocol.accept(request))
    for data in protocol.data_to_send():
        sock.sendall(data)


def stay_silent(sock):
    """Answer nothing, until the other end shuts its socket down."""
    while sock.recv(65536):
        pass


def reset(sock):
    """Reset the connection when something arrives."""
    sock.recv(65536)
    reset_on_close(sock)


def reset_on_close(sock):
    """Have close() send RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def shut_down(sock):
    """Shut down and close a socket, whatever state it is in."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
