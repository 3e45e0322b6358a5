"""The other end of a connection: a socket driven by hand, so that it can misbehave."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from typing import Any, Callable

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from .waiting import PATIENCE

Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def peer(behave: Behaviour) -> Iterator[str]:
    """Run a WebSocket server in a thread and yield its URI; connections are left to ``behave``."""
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve_one_by_one, args=(listener, behave), daemon=True)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        shut_down_and_close(listener)  # either interrupts accept(), depending on the platform
        thread.join(PATIENCE)


def serve_one_by_one(listener: socket.socket, behave: Behaviour) -> None:
    """Accept connections until the listener is closed."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock, contextlib.suppress(OSError):
            sock.settimeout(PATIENCE)
            shake_hands(sock)
            behave(sock)


def shake_hands(sock: socket.socket) -> None:
    """Perform the server's side of the opening handshake."""
    protocol = ServerProtocol()
    request: Any = None
    while request is None:
        protocol.receive_data(sock.recv(65536))
        request = next(iter(protocol.events_received()), None)
    protocol.send_response(protocol.accept(request))
    for data in protocol.data_to_send():
        sock.sendall(data)


@contextlib.contextmanager
def silent_client(uri: str, context: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
    """Open a connection and yield its socket; nothing that the server sends is answered."""
    wsuri = parse_uri(uri)
    with contextlib.ExitStack() as stack:
        sock = socket.create_connection((wsuri.host, wsuri.port), timeout=PATIENCE)
        stack.enter_context(sock)
        if context is not None:
            sock = stack.enter_context(context.wrap_socket(sock, server_hostname=wsuri.host))
        protocol = ClientProtocol(wsuri)
        protocol.send_request(protocol.connect())
        for data in protocol.data_to_send():
            sock.sendall(data)
        while not protocol.events_received():
            protocol.receive_data(sock.recv(65536))
        yield sock


def stay_silent(sock: socket.socket) -> None:
    """Answer nothing, until the other end shuts its socket down."""
    while sock.recv(65536):
        pass


def reset_on_close(sock: socket.socket) -> None:
    """Have close() send RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def messages(count: int, *, mask: bool) -> bytes:
    """Return small messages as they are sent, masked by a client and plain by a server."""
    return Frame(Opcode.TEXT, b"tick").serialize(mask=mask) * count


def shut_down_and_close(sock: socket.socket) -> None:
    """Wake every thread that is blocked in a socket, and close it."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
