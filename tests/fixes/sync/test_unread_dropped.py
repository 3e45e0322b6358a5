"""What was received before the connection ended can be fetched, as on 14.1."""

from __future__ import annotations

import threading

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Frame, Opcode

from websockets_closefix import _detect
from websockets_closefix._repro.peers import messages, reset_on_close, stay_silent
from websockets_closefix._repro.sync.ends import opened
from websockets_closefix._repro.sync.observing import observe
from websockets_closefix._repro.sync.unread import send_close_frame
from websockets_closefix._repro.waiting import wait_until

from ...conftest import has_bug, installed_release, reset_is_remembered

# The reference is every later release.
pytestmark = pytest.mark.skipif(
    _detect.release(installed_release()) < (14, 0), reason="this release takes one message in"
)

COUNT = 10


def send_messages_then_close(sock):
    sock.sendall(messages(COUNT, mask=False))
    send_close_frame(sock, mask=False)


def has_ended(websocket):
    websocket.recv_events_thread.join(5)
    return not websocket.recv_events_thread.is_alive()


def test_recv():
    with opened("client", send_messages_then_close) as websocket:
        assert has_ended(websocket)
        assert [websocket.recv(timeout=5) for _ in range(COUNT)] == ["tick"] * COUNT
        for _ in range(2):
            with pytest.raises(ConnectionClosedOK):
                websocket.recv(timeout=5)


def test_iteration():
    with opened("client", send_messages_then_close) as websocket:
        assert has_ended(websocket)
        assert list(websocket) == ["tick"] * COUNT
        assert list(websocket) == []


def test_streaming():
    with opened("client", send_messages_then_close) as websocket:
        assert has_ended(websocket)
        for _ in range(COUNT):
            assert list(websocket.recv_streaming()) == ["tick"]
        with pytest.raises(ConnectionClosedOK):
            list(websocket.recv_streaming())


@has_bug("sync.unread_dropped")
def test_what_follows_is_as_on_14_0():
    """Later releases raise ConcurrencyError, once recv_streaming() has met the end."""
    with opened("client", send_messages_then_close) as websocket:
        assert has_ended(websocket)
        for _ in range(COUNT):
            list(websocket.recv_streaming())
        for receive in (websocket.recv_streaming, websocket.recv):
            for _ in range(2):
                with pytest.raises(ConnectionClosedOK):
                    list(receive())
        assert websocket.recv_messages.closed


def test_message_that_was_cut_is_lost():
    """And nothing that comes before it."""

    def behave(sock):
        frames = [Frame(Opcode.TEXT, b"whole"), Frame(Opcode.TEXT, b"cut", fin=False)]
        sock.sendall(b"".join(frame.serialize(mask=False) for frame in frames))
        send_close_frame(sock, mask=False)

    with opened("client", behave) as websocket:
        assert has_ended(websocket)
        assert websocket.recv(timeout=5) == "whole"
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=5)


def test_thread_that_waits_is_woken():
    raised = []

    def receive():
        try:
            websocket.recv()
        except Exception as exc:
            raised.append(exc)

    with opened("client", stay_silent, close_timeout=0.1) as websocket:
        thread = threading.Thread(target=receive)
        thread.start()
        wait_until(lambda: websocket.recv_messages.get_in_progress)
        assert observe(websocket, websocket.close) == (None, None)
        thread.join(5)
    assert [type(exc) for exc in raised] == [ConnectionClosedError]


@reset_is_remembered
def test_reset():
    def behave(sock):
        sock.sendall(messages(COUNT, mask=False))
        received.wait(5)
        reset_on_close(sock)

    received = threading.Event()
    with opened("client", behave) as websocket:
        wait_until(lambda: websocket.recv_messages.frames.qsize() == COUNT)
        received.set()
        assert has_ended(websocket)
        assert [websocket.recv(timeout=5) for _ in range(COUNT)] == ["tick"] * COUNT
        with pytest.raises(ConnectionClosedError) as raised:
            websocket.recv(timeout=5)
    assert type(raised.value.__cause__) is ConnectionResetError


@has_bug("sync.unread_dropped")
def test_thread_about_to_enter_get_as_the_queue_is_closed():
    """It has looked up get(), and is overtaken before it asks whether the queue is closed."""
    with opened("client", send_messages_then_close) as websocket:
        get = websocket.recv_messages.get
        assert has_ended(websocket)
        assert [get() for _ in range(COUNT)] == ["tick"] * COUNT
        with pytest.raises(EOFError):
            get()


@has_bug("sync.unread_dropped")
def test_message_in_hand_as_another_thread_closes():
    """The reader thread has a frame to put into a queue that is full, and has just been closed."""
    with opened("client", stay_silent, max_queue=1, close_timeout=0.1) as websocket:
        queue = websocket.recv_messages
        for data in (b"1", b"2"):
            queue.put(Frame(Opcode.TEXT, data))
        assert queue.paused
        queue.close()
        assert not queue.paused
        queue.put(Frame(Opcode.TEXT, b"3"))
        assert not queue.paused
        assert [queue.get() for _ in range(3)] == ["1", "2", "3"]
        with pytest.raises(EOFError):
            queue.get()
        with pytest.raises(EOFError):
            queue.put(Frame(Opcode.TEXT, b"4"))
        queue.close()
