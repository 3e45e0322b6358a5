"""The reader thread waits until __init__ has got where the thread's error can be kept."""

from __future__ import annotations

import socket
import threading

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.sync.client import ClientConnection

from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import reset_on_close, stay_silent
from websockets_closefix._repro.sync.ends import open_connection, opened
from websockets_closefix._repro.sync.observing import observe
from websockets_closefix._repro.sync.reader_start import SlowToInit

from ...conftest import has_bug

pytestmark = has_bug("sync.reader_start")


class Overtaken(SlowToInit, ClientConnection):
    """Remembers the instance, which connect() doesn't return when it fails."""

    def __init__(self, *args, **kwargs):
        type(self).instance = self
        super().__init__(*args, **kwargs)

    @property
    def cause(self):
        """What came of the reader thread's error; recv_events_exc is its name up to 12.0."""
        return vars(self).get("recv_exc", vars(self).get("recv_events_exc"))


class Interrupted(Overtaken):
    """Never gets to the line that the reader thread waits for."""

    def __setattr__(self, name, value):
        if name in ("recv_exc", "recv_events_exc") and not in_reader_thread(self):
            self.recv_events_thread.join(5)
            raise LookupError("interrupted")
        super().__setattr__(name, value)


def in_reader_thread(connection):
    return threading.current_thread() is connection.recv_events_thread


def connect_to_reset(connection_class):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        peer = listener.accept()[0]
        reset_on_close(peer)
        peer.close()
        open_connection(
            "ws://127.0.0.1", sock=sock, create_connection=connection_class, logger=quiet_logger()
        )


def test_error_is_kept_for_connection_closed():
    with pytest.raises((ConnectionClosed, OSError)):
        connect_to_reset(Overtaken)
    websocket = Overtaken.instance
    websocket.recv_events_thread.join(5)
    assert type(websocket.cause) is ConnectionResetError
    assert websocket.protocol.state is State.CLOSED
    with pytest.raises(ConnectionClosed) as raised:
        websocket.recv()
    assert raised.value.__cause__ is websocket.cause


def test_init_that_was_interrupted_is_given_up(monkeypatch):
    """The reader thread ends, with its error noted, though nobody has the connection."""
    from websockets_closefix._fixes.sync import reader_start

    monkeypatch.setattr(reader_start, "INIT_TIMEOUT", 0.05)
    with pytest.raises(LookupError, match="interrupted"):
        connect_to_reset(Interrupted)
    websocket = Interrupted.instance
    assert not websocket.recv_events_thread.is_alive()
    assert type(websocket.cause) is ConnectionResetError
    assert websocket.protocol.state is State.CLOSED


def test_first_error_stays():
    """As websockets has it: what is noted first tells why the connection was lost."""
    with opened("client", stay_silent, close_timeout=0.1) as websocket:
        first = OSError("first")
        note = getattr(websocket, "set_recv_exc", None) or websocket.set_recv_events_exc
        with websocket.protocol_mutex:
            note(first)
            note(OSError("second"))
        assert observe(websocket, websocket.close) == (None, None)
        with pytest.raises(ConnectionClosed) as raised:
            websocket.recv()
    assert raised.value.__cause__ is first
