"""Closing isn't held up by messages that nobody fetches, and none is lost that wasn't before."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.frames import Close, Frame, Opcode

import websockets_closefix
from websockets_closefix import _detect
from websockets_closefix._fixes.sync import unread
from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import messages, silent_client, stay_silent
from websockets_closefix._repro.scenario import SIDES
from websockets_closefix._repro.sync.ends import opened, server
from websockets_closefix._repro.sync.observing import is_unread, is_waiting_for_recv, observe
from websockets_closefix._repro.sync.unread import (
    MORE_THAN_MAX_QUEUE,
    answer_close_frame,
    send_close_frame,
)
from websockets_closefix._repro.waiting import wait_until

from ...conftest import installed_release

RELEASE = _detect.release(installed_release())
has_queue = pytest.mark.skipif(RELEASE < (14, 0), reason="this release takes one message in")
has_none = pytest.mark.skipif(RELEASE >= (14, 0), reason="this release takes messages in")

COUNT = 200

either_side = pytest.mark.parametrize("side", SIDES)


def numbered(count, *, mask, fragmented=False):
    """Return messages that can be told from each other, whole or in three fragments."""
    frames = []
    for number in range(count):
        data = str(number).encode()
        if fragmented:
            frames += [
                Frame(Opcode.TEXT, data, fin=False),
                Frame(Opcode.CONT, b"", fin=False),
                Frame(Opcode.CONT, b"", fin=True),
            ]
        else:
            frames.append(Frame(Opcode.TEXT, data))
    return b"".join(frame.serialize(mask=mask) for frame in frames)


def sender(side, count=COUNT, *, fragmented=False):
    """Return a peer that sends messages, then answers the close frame at once."""

    def behave(sock):
        mask = side == "server"
        sock.sendall(numbered(count, mask=mask, fragmented=fragmented))
        answer_close_frame(sock, mask=mask)

    return behave


@pytest.fixture
def hurried(monkeypatch):
    """Have messages that nobody fetches dropped sooner, up to 13.1."""
    monkeypatch.setattr(unread, "PATIENCE", 0.05)


@pytest.fixture
def patient(monkeypatch):
    """Have the reader thread wait for a fetch longer than any test takes, up to 13.1."""
    monkeypatch.setattr(unread, "PATIENCE", 30)


def ended(websocket):
    """Return how a connection ended."""
    return websocket.protocol.state.name, websocket.protocol.close_code


def close_with_unread(side, act=None, **kwargs):
    """Close while messages are unread, and return the connection."""
    with opened(side, sender(side), **{"close_timeout": 10, **kwargs}) as websocket:
        wait_until(lambda: is_waiting_for_recv(websocket))
        outcome = observe(websocket, *([act(websocket)] if act else [websocket.close]))
        assert outcome == (None, None)
    return websocket


# How long it takes, and what it ends in.


@either_side
def test_all_of_close_timeout_is_taken_without_the_shim(side, without_shim):
    if RELEASE in ((11, 0), (11, 0, 1), (14, 0), (14, 1)):
        pytest.skip("it hangs for good: see test_contract.py")
    assert ended(close_with_unread(side, close_timeout=0.2)) == ("CLOSED", 1006)


@either_side
def test_close(side, hurried):
    assert ended(close_with_unread(side)) == ("CLOSED", 1000)


def test_with_block(hurried):
    def leave(websocket):
        def act():
            with websocket:
                pass

        return act

    assert ended(close_with_unread("client", leave)) == ("CLOSED", 1000)


def test_exception_in_a_with_block(hurried):
    def leave(websocket):
        def act():
            with pytest.raises(LookupError), websocket:
                raise LookupError

        return act

    websocket = close_with_unread("client", leave)
    assert websocket.protocol.close_sent.code == 1011
    assert websocket.protocol.close_rcvd.code == 1000


def test_stream_that_goes_on_until_it_sees_the_close_frame(hurried):
    def stream(sock):
        closing = False
        sock.setblocking(False)
        while not closing:
            with contextlib.suppress(BlockingIOError):
                closing = sock.recv(65536)
            with contextlib.suppress(BlockingIOError):
                sock.send(message)  # all of it, or nothing
        sock.settimeout(5)
        send_close_frame(sock, mask=False)

    message = messages(1, mask=False)
    with opened("client", stream, close_timeout=10) as websocket:
        websocket.recv()
        wait_until(lambda: is_waiting_for_recv(websocket))
        assert observe(websocket, websocket.close) == (None, None)
    assert ended(websocket) == ("CLOSED", 1000)


def test_message_that_comes_after_the_close_frame(hurried):
    """Up to 13.1, the reader thread isn't waiting for a fetch yet when close() is called."""

    def behave(sock):
        sock.recv(65536)
        sock.sendall(messages(MORE_THAN_MAX_QUEUE, mask=False))
        send_close_frame(sock, mask=False)

    with opened("client", behave, close_timeout=10) as websocket:
        observe(websocket, websocket.close)
    assert ended(websocket) == ("CLOSED", 1000)


def test_peer_that_closes_first(hurried):
    """Its close frame has been taken in with a message, and answered; the stream hasn't ended."""

    is_open = threading.Event()

    def behave(sock):
        is_open.wait(5)
        close_frame = Frame(Opcode.CLOSE, Close(1000, "").serialize())
        sock.sendall(numbered(COUNT, mask=False) + close_frame.serialize(mask=False))
        sock.shutdown(socket.SHUT_WR)
        stay_silent(sock)

    with opened("client", behave, close_timeout=10) as websocket:
        is_open.set()
        wait_until(lambda: websocket.protocol.state.name != "OPEN")
        assert observe(websocket, websocket.close) == (None, None)
    assert ended(websocket) == ("CLOSED", 1000)


def test_silent_peer_is_given_up_after_close_timeout(hurried):
    def behave(sock):
        sock.sendall(numbered(COUNT, mask=False))
        stay_silent(sock)

    with opened("client", behave, close_timeout=0.2) as websocket:
        wait_until(lambda: is_waiting_for_recv(websocket))
        assert observe(websocket, websocket.close) == (None, None)
        websocket.recv_events_thread.join(5)
    assert ended(websocket) == ("CLOSED", 1006)


def test_handler_that_returns_with_messages_unread(hurried):
    closed = []

    def handle(websocket):
        closed.append(websocket)
        wait_until(lambda: is_waiting_for_recv(websocket))

    serving = server(handle, close_timeout=10, logger=quiet_logger())
    with serving as uri, silent_client(uri) as sock:
        sock.sendall(numbered(COUNT, mask=True))
        answer_close_frame(sock, mask=True)
        wait_until(lambda: closed and ended(closed[0]) == ("CLOSED", 1000))


# Nothing is lost.


def receive(websocket, pause):
    while True:
        message = websocket.recv()
        pause()
        yield message


def iterate(websocket, pause):
    for message in websocket:
        pause()
        yield message
    websocket.recv()


def stream(websocket, pause):
    while True:
        fragments = []
        for fragment in websocket.recv_streaming():
            fragments.append(fragment)
            pause()
        yield "".join(fragments)


@pytest.mark.parametrize("consume", [receive, iterate, stream])
@pytest.mark.parametrize("fragmented", [False, True])
@either_side
def test_thread_that_is_slow_gets_every_message(side, fragmented, consume, patient):
    """From 14.0 on, so slow that it goes on only when the connection has ended."""
    got = []
    first = threading.Event()
    closed = threading.Event()

    def pause():
        first.set()
        if RELEASE >= (14, 0):
            closed.wait(5)

    def consume_one_by_one():
        with contextlib.suppress(ConnectionClosedOK):
            for message in consume(websocket, pause):
                got.append(message)

    def close():
        first.wait(5)
        websocket.close()
        closed.set()

    peer = sender(side, fragmented=fragmented)
    with opened(side, peer, close_timeout=10) as websocket:
        assert observe(websocket, consume_one_by_one, close) == (None, None)
    assert got == [str(number) for number in range(COUNT)]
    assert ended(websocket) == ("CLOSED", 1000)


@has_none
def test_thread_that_takes_its_time_for_a_fragmented_message(hurried, monkeypatch):
    """It is fetching all the time, however long no message is fetched to its end."""
    got = []
    first, dropped = threading.Event(), threading.Event()
    original = unread.Patience.drop

    def drop(patience, chunks):
        original(patience, chunks)
        if first.is_set():
            dropped.set()

    monkeypatch.setattr(unread.Patience, "drop", drop)

    def consume():
        with contextlib.suppress(ConnectionClosedOK):
            while True:
                for fragment in websocket.recv_streaming():
                    first.set()
                    if not got:
                        dropped.wait(5)
                        monkeypatch.setattr(unread, "PATIENCE", 30)
                    got.append(fragment)

    def close():
        first.wait(5)
        websocket.close()

    with opened("client", sender("client", 3, fragmented=True), close_timeout=10) as websocket:
        wait_until(lambda: is_waiting_for_recv(websocket))
        assert observe(websocket, consume, close) == (None, None)
    assert dropped.is_set()
    assert [fragment for fragment in got if fragment] == ["0", "1", "2"]


@has_queue
@either_side
def test_what_is_unread_can_be_fetched_afterwards(side):
    got = list(close_with_unread(side))
    assert got == [str(number) for number in range(COUNT)]


@has_none
def test_after_a_second_in_which_nobody_fetches_the_rest_is_dropped(hurried):
    websocket = close_with_unread("client")
    with pytest.raises(ConnectionClosedOK):
        websocket.recv(timeout=5)


def test_unread_dropped_needs_not_be_on(python):
    """On 14.0, the fix of that bug may be skipped."""
    result = python(
        "from tests.fixes.sync import test_unread\n"
        "from websockets_closefix._repro.sync.ends import opened\n"
        "import threading\n"
        "with opened('client', test_unread.sender('client'), close_timeout=10) as websocket:\n"
        "    received = [websocket.recv()]\n"
        "    thread = threading.Thread(target=websocket.close)\n"
        "    thread.start()\n"
        "    received.extend(websocket)\n"
        "    thread.join()\n"
        "print(len(received))\n",
        WEBSOCKETS_CLOSEFIX_SKIP="sync.unread_dropped",
    )
    assert result.stdout.split() == [str(COUNT)]


# The limit.


@has_queue
def test_beyond_the_limit_max_queue_holds_again(monkeypatch):
    """What doesn't fit is taken in as it is fetched, and nothing is lost."""
    monkeypatch.setattr(unread, "LIMIT", 0)
    monkeypatch.setattr(unread, "FRAME_SIZE", 0)
    got = []
    closing = threading.Event()

    def behave(sock):
        sock.sendall(numbered(17, mask=False))
        closing.wait(5)
        sock.recv(65536)
        sock.sendall(numbered(COUNT, mask=False))
        send_close_frame(sock, mask=False)

    def close():
        closing.set()
        websocket.close()

    def consume():
        closing.wait(5)
        wait_until(lambda: websocket.recv_messages.frames.qsize() > 17)
        wait_until(lambda: websocket.recv_messages.paused)
        got.extend(websocket)

    with opened("client", behave, close_timeout=10) as websocket:
        wait_until(lambda: websocket.recv_messages.paused)
        assert observe(websocket, close, consume) == (None, None)
    assert len(got) == 17 + COUNT
    assert ended(websocket) == ("CLOSED", 1000)


@has_queue
def test_the_limit_counts_bytes_and_frames():
    class Queue:
        high, low, paused, mutex = 16, 4, False, threading.Lock()
        taken_in = 0

        def put(self, frame):
            self.taken_in += 1

        def close(self):
            pass

        def get_next_frame(self):
            return self.closed

    large, empty = Frame(Opcode.BINARY, bytes(2**20)), Frame(Opcode.BINARY, b"")
    for frame, fit_in in ((large, 15), (empty, unread.LIMIT // unread.FRAME_SIZE)):
        queue = Queue()
        unread.lift_limit(queue)
        for _ in range(fit_in):
            queue.put(frame)
        assert queue.high == sys.maxsize
        queue.put(frame)
        assert queue.high == 16
        assert queue.taken_in == fit_in + 1


@pytest.mark.skipif(RELEASE < (14, 1), reason="this release has a limit in any case")
def test_without_a_limit():
    with opened("client", sender("client"), close_timeout=10, max_queue=None) as websocket:
        wait_until(lambda: is_unread(websocket, COUNT))
        assert observe(websocket, websocket.close) == (None, None)
    assert ended(websocket) == ("CLOSED", 1000)


def test_thread_beside_the_reader_that_comes_when_the_message_is_fetched(patient):
    """Up to 13.1: the reader thread has cleared the event already."""

    class Messages:
        closed = False
        message_fetched = threading.Event()
        chunks = object()  # another message

    waiting = unread.Patience(Messages())
    thread = threading.Thread(
        target=waiting.wait_beside_the_reader, args=[["fetched"]], daemon=True
    )
    thread.start()
    thread.join(2)
    assert not thread.is_alive()


@has_none
def test_no_thread_is_started_for_a_message_that_has_been_fetched(monkeypatch):
    """Though the reader thread, which is about to go on, says that it is still at it."""
    started = []
    with opened("client", sender("client", 1), close_timeout=10) as websocket:
        wait_until(lambda: is_waiting_for_recv(websocket))
        messages = websocket.recv_messages
        with messages.mutex, monkeypatch.context() as patch:  # keeps the reader thread from it
            messages.message_fetched.set()
            patch.setattr(threading.Thread, "start", started.append)
            unread.drop_what_nobody_fetches(messages)
        assert observe(websocket, websocket.close) == (None, None)
    assert ended(websocket) == ("CLOSED", 1000)
    assert not started


# What is hooked on a connection that is ending.


def test_close_twice_at_once(hurried):
    with opened("client", sender("client"), close_timeout=10) as websocket:
        wait_until(lambda: is_waiting_for_recv(websocket))
        outcome = observe(websocket, websocket.close, websocket.close)
        assert outcome == (None, None)
    assert ended(websocket) == ("CLOSED", 1000)


@has_queue
def test_attribute_of_somebody_else_is_called_and_stays():
    """A tool counts what a connection receives."""
    frames = []

    def count(frame):
        frames.append(frame)
        put(frame)

    def send_on(sock):
        sock.sendall(numbered(COUNT, mask=False))
        sock.recv(100)  # the close frame
        sock.sendall(numbered(1, mask=False))
        send_close_frame(sock, mask=False)

    with opened("client", send_on, close_timeout=10) as websocket:
        wait_until(lambda: is_unread(websocket, COUNT))
        put, websocket.recv_messages.put = websocket.recv_messages.put, count
        assert observe(websocket, websocket.close) == (None, None)
    assert len(frames) == 1
    stays = websocket.recv_messages.put
    assert stays is count or count in stays.args  # sync.late_messages may be on top, and calls it


def test_close_again_after_an_interrupt(hurried, monkeypatch):
    with opened("client", sender("client"), close_timeout=10) as websocket:
        wait_until(lambda: is_waiting_for_recv(websocket))
        hooked = set(vars(websocket.recv_messages))

        def interrupted(*args):
            monkeypatch.undo()
            monkeypatch.setattr(unread, "PATIENCE", 0.05)
            raise KeyboardInterrupt

        monkeypatch.setattr(websocket.protocol, "send_close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            websocket.close()
        if RELEASE >= (14, 1):
            hooked.add("put")  # that of sync.late_messages stays
            assert set(vars(websocket.recv_messages)) == hooked
            assert websocket.recv_messages.high == 16
        assert observe(websocket, websocket.close) == (None, None)
    assert ended(websocket) == ("CLOSED", 1000)


@has_queue
def test_closing_above_a_get_that_holds_the_mutex_of_the_queue(monkeypatch):
    """As a signal handler does."""
    monkeypatch.setattr(unread, "GET_TIMEOUT", 0.05)
    with opened("client", sender("client"), close_timeout=10) as websocket:
        wait_until(lambda: websocket.recv_messages.paused)
        with websocket.recv_messages.mutex:
            unread.resume(websocket.recv_messages)
        assert websocket.recv_messages.paused
        assert observe(websocket, websocket.close) == (None, None)


@has_none
def test_no_thread_is_to_be_had(hurried, monkeypatch):
    """It is as without the fix."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    def close():
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            websocket.close()

    with opened("client", sender("client"), close_timeout=0.3) as websocket:
        wait_until(lambda: is_waiting_for_recv(websocket))
        assert observe(websocket, close) == (None, None)
    assert ended(websocket) == ("CLOSED", 1006)


def test_taken_off_while_a_connection_is_closing(hurried):
    """What is hooked on the connection goes on until it has ended."""

    def behave(sock):
        sock.sendall(numbered(COUNT, mask=False))
        sock.recv(65536)
        websockets_closefix.unapply()
        sock.sendall(numbered(COUNT, mask=False))
        send_close_frame(sock, mask=False)

    with opened("client", behave, close_timeout=10) as websocket:
        wait_until(lambda: is_waiting_for_recv(websocket))
        assert observe(websocket, websocket.close) == (None, None)
    assert ended(websocket) == ("CLOSED", 1000)


def test_connection_opened_before_the_shim_was_applied(without_shim, hurried):
    with opened("client", sender("client"), close_timeout=10) as websocket:
        wait_until(lambda: is_waiting_for_recv(websocket))
        websockets_closefix.apply()
        assert observe(websocket, websocket.close) == (None, None)
    assert ended(websocket) == ("CLOSED", 1000)


def test_closing_what_is_closed(hurried):
    websocket = close_with_unread("client")
    websocket.close()
    assert ended(websocket) == ("CLOSED", 1000)
    with pytest.raises(ConnectionClosed):
        websocket.send("too late")
