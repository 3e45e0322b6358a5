"""Has the kernel give up a peer that takes nothing: TCP_USER_TIMEOUT (:rfc:`5482`)."""

from __future__ import annotations

import contextlib
import socket

TCP_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)


def get_user_timeout(sock: socket.socket) -> float | None:
    """Return it in seconds; 0 is the system's default, :obj:`None` that there's no such thing."""
    if TCP_USER_TIMEOUT is not None:
        with contextlib.suppress(OSError):  # it isn't TCP, or is closed
            return sock.getsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT) / 1000
    return None


def set_user_timeout(sock: socket.socket, seconds: float) -> None:
    """Set for how many seconds a peer may take nothing; 0 is the system's default."""
    if TCP_USER_TIMEOUT is not None:
        milliseconds = round(min(1000 * seconds, 2**31 - 1))
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds)
