"""Holds a thread until another one has overtaken it: in its socket, or where it logs."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import threading
from typing import Any

from ..logs import tapped_logger

HOLD = 0.5
"""Seconds to hold a thread at most; less than a repair waits for another thread."""


class HoldingSocket(socket.socket):
    """A socket in which a thread can be held, up to HOLD, and in which sending can fail."""

    sendall_fails = False
    recv_waits_for: threading.Event | None = None
    shutdown_waits_for: threading.Event | None = None

    @classmethod
    def connected_to(cls, uri: str) -> HoldingSocket:
        """Connect to the peer at ``uri``."""
        address = ("127.0.0.1", int(uri.rpartition(":")[2]))
        return cls(fileno=socket.create_connection(address).detach())

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
        if self.sendall_fails:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        super().sendall(data, flags)

    def shutdown(self, how: int) -> None:
        """Shut down, which wakes a thread that is blocked in ``recv()``, then wait."""
        super().shutdown(how)
        if sys.platform == "win32" and how == socket.SHUT_RDWR:
            self.close()  # nothing less wakes it there for sure
        if self.shutdown_waits_for is not None:
            self.shutdown_waits_for.wait(HOLD)


class HoldingListener(socket.socket):
    """Accepts connections as :class:`HoldingSocket`."""

    @classmethod
    def listening(cls) -> HoldingListener:
        """Listen on a free port of 127.0.0.1."""
        return cls(fileno=socket.create_server(("127.0.0.1", 0)).detach())

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        sock, address = super().accept()
        return HoldingSocket(fileno=sock.detach()), address


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
