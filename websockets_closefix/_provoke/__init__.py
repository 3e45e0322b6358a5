"""
Provokes the close race on real connections to a peer on 127.0.0.1.

Each scenario opens a connection to ``uri``, ends it, and tells what came out of it, in the thread
that called websockets and in the connection's reader thread. Two of them force the race, every
time, by holding a thread between the two lines of websockets that ought to be one; every hold is
bounded.

"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

from websockets.exceptions import ConnectionClosed
from websockets.server import ServerProtocol
from websockets.sync.client import connect

HOLD = 0.5
"""Seconds to hold a thread at most; less than the wrapper waits for ``protocol_mutex``."""

PATIENCE = 5.0
"""Seconds after which a peer or a reader thread is given up."""

Behaviour = Callable[[socket.socket], None]


class Outcome(NamedTuple):
    """What a scenario ended in: an exception, or :obj:`None` for a thread that met with none."""

    caller: BaseException | None
    reader: BaseException | None

    @property
    def leaked(self) -> bool:
        """Whether anything but ``ConnectionClosed`` came out, or anything in the reader thread."""
        closed_well = self.caller is None or isinstance(self.caller, ConnectionClosed)
        return not closed_well or self.reader is not None


def caller_held(uri: str, **connect_kwargs: Any) -> Outcome:
    """
    Make the reader thread meet the assertion.

    ``close()`` gives a silent peer up and is held, inside ``receive_eof()``, when the stream has
    ended but the state isn't CLOSED yet; meanwhile the reader thread closes the socket too.

    """
    caller_at_eof = threading.Event()
    if "sock" not in connect_kwargs:
        connect_kwargs["sock"] = HoldingSocket.connected_to(uri)
    logger = logger_that_holds_caller(caller_at_eof)
    websocket = open_connection(uri, logger=logger, close_timeout=0.1, **connect_kwargs)
    return close_held(websocket, caller_at_eof)


def close_held(websocket: Any, caller_at_eof: threading.Event) -> Outcome:
    """Close, the caller being the first to come to the end of the stream."""
    websocket.socket.recv_waits_for = caller_at_eof
    return observe(websocket, websocket.close)


def reader_held(uri: str, **connect_kwargs: Any) -> Outcome:
    """
    Make the caller meet the assertion.

    ``send()`` fails and hangs the socket up, which wakes the reader thread; that one is held when
    the stream has ended but the state isn't CLOSED yet; meanwhile the caller closes the socket.

    """
    reader_at_eof, caller_done = threading.Event(), threading.Event()
    logger = logger_that_holds_reader(reader_at_eof, caller_done)
    if "sock" not in connect_kwargs:
        connect_kwargs["sock"] = HoldingSocket.connected_to(uri)
    websocket = open_connection(uri, logger=logger, **connect_kwargs)
    return send_torn(websocket, reader_at_eof, caller_done)


def send_torn(
    websocket: Any, reader_at_eof: threading.Event, caller_done: threading.Event
) -> Outcome:
    """Send through a socket that is torn, once the reader thread is at the end of the stream."""

    def send() -> None:
        try:
            websocket.send("lost")
        finally:
            caller_done.set()

    websocket.socket.shutdown_waits_for = reader_at_eof
    websocket.socket.torn = True
    return observe(websocket, send)


def send_until_closed(uri: str) -> Outcome:
    """Keep sending, for as long as the peer is there."""

    def send() -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            websocket.send("anybody there?")

    websocket = open_connection(uri)
    return observe(websocket, send)


def close(uri: str, close_timeout: float) -> Outcome:
    """Close a connection, giving the peer ``close_timeout`` seconds to answer."""
    websocket = open_connection(uri, close_timeout=close_timeout)
    return observe(websocket, websocket.close)


def organic(uri: str, trials: int) -> Iterator[Outcome]:
    """
    Close many connections to a silent peer, and leave the rest to chance.

    A short ``close_timeout`` and frequent thread switches make the race likelier than it would
    be in production, where one connection in many thousands meets it.

    """
    switch_interval = sys.getswitchinterval()
    for _ in range(trials):
        sys.setswitchinterval(1e-7)
        try:
            outcome = close(uri, close_timeout=0.005)
        finally:
            sys.setswitchinterval(switch_interval)
        yield outcome


def open_connection(uri: str, **connect_kwargs: Any) -> Any:
    """Connect as ``with connect(…)`` does (17.1 deprecates others), without closing at the end."""
    return connect(uri, **connect_kwargs).__enter__()


def observe(websocket: Any, act: Callable[[], None]) -> Outcome:
    """Call ``act`` and return what it raised, and what the reader thread raised until it ended."""
    caller: BaseException | None = None
    with reader_exceptions(websocket.recv_events_thread) as raised:
        try:
            act()
        except Exception as exc:
            caller = exc
        # On websockets without the cure a failed close can leave the reader thread waiting. From
        # 17.0 on it waits in select(), which never hears of a socket that is closed too early.
        with contextlib.suppress(OSError):
            websocket.socket.shutdown(socket.SHUT_RDWR)
        websocket.recv_events_thread.join(PATIENCE)
        websocket.socket.close()
    return Outcome(caller, raised[0] if raised else None)


@contextlib.contextmanager
def reader_exceptions(reader: threading.Thread) -> Iterator[list[BaseException]]:
    """Collect what ends the thread ``reader`` instead of printing it."""
    raised: list[BaseException] = []

    def collect(args: Any) -> None:
        if args.thread is reader:
            raised.append(args.exc_value)
        else:
            excepthook(args)

    excepthook = threading.excepthook
    threading.excepthook = collect
    try:
        yield raised
    finally:
        threading.excepthook = excepthook


def logger_that_holds_caller(caller_at_eof: threading.Event) -> logging.Logger:
    """Hold the caller at the end of the stream, and say so, until the reader thread is done."""

    def hold(record: Any) -> bool:
        if at_eof(record) and not in_reader(record) and not caller_at_eof.is_set():
            caller_at_eof.set()
            record.websocket.recv_events_thread.join(HOLD)
        return False

    return tapped_logger(hold)


def logger_that_holds_reader(
    reader_at_eof: threading.Event, caller_done: threading.Event
) -> logging.Logger:
    """Hold the reader thread at the end of the stream, and say so, until the caller is done."""

    def hold(record: Any) -> bool:
        if at_eof(record) and in_reader(record) and not reader_at_eof.is_set():
            reader_at_eof.set()
            caller_done.wait(HOLD)
        return False

    return tapped_logger(hold)


def at_eof(record: logging.LogRecord) -> bool:
    """Tell whether websockets is between ``reader.eof`` and CLOSED, where it logs this line."""
    return record.getMessage() == "< EOF"


def in_reader(record: Any) -> bool:
    """Tell whether the reader thread of the record's connection is logging it."""
    return threading.current_thread() is record.websocket.recv_events_thread


def tapped_logger(tap: Callable[[Any], bool]) -> logging.Logger:
    """
    Return a DEBUG logger that shows each record to ``tap``, in the thread that logs.

    ``tap`` is a filter rather than a handler, because a handler is called under its lock: holding
    one thread there would hold the other at its next log line too.

    """
    logger = logging.Logger(__name__, logging.DEBUG)
    logger.addFilter(tap)
    return logger


class HoldingSocket(socket.socket):
    """A socket that can wait for another thread, up to HOLD, and, once ``torn``, can't send."""

    torn = False
    recv_waits_for: threading.Event | None = None
    shutdown_waits_for: threading.Event | None = None

    @classmethod
    def connected_to(cls, uri: str) -> HoldingSocket:
        """Connect to the peer at ``uri``."""
        sock = cls(socket.AF_INET, socket.SOCK_STREAM)
        sock.connect(("127.0.0.1", int(uri.rpartition(":")[2])))
        return sock

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Wait before saying that the stream has ended, or a timeout has elapsed."""
        data = b""
        try:
            data = super().recv(bufsize, flags)
        finally:
            if not data and self.recv_waits_for is not None:
                self.recv_waits_for.wait(HOLD)
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Fail as on a connection that the peer has closed."""
        if self.torn:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        super().sendall(data, flags)

    def shutdown(self, how: int) -> None:
        """Hang up, which wakes whoever is blocked in ``recv()``, then wait."""
        super().shutdown(how)
        if self.shutdown_waits_for is not None:
            self.shutdown_waits_for.wait(HOLD)


@contextlib.contextmanager
def peer(behave: Behaviour) -> Iterator[str]:
    """
    Run a WebSocket server in a thread and yield its URI.

    Args:
        behave: What to do with each connection, one after the other, once it is open.

    """
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve_one_by_one, args=(listener, behave), daemon=True)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        hang_up(listener)  # interrupts accept() on Linux; elsewhere closing it does
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


def stay_silent(sock: socket.socket) -> None:
    """Answer nothing, until the other end hangs up."""
    while sock.recv(65536):
        pass


def reset(sock: socket.socket) -> None:
    """Reset the connection when something arrives."""
    sock.recv(65536)
    reset_on_close(sock)


def reset_on_close(sock: socket.socket) -> None:
    """Have close() send RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang_up(sock: socket.socket) -> None:
    """Shut down and close a socket, whatever state it is in."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
