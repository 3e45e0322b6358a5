"""Taking protocol_mutex: no wait for oneself, none for good, and nothing left locked."""

from __future__ import annotations

import contextlib
import itertools
import linecache
import sys
import threading
from pathlib import Path

import pytest
from websockets.exceptions import InvalidHandshake
from websockets.protocol import State
from websockets.sync.client import connect
from websockets.sync.connection import Connection

import websockets_closefix._fixes
from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import shut_down_and_close, stay_silent
from websockets_closefix._repro.sync.ends import opened, server
from websockets_closefix._repro.sync.observing import observe, reader_exceptions

from ...conftest import bugs_of_the_release, has_bug, needs_alarm, needs_fork

FLAWS_FOLDER = str(Path(websockets_closefix._fixes.__file__).parent)

takes_the_mutex = pytest.mark.skipif(
    not {"sync.close_race", "sync.pending_ping"} & set(bugs_of_the_release()),
    reason="no repair of this release takes the mutex",
)


# Whoever holds it already, further up in the same thread, doesn't wait for itself.


@has_bug("sync.close_race")
@pytest.mark.parametrize("callback", ["process_request", "process_response"])
def test_closing_from_a_callback_of_the_handshake(callback, patient, repairs):
    """These callbacks run while their thread holds the mutex."""
    states, returned = [], threading.Event()

    def close_at_once(connection, *messages):
        connection.close_socket()
        states.append(connection.protocol.state)
        returned.set()

    with server(lambda websocket: None, **{callback: close_at_once}, logger=quiet_logger()) as uri:
        # An empty answer is an OSError or EOFError to a client; InvalidMessage from 15.0 on.
        with pytest.raises((OSError, EOFError, InvalidHandshake)):
            connect(uri)
        assert returned.wait(10)
    assert states == [State.CLOSED]
    assert repairs() == 0


@has_bug("sync.close_race")
def test_home_made_cure_over_ours(patient, repairs):
    """As programs have copied it from the upstream issue, put on after the shim."""
    ours = vars(Connection)["close_socket"]
    original = Connection.close_socket

    def close_socket(self):
        with self.protocol_mutex:
            original(self)

    Connection.close_socket = close_socket
    try:
        with opened("client", stay_silent, close_timeout=0.1) as websocket:
            assert observe(websocket, websocket.close) == (None, None)
            assert websocket.protocol.state is State.CLOSED
    finally:
        Connection.close_socket = ours
    assert repairs() == 0


# A fork leaves behind whoever holds it.

FORK = """
import os, select, signal, threading
import websockets_closefix
from websockets_closefix._repro.peers import stay_silent
from websockets_closefix._repro.sync.ends import opened

locked, done = threading.Event(), threading.Event()

def hold(websocket):
    with websocket.protocol_mutex:
        locked.set()
        done.wait(20)

with opened("client", stay_silent) as websocket:
    holder = threading.Thread(target=hold, args=(websocket,))
    holder.start()
    locked.wait(5)
    child = os.fork()
    if not child:
        signal.alarm(10)  # kills it, should it hang
        websocket.close_socket()
        os.write(1, websocket.protocol.state.name.encode())
        os._exit(0)
    os.waitpid(child, 0)
    done.set()
    holder.join(5)
"""


@needs_fork
@has_bug("sync.close_race")
def test_child_that_was_forked_while_the_mutex_was_held_gets_out(python):
    # From 3.12 on, Python warns of a fork while other threads run.
    result = python(FORK, "-W", "ignore")
    assert result.stdout == "CLOSED"


# An interrupt, which can strike anywhere, leaves it free.


class TimeLimit(Exception):
    """What a signal handler raises."""


class Interrupt:
    """Raises at a line of the wrappers, counting from 1, and remembers whether it did."""

    def __init__(self, at):
        self.lines_to_come = at
        self.struck = False

    def __enter__(self):
        self.tracing = sys.gettrace()
        sys.settrace(self.trace)

    def __exit__(self, *exc_info):
        sys.settrace(self.tracing)

    def trace(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(FLAWS_FOLDER):
            return None
        if event == "line" and can_be_interrupted(frame):
            self.lines_to_come -= 1
            if not self.lines_to_come:
                self.struck = True
                raise TimeLimit
        return self.trace


def can_be_interrupted(frame):
    """
    Tell whether a signal handler may run at a line, and not just a debugger.

    Python runs signal handlers at calls and loops, not at the line of a ``try``, nor between a
    ``with`` block and the call of ``__exit__()``, where a debugger stops too.

    """
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    return not line.startswith(("try:", "with "))


@takes_the_mutex
def test_interrupt_at_any_line_leaves_the_mutex_free():
    for number in itertools.count(1):
        interrupt = Interrupt(at=number)
        with opened("client", stay_silent) as websocket:
            # Inside the parser, where wrappers of Protocol.discard() run, websockets' own code can
            # be interrupted just so; the reader thread then finds a parser that is dead.
            with reader_exceptions(websocket.recv_events_thread):
                with interrupt, contextlib.suppress(TimeLimit):
                    websocket.close_socket()
                shut_down_and_close(websocket.socket)
                websocket.recv_events_thread.join(5)
            assert websocket.protocol_mutex.acquire(timeout=5), f"at line event {number}"
            websocket.protocol_mutex.release()
        if not interrupt.struck:
            break
    assert number > 8


SIGNALS = """
import random, signal
import websockets_closefix
from websockets_closefix._repro.peers import shut_down_and_close, stay_silent
from websockets_closefix._repro.sync.ends import opened

class TimeLimit(Exception):
    pass

def on_alarm(*args):
    raise TimeLimit

signal.signal(signal.SIGALRM, on_alarm)
random.seed(7)
interrupted = stuck = 0
for _ in range(300):
    with opened("client", stay_silent) as websocket:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 3e-4))
            websocket.close_socket()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except TimeLimit:
            interrupted += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        shut_down_and_close(websocket.socket)
        if websocket.protocol_mutex.acquire(timeout=5):
            websocket.protocol_mutex.release()
        else:
            stuck += 1
print(interrupted > 0, stuck)
"""


@needs_alarm
@takes_the_mutex
def test_signal_at_any_moment_leaves_the_mutex_free(python, monkeypatch):
    # What measures coverage keeps locks, too, that a signal handler may leave locked.
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)
    assert python(SIGNALS).stdout.split() == ["True", "0"]
