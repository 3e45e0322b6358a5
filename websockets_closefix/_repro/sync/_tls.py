"""The other end of a TLS connection, which can send less than a whole record."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any, Callable

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from ..peers import shake_hands, shut_down_and_close
from ..waiting import PATIENCE
from .observing import free

Act = Callable[..., Any]

POLL_INTERVAL = 0.1
"""Seconds between two looks at whether a silence is over."""


def context(purpose: int) -> ssl.SSLContext:
    """Return one end's configuration; there are no certificates, hence the cipher."""
    configured = ssl.SSLContext(purpose)
    configured.check_hostname = False
    configured.verify_mode = ssl.CERT_NONE
    configured.maximum_version = ssl.TLSVersion.TLSv1_2
    configured.set_ciphers("AECDH:@SECLEVEL=0")
    return configured


class TLSEnd:
    """As much of a socket as a handshake needs, over TLS."""

    def __init__(self, sock: socket.socket, purpose: int) -> None:
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server_side = purpose == ssl.PROTOCOL_TLS_SERVER
        self.tls = context(purpose).wrap_bio(self.incoming, self.outgoing, server_side)
        self.run(self.tls.do_handshake)

    def run(self, act: Act, *args: Any) -> Any:
        """Do something with TLS, and move what it takes to and from the socket."""
        while True:
            try:
                return act(*args)
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionError("the other end has gone") from None
                self.incoming.write(data)
            finally:
                self.flush()

    def flush(self) -> None:
        """Send what TLS has to say."""
        self.sock.sendall(self.outgoing.read())

    def recv(self, bufsize: int) -> Any:
        """Receive something."""
        return self.run(self.tls.read, bufsize)

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self.run(self.tls.write, data)

    def send_half(self, data: bytes) -> None:
        """Send the first half of a record."""
        self.tls.write(data)
        record = self.outgoing.read()
        self.sock.sendall(record[: len(record) // 2])


class Silence:
    """A peer's, in which a thread may hang in a socket that is closed: only the peer frees it."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def free(self, websocket: Any) -> None:
        """Free a connection, and have the peer leave."""
        self.over.set()
        free(websocket)


@contextlib.contextmanager
def peer_that_stops(*, answer: bool) -> Iterator[tuple[str, Silence]]:
    """
    Run a WebSocket server that goes silent half-way through a record.

    Args:
        answer: Whether it completes the opening handshake before that.

    Yields:
        Its URI, and its silence.

    """
    silence = Silence()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(PATIENCE)
                end: Any = TLSEnd(sock, ssl.PROTOCOL_TLS_SERVER)
                if answer:
                    shake_hands(end)
                else:
                    end.recv(65536)
                go_silent(end, silence, mask=False)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"wss://127.0.0.1:{listener.getsockname()[1]}", silence
    finally:
        silence.over.set()
        shut_down_and_close(listener)
        thread.join(PATIENCE)


@contextlib.contextmanager
def client_that_stops(uri: str) -> Iterator[Silence]:
    """Open a connection, and go silent half-way through a record."""
    wsuri, silence = parse_uri(uri), Silence()
    with socket.create_connection((wsuri.host, wsuri.port), timeout=PATIENCE) as sock:
        end = TLSEnd(sock, ssl.PROTOCOL_TLS_CLIENT)
        protocol = ClientProtocol(wsuri)
        protocol.send_request(protocol.connect())
        for data in protocol.data_to_send():
            end.sendall(data)
        while not protocol.events_received():
            protocol.receive_data(end.recv(65536))
        thread = threading.Thread(
            target=go_silent, args=(end, silence), kwargs={"mask": True}, daemon=True
        )
        thread.start()
        try:
            yield silence
        finally:
            silence.over.set()
            thread.join(PATIENCE)


def go_silent(end: TLSEnd, silence: Silence, *, mask: bool) -> None:
    """Send half a record, then nothing until the other end shuts its socket down, or is freed."""
    end.send_half(TEXT.serialize(mask=mask))
    end.sock.settimeout(POLL_INTERVAL)
    with contextlib.suppress(ConnectionError):
        while not silence.over.is_set():
            with contextlib.suppress(socket.timeout):
                if not end.sock.recv(65536):
                    break
    shut_down_and_close(end.sock)


TEXT = Frame(Opcode.TEXT, bytes(1000))
