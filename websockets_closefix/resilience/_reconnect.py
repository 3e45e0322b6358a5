"""Reconnects, and limits how often."""

from __future__ import annotations

import ssl
import time
import traceback
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Callable

from websockets.client import backoff
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidHandshake
from websockets.sync.client import ClientConnection

from ._arguments import check_callable, check_connect_kwargs, check_uri
from ._slot import LOGGER, Slot, empty, shut_down_all

if TYPE_CHECKING:
    ProcessException = Callable[[Exception], "Exception | None"]
    ReconnectDelays = Callable[[], Iterable[float]]

    def websockets_policy(exc: Exception) -> Exception | None: ...

else:
    try:
        from websockets.client import process_exception as websockets_policy  # 17.1 and later
    except ImportError:
        from websockets.asyncio.client import process_exception as websockets_policy


CLOSE_TIMEOUT = 10.0
"""Seconds for the closing handshake of a turn's connection, as in ``connect()``."""


def process_exception(exc: Exception) -> Exception | None:
    """
    Tell whether a connection error is transient or fatal, as websockets does.

    Two rules are added. A certificate that can't be verified is an :exc:`OSError` to websockets,
    hence transient, but won't get any better by connecting again. And a handshake that is cut short
    is transient at every moment, and on every release. Before the request was sent, as by a proxy
    whose backend is down, websockets raises :exc:`~websockets.exceptions.ConnectionClosed`, which
    it takes for fatal. Afterwards it raises an :exc:`EOFError`, or an
    :exc:`~websockets.exceptions.InvalidHandshake` from one: from 14.2 on, or with the shim on.

    Args:
        exc: What connecting raised.

    Returns:
        :obj:`None` to connect again, or the exception to raise.

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

    Each failed attempt to connect is followed by a delay. A turn that was shorter than the next
    delay counts as a failed attempt, because a server that accepts and closes at once would be
    asked again at once; what is left of the delay is waited for. A turn that lasted longer resets
    the delays, and is followed by the next one at once.

    Leaving the loop early, with ``break``, ``return`` or an exception, leaves a generator behind,
    which closes its connection when it is closed itself. CPython does that at once, unless
    something still refers to the generator; PyPy does it whenever it collects garbage, and until
    then the connection stays open. Close the connection before you leave::

        for websocket in reconnect("wss://example.com"):
            with websocket:
                ...
                break

    Args:
        uri: URI of the WebSocket server, or a function that returns it, which is called for each
            attempt.
        process_exception: Returns :obj:`None` for an exception that is transient, an exception to
            raise for one that is fatal. By default, network errors, an HTTP 500, 502, 503 or 504
            and a handshake that is cut short are transient.
        reconnect_delays: Returns delays in seconds, best as a generator. After the last, the latest
            connection error is raised. By default, as in websockets, up to 5 seconds at random,
            then 3.1 seconds growing to 90, without an end.
        connect_kwargs: As for :func:`websockets.sync.client.connect`, but for ``sock``.
            ``additional_headers`` may be a function, which is called for each attempt.

    Raises:
        InvalidURI: If ``uri`` isn't a WebSocket URI; a :exc:`ValueError` as well.
        ValueError: If an argument isn't what it has to be.
        TypeError: If there is no such argument.
        Exception: While iterating, what ``process_exception`` returned, or the latest connection
            error when there are no more delays: what connecting raised, or the
            :exc:`~websockets.exceptions.ConnectionClosed` that ended a turn which was too short.

    """

    def __init__(
        self,
        uri: str | Callable[[], str],
        *,
        process_exception: ProcessException = process_exception,
        reconnect_delays: ReconnectDelays = backoff,
        **connect_kwargs: Any,
    ) -> None:
        self.uri: str | Callable[[], str] = uri if callable(uri) else check_uri(uri)
        self.process_exception: ProcessException = check_callable(
            "process_exception", process_exception
        )
        self.reconnect_delays: ReconnectDelays = check_callable(
            "reconnect_delays", reconnect_delays
        )
        check_connect_kwargs("reconnect", connect_kwargs)
        self.connect_kwargs: dict[str, Any] = connect_kwargs
        self.logger: Any = connect_kwargs.get("logger") or LOGGER

    def __iter__(self) -> Iterator[ClientConnection]:
        delays: Iterator[float] | None = None
        delay = float("inf")
        while True:
            slot, error, lasted = Slot(), None, 0.0
            try:
                try:
                    websocket = slot.open(self.uri, **self.connect_kwargs)
                except Exception as exc:
                    error = self._transient(exc)
                else:
                    opened_at = time.monotonic()
                    yield websocket
                    lasted = time.monotonic() - opened_at
                finally:
                    self._end(slot)
            finally:
                shut_down_all([slot])  # does something only if an exception kept _end() from it
            delays = iter(self.reconnect_delays()) if delays is None else delays
            asked_at = time.monotonic()
            if (following := next(delays, None)) is not None:
                delay = following + time.monotonic() - asked_at  # it may have waited for an event
            if error is None and lasted >= delay:
                delays = None
            elif following is None:
                raise error or closing_error(websocket)
            else:
                self._wait(max(0, following - lasted), error or closing_error(websocket))

    def _transient(self, exc: Exception) -> Exception:
        """Return a transient connection error; raise a fatal one."""
        fatal = self.process_exception(exc)
        if fatal is exc:
            raise exc
        if fatal is not None:
            raise fatal from exc
        return exc

    def _end(self, slot: Slot) -> None:
        # Not by close(), which waits for ever for a thread that is blocked in send(), for its own
        # thread where the garbage collector has closed this generator in the reader thread, and
        # for a thread that runs no more once Python shuts down.
        limit = self.connect_kwargs.get("close_timeout", CLOSE_TIMEOUT)
        empty([slot], CLOSE_TIMEOUT if limit is None else limit)

    def _wait(self, delay: float, error: Exception) -> None:
        [*_, reason] = traceback.format_exception_only(type(error), error)
        self.logger.info("connect failed; reconnecting in %.1f seconds: %s", delay, reason.strip())
        time.sleep(delay)


def closing_error(websocket: ClientConnection) -> Exception:
    """Return the exception that a connection which has ended raises."""
    try:
        return websocket.protocol.close_exc
    except AssertionError:  # its reader thread couldn't be ended
        return ConnectionClosedError(None, None)
