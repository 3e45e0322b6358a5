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
import zlib

import pytest
from websockets.sync.client import ClientConnection

from websockets_closefix.resilience import ConnectionPool, PoolClosed, PoolTimeout

from ..conftest import collect_what_nobody_counts
from .interrupts import Failure, TimeLimit, signalled, struck
from .peers import has_unread, is_paused, serving, wait_until
from .test_pool import ask
from .test_pool_health import pings_pending

ENOUGH = 1000  # lines that one borrower executes

# Of the sockets that server_side leaves to the garbage collector.
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture
def quick(set_constants):
    set_constants(PING_AFTER=0, CLOSE_TIMEOUT=0.2, POLL_INTERVAL=0.001)


def borrow(pool, leave=lambda websocket: None):
    with pool.connection() as websocket:
        leave(websocket)


def in_order(websocket):
    pass


def with_an_exception(websocket):
    raise LookupError


def unread(websocket):
    websocket.send("hello")
    wait_until(lambda: has_unread(websocket))


def idle(pool, clock):
    borrow(pool)


def fresh(pool, clock):
    pass


def outdated(pool, clock):
    """As many as there may be."""
    with contextlib.ExitStack() as stack:
        for _ in range(pool.max_size):
            stack.enter_context(pool.connection())
    clock.advance(pool.max_lifetime)


@pytest.fixture
def at_every_line(request):
    """
    Call a test with the numbers of lines, until it returns that there's no such line.

    With those of a third of them, unless nox asks for all: each test has another third.

    """

    def call(test, step=1, at_least=30):
        first = 1
        if not request.config.getoption("exhaustive"):
            first += zlib.crc32(request.node.name.encode()) % 3
            step *= 3
        for at in range(first, ENOUGH, step):
            if not test(at):
                break
        assert at_least < at < ENOUGH - step

    return call


# How a connection is had and how it's given back are lines of their own: each is there once.
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("prepare", "leave", "exception"),
    [
        (fresh, in_order, TimeLimit),
        (fresh, in_order, Failure),
        (idle, with_an_exception, TimeLimit),
        (idle, unread, TimeLimit),
        (outdated, in_order, TimeLimit),
    ],
)
def test_borrower_interrupted(
    server_side, quick, clock, prepare, leave, exception, times, at_every_line
):
    """Once, or twice, which leaves it no chance to give anything back."""

    def interrupt(at):
        with ConnectionPool(uri, max_size=1, compression=None) as pool:
            prepare(pool, clock)
            kept = None
            with struck(at, exception, times) as where:
                try:
                    borrow(pool, leave)
                except (exception, LookupError) as exc:
                    kept = exc if times == 1 else None  # with its frames
            if where:
                if times == 2:
                    # Twice in its last two lines: from 3.12 on, the exception is in a cycle then.
                    gc.collect()
                in_another_thread(check_nothing_is_lost, pool, where)
            del kept
        assert pool.get_stats()["pool_size"] == 0, where
        wait_until(lambda: not connections, where)
        return where

    uri, connections = server_side
    # The second time is at the next call, which is the same for several lines in a row.
    at_every_line(interrupt, step=1 if times == 1 else 3)


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
        # Nothing is lent twice, and no other borrower has anything.
        assert pool.get_stats()["pool_size"] == 1, where
        with pytest.raises(PoolTimeout):
            pool.connection(timeout=0.001).__enter__()
    assert pool.get_stats()["pool_available"] == 1, where
    assert pool.get_stats()["requests_waiting"] == 0, where


@pytest.mark.parametrize("prepare", [fresh, idle, outdated])
def test_signal_handler_borrows(server_side, quick, clock, prepare, at_every_line):
    """Neither it nor another thread waits for the thread that is interrupted: it holds no lock."""

    def borrow_twice():
        for _ in range(2):
            with pool.connection(timeout=5) as websocket:
                assert ask(websocket, "hello") == "hello"

    def handler():
        borrow_twice()
        in_another_thread(borrow_twice)

    def interrupt(at):
        nonlocal pool
        with ConnectionPool(uri, max_size=2, compression=None) as pool:
            prepare(pool, clock)
            with signalled(at, handler) as where:
                borrow(pool)
            assert pool.get_stats()["requests_errors"] == 0, where
        return where

    uri, _ = server_side
    pool = None
    at_every_line(interrupt, step=3 if prepare is outdated else 1)  # most lines are those of idle


@pytest.mark.parametrize("prepare", [fresh, idle])
def test_another_borrows_at_the_same_time(server_side, quick, clock, prepare, at_every_line):
    """And goes on using its connection: it isn't the same one."""

    def overtake():
        manager = pool.connection(timeout=5)
        borrowed.append((manager, manager.__enter__()))

    def interrupt(at):
        nonlocal pool
        with ConnectionPool(uri, max_size=2, compression=None) as pool:
            prepare(pool, clock)
            strike = signalled(at, lambda: in_another_thread(overtake))
            with strike as where, pool.connection() as websocket:
                assert ask(websocket, "one") == "one"
                for _, other in borrowed:
                    assert other is not websocket, where
                    assert ask(other, "two") == "two"
                    assert pool.get_stats()["pool_size"] == 2, where
            while borrowed:
                borrowed.pop()[0].__exit__(None, None, None)
        return where

    uri, _ = server_side
    pool, borrowed = None, []
    at_every_line(interrupt)


@pytest.mark.parametrize("leave", [in_order, with_an_exception])
def test_interrupted_when_another_has_just_got_the_slot(server_side, quick, leave, at_every_line):
    """What the one that is interrupted does afterwards doesn't disturb the other."""

    def overtake():
        manager = pool.connection(timeout=0.001)
        with contextlib.suppress(PoolTimeout):
            borrowed.append((manager, manager.__enter__()))

    def overtake_and_raise():
        in_another_thread(overtake)
        raise TimeLimit

    def interrupt(at):
        nonlocal pool
        with ConnectionPool(uri, max_size=1, compression=None) as pool:
            borrow(pool)
            strike = signalled(at, overtake_and_raise)
            with strike as where, contextlib.suppress(TimeLimit, LookupError):
                borrow(pool, leave)
            while borrowed:
                manager, websocket = borrowed.pop()
                assert ask(websocket, "hello") == "hello", where
                manager.__exit__(None, None, None)
            in_another_thread(check_nothing_is_lost, pool, where)
        return where

    uri, _ = server_side
    pool, borrowed = None, []
    at_every_line(interrupt, step=2 if leave is with_an_exception else 1)


@pytest.mark.parametrize("lines_ahead", [30, 50])
def test_two_find_the_same_slot(server_side, quick, lines_ahead, at_every_line):
    """One overtakes the other by some lines, and only one of them gets it."""

    def leave_a_ping():
        """Have a connection asked by a borrower that has no time to wait for the pong."""
        pong = threading.Event()
        with pool.connection() as websocket:
            websocket.ping = lambda: pong
        with contextlib.suppress(PoolTimeout), pool.connection(timeout=0.001):
            pass
        pong.set()
        wait_until(lambda: not pings_pending())

    def borrow_and_stop(at):
        manager = pool.connection(timeout=5)
        with signalled(at + lines_ahead, stop):
            borrowed.append((manager, manager.__enter__()))
        stopped.set()

    def stop():
        stopped.set()
        resumed.wait(5)

    def interrupt(at):
        nonlocal pool
        stopped.clear()
        resumed.clear()
        other = threading.Thread(target=borrow_and_stop, args=(at,))

        def overtake():
            other.start()
            assert stopped.wait(5)

        with ConnectionPool(uri, max_size=2, compression=None) as pool:
            leave_a_ping()
            with signalled(at, overtake) as where, pool.connection(timeout=5) as websocket:
                resumed.set()
                if where:
                    other.join(5)
                    assert [each for _, each in borrowed if each is not websocket], where
            while borrowed:
                borrowed.pop()[0].__exit__(None, None, None)
        return where and at < 100

    uri, _ = server_side
    pool, borrowed, stopped, resumed = None, [], threading.Event(), threading.Event()
    at_every_line(interrupt)


@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_while_it_waits(server_side, quick, set_constants, times, at_every_line):
    """The next one isn't kept waiting."""

    def interrupt(at):
        with ConnectionPool(uri, max_size=1, compression=None) as pool:
            strike = struck(at, TimeLimit, times)
            with pool.connection(), contextlib.suppress(TimeLimit, PoolTimeout), strike as where:
                pool.connection(timeout=0.001).__enter__()
            collect_what_nobody_counts()
            if where:
                in_another_thread(check_nothing_is_lost, pool, where)
        return where

    set_constants(RECHECK_INTERVAL=0.01)
    uri, _ = server_side
    at_every_line(interrupt)


@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_while_another_waits(server_side, quick, set_constants, times, at_every_line):
    """Which isn't called then, and has to look for itself."""

    def wait():
        with pool.connection(timeout=10) as websocket:
            assert ask(websocket, "hello") == "hello"

    def interrupt(at):
        nonlocal pool
        with ConnectionPool(uri, max_size=1, compression=None) as pool:
            borrowed = pool.connection()
            borrowed.__enter__()
            waiting = threading.Thread(target=wait, daemon=True)
            waiting.start()
            wait_until(lambda: pool.get_stats()["requests_waiting"])
            with struck(at, TimeLimit, times) as where, contextlib.suppress(TimeLimit):
                borrowed.__exit__(None, None, None)
            del borrowed
            collect_what_nobody_counts()
            waiting.join(8)
            assert not waiting.is_alive(), where
            assert pool.get_stats()["requests_errors"] == 0, where
        return where

    set_constants(RECHECK_INTERVAL=0.01)
    uri, _ = server_side
    pool = None
    at_every_line(interrupt, at_least=10)


def test_close_is_interrupted_and_completed_by_another(server_side, quick, at_every_line):
    def interrupt(at):
        pool = ConnectionPool(uri, compression=None)
        with pool.connection(), pool.connection():
            pass
        with struck(at, TimeLimit) as where, contextlib.suppress(TimeLimit):
            pool.close()
        in_another_thread(pool.close)
        assert pool.get_stats()["pool_size"] == 0, where
        wait_until(lambda: not connections, where)
        return where

    uri, connections = server_side
    at_every_line(interrupt)


@pytest.mark.parametrize("prepare", [fresh, idle])
def test_closed_while_a_thread_borrows(server_side, quick, clock, prepare, at_every_line):
    """It gets PoolClosed, or its connection is cut, and none stays open."""

    def interrupt(at):
        pool = ConnectionPool(uri, compression=None)
        prepare(pool, clock)
        strike = signalled(at, lambda: in_another_thread(pool.close, 0))
        with contextlib.suppress(PoolClosed), strike as where:
            borrow(pool)
        if not where:
            pool.close()
        wait_until(lambda: not connections, where)
        return where

    uri, connections = server_side
    at_every_line(interrupt)


def test_no_lock_is_taken_that_an_interruption_could_leave_locked(server_side, monkeypatch):
    """logging.getLogger() has one up to 3.12, for the whole process, and connect() calls it."""

    def refuse(name=None):
        raise AssertionError("another thread would wait for it")

    uri, _ = server_side
    with ConnectionPool(uri) as pool, monkeypatch.context() as patched:
        patched.setattr(logging, "getLogger", refuse)
        borrow(pool)


@pytest.mark.parametrize("exception", [TimeLimit, Failure])
def test_interrupted_while_the_connection_is_created(exception):
    """Its reader thread is running already, and the server sends nothing."""

    def create(sock, protocol, **kwargs):
        created = ClientConnection(sock, protocol, **kwargs)
        readers.append(created.recv_events_thread)
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
def test_connection_that_an_interrupted_call_has_left_unusable(quick, interrupt, unread):
    """Giving it back takes bounded time, and closes it."""

    def send_many(websocket):
        for message in websocket:
            for number in range(unread):
                websocket.send(f"{message} {number}")

    def borrow():
        with pool.connection() as websocket:
            borrowed.append(websocket)
            websocket.send("question")
            wait_until(lambda: is_paused(websocket) or not unread)
            releases.append(interrupt(websocket))
            raise TimeLimit

    borrowed, releases = [], []
    with serving(send_many) as uri, ConnectionPool(uri, max_size=1) as pool:
        in_another_thread(pytest.raises, TimeLimit, borrow)
        assert pool.get_stats()["pool_size"] == 0
        wait_until(lambda: borrowed[0].socket.fileno() == -1)
        # In real life a daemon thread stays behind.
        releases[0]()
        end_reader_thread(borrowed[0])


def test_mutex_that_stays_locked_although_the_block_ends_in_order(echo_uri, set_constants):
    """Its borrower has caught the exception of the signal handler."""
    set_constants(MUTEX_TIMEOUT=0.1, CLOSE_TIMEOUT=0.1)
    with ConnectionPool(echo_uri, max_size=1) as pool:
        with pool.connection() as websocket:
            release = keep_mutex(websocket)
        assert pool.get_stats()["returns_bad"] == 1
        with pool.connection() as another:
            assert ask(another, "hello") == "hello"
        release()
        end_reader_thread(websocket)


def end_reader_thread(websocket):
    while websocket.recv_events_thread.is_alive():
        websocket.recv_messages.get_in_progress = False
        with contextlib.suppress(Exception):
            websocket.recv_messages.get(0.1)
