"""Ends a connection without waiting for anybody."""

from __future__ import annotations

import contextlib
import socket


def hang_up(sock: socket.socket) -> None:
    """Shut the socket down, which wakes whoever is blocked on it; the reader thread closes it."""
    with contextlib.suppress(OSError):  # it is closed already
        sock.shutdown(socket.SHUT_RDWR)
