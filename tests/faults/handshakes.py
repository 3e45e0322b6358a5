"""
Opening handshakes that fail; each function returns the exception and the connection.

There is no connection where the socket was found dead before websockets made one of it.

"""

from __future__ import annotations

import contextlib
import http
import queue
import socket
import threading

from websockets.server import ServerProtocol
from websockets.sync.client import ClientConnection
from websockets.sync.server import ServerConnection

from websockets_closefix._repro.peers import reset_on_close, stay_silent
from websockets_closefix._repro.sync.ends import open_connection

from ..peers import client_context, server, server_context, uri_of
from .bounded import PATIENCE
from .links import CLOSE_TIMEOUT, TLS
from .strikes import HALF_A_RECORD

OPEN_TIMEOUT = 0.3
GARBAGE = b"\x00\x01this is no HTTP\r\n\r\n"
REQUEST = (
    b"GET / HTTP/1.1\r\n"
    b"Host: 127.0.0.1\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


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


def client_is_reset(*, once_it_asks):
    def answer(sock):
        if once_it_asks:
            sock.recv(65536)
        reset_on_close(sock)

    return fail_to_connect(answer)


def client_is_left_waiting():
    """The server completes the handshake of TLS, says half of something, and no more."""

    def answer(sock):
        sock.recv(65536)
        socket.socket.sendall(sock, HALF_A_RECORD)
        with contextlib.suppress(OSError):
            stay(sock)

    return fail_to_connect(answer, secure=True, open_timeout=OPEN_TIMEOUT)


def stay(sock):
    """Keep a socket, whatever is on top of it, until the other end shuts its own down."""
    while socket.socket.recv(sock, 65536):
        pass


def fail_to_connect(answer, *, secure=False, **connect_kwargs):
    """Connect to a peer that answers like that, and hangs up."""
    if secure:
        connect_kwargs[TLS] = client_context
    made = []

    class Connection(ClientConnection):
        def __init__(self, *args, **kwargs):
            made.append(self)
            super().__init__(*args, **kwargs)

    def accept():
        sock, _ = listener.accept()
        sock.settimeout(PATIENCE)
        if secure:
            sock = server_context.wrap_socket(sock, server_side=True)
        with sock:
            answer(sock)

    exc = None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            open_connection(
                uri_of(listener, secure=secure),
                close_timeout=CLOSE_TIMEOUT,
                create_connection=Connection,
                **connect_kwargs,
            )
        except Exception as raised:
            exc = raised
        finally:
            thread.join(PATIENCE)
    return exc, made[0] if made else None


def server_turns_away(status):
    def process_request(connection, request):
        return connection.protocol.reject(status, "no")

    return fail_to_serve(REQUEST, process_request=process_request)


def server_gets_garbage():
    return fail_to_serve(GARBAGE)


def server_is_reset(*, once_it_is_asked):
    return fail_to_serve(REQUEST if once_it_is_asked else b"", reset=True)


def server_is_left_waiting():
    """The client completes the handshake of TLS, says half of something, and no more."""

    def ask(sock):
        socket.socket.sendall(sock, HALF_A_RECORD)
        with contextlib.suppress(OSError):
            stay(sock)

    return fail_to_serve(b"", ask=ask, open_timeout=OPEN_TIMEOUT, **{TLS: server_context})


def fail_to_serve(request, *, reset=False, ask=None, **serve_kwargs):
    """Have a server face such a request."""
    ended = queue.Queue()

    class Connection(ServerConnection):
        def handshake(self, *args, **kwargs):
            try:
                super().handshake(*args, **kwargs)
            except Exception as exc:
                ended.put((exc, self))
                raise
            ended.put((self.protocol.handshake_exc, self))  # 17.x doesn't raise it

    with server(
        lambda connection: None,
        close_timeout=CLOSE_TIMEOUT,
        create_connection=Connection,
        **serve_kwargs,
    ) as uri:
        address = ("127.0.0.1", int(uri.rpartition(":")[2]))
        with socket.create_connection(address, timeout=PATIENCE) as sock:
            sock.sendall(request)
            if ask:
                with client_context.wrap_socket(sock, server_hostname="127.0.0.1") as secure:
                    ask(secure)
            elif reset:
                reset_on_close(sock)
            else:
                with contextlib.suppress(ConnectionResetError):
                    stay_silent(sock)
        return ended.get(timeout=PATIENCE)


HANDSHAKES = {
    ("403", "client"): lambda: client_is_turned_away(http.HTTPStatus.FORBIDDEN),
    ("500", "client"): lambda: client_is_turned_away(http.HTTPStatus.INTERNAL_SERVER_ERROR),
    ("no HTTP at all", "client"): client_gets_garbage,
    ("RST at once", "client"): lambda: client_is_reset(once_it_asks=False),
    ("TLS, then silence", "client"): client_is_left_waiting,
    ("TLS, then silence", "server"): server_is_left_waiting,
    ("RST for an answer", "client"): lambda: client_is_reset(once_it_asks=True),
    ("403", "server"): lambda: server_turns_away(http.HTTPStatus.FORBIDDEN),
    ("500", "server"): lambda: server_turns_away(http.HTTPStatus.INTERNAL_SERVER_ERROR),
    ("no HTTP at all", "server"): server_gets_garbage,
    ("RST at once", "server"): lambda: server_is_reset(once_it_is_asked=False),
    ("RST after the request", "server"): lambda: server_is_reset(once_it_is_asked=True),
}
