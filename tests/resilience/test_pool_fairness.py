"""First come, first served."""

from __future__ import annotations

import contextlib
import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from websockets_closefix.resilience import ConnectionPool, PoolTimeout
from websockets_closefix.resilience._slot import Borrower

from .interrupts import signalled
from .peers import serving
from .test_pool import ask, wait_for


def serve_for_a_while(pool, threads, requests):
    """Return how often each thread had been served when the requests were through."""

    def work(number):
        while sum(served) < requests:
            with pool.connection() as websocket:
                assert ask(websocket, "hello") == "hello"
            served[number] += 1

    served = [0] * threads
    with ThreadPoolExecutor(threads) as executor:
        with contextlib.ExitStack() as stack:
            for _ in range(pool.max_size):
                stack.enter_context(pool.connection())
            working = [executor.submit(work, number) for number in range(threads)]
            wait_for(pool, requests_waiting=threads)  # they begin together
        for future in working:
            future.result(25)
    return served


def work_and_answer(websocket):
    """Take longer than a thread takes to come back, so that the line decides, not the scheduler."""
    for message in websocket:
        threading.Event().wait(0.003)
        websocket.send(message)


@pytest.mark.parametrize(("threads", "max_size"), [(2, 1), (8, 4), (50, 4)])
def test_no_thread_is_served_less_than_half_as_often_as_another(threads, max_size):
    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(serving(work_and_answer, compression=None))
        pool = ConnectionPool(uri, max_size=max_size, timeout=20, compression=None)
        stack.enter_context(pool)
        served = serve_for_a_while(pool, threads, requests=20 * threads)
        assert pool.get_stats()["requests_errors"] == 0
    assert min(served) * 2 >= max(served), served


def test_no_thread_is_overtaken(echo_uri):
    def borrow(number):
        with pool.connection():
            order.append(number)

    order = []
    with ThreadPoolExecutor(10) as executor, ConnectionPool(echo_uri, max_size=1) as pool:
        with pool.connection():
            for number in range(10):
                executor.submit(borrow, number)
                wait_for(pool, requests_waiting=number + 1)
        # The thread that has just returned one comes last, too.
        borrow(10)
    assert order == list(range(11))


def test_free_slot_goes_to_the_thread_that_waits_longest(echo_uri):
    """Not only a connection: here every borrower's is discarded."""

    def borrow(number):
        with pool.connection() as websocket:
            order.append(number)
            websocket.close()

    order = []
    with ThreadPoolExecutor(5) as executor, ConnectionPool(echo_uri, max_size=1) as pool:
        with pool.connection() as websocket:
            for number in range(5):
                executor.submit(borrow, number)
                wait_for(pool, requests_waiting=number + 1)
            websocket.close()
        borrow(5)
    assert order == list(range(6))


def test_all_that_come_to_the_front_at_the_same_time_are_called(echo_uri, set_constants):
    """Two leave at once, and one that comes at that moment finds itself in front, with another."""

    def wait():
        with pool.connection(timeout=10) as websocket:
            assert ask(websocket, "hello") == "hello"

    def come():
        with contextlib.suppress(PoolTimeout):
            late.append(pool.connection(timeout=0.01))
            late[-1].__enter__()

    def leave(manager, meanwhile):
        with signalled(at, lambda: run(meanwhile)) as where:
            manager.__exit__(None, None, None)
        return where

    def run(function, *args):
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(function, *args).result(8)

    set_constants(RECHECK_INTERVAL=300)
    where, at = ["the first line"], 0
    while where:
        at += 1
        late = []
        with ConnectionPool(echo_uri, max_size=2) as pool, ThreadPoolExecutor(1) as executor:
            first, second = pool.connection(), pool.connection()
            first.__enter__(), second.__enter__()
            waiting = executor.submit(wait)
            wait_for(pool, requests_waiting=1)
            where = leave(first, functools.partial(leave, second, come))
            if not where:
                second.__exit__(None, None, None)
            waiting.result(8)
            for manager in late:
                manager.__exit__(None, None, None)
    assert at > 10


def test_a_wait_that_elapses_at_once_ends():
    """Up to Python 3.12, one in some ten thousand of SimpleQueue.get() doesn't."""

    def wait():
        for _ in range(20_000):
            borrower = Borrower()
            borrower.call()
            borrower.wait(1)
            borrower.wait(1e-9)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
