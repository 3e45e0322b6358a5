"""Opening handshakes that fail; each function returns the exception and the connection."""

from __future__ import annotations

import contextlib
import http
import queue
import socket
import threading

from websockets.server import ServerProtocol
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection

from websockets_closefix import _provoke

from ..peers import server, uri_of
from .links import CLOSE_TIMEOUT, PATIENCE

GARBAGE = b"\x00\x01this is no HTTP\r\n\r\n"


def client_is_turned_away(status):
    def answer(sock):
        protocol = ServerProtocol()
        request = None
        while request is None:
            protocol.receive_data(sock.recv(65536))
            request = next(iter(protocol.events_received()), None)
        protocol.send_response(protocol.reject(status, "no"))
        for data in protocol.data_to_send():
            sock.sendall(data)

    return fail_to_connect(answer)


def client_gets_garbage():
    def answer(sock):
        sock.recv(65536)
        sock.sendall(GARBAGE)

    return fail_to_connect(answer)


def fail_to_connect(answer):
    """Connect to a peer that answers like that, and hangs up."""
    made = []

    class Connection(ClientConnection):
        def __init__(self, *args, **kwargs):
            made.append(self)
            super().__init__(*args, **kwargs)

    def accept():
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(PATIENCE)
            answer(sock)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            connect(
                uri_of(listener, secure=False),
                close_timeout=CLOSE_TIMEOUT,
                create_connection=Connection,
            )
        except Exception as exc:
            return exc, made[0]
        finally:
            thread.join(PATIENCE)


def server_turns_away(status):
    def process_request(connection, request):
        return connection.respond(status, "no")

    return fail_to_serve(
        b"GET / HTTP/1.1\r\n"
        b"Host: 127.0.0.1\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n",
        process_request=process_request,
    )


def server_gets_garbage():
    return fail_to_serve(GARBAGE)


def fail_to_serve(request, **serve_kwargs):
    """Have a server face such a request."""
    made = queue.Queue()

    class Connection(ServerConnection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.put(self)

    with server(
        lambda connection: None,
        close_timeout=CLOSE_TIMEOUT,
        create_connection=Connection,
        **serve_kwargs,
    ) as uri:
        address = ("127.0.0.1", int(uri.rpartition(":")[2]))
        with socket.create_connection(address, timeout=PATIENCE) as sock:
            sock.sendall(request)
            with contextlib.suppress(ConnectionResetError):
                _provoke.stay_silent(sock)
            connection = made.get(timeout=PATIENCE)
            connection.recv_events_thread.join(PATIENCE)
    return connection.protocol.handshake_exc, connection


HANDSHAKES = {
    ("403", "client"): lambda: client_is_turned_away(http.HTTPStatus.FORBIDDEN),
    ("500", "client"): lambda: client_is_turned_away(http.HTTPStatus.INTERNAL_SERVER_ERROR),
    ("no HTTP at all", "client"): client_gets_garbage,
    ("403", "server"): lambda: server_turns_away(http.HTTPStatus.FORBIDDEN),
    ("500", "server"): lambda: server_turns_away(http.HTTPStatus.INTERNAL_SERVER_ERROR),
    ("no HTTP at all", "server"): server_gets_garbage,
}
