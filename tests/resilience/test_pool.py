"""ConnectionPool: one borrower at a time, and never a connection that is known to be broken."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import stamina
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from websockets_closefix.resilience import ConnectionPool, PoolClosed, PoolTimeout

from ..conftest import ends
from .peers import (
    client_context,
    peer,
    reset_on_close,
    server_context,
    serving,
    stay_silent,
    wait_until,
)

NOBODY = "ws://127.0.0.1:1"  # a server that is shut down before it has begun fails now and then


def ask(websocket, question):
    websocket.send(question)
    return websocket.recv(timeout=5)


def wait_for(pool, **expected):
    """Wait until the pool's statistics are as expected."""
    wait_until(lambda: expected.items() <= pool.get_stats().items())


def resetting(websocket):
    """Answer; reset the connection when asked to."""
    for message in websocket:
        if message == "reset, please":
            reset_on_close(websocket.socket)
            websocket.close_socket()
            return
        websocket.send(message)


@pytest.fixture
def resetting_uri():
    with serving(resetting) as uri:
        yield uri


def test_lends_the_same_connection_again(echo_uri):
    with ConnectionPool(echo_uri) as pool:
        with pool.connection() as first:
            assert ask(first, "one") == "one"
        with pool.connection() as second:
            assert ask(second, "two") == "two"
        assert second is first
        assert pool.get_stats() == {
            **pool.get_stats(),
            "pool_max": 4,
            "pool_size": 1,
            "pool_available": 1,
            "requests_waiting": 0,
            "requests_num": 2,
            "requests_queued": 0,
            "requests_errors": 0,
            "connections_num": 1,
            "connections_lost": 0,
            "returns_bad": 0,
        }
    assert first.protocol.state is State.CLOSED
    assert pool.get_stats()["pool_size"] == 0


def test_tls():
    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(serving(ssl=server_context))
        pool = stack.enter_context(ConnectionPool(uri, ssl=client_context))
        websocket = stack.enter_context(pool.connection())
        assert ask(websocket, "hello") == "hello"


def test_two_borrowers_have_two_connections(echo_uri):
    with ConnectionPool(echo_uri) as pool, pool.connection() as one, pool.connection() as two:
        assert one is not two


def test_connection_that_died_while_idle_is_replaced(resetting_uri):
    with ConnectionPool(resetting_uri) as pool:
        with pool.connection() as first:
            first.send("reset, please")
            # Returned while it's still open, as far as can be known.
        first.recv_events_thread.join(5)
        with pool.connection() as second:
            assert ask(second, "hello") == "hello"
        assert second is not first
        wait_for(pool, pool_size=1)
        assert pool.get_stats()["connections_lost"] + pool.get_stats()["returns_bad"] == 1


def test_connection_that_dies_in_use_is_discarded(resetting_uri):
    with ConnectionPool(resetting_uri, max_size=1) as pool:
        with pytest.raises(ConnectionClosed), pool.connection() as first:
            ask(first, "reset, please")
        with pool.connection() as second:
            assert ask(second, "hello") == "hello"
        assert second is not first
        assert pool.get_stats()["returns_bad"] == 1


def test_connection_that_dies_in_use_is_discarded_if_the_borrower_ignores_it(resetting_uri):
    with ConnectionPool(resetting_uri, max_size=1) as pool:
        with pool.connection() as first, contextlib.suppress(ConnectionClosed):
            ask(first, "reset, please")
        assert pool.get_stats()["returns_bad"] == 1
        assert pool.get_stats()["pool_size"] == 0


def leave_with_an_exception(pool, act):
    """Borrow a connection, act on it, and raise."""

    def borrow():
        with pool.connection() as websocket:
            borrowed.append(websocket)
            act(websocket)
            raise LookupError

    borrowed = []
    with pytest.raises(LookupError):
        borrow()
    return borrowed[0]


@pytest.mark.parametrize("borrowed_before", [0, 1])
def test_connection_whose_borrower_left_with_an_exception_is_discarded(echo_uri, borrowed_before):
    """Although nothing was sent, and although it has come back in order before."""
    with ConnectionPool(echo_uri, max_size=1) as pool:
        for _ in range(borrowed_before):
            with pool.connection():
                pass
        first = leave_with_an_exception(pool, lambda websocket: None)
        assert first.protocol.state is State.CLOSED
        with pool.connection() as second:
            assert ask(second, "hello") == "hello"
        assert second is not first


def test_waiting_longer_than_the_timeout(echo_uri):
    with ConnectionPool(echo_uri, max_size=1) as pool, pool.connection():
        pool.timeout = 0.05
        with pytest.raises(PoolTimeout, match="none of 1 connections was returned in time"):
            pool.connection().__enter__()
        with pytest.raises(PoolTimeout):
            pool.connection(timeout=0.01).__enter__()
        stats = pool.get_stats()
        assert (stats["requests_errors"], stats["requests_queued"]) == (2, 2)
        assert stats["requests_wait_ms"] >= 50


def test_waiting_until_a_connection_is_returned(echo_uri):
    def borrow():
        with pool.connection() as websocket:
            return websocket

    with ThreadPoolExecutor(1) as executor, ConnectionPool(echo_uri, max_size=1) as pool:
        with pool.connection() as first:
            second = executor.submit(borrow)
            wait_for(pool, requests_waiting=1)
        assert second.result(5) is first
        assert pool.get_stats()["requests_queued"] == 1


def test_connecting_takes_longer_than_the_timeout():
    def never_answer(connection, request):
        release.wait(10)

    release = threading.Event()
    with serving(process_request=never_answer) as uri, ConnectionPool(uri, timeout=0.1) as pool:
        with pytest.raises(PoolTimeout, match="couldn't connect in time"):
            pool.connection().__enter__()
        release.set()
        assert pool.get_stats()["pool_size"] == 0
        assert pool.get_stats()["requests_errors"] == 1


def test_connect_times_out_by_itself():
    def never_answer(connection, request):
        release.wait(10)

    release = threading.Event()
    running = serving(process_request=never_answer)
    with running as uri, ConnectionPool(uri, open_timeout=0.05) as pool:
        with pytest.raises(TimeoutError) as raised:
            pool.connection().__enter__()
        release.set()
        assert not isinstance(raised.value, PoolTimeout)


def test_no_limit_to_open_timeout_but_the_pools(echo_uri):
    with ConnectionPool(echo_uri, open_timeout=None) as pool, pool.connection() as websocket:
        assert ask(websocket, "hello") == "hello"


def test_refused_connection_frees_its_slot(unused_uri):
    with ConnectionPool(unused_uri, max_size=1) as pool:
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                pool.connection().__enter__()
        stats = pool.get_stats()
        assert (stats["pool_size"], stats["connections_errors"]) == (0, 3)


@pytest.fixture
def unused_uri():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"ws://127.0.0.1:{sock.getsockname()[1]}"


def test_closed_pool():
    pool = ConnectionPool(NOBODY)
    pool.close()
    pool.close()
    with pytest.raises(PoolClosed, match="the pool is closed"):
        pool.connection().__enter__()


def test_closing_wakes_those_that_wait(echo_uri):
    pool = ConnectionPool(echo_uri, max_size=1)
    with ThreadPoolExecutor(1) as executor, pool.connection():
        waiting = executor.submit(pool.connection().__enter__)
        wait_for(pool, requests_waiting=1)
        pool.close(timeout=0.01)
        with pytest.raises(PoolClosed):
            waiting.result(5)


def borrow_until_refused(pool):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with pool.connection():
            pass


def test_closing_waits_for_borrowers(echo_uri):
    pool = ConnectionPool(echo_uri)
    with ThreadPoolExecutor(1) as executor:
        with pool.connection() as websocket:
            closing = executor.submit(pool.close, timeout=20)
            with pytest.raises(PoolClosed):
                borrow_until_refused(pool)
            assert ask(websocket, "not yet") == "not yet"
            assert not closing.done()
        closing.result(10)
    assert websocket.protocol.state is State.CLOSED


def test_closing_cuts_borrowers_that_take_too_long(echo_uri):
    pool = ConnectionPool(echo_uri)
    with pool.connection() as websocket:
        pool.close(timeout=0.05)
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=5)
    assert pool.get_stats()["pool_size"] == 0


def test_closing_sends_a_close_frame_to_those_that_are_idle(echo_uri, set_constants):
    set_constants(SEND_TIMEOUT=5)  # a busy machine may need more than a tenth of a second
    pool = ConnectionPool(echo_uri)
    with pool.connection() as lent:
        with pool.connection() as idle:
            pass
        pool.close(timeout=0.05)
    assert (idle.protocol.close_code, lent.protocol.close_code) == (1000, 1006)


def test_closing_cuts_borrowers_that_wait_for_a_pong(echo_uri, set_constants):
    def ping():
        asked.set()
        return threading.Event()  # of a pong that never comes

    set_constants(PING_AFTER=0, PING_TIMEOUT=20)
    asked = threading.Event()
    pool = ConnectionPool(echo_uri)
    with pool.connection() as websocket:
        websocket.ping = ping
    with ThreadPoolExecutor(1) as executor:
        borrowing = executor.submit(pool.connection().__enter__)
        assert asked.wait(5)
        pool.close(timeout=0)
        with pytest.raises(PoolClosed):
            borrowing.result(5)
    assert pool.get_stats()["pool_size"] == 0
    assert ends(websocket.recv_events_thread)


def test_closing_ends_those_that_are_idle_before_it_waits_for_borrowers(echo_uri):
    pool = ConnectionPool(echo_uri)
    with ThreadPoolExecutor(1) as executor, pool.connection():
        with pool.connection() as idle:
            pass
        closing = executor.submit(pool.close, timeout=5)
        wait_until(lambda: idle.protocol.state is State.CLOSED, timeout=4)
        assert idle.protocol.close_code == 1000
        assert not closing.done()


def test_closing_cuts_connections_whose_peer_never_answers(set_constants):
    set_constants(CLOSE_TIMEOUT=0.1)
    with peer(stay_silent) as uri:
        pool = ConnectionPool(uri)
        with pool.connection() as websocket:
            pass
        pool.close(timeout=0.05)
        assert ends(websocket.recv_events_thread)
        assert pool.get_stats()["pool_size"] == 0
    assert websocket.protocol.state is State.CLOSED


def test_closed_while_connecting(echo_uri):
    def process_request(connection, request):
        connecting.set()
        release.wait(10)

    connecting, release = threading.Event(), threading.Event()
    with serving(process_request=process_request) as uri, ThreadPoolExecutor(1) as executor:
        pool = ConnectionPool(uri)
        borrowing = executor.submit(pool.connection().__enter__)
        assert connecting.wait(5)
        pool.close(timeout=0.01)
        release.set()
        with pytest.raises(PoolClosed, match="closed meanwhile"):
            borrowing.result(10)
        assert pool.get_stats()["pool_size"] == 0


def test_every_request_is_answered_with_stamina_although_connections_are_reset():
    """16 threads, 4 connections, 1,000 requests; one request in 20 meets a reset."""

    def reset_every_twentieth(websocket):
        for number, message in enumerate(websocket, 1):
            if number == 20:
                reset_on_close(websocket.socket)
                websocket.close_socket()
                return
            websocket.send(message)

    in_use, shared, guard = set(), [], threading.Lock()

    @stamina.retry(on=(ConnectionClosed, OSError), attempts=50)
    def request(question):
        with pool.connection() as websocket:
            with guard:
                shared.extend(in_use & {websocket})
                in_use.add(websocket)
            try:
                return ask(websocket, question)
            finally:
                with guard:
                    in_use.discard(websocket)

    questions = [f"question {number}" for number in range(1000)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(stamina.set_testing(True, attempts=50))
        uri = stack.enter_context(serving(reset_every_twentieth))
        pool = stack.enter_context(ConnectionPool(uri, max_size=4, compression=None))
        executor = stack.enter_context(ThreadPoolExecutor(16))
        answers = list(executor.map(request, questions))
    stats = pool.get_stats()
    assert answers == questions
    assert shared == []
    assert stats["returns_bad"] >= 40
    assert (stats["pool_size"], stats["pool_available"], stats["requests_waiting"]) == (0, 0, 0)
