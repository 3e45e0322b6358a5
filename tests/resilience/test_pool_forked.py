"""ConnectionPool: a forked child starts empty, and leaves the connections of the parent alone."""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import traceback
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from websockets_closefix.resilience import ConnectionPool, PoolClosed, PoolTimeout

from .peers import client_context, server_context, serving
from .test_pool import NOBODY, ask, wait_for

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
    # 3.12 and later warn of what is tested here.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def in_a_child(function):
    """Call a function in a forked child; it must not raise."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            sys.settrace(None)
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert status == 0


def borrow_and_ask(pool):
    with pool.connection(timeout=5) as websocket:
        assert ask(websocket, str(os.getpid())) == str(os.getpid())


@pytest.mark.parametrize("secure", [False, True])
def test_child_starts_empty(secure):
    def check_in_child():
        assert pool.get_stats()["pool_size"] == 0
        assert websocket.socket.fileno() == -1
        borrow_and_ask(pool)
        pool.close()

    context = {"ssl": server_context} if secure else {}
    with serving(**context) as uri:
        context = {"ssl": client_context} if secure else {}
        with ConnectionPool(uri, max_size=1, **context) as pool:
            borrow_and_ask(pool)
            for _ in range(2):
                with pool.connection() as websocket:
                    pass
                in_a_child(check_in_child)
            # What the children did, this connection hasn't heard of.
            borrow_and_ask(pool)
            stats = pool.get_stats()
            assert (stats["connections_num"], stats["connections_lost"]) == (1, 0)


def check_there_is_one(pool):
    """There is room for one connection, and no more."""
    assert pool.get_stats()["pool_size"] == 0
    with pool.connection(timeout=5) as websocket:
        assert ask(websocket, "child") == "child"
        with pytest.raises(PoolTimeout):
            pool.connection(timeout=0.05).__enter__()
        assert pool.get_stats()["pool_size"] == 1
    with pool.connection(timeout=5) as again:
        assert again is websocket
    assert pool.get_stats()["pool_size"] == 1
    pool.close()


def test_borrower_forks(echo_uri):
    """The child leaves the block, too: it has nothing to give back."""
    with ConnectionPool(echo_uri, max_size=1) as pool:
        pid, code = None, 1
        try:
            with pool.connection() as websocket:
                pid = os.fork()
            if pid == 0:
                check_there_is_one(pool)
            code = 0
        finally:
            if pid == 0:
                os._exit(code)
        assert os.waitpid(pid, 0) == (pid, 0)
        with pool.connection() as again:
            assert again is websocket
            assert ask(again, "hello") == "hello"


def test_fork_while_others_borrow_and_wait(echo_uri):
    """They don't exist in the child, where their frames are kept for ever."""

    def borrow():
        with pool.connection():
            borrowed.set()
            release.wait(10)

    borrowed, release = threading.Event(), threading.Event()
    with ConnectionPool(echo_uri, max_size=1) as pool, ThreadPoolExecutor(2) as executor:
        borrowing = [executor.submit(borrow) for _ in range(2)]
        assert borrowed.wait(5)
        wait_for(pool, requests_waiting=1)
        in_a_child(lambda: borrow_and_ask(pool))
        release.set()
        for future in borrowing:
            future.result(5)
        borrow_and_ask(pool)


def test_closed_pool_stays_closed():
    def check_in_child():
        with pytest.raises(PoolClosed):
            pool.connection().__enter__()

    pool = ConnectionPool(NOBODY)
    pool.close()
    in_a_child(check_in_child)


def test_descriptors_are_closed_without_a_byte(echo_uri):
    """What the handler does in the child, seen from here: afterwards the copies are gone."""

    def check_in_child():
        assert {sock.fileno() for sock in sockets} == {-1}

    with ConnectionPool(echo_uri) as pool, pool.connection() as websocket:
        # From 17.0 on, there are two more.
        sockets = [each for each in vars(websocket).values() if isinstance(each, socket.socket)]
        in_a_child(check_in_child)
        assert ask(websocket, "still open") == "still open"
        assert -1 not in {sock.fileno() for sock in sockets}


def test_pool_that_is_gone_is_forgotten():
    pool = weakref.ref(ConnectionPool(NOBODY))
    gc.collect()
    assert pool() is None


def test_child_that_ends_as_any_process_does(echo_uri, python):
    """With a pool that both close at exit."""
    result = python(
        "import atexit, os, sys, warnings\n"
        "from websockets_closefix.resilience import ConnectionPool\n"
        "warnings.simplefilter('ignore')\n"
        "def ask():\n"
        "    with pool.connection() as websocket:\n"
        "        websocket.send(str(os.getpid()))\n"
        "        return websocket.recv(timeout=5) == str(os.getpid())\n"
        "pool = ConnectionPool(os.environ['WEBSOCKET_URI'])\n"
        "atexit.register(lambda: print(pool.get_stats()['pool_size'], flush=True))\n"
        "atexit.register(pool.close)\n"
        "assert ask()\n"
        "if os.fork():\n"
        "    assert os.wait()[1] == 0\n"
        "sys.exit(not ask())\n",
        WEBSOCKET_URI=echo_uri,
    )
    assert result.stdout.split() == ["0", "0"]
    assert result.stderr == ""
