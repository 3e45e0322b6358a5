"""Closing waits close_timeout for a thread in send(), and cuts nothing before."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

import websockets_closefix
from websockets_closefix import _detect
from websockets_closefix._fixes.sync import blocked_send
from websockets_closefix._repro import waiting
from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import silent_client, stay_silent
from websockets_closefix._repro.scenario import SIDES, Hangs
from websockets_closefix._repro.sync import observing
from websockets_closefix._repro.sync.blocked_send import LARGE, is_blocked
from websockets_closefix._repro.sync.ends import open_connection, opened, server
from websockets_closefix._repro.sync.observing import observe
from websockets_closefix._repro.sync.unread import send_close_frame
from websockets_closefix._repro.waiting import wait_until

from ...conftest import installed_release, needs_fork, not_under_wine, posix
from ...peers import client_context, server_context, tls_peer

RELEASE = _detect.release(installed_release())

CLOSE_TIMEOUT = 0.2

either_side = pytest.mark.parametrize("side", SIDES)


@pytest.fixture
def done():
    """Keep a peer from going before the test is over."""
    event = threading.Event()
    yield event
    event.set()


@contextlib.contextmanager
def opened_to(side, behave, done, **kwargs):
    """Open a connection to a peer that isn't waited for."""
    kwargs = {"compression": None, "close_timeout": CLOSE_TIMEOUT, **kwargs}
    with opened(side, behave, **kwargs) as websocket:
        try:
            yield websocket
        finally:
            done.set()


def ended(websocket):
    """Return how a connection ended."""
    websocket.recv_events_thread.join(5)
    return websocket.protocol.state.name, websocket.protocol.close_code


def send_large(websocket):
    return lambda: websocket.send(LARGE)


def close_when_blocked(websocket, close=None):
    def act():
        wait_until(lambda: is_blocked(websocket))
        (close or websocket.close)()

    return act


# A peer that takes nothing.


@not_under_wine
@either_side
def test_recv_and_send_raise_as_another_thread_closes(side, done):
    """Each of them is told."""
    raised = []

    def remember(act):
        def call():
            with pytest.raises(ConnectionClosedError) as caught:
                act()
            raised.append(caught.value)

        return call

    with opened_to(side, lambda sock: done.wait(5), done) as websocket:
        send, recv = remember(send_large(websocket)), remember(websocket.recv)
        outcome = observe(websocket, send, recv, close_when_blocked(websocket))
        assert outcome == (None, None)
        assert ended(websocket) == ("CLOSED", 1006)
    assert len(raised) == 2


@not_under_wine
def test_with_block(done):
    def leave():
        with websocket:
            wait_until(lambda: is_blocked(websocket))

    with opened_to("client", lambda sock: done.wait(5), done) as websocket:
        outcome = observe(websocket, send_large(websocket), leave)
    assert type(outcome.caller) is ConnectionClosedError
    assert outcome.reader is None


@not_under_wine
def test_handler_of_a_server(done):
    """It returns while a thread of its own is blocked."""
    closed, raised = threading.Event(), []

    def handle(websocket):
        def send():
            try:
                websocket.send(LARGE)
            except Exception as exc:
                raised.append(exc)
            closed.set()

        threading.Thread(target=send).start()
        wait_until(lambda: is_blocked(websocket))

    serving = server(handle, compression=None, close_timeout=CLOSE_TIMEOUT, logger=quiet_logger())
    with serving as uri, silent_client(uri):
        assert closed.wait(5)
    assert [type(exc) for exc in raised] == [ConnectionClosedError]


@not_under_wine
def test_tls_client(done):
    ssl_argument = "ssl" if RELEASE >= (13, 0) else "ssl_context"
    with tls_peer(lambda sock: done.wait(5)) as uri:
        websocket = open_connection(
            uri,
            compression=None,
            close_timeout=CLOSE_TIMEOUT,
            logger=quiet_logger(),
            **{ssl_argument: client_context},
        )
        outcome = observe(websocket, send_large(websocket), close_when_blocked(websocket))
        done.set()
    assert type(outcome.caller) is ConnectionClosedError
    assert isinstance(outcome.caller.__cause__, OSError)
    assert outcome.reader is None


@not_under_wine
def test_tls_server(done):
    handled = []

    def handle(websocket):
        handled.append(websocket)
        done.wait(10)

    serving = server(
        handle,
        compression=None,
        close_timeout=CLOSE_TIMEOUT,
        logger=quiet_logger(),
        **{("ssl" if RELEASE >= (13, 0) else "ssl_context"): server_context},
    )
    with serving as uri, silent_client(uri, client_context):
        wait_until(lambda: handled)
        [websocket] = handled
        outcome = observe(websocket, send_large(websocket), close_when_blocked(websocket))
        done.set()
    assert type(outcome.caller) is ConnectionClosedError
    assert outcome.reader is None


@not_under_wine
@either_side
def test_reader_thread_that_answers_pings(side, done):
    def flood(sock):
        sock.settimeout(None)
        peers.append(sock)
        small_buffers(sock)
        ready.wait(5)
        ping = Frame(Opcode.PING, bytes(125)).serialize(mask=side == "server")
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(ping * 100)

    peers, ready = [], threading.Event()
    with opened_to(side, flood, done) as websocket:
        small_buffers(websocket.socket)
        ready.set()
        outcome = observe(websocket, close_when_blocked(websocket))
        with contextlib.suppress(OSError):  # it has gone
            peers[0].shutdown(socket.SHUT_RDWR)
        assert outcome == (None, None)
        assert ended(websocket) == ("CLOSED", 1006)


def small_buffers(sock):
    """Have little to answer before the thread blocks, and little that is unread when it's free."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 2**16)


@not_under_wine
def test_two_threads_that_send_without_a_break(done):
    """To a peer that takes nothing any more; one of them always has the mutex."""

    def send():
        while True:
            websocket.send(bytes(1000))

    with opened_to("client", lambda sock: done.wait(5), done) as websocket:
        outcome = observe(websocket, send, send, close_when_blocked(websocket))
        assert type(outcome.caller) is ConnectionClosedError
        assert outcome.reader is None


STOPPED = """
import threading
from websockets_closefix._repro.peers import peer, stay_silent
with peer(stay_silent) as uri:
    print(uri, flush=True)
    threading.Event().wait(20)
"""


@posix
def test_peer_that_is_stopped():
    command = [sys.executable, "-c", STOPPED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            websocket = open_connection(
                process.stdout.readline().strip(),
                compression=None,
                close_timeout=CLOSE_TIMEOUT,
                logger=quiet_logger(),
            )
            os.kill(process.pid, signal.SIGSTOP)
            outcome = observe(websocket, send_large(websocket), close_when_blocked(websocket))
        finally:
            process.kill()
    assert type(outcome.caller) is ConnectionClosedError
    assert outcome.reader is None


@posix
def test_close_frame_that_blocks(done):
    """Nobody else sends: websockets itself bounds it."""
    with opened_to("client", lambda sock: done.wait(5), done) as websocket:
        fill_buffers(websocket.socket)
        assert observe(websocket, websocket.close) == (None, None)
        assert ended(websocket) == ("CLOSED", 1006)


def fill_buffers(sock):
    """Send until the peer's buffer is full, and ours."""
    full = 0
    while full < 5:
        try:
            sock.send(bytes(2**16), socket.MSG_DONTWAIT)
            full = 0
        except BlockingIOError:
            full += 1
            time.sleep(0.01)  # the kernel may yet make room


# A thread that waits for itself.


@posix
def test_signal_handler_above_send(done, monkeypatch, repairs):
    monkeypatch.setattr(blocked_send, "GRACE", 0.1)
    returned = []

    def close(*_):
        websocket.close()
        returned.append(websocket.protocol.state.name)

    def interrupt():
        wait_until(lambda: is_blocked(websocket))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    previous = signal.signal(signal.SIGUSR1, close)
    try:
        with opened_to("client", lambda sock: done.wait(5), done) as websocket:
            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(ConnectionClosedError) as raised:
                websocket.send(LARGE)
            assert ended(websocket) == ("CLOSED", 1006)
    finally:
        signal.signal(signal.SIGUSR1, previous)
        thread.join()
    assert isinstance(raised.value.__cause__, OSError)
    assert len(returned) == 1
    assert repairs() == 1


@pytest.mark.skipif(
    not (13, 1) <= RELEASE < (14, 2), reason="callbacks of the handshake don't hold the mutex"
)
def test_callback_of_the_handshake_that_closes(monkeypatch, repairs):
    monkeypatch.setattr(blocked_send, "GRACE", 0.1)
    returned = threading.Event()

    def close_at_once(connection, *messages):
        connection.close()
        returned.set()

    serving = server(
        lambda websocket: None,
        process_request=close_at_once,
        close_timeout=CLOSE_TIMEOUT,
        logger=quiet_logger(),
    )
    with serving as uri:
        with pytest.raises((OSError, InvalidHandshake)):
            open_connection(uri)
        assert returned.wait(5)
    assert repairs() == 1


FORK = """
import os, signal, threading
import websockets_closefix
from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import stay_silent
from websockets_closefix._repro.sync.ends import opened
from websockets_closefix._fixes.sync import blocked_send

blocked_send.GRACE = 0.1
locked, done = threading.Event(), threading.Event()

def hold(websocket):
    with websocket.protocol_mutex:
        locked.set()
        done.wait(20)

logger = quiet_logger()
with opened("client", stay_silent, close_timeout=0.1, logger=logger) as websocket:
    holder = threading.Thread(target=hold, args=(websocket,))
    holder.start()
    locked.wait(5)
    child = os.fork()
    if not child:
        signal.alarm(10)  # kills it, should it hang
        websocket.close()
        os.write(1, b"returned")
        os._exit(0)
    os.waitpid(child, 0)
    done.set()
    holder.join(5)
"""


@needs_fork
def test_child_that_was_forked_while_the_mutex_was_held(python):
    # From 3.12 on, Python warns of a fork while other threads run.
    assert python(FORK, "-W", "ignore").stdout == "returned"


# Nothing is cut before.


def test_message_that_is_being_sent_to_a_slow_peer_is_not_cut(done):
    """It arrives whole, and so does the close frame after it."""
    may_read, received = threading.Event(), bytearray()

    def read_when_told(sock):
        may_read.wait(5)
        while len(received) < len(LARGE):
            received.extend(sock.recv(2**20))
        # The rest of the frame's header, of 14 bytes, and the close frame.
        while len(received) < len(LARGE) + 14 + 8:
            received.extend(sock.recv(2**20))
        send_close_frame(sock, mask=False)

    def close():
        wait_until(lambda: is_blocked(websocket))
        closing.start()
        wait_until(lambda: "send_data" in vars(websocket))
        may_read.set()
        closing.join(10)

    with opened_to("client", read_when_told, done, close_timeout=10) as websocket:
        closing = threading.Thread(target=websocket.close)
        outcome = observe(websocket, send_large(websocket), close)
        assert outcome == (None, None)
        assert ended(websocket) == ("CLOSED", 1000)
    assert len(received) == len(LARGE) + 14 + 8


def test_closing_handshake_has_all_of_close_timeout(done):
    """However long another thread has held the mutex: the peer may still be taking a message."""

    def hold_mutex():
        with websocket.protocol_mutex:
            closing.start()
            wait_until(lambda: "send_data" in vars(websocket))
            bounds.append(websocket.send_data)
            free_at.append(time.monotonic())
        closing.join(10)

    bounds, free_at = [], []
    with opened_to("client", read_and_answer, done, close_timeout=10) as websocket:
        closing = threading.Thread(target=websocket.close)
        assert observe(websocket, hold_mutex) == (None, None)
        assert ended(websocket) == ("CLOSED", 1000)
    assert websocket.close_deadline.deadline >= free_at[0] + 10
    assert bounds[0].deadline >= free_at[0] + 10  # for a thread that takes its turn


def test_timer_that_was_put_off(done):
    with opened_to("client", stay_silent, done) as websocket:
        bound = blocked_send.SendingBound(websocket, time.monotonic() + 60)
        bound.shut_down()
        assert bound.timer.is_alive()
        websocket.send("the socket isn't shut down")
        bound.unhook()
        bound.timer.join(5)


def test_threads_that_send_to_a_peer_that_reads(done):
    """A close() that has to wait for its turn is orderly."""

    def send():
        with contextlib.suppress(ConnectionClosed):
            while True:
                websocket.send(bytes(1000))
                sent.set()

    def close():
        sent.wait(5)
        websocket.close()

    sent = threading.Event()
    with opened_to("client", read_and_answer, done, close_timeout=10) as websocket:
        outcome = observe(websocket, send, send, close)
        assert outcome == (None, None)
        assert ended(websocket) == ("CLOSED", 1000)


def read_and_answer(sock):
    """Read as websockets does."""
    protocol = ServerProtocol(state=State.OPEN, max_size=None)
    while not protocol.close_expected():
        protocol.receive_data(sock.recv(2**16))
        protocol.events_received()
    for data in protocol.data_to_send():
        if data:
            sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    stay_silent(sock)


def test_without_close_timeout_it_is_as_before(done, monkeypatch):
    monkeypatch.setattr(waiting, "HANG", 0.5)
    behave = lambda sock: done.wait(5)  # noqa: E731
    with opened_to("client", behave, done, close_timeout=None) as websocket:
        outcome = observe(websocket, send_large(websocket), close_when_blocked(websocket))
    assert type(outcome.caller) is Hangs


# A thread that takes the mutex after close() has looked.


@not_under_wine
def test_thread_that_overtakes_close(done, monkeypatch):
    """It blocks right before close() would take the mutex."""

    def overtake(*args, **kwargs):
        monkeypatch.undo()
        sending.start()
        wait_until(lambda: websocket.protocol_mutex.locked() or raised)
        return send_context(*args, **kwargs)

    def send():
        try:
            websocket.send(LARGE)
        except Exception as exc:
            raised.append(exc)

    raised = []
    sending = threading.Thread(target=send)
    with opened_to("client", lambda sock: done.wait(5), done) as websocket:
        send_context = websocket.send_context
        monkeypatch.setattr(websocket, "send_context", overtake)
        assert observe(websocket, websocket.close) == (None, None)
        assert ended(websocket) == ("CLOSED", 1006)
        sending.join(5)
    assert [type(exc) for exc in raised] == [ConnectionClosedError]


def test_timer_leaves_the_closing_handshake_alone(done):
    """It was started for a thread that overtook close(), and elapses after the close frame."""

    def answer_late(sock):
        sock.recv(100)
        websocket.send_data.deadline = 0
        websocket.send_data.shut_down()
        send_close_frame(sock, mask=False)

    with opened_to("client", answer_late, done, close_timeout=10) as websocket:
        assert observe(websocket, websocket.close) == (None, None)
        assert ended(websocket) == ("CLOSED", 1000)


def test_no_thread_is_to_be_had(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with opened("client", stay_silent) as websocket:
        bound = blocked_send.SendingBound(websocket, time.monotonic())
        monkeypatch.setattr(threading.Thread, "start", refuse)
        bound.start_timer()
        monkeypatch.undo()
        bound.unhook()


# What is hooked on a connection that is ending.


def test_nothing_is_left_and_no_thread_is_started(done, monkeypatch):
    started = []
    with opened_to("client", read_and_answer, done, close_timeout=10) as websocket:
        before = dict(vars(websocket))
        monkeypatch.setattr(threading.Thread, "start", started.append)
        websocket.close()
        monkeypatch.undo()
        assert ended(websocket) == ("CLOSED", 1000)
        assert set(vars(websocket)) == set(before)
    assert started == []


@not_under_wine
def test_two_threads_close(done):
    with opened_to("client", lambda sock: done.wait(5), done) as websocket:
        close = close_when_blocked(websocket)
        outcome = observe(websocket, send_large(websocket), close, close)
        assert type(outcome.caller) is ConnectionClosedError
        assert outcome.reader is None


class Interrupted(Exception):
    """What a signal handler raises."""


@posix
def test_interrupt_while_waiting_leaves_the_mutex_free(done):
    """And closing again ends."""

    def raise_interrupted(*_):
        raise Interrupted

    def interrupt():
        wait_until(lambda: is_blocked(websocket))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    previous = signal.signal(signal.SIGUSR1, raise_interrupted)
    try:
        with opened_to("client", lambda sock: done.wait(5), done) as websocket:
            websocket.close_timeout = 10
            threads = [threading.Thread(target=interrupt)]
            sender = observing.Caller(send_large(websocket))
            sender.start()
            wait_until(lambda: is_blocked(websocket))
            threads[0].start()
            with pytest.raises(Interrupted):
                websocket.close()
            assert "send_data" not in vars(websocket)
            websocket.close_timeout = CLOSE_TIMEOUT
            assert observe(websocket, websocket.close) == (None, None)
            sender.join(5)
            assert type(sender.raised) is ConnectionClosedError
            assert not websocket.protocol_mutex.locked()
    finally:
        signal.signal(signal.SIGUSR1, previous)
        threads[0].join()


def test_interrupt_right_after_the_mutex_was_taken():
    """The first instruction at which a signal handler can run."""

    class Mutex:
        locked = False

        def acquire(self, blocking, timeout):
            self.locked = True
            return True

        def release(self):
            self.locked = False

    def interrupt(frame, event, arg):
        # extend() has returned: CPython runs signal handlers after the call, as it does this.
        if event == "c_return" and arg.__name__ == "extend":
            sys.setprofile(None)
            raise Interrupted

    mutex = Mutex()
    profiling = sys.getprofile()
    try:
        sys.setprofile(interrupt)
        with pytest.raises(Interrupted):
            blocked_send.comes_free(mutex, 1)
    finally:
        sys.setprofile(profiling)
    assert not mutex.locked


@not_under_wine
def test_connection_opened_before_the_shim_was_applied(without_shim, done):
    with opened_to("client", lambda sock: done.wait(5), done) as websocket:
        websockets_closefix.apply()
        outcome = observe(websocket, send_large(websocket), close_when_blocked(websocket))
    assert type(outcome.caller) is ConnectionClosedError
    assert outcome.reader is None
