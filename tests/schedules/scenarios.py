"""What the threads of a dying connection do, on a socket that fails."""

from __future__ import annotations

import errno
import inspect
import queue
import threading
import time
from typing import Any, Callable, NamedTuple

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import CONNECTING, OPEN
from websockets.sync.client import ClientConnection
from websockets.uri import parse_uri

from websockets_closefix._fixes.sync._ended import is_closed

A_LONG_TIME = 3600  # seconds, which pass when all threads wait
MESSAGE = Frame(Opcode.TEXT, b"hello").serialize(mask=False)
CLOSE = Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=False)


class Scenario(NamedTuple):
    """What the callers do, and what comes in before the connection is reset."""

    callers: list[Callable[[ClientConnection], Any]]
    incoming: tuple[bytes, ...] = ()
    sends: bool = False  # whether sendall() works
    has_reader: bool = True
    state: Any = OPEN
    clock: str = "virtual"  # time passes when all threads wait; "explored": at any moment
    preemption_bound: int = 2
    total_timeout: float = 900  # seconds
    bug: str = "sync.close_race"  # what leaks or hangs without the shim; none, where it is empty
    hidden_by: str = ""  # the bug that keeps that one from being met
    pings: int = 0  # pending
    quick: bool = False  # exhausted in seconds


def connect(connection):
    """As websockets.sync.client.connect() from where the socket is connected."""
    try:
        connection.handshake()
    except Exception:
        connection.close_socket()
        connection.recv_events_thread.join()
        raise


def close_socket(connection):
    connection.close_socket()


def send(connection):
    connection.send("lost")


def close(connection):
    connection.close()


def recv(connection):
    connection.recv()


SCENARIOS = {
    "close_socket": Scenario([close_socket], quick=True),
    "send": Scenario([send], quick=True),
    "ping": Scenario([lambda connection: connection.ping()]),
    "pong": Scenario([lambda connection: connection.pong()]),
    "close": Scenario([close]),
    # The reader thread alone closes these two, so that nobody can come in between.
    "recv": Scenario([recv], bug=""),
    "recv, a message waiting": Scenario([recv], (MESSAGE,), bug=""),
    "close_socket twice, no reader": Scenario(
        [close_socket, close_socket], has_reader=False, quick=True
    ),
    "handshake": Scenario([connect], sends=True, state=CONNECTING),
    "close, and a close frame arrives": Scenario([close], (CLOSE,), sends=True, clock="explored"),
    "close, and send, and a reader": Scenario([close, send], total_timeout=120),
    "close_socket twice, and a reader": Scenario([close_socket] * 2, total_timeout=120),
    "recv, and close_socket": Scenario(
        [recv, close_socket],
        bug="sync.early_wakeup",
        hidden_by="sync.unread_message",  # nobody but the reader thread wakes a receiver there
        preemption_bound=1,
        quick=True,
    ),
    "recv, and close": Scenario(
        [recv, close], bug="sync.early_wakeup", hidden_by="sync.unread_message", total_timeout=120
    ),
    "close_socket, a message unread": Scenario(
        [close_socket], (MESSAGE,), bug="sync.unread_message", quick=True
    ),
    "close_socket, messages unread": Scenario(
        [close_socket], 2 * (MESSAGE,), bug="sync.paused_reader", preemption_bound=1, quick=True
    ),
    "close_socket, a ping pending": Scenario(
        [close_socket], pings=1, bug="sync.pending_ping", preemption_bound=1, quick=True
    ),
    "close, two pings pending": Scenario(
        [close], pings=2, bug="sync.pending_ping", total_timeout=300
    ),
}


def scenarios_of(bugs):
    """Return the names of those in which one of these bugs can be met."""
    return [name for name, it in SCENARIOS.items() if it.bug in bugs or (bugs and not it.bug)]


class FailingSocket:
    """Delivers what is coming in, then is reset by the peer."""

    def __init__(self, incoming, sends):
        self.incoming, self.sends = list(incoming), sends

    def recv(self, bufsize):
        if self.incoming:
            return self.incoming.pop(0)
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    def sendall(self, data):
        if not self.sends:
            raise BrokenPipeError(errno.EPIPE, "broken pipe")

    def shutdown(self, how):
        pass

    def close(self):
        pass

    def settimeout(self, timeout):
        pass


class Hang(BaseException):
    """What would be a hang without the bound of the model; nothing of websockets catches it."""


class BoundedEvent(threading.Event):
    """What the reader thread waits for until a message is fetched, up to 13.1."""

    def wait(self, timeout=None):
        is_set = super().wait(A_LONG_TIME if timeout is None else timeout)
        if timeout is None and not is_set:
            raise Hang
        return is_set


class ExploredReader(threading.Thread):
    """Stands for the reader thread, whose work is done by a worker of the exploration."""

    def __init__(self):
        super().__init__()
        self.ended = threading.Event()

    def join(self, timeout=None):
        self.ended.wait(timeout)

    def is_alive(self):
        return not self.ended.is_set()


OPTIONS = inspect.signature(ClientConnection).parameters


class ExploredConnection(ClientConnection):
    """Doesn't start to receive before the exploration does."""

    exploring = False

    def recv_events(self):
        if self.exploring:
            super().recv_events()


class State:
    """One connection, and what came out of its threads."""

    def __init__(self, scenario):
        protocol = ClientProtocol(parse_uri("ws://127.0.0.1"), state=scenario.state)
        sock = FailingSocket(scenario.incoming, scenario.sends)
        options = {"max_queue": 1} if "max_queue" in OPTIONS else {}  # two messages fill it
        connection = ExploredConnection(sock, protocol, close_timeout=1, **options)
        connection.recv_events_thread.join()
        connection.response_rcvd.clear()
        connection.exploring = True
        connection.recv_events_thread = ExploredReader()
        if scenario.state is OPEN:
            connection.response = object()  # else the first frame counts as the response
        if hasattr(connection.recv_messages, "frames"):
            # A SimpleQueue is written in C, where the scheduler doesn't see that it blocks.
            connection.recv_messages.frames = queue.Queue()
            # A lock that its own thread waits for, as this one is, counts as a deadlock there.
            connection.recv_flow_control = threading.Semaphore()
            connection.recv_messages.pause = connection.recv_flow_control.acquire
            connection.recv_messages.resume = connection.recv_flow_control.release
        if hasattr(connection.recv_messages, "message_fetched"):
            connection.recv_messages.message_fetched = BoundedEvent()
        for number in range(scenario.pings):
            # What ping(ack_on_close=True) leaves; its name changed in 16.0.
            pending = vars(connection).get("pong_waiters", vars(connection).get("pending_pings"))
            pending[bytes([number])] = (threading.Event(), time.monotonic(), True)
        self.connection = connection
        self.callers = [None] * len(scenario.callers)
        self.reader = None

    def call(self, number, act):
        try:
            act(self.connection)
        except Exception as exc:
            self.callers[number] = exc

    def receive(self):
        reader = self.connection.recv_events_thread
        worker = threading._active[threading.get_ident()]
        threading._active[threading.get_ident()] = reader  # what current_thread() returns
        try:
            self.connection.recv_events()
        except (Exception, Hang) as exc:
            self.reader = exc
        finally:
            threading._active[threading.get_ident()] = worker
            reader.ended.set()

    def outcome(self):
        return (
            tuple(describe(exc) for exc in self.callers),
            describe(self.reader),
            self.connection.protocol.state.name,
            is_closed(self.connection),
        )

    def leaked(self):
        callers_leaked = any(
            isinstance(exc, (AssertionError, EOFError, RuntimeError, StopIteration, ValueError))
            for exc in self.callers
        )
        return callers_leaked or self.reader is not None


def describe(exc):
    """Reduce an exception to what two releases can be compared by."""
    if exc is None:
        return None
    codes = ()
    if isinstance(exc, ConnectionClosed):
        codes = tuple(close.code if close else None for close in (exc.rcvd, exc.sent))
    return type(exc).__name__, codes, exc.__cause__ and type(exc.__cause__).__name__
