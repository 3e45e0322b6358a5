"""ConnectionPool: new connections are set up before they are lent."""

from __future__ import annotations

import contextlib
import itertools
import threading

import pytest

from websockets_closefix.resilience import ConnectionPool, PoolClosed, PoolTimeout

from .peers import peer, serving, stay_silent
from .test_pool import ask


@pytest.fixture
def signing_in():
    """Run a server that wants a name first; yield its URI and the names."""

    def answer(websocket):
        name = websocket.recv()
        names.append(name)  # before the client can look
        websocket.send("welcome" if name != "wrong" else "go away")
        for message in websocket:
            websocket.send(f"{name}: {message}")

    names = []
    with serving(answer) as uri:
        yield uri, names


def sign_in(websocket):
    assert ask(websocket, "root") == "welcome"


def test_once_for_each_connection(signing_in, clock):
    uri, names = signing_in
    with ConnectionPool(uri, configure=sign_in) as pool:
        for number in range(3):
            with pool.connection() as websocket:
                assert ask(websocket, str(number)) == f"root: {number}"
        assert names == ["root"]
        with pool.connection(), pool.connection():
            assert names == ["root"] * 2
        clock.advance(pool.max_lifetime)
        with pool.connection() as websocket:
            assert ask(websocket, "again") == "root: again"
        assert names == ["root"] * 3


def test_what_it_raises_is_a_failed_attempt(signing_in):
    def sign_in_wrongly(websocket):
        websockets.append(websocket)
        if ask(websocket, "wrong") != "welcome":
            raise LookupError("go away")

    uri, _ = signing_in
    websockets = []
    with ConnectionPool(uri, max_size=1, configure=sign_in_wrongly) as pool:
        for _ in range(3):
            with pytest.raises(LookupError, match="go away"):
                pool.connection().__enter__()
        pool.configure = sign_in
        with pool.connection() as websocket:
            assert ask(websocket, "hello") == "root: hello"
        stats = pool.get_stats()
        assert (stats["connections_num"], stats["connections_errors"]) == (4, 3)
        assert (stats["requests_errors"], stats["returns_bad"]) == (3, 0)
    assert [websocket.protocol.close_code for websocket in websockets] == [1000] * 3


def test_server_that_never_answers():
    """The borrower waits for as long as it has time, whatever configure does."""

    def sign_in_without_a_timeout(websocket):
        websocket.send("root")
        websocket.recv()

    with peer(stay_silent) as uri:
        pool = ConnectionPool(uri, timeout=0.5, configure=sign_in_without_a_timeout)
        with pytest.raises(PoolTimeout, match="couldn't connect in time"):
            pool.connection().__enter__()
        assert pool.get_stats()["pool_size"] == 0


def test_configure_that_takes_too_long(echo_uri, clock):
    """What it returns is too late."""
    pool = ConnectionPool(echo_uri, configure=lambda websocket: clock.advance(100))
    with pool, pytest.raises(PoolTimeout, match="couldn't connect in time"):
        pool.connection().__enter__()


def test_pool_that_is_closed_meanwhile():
    def sign_in_and_wait(websocket):
        configuring.set()
        websocket.recv()

    def borrow():
        with contextlib.suppress(PoolClosed), pool.connection():
            pytest.fail("it was lent")

    configuring = threading.Event()
    with peer(stay_silent) as uri:
        pool = ConnectionPool(uri, configure=sign_in_and_wait)
        thread = threading.Thread(target=borrow)
        thread.start()
        assert configuring.wait(5)
        pool.close(timeout=0)
        thread.join(5)
        assert not thread.is_alive()
        assert pool.get_stats()["pool_size"] == 0


def test_headers_of_each_connection():
    """A token that expires is asked for anew."""

    def record(connection, request):
        seen.append(request.headers["Authorization"])

    seen, numbers = [], itertools.count(1)
    with serving(process_request=record) as uri:
        headers = {"additional_headers": lambda: {"Authorization": f"token {next(numbers)}"}}
        with ConnectionPool(uri, **headers) as pool:
            with pool.connection(), pool.connection():
                pass
            with pool.connection():
                pass
    assert seen == ["token 1", "token 2"]


def test_headers_that_cannot_be_had(echo_uri):
    def fail():
        raise LookupError("no token")

    with ConnectionPool(echo_uri, max_size=1, additional_headers=fail) as pool:
        for _ in range(2):
            with pytest.raises(LookupError, match="no token"):
                pool.connection().__enter__()
        assert pool.get_stats()["connections_errors"] == 2
