"""Reconnects: websockets' own iterator where there is one (17.1 and later), else ours."""

from __future__ import annotations

import ssl
import time
import traceback
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Callable

from websockets.client import backoff
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from ._arguments import check_uri
from ._slot import LOGGER, Slot, empty, hang_up_all

if TYPE_CHECKING:
    from websockets.asyncio.client import process_exception as websockets_policy

    ProcessException = Callable[[Exception], "Exception | None"]
    ReconnectDelays = Callable[[], Generator[float, None, None]]
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
    hence transient, but won't get any better by connecting again. And a server that hangs up before
    the request was sent, as a proxy does whose backend is down, is a handshake that was cut short:
    websockets raises :exc:`~websockets.exceptions.ConnectionClosed` then, but takes it for fatal.

    Args:
        exc: What connecting raised.

    Returns:
        :obj:`None` to connect again, or the exception to raise.

    """
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc
    return None if isinstance(exc, ConnectionClosed) else websockets_policy(exc)


class Reconnect:
    """
    Iterate over connections to ``uri``, each opened when the one before it has ended.

    As :class:`websockets.sync.client.reconnect` of 17.1 and later::

        for websocket in reconnect("wss://example.com"):
            try:
                ...
            except ConnectionClosed:
                continue

    The connection is closed after each turn, within its ``close_timeout``, which defaults to 10
    seconds. A turn resets the delays.

    Leaving the loop early, with ``break``, ``return`` or an exception, leaves a generator behind,
    which closes its connection when it is closed itself. CPython does that at once, unless
    something still refers to the generator; PyPy does it whenever it collects garbage, and until
    then the connection stays open. websockets' own then closes with code 1011 (internal error).
    Close the connection before you leave, which is a normal closure everywhere::

        for websocket in reconnect("wss://example.com"):
            with websocket:
                ...
                break

    Args:
        uri: URI of the WebSocket server.
        process_exception: Returns :obj:`None` for an exception that is transient, an exception to
            raise for one that is fatal. By default, network errors, an HTTP 500, 502, 503 or 504
            and a handshake that is cut short are transient.
        reconnect_delays: Returns a generator of delays in seconds. By default, as in websockets,
            up to 5 seconds at random, then 3.1 seconds growing to 90.
        connect_kwargs: As for :func:`websockets.sync.client.connect`.

    Raises:
        InvalidURI: If ``uri`` isn't a WebSocket URI; a :exc:`ValueError` as well, except where
            this class is websockets' own.
        Exception: While iterating, what ``process_exception`` returned.

    """

    def __init__(
        self,
        uri: str,
        *,
        process_exception: ProcessException = process_exception,
        reconnect_delays: ReconnectDelays = backoff,
        **connect_kwargs: Any,
    ) -> None:
        self.uri: str = check_uri(uri)
        self.process_exception: ProcessException = process_exception
        self.reconnect_delays: ReconnectDelays = reconnect_delays
        self.connect_kwargs: dict[str, Any] = connect_kwargs
        self.logger: Any = connect_kwargs.get("logger") or LOGGER

    def __iter__(self) -> Iterator[ClientConnection]:
        delays: Generator[float, None, None] | None = None
        while True:
            slot = Slot()
            try:
                try:
                    websocket = slot.open(self.uri, **self.connect_kwargs)
                except Exception as exc:
                    fatal = self.process_exception(exc)
                    if fatal is exc:
                        raise
                    if fatal is not None:
                        raise fatal from exc
                    delays = self.reconnect_delays() if delays is None else delays
                    self._wait(next(delays), exc)
                else:
                    delays = None
                    yield websocket
                finally:
                    self._end(slot)
            finally:
                hang_up_all([slot])  # does something only if an exception kept _end() from it

    def _end(self, slot: Slot) -> None:
        # Not by close(), which waits for ever for a thread that is blocked in send(), for its own
        # thread where the garbage collector has closed this generator in the reader thread, and
        # for a thread that runs no more once Python shuts down.
        limit = self.connect_kwargs.get("close_timeout", CLOSE_TIMEOUT)
        empty([slot], CLOSE_TIMEOUT if limit is None else limit)

    def _wait(self, delay: float, exc: Exception) -> None:
        [*_, error] = traceback.format_exception_only(type(exc), exc)
        self.logger.info("connect failed; reconnecting in %.1f seconds: %s", delay, error.strip())
        time.sleep(delay)


if TYPE_CHECKING:
    reconnect = Reconnect
else:
    try:
        from websockets.sync.client import reconnect
    except ImportError:
        reconnect = Reconnect
