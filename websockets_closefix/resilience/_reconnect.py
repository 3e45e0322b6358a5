"""Reconnects, and limits how often."""

from __future__ import annotations

import ssl
import time
import traceback
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

from websockets.client import backoff
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidHandshake
from websockets.sync.client import ClientConnection

from ._arguments import check_callable, check_connect_kwargs, check_uri
from ._connection import has_ended
from ._slot import LOGGER, Slot, empty, shut_down_all

try:  # 17.1 and later
    from websockets.client import (  # type: ignore[attr-defined, unused-ignore]
        process_exception as websockets_policy,
    )
except ImportError:
    from websockets.asyncio.client import process_exception as websockets_policy

ProcessException = Callable[[Exception], Optional[Exception]]
ReconnectDelays = Callable[[], Iterable[float]]


def process_exception(exc: Exception) -> Exception | None:
    """
    Return a fatal connection error, or :obj:`None` for a transient one, as websockets does.

    With two more rules. A certificate that can't be verified, to websockets an :exc:`OSError` like
    any other, won't get better. A handshake that is cut short is transient at every moment: before
    the request was sent, as by a proxy whose backend is down, it's a ``ConnectionClosed``, which
    websockets takes for fatal; afterwards an :exc:`EOFError`, or from 14.2 on, or with the shim on,
    an ``InvalidHandshake`` from one.

    """
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc
    invalid = exc.__cause__ if isinstance(exc, InvalidHandshake) else exc
    return None if isinstance(invalid, (ConnectionClosed, EOFError)) else websockets_policy(exc)


class reconnect:
    """
    Iterate over connections to ``uri``, each opened when the one before it has ended.

    ::

        for websocket in reconnect("wss://example.com"):
            try:
                ...
            except ConnectionClosed:
                continue

    The connection is closed after each turn, within its ``close_timeout``, which defaults to 10
    seconds. Closing it, from any thread, starts the next turn.

    Each failed attempt to connect is followed by a delay, and a turn that was shorter than that by
    what is left of it: a server that accepts and closes at once would be asked again at once. A
    longer turn resets the delays, and is followed by the next one at once.

    Close the connection before you leave the loop. ``break``, ``return`` and exceptions leave a
    generator behind, which closes it when it is closed itself: at once on CPython, unless something
    still refers to the generator; on PyPy whenever garbage is collected.

    Args:
        uri: URI of the WebSocket server, or a function that returns it for each attempt.
        process_exception: Returns :obj:`None` for an exception that is transient, an exception to
            raise for one that is fatal. By default, network errors, an HTTP 500, 502, 503 or 504
            and a handshake that is cut short are transient.
        reconnect_delays: Returns delays in seconds, best as a generator. After the last, the latest
            connection error is raised. By default, as in websockets, up to 5 seconds at random,
            then 3.1 seconds growing to 90, without an end.
        connect_kwargs: As for :func:`websockets.sync.client.connect`, but for ``sock``.
            ``additional_headers`` may be a function that returns them for each attempt.

    Raises:
        ValueError: If an argument isn't what it has to be; for ``uri``, websockets' ``InvalidURI``.
        TypeError: If there is no such argument.
        Exception: While iterating, what ``process_exception`` returned, or without a delay left,
            what the latest attempt raised, or the ``ConnectionClosed`` of a turn too short.

    """

    def __init__(
        self,
        uri: str | Callable[[], str],
        *,
        process_exception: ProcessException = process_exception,
        reconnect_delays: ReconnectDelays = backoff,
        **connect_kwargs: Any,
    ) -> None:
        check_connect_kwargs("reconnect", connect_kwargs)
        self.uri: str | Callable[[], str] = uri if callable(uri) else check_uri(uri)
        self.process_exception: ProcessException = check_callable(
            "process_exception", process_exception
        )
        self.reconnect_delays: ReconnectDelays = check_callable(
            "reconnect_delays", reconnect_delays
        )
        self.connect_kwargs: dict[str, Any] = connect_kwargs
        self.logger: Any = connect_kwargs.get("logger") or LOGGER

    def __iter__(self) -> Iterator[ClientConnection]:
        close_timeout = self.connect_kwargs.get("close_timeout")
        delays: Iterator[float] | None = None
        delay = float("inf")
        while True:
            slot, error, lasted = Slot(), None, 0.0
            try:
                try:
                    websocket = slot.open(self.uri, **self.connect_kwargs)
                except Exception as exc:
                    if (fatal := self.process_exception(exc)) is exc:
                        raise
                    if fatal is not None:
                        raise fatal from exc
                    error = exc
                else:
                    opened_at = time.monotonic()
                    yield websocket
                    lasted = time.monotonic() - opened_at
                finally:
                    # Not by close(), which waits for ever for a thread that is blocked in send(),
                    # for its own thread where the garbage collector has closed this generator in
                    # the reader thread, and for a thread that runs no more once Python shuts down.
                    empty([slot], 10 if close_timeout is None else close_timeout)
            finally:
                shut_down_all([slot])  # does something only if an exception kept empty() from it
            delays = iter(self.reconnect_delays()) if delays is None else delays
            asked_at = time.monotonic()
            if (following := next(delays, None)) is not None:
                delay = following + time.monotonic() - asked_at  # it may have waited for an event
            if error is None and lasted >= delay:
                delays = None
                continue
            if error is None:
                error = ConnectionClosedError(None, None)
                if has_ended(websocket):  # else its reader thread couldn't be ended
                    error = websocket.protocol.close_exc
            if following is None:
                raise error
            rest = max(0, following - lasted)
            [*_, reason] = traceback.format_exception_only(type(error), error)
            message = "connect failed; reconnecting in %.1f seconds: %s"
            self.logger.info(message, rest, reason.strip())
            time.sleep(rest)
