"""
ConnectionPool: an exception that strikes anywhere costs nothing.

A signal handler can raise between any two bytecodes: a time limit, Ctrl-C. Here a trace function
raises at every line of the application layer that is executed, at one after the other.

"""

from __future__ import annotations

import contextlib
import gc
import logging
import socket
import sys
import threading
import traceback

import pytest

from websockets_closefix.resilience import (
    ConnectionPool,
    PoolTimeout,
    _ending,
    _line,
    _pool,
    _slot,
    _state,
)

from .conftest import serving
from .interrupts import Failure, TimeLimit, signalled, struck
from .test_pool import ask, outlive

ENOUGH = 1000  # lines that one borrower executes

# Of the sockets that server_side leaves to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(_pool, "PING_AFTER", 0)
    monkeypatch.setattr(_pool, "CLOSE_TIMEOUT", 0.5)


def borrow(pool, fails=False):
    with pool.connection() as websocket:
        if fails:
            raise LookupError
        return websocket


def idle(pool):
    borrow(pool)


def fresh(pool):
    pass


def outdated(pool):
    """As many as there may be."""
    with contextlib.ExitStack() as stack:
        websockets = [stack.enter_context(pool.connection()) for _ in range(pool.max_size)]
    for websocket in websockets:
        outlive(pool, websocket)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    ("prepare", "exception"),
    [(fresh, TimeLimit), (fresh, Failure), (idle, TimeLimit), (outdated, TimeLimit)],
)
def test_borrower_interrupted_at_every_line(server_side, quick, prepare, fails, exception):
    uri, connections = server_side
    for at in range(1, ENOUGH):
        with ConnectionPool(uri, max_size=1, compression=None) as pool:
            prepare(pool)
            with struck(at, exception()) as where, contextlib.suppress(exception, LookupError):
                borrow(pool, fails)
            if not where:
                break
            in_another_thread(check_nothing_is_lost, pool, where)
        assert pool.get_stats()["pool_size"] == 0, where
        assert _pool.wait_until(lambda: not connections, 5), where
    assert 30 < at < ENOUGH - 1


def in_another_thread(function, *args):
    """Call a function where a lock that this thread has kept would be missed."""

    def call():
        try:
            function(*args)
        except BaseException as exc:
            raised.append(exc)

    raised = []
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    if thread.is_alive():
        stack = traceback.format_stack(sys._current_frames()[thread.ident])
        pytest.fail(f"{args} hangs:\n{''.join(stack)}")
    assert raised == [], args


def check_nothing_is_lost(pool, where):
    with pool.connection(timeout=3) as websocket:
        assert ask(websocket, "hello") == "hello"
        # Nothing is lent twice, and nobody else has anything.
        assert pool.get_stats()["pool_size"] == 1, where
        with pytest.raises(PoolTimeout):
            pool.connection(timeout=0.001).__enter__()
    assert pool.get_stats()["pool_available"] == 1, where


@pytest.mark.timeout(120)
@pytest.mark.parametrize("prepare", [fresh, idle, outdated])
def test_signal_handler_borrows_at_every_line(server_side, quick, prepare):
    """Neither it nor anybody else waits for whoever was interrupted: he holds no lock."""

    def borrow_twice():
        for _ in range(2):
            with pool.connection(timeout=5) as websocket:
                assert ask(websocket, "hello") == "hello"

    def handler():
        borrow_twice()
        in_another_thread(borrow_twice)

    uri, _ = server_side
    for at in range(1, ENOUGH):
        with ConnectionPool(uri, max_size=2, compression=None) as pool:
            prepare(pool)
            with signalled(at, handler) as where:
                borrow(pool)
            if not where:
                break
            assert pool.get_stats()["requests_errors"] == 0, where
    assert 30 < at < ENOUGH - 1


@contextlib.contextmanager
def struck_quietly(at):
    with contextlib.suppress(TimeLimit, PoolTimeout), struck(at, TimeLimit()) as where:
        yield where


@pytest.mark.timeout(120)
def test_borrower_interrupted_while_he_waits(server_side, quick, monkeypatch):
    """At every line; who comes after him isn't kept waiting."""
    monkeypatch.setattr(_pool, "RECHECK_INTERVAL", 0.01)
    uri, _ = server_side
    for at in range(1, ENOUGH):
        with ConnectionPool(uri, max_size=1, compression=None) as pool:
            with pool.connection(), struck_quietly(at) as where:
                pool.connection(timeout=0.001).__enter__()
            if not where:
                break
            in_another_thread(check_nothing_is_lost, pool, where)
    assert 30 < at < ENOUGH - 1


@pytest.mark.timeout(120)
def test_close_interrupted_at_every_line_is_completed_by_another(server_side, quick):
    uri, connections = server_side
    for at in range(1, ENOUGH):
        pool = ConnectionPool(uri, compression=None)
        with pool.connection(), pool.connection():
            pass
        with struck(at, TimeLimit()) as where, contextlib.suppress(TimeLimit):
            pool.close()
        if not where:
            break
        in_another_thread(pool.close)
        assert pool.get_stats()["pool_size"] == 0, where
        assert _pool.wait_until(lambda: not connections, 5), where
    assert 30 < at < ENOUGH - 1


@pytest.mark.parametrize("prepare", [fresh, idle])
def test_slot_of_a_borrower_who_vanished_is_free_at_the_next_borrow(server_side, quick, prepare):
    """He never got as far as giving it back, not even in part."""
    uri, _ = server_side
    with ConnectionPool(uri, max_size=1) as pool:
        prepare(pool)
        borrower = _line.Borrower()
        lost = pool._serve(borrower, float("inf"))
        del borrower
        gc.collect()  # which PyPy needs
        with pool.connection(timeout=3) as websocket:
            assert websocket is not lost
            assert not lost.recv_events_thread.is_alive()
            assert pool.get_stats()["pool_size"] == 1


def test_no_lock_is_taken_that_an_interruption_could_leave_locked(server_side, monkeypatch):
    """logging.getLogger() has one up to 3.12, for the whole process, and connect() calls it."""

    def refuse(name=None):
        raise AssertionError("another thread would wait for it")

    uri, _ = server_side
    with ConnectionPool(uri) as pool, monkeypatch.context() as patched:
        patched.setattr(logging, "getLogger", refuse)
        borrow(pool)


@pytest.mark.parametrize("exception", [TimeLimit, Failure])
def test_interrupted_while_the_connection_is_made(exception):
    """Its reader thread is running already, and the server never hears of it."""

    def create(sock, protocol, **kwargs):
        made = _slot.ClientConnection(sock, protocol, **kwargs)
        readers.append(made.recv_events_thread)
        raise exception

    readers = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        with ConnectionPool(uri, create_connection=create) as pool, pytest.raises(exception):
            pool.connection().__enter__()
        readers[0].join(5)
        assert not readers[0].is_alive()
        assert pool.get_stats()["pool_size"] == 0


def keep_locked(lock):
    """As a signal handler does that raises between the bytecodes of a with statement."""
    lock.acquire()
    return lock.release


def keep_mutex(websocket):
    return keep_locked(websocket.protocol_mutex)


def keep_mutex_of_messages(websocket):
    return keep_locked(websocket.recv_messages.mutex)


def keep_receiving(websocket):
    """13.1 forgets to say that it doesn't any more."""
    websocket.recv_messages.get_in_progress = True
    return lambda: None


@pytest.mark.parametrize("interrupt", [keep_mutex, keep_mutex_of_messages, keep_receiving])
@pytest.mark.parametrize("unread", [0, 40])
def test_connection_that_an_interrupted_call_has_left_unusable(interrupt, unread):
    """Giving it back takes bounded time, and closes it."""

    def send_many(websocket):
        for message in websocket:
            for number in range(unread):
                websocket.send(f"{message} {number}")

    def borrow():
        with pool.connection() as websocket:
            borrowed.append(websocket)
            websocket.send("question")
            assert _pool.wait_until(lambda: is_not_reading(websocket) or not unread, 5)
            releases.append(interrupt(websocket))
            raise TimeLimit

    borrowed, releases = [], []
    with serving(send_many) as uri, ConnectionPool(uri, max_size=1) as pool:
        in_another_thread(pytest.raises, TimeLimit, borrow)
        assert pool.get_stats()["pool_size"] == 0
        assert _pool.wait_until(lambda: borrowed[0].socket.fileno() == -1, 5)
        # Nobody would do this in real life, where a daemon thread stays behind.
        releases[0]()
        _ending.drop_unread(borrowed[0], 5)
        borrowed[0].recv_events_thread.join(5)
        assert not borrowed[0].recv_events_thread.is_alive()


def is_not_reading(websocket):
    return not _state.is_reading(websocket)
