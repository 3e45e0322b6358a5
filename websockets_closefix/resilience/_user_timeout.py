"""Has the kernel give up a peer that takes nothing: TCP_USER_TIMEOUT (:rfc:`5482`)."""

from __future__ import annotations

import socket

TCP_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)


def set_user_timeout(sock: socket.socket, seconds: float) -> float | None:
    """
    Set the TCP_USER_TIMEOUT of a socket.

    Args:
        sock: A socket; one that isn't TCP, or is closed, is left alone.
        seconds: For how long a peer may take nothing; 0 is the system's default.

    Returns:
        What it was before in seconds, or :obj:`None` if there is no such thing.

    """
    if TCP_USER_TIMEOUT is None:
        return None
    milliseconds = round(min(1000 * seconds, 2**31 - 1))
    try:
        before = sock.getsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT) / 1000
        sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds)
    except OSError:
        return None
    return before
