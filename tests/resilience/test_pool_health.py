"""ConnectionPool: what is lent is alive, fit and quiet; what isn't is ended in bounded time."""

from __future__ import annotations

import contextlib
import functools
import gc
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.sync.client import ClientConnection

from websockets_closefix.resilience import ConnectionPool, PoolClosed, PoolTimeout

from ..conftest import ends, not_under_wine
from .peers import has_unread, peer, serving, stay_silent, wait_until
from .relay import Relay
from .test_pool import NOBODY, ask, leave_with_an_exception, wait_for


def lend_in_turn(pool, count=1):
    """Have so many connections open and idle, and return them."""
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(pool.connection()) for _ in range(count)]


def test_half_open_connection_is_replaced(echo_uri, impatient):
    with Relay(echo_uri) as relay, ConnectionPool(relay.uri) as pool:
        [first] = lend_in_turn(pool)
        relay.swallowing.set()  # what is open; what is opened from now on isn't swallowed
        pool.uri = echo_uri
        with pool.connection() as second:
            assert ask(second, "hello") == "hello"
        assert second is not first
        wait_for(pool, connections_lost=1, pool_size=1)
        assert ends(first.recv_events_thread)


def test_one_that_is_half_open_speaks_for_those_idle_for_longer(echo_uri, impatient):
    with Relay(echo_uri) as relay, ConnectionPool(relay.uri, max_size=8) as pool:
        idle = lend_in_turn(pool, 8)
        asked = [count_pings(websocket) for websocket in idle]
        relay.swallowing.set()
        pool.uri = echo_uri
        with pool.connection(timeout=5) as websocket:
            assert ask(websocket, "hello") == "hello"
        assert sum(map(len, asked)) == 1
        wait_for(pool, connections_lost=8, pool_size=1)


def count_pings(websocket):
    """Return a list that has an item for each ping."""

    def count():
        pings.append(None)
        return ping()

    ping, pings = websocket.ping, []
    websocket.ping = count
    return pings


def test_one_that_came_back_meanwhile_is_kept(echo_uri, impatient):
    """While one that is half-open is asked, another borrower returns one that isn't."""
    with Relay(echo_uri) as relay, ConnectionPool(relay.uri, max_size=2) as pool:
        borrowed = pool.connection()
        other = borrowed.__enter__()
        [half_open] = lend_in_turn(pool)

        def return_other():
            borrowed.__exit__(None, None, None)
            return threading.Event()  # of a pong that never comes

        half_open.ping = return_other
        with pool.connection() as websocket:
            assert websocket is other
        wait_for(pool, pool_size=1)


@pytest.mark.parametrize("when", ["before", "after"])
def test_pool_that_is_closed_while_a_borrower_connects(echo_uri, when):
    class Closing(ClientConnection):
        def handshake(self, *args, **kwargs):
            if when == "before":
                pool.close(timeout=0.01)
            super().handshake(*args, **kwargs)
            pool.close(timeout=0.01)

    pool = ConnectionPool(echo_uri, create_connection=Closing)
    with pytest.raises(PoolClosed), pool.connection():
        pytest.fail("it was lent")
    assert pool.get_stats()["pool_size"] == 0
    assert pool.get_stats()["requests_errors"] == 1


def test_many_half_open_connections_cost_no_more_than_one(echo_uri, set_constants, clock):
    """None of them answers its close frame."""
    set_constants(CLOSE_TIMEOUT=1, SEND_TIMEOUT=1)
    with Relay(echo_uri) as relay, ConnectionPool(relay.uri, max_size=20) as pool:
        idle = lend_in_turn(pool, 20)
        relay.swallowing.set()
        pool.uri = echo_uri
        clock.advance(pool.max_idle)
        started = time.monotonic()
        with pool.connection() as websocket:
            assert ask(websocket, "hello") == "hello"
            assert websocket not in idle
        wait_for(pool, connections_lost=20, pool_size=1)
        assert all(websocket.protocol.state is State.CLOSED for websocket in idle)
        assert time.monotonic() - started < 15


def test_connection_that_answers_a_ping_is_lent_again(echo_uri, ping_always):
    with ConnectionPool(echo_uri) as pool:
        assert lend_in_turn(pool) == lend_in_turn(pool)


def test_connection_that_has_just_been_used_is_lent_without_a_ping(echo_uri):
    with ConnectionPool(echo_uri) as pool:
        [first] = lend_in_turn(pool)
        first.ping = None
        assert lend_in_turn(pool) == [first]


def test_connection_that_fails_while_it_is_pinged_is_replaced(echo_uri, ping_always):
    with ConnectionPool(echo_uri) as pool:
        [first] = lend_in_turn(pool)
        ping = first.ping

        def ping_too_late():
            first.close()
            return ping()

        first.ping = ping_too_late
        assert lend_in_turn(pool) != [first]


@pytest.mark.timeout(15)
def test_connections_that_die_of_the_ping_are_replaced_at_once(echo_uri, set_constants):
    """As where a firewall has forgotten them: no borrower waits for their pongs."""
    set_constants(PING_AFTER=0, PING_TIMEOUT=100)
    with ConnectionPool(echo_uri, timeout=100) as pool:
        idle = lend_in_turn(pool, 4)
        for websocket in idle:
            websocket.ping = functools.partial(ping_and_die, websocket)
        assert lend_in_turn(pool)[0] not in idle


def ping_and_die(websocket):
    websocket.socket.shutdown(socket.SHUT_RDWR)
    return threading.Event()  # of the pong that never comes


def pings_pending():
    """Return the threads of the pool that wait for a pong."""
    return [thread for thread in threading.enumerate() if thread.name == "_ask"]


def test_connection_that_cannot_be_written_to_is_replaced(echo_uri, impatient):
    with ConnectionPool(echo_uri) as pool:
        [first] = lend_in_turn(pool)
        with first.protocol_mutex:
            assert lend_in_turn(pool) != [first]


def test_those_with_little_time_find_out_together(echo_uri, set_constants):
    """None of them can wait for as long as a pong may take."""
    set_constants(PING_AFTER=0, PING_TIMEOUT=0.5)
    with Relay(echo_uri) as relay, ConnectionPool(relay.uri, max_size=2) as pool:
        [first, second] = idle = lend_in_turn(pool, 2)
        asked = [count_pings(websocket) for websocket in idle]
        relay.swallowing.set()
        pool.uri = echo_uri
        deadline = time.monotonic() + 10
        while pool.get_stats()["connections_num"] < 3:
            assert time.monotonic() < deadline
            with contextlib.suppress(PoolTimeout), pool.connection(timeout=0.2) as websocket:
                assert ask(websocket, "hello") == "hello"
        assert [len(pings) for pings in asked] == [1, 1]
        assert ends(first.recv_events_thread)
        assert ends(second.recv_events_thread)


def test_half_open_connection_is_ended_although_no_borrower_waits_for_it(echo_uri, impatient):
    with Relay(echo_uri) as relay, ConnectionPool(relay.uri, max_size=1) as pool:
        [websocket] = lend_in_turn(pool)
        relay.swallowing.set()
        with pytest.raises(PoolTimeout):
            pool.connection(timeout=0.01).__enter__()
        wait_for(pool, connections_lost=1, pool_size=0)
        assert ends(websocket.recv_events_thread)


def test_pong_that_came_long_ago_proves_nothing(echo_uri, ping_always, clock):
    with Relay(echo_uri) as relay, ConnectionPool(relay.uri, max_size=1) as pool:
        [websocket] = lend_in_turn(pool)
        pings = count_pings(websocket)
        relay.hold_back.clear()
        with pytest.raises(PoolTimeout):
            pool.connection(timeout=0.01).__enter__()
        relay.hold_back.set()
        wait_until(lambda: not pings_pending())
        clock.advance(10)
        assert lend_in_turn(pool) == [websocket]
        assert len(pings) == 2


def test_pong_that_was_left_to_the_next(echo_uri, ping_always):
    """It gets that connection, unasked, rather than a new one."""
    with Relay(echo_uri) as relay, ConnectionPool(relay.uri) as pool:
        [websocket] = lend_in_turn(pool)
        pings = count_pings(websocket)
        relay.hold_back.clear()
        with pytest.raises(PoolTimeout):
            pool.connection(timeout=0.05).__enter__()
        relay.hold_back.set()
        wait_until(lambda: not pings_pending())
        assert lend_in_turn(pool) == [websocket]
        assert len(pings) == 1


def test_no_time_for_a_new_connection():
    with ConnectionPool(NOBODY) as pool, pytest.raises(PoolTimeout, match="found in time"):
        pool.connection(timeout=0).__enter__()


def test_borrower_waits_while_what_was_in_its_slot_is_ended(echo_uri, set_constants, clock):
    """Within its timeout."""
    set_constants(SEND_TIMEOUT=2)
    with Relay(echo_uri) as relay, ConnectionPool(relay.uri, max_size=2) as pool:
        lend_in_turn(pool, 2)
        clock.advance(pool.max_lifetime)
        relay.swallowing.set()  # so that no close frame is answered
        pool.uri = echo_uri
        with pytest.raises(PoolTimeout, match="found in time"):
            pool.connection(timeout=0.05).__enter__()
        assert pool.get_stats()["connections_num"] == 2
        assert len(lend_in_turn(pool)) == 1
        assert pool.get_stats()["connections_lost"] == 2


def refuse_threads(monkeypatch):
    """To this thread alone: the server starts some as soon as it has answered."""

    def refuse(thread):
        if threading.get_ident() != borrower:
            return start(thread)
        raise RuntimeError("can't start new thread")

    start, borrower = threading.Thread.start, threading.get_ident()
    monkeypatch.setattr(threading.Thread, "start", refuse)


def shut_down(monkeypatch):
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)


@pytest.mark.parametrize("prevent", [refuse_threads, shut_down])
def test_no_thread_can_be_started(echo_uri, ping_always, clock, monkeypatch, prevent):
    """A connection is lent unasked then, and the borrower ends what is too old."""
    with ConnectionPool(echo_uri) as pool:
        with pool.connection() as outdated:
            clock.advance(pool.max_lifetime / 2)
            with pool.connection() as fit:
                pass
        clock.advance(pool.max_lifetime / 2)
        pool.max_idle = pool.max_lifetime
        with monkeypatch.context() as patched:
            prevent(patched)
            with pool.connection() as websocket:
                assert websocket is fit
                assert ask(websocket, "hello") == "hello"
        assert pool.get_stats()["connections_lost"] == 1
        assert outdated.protocol.close_sent.code == 1000
        assert ends(outdated.recv_events_thread)


def test_pool_that_is_no_longer_referenced(echo_uri):
    """Its reader threads would keep the connections open."""
    pool = ConnectionPool(echo_uri)
    [websocket] = lend_in_turn(pool)
    del pool
    gc.collect()
    assert ends(websocket.recv_events_thread)


def test_those_that_died_while_idle_are_dropped():
    connections = []

    def remember(websocket):
        connections.append(websocket)
        for message in websocket:
            websocket.send(message)

    with serving(remember) as uri, ConnectionPool(uri) as pool:
        idle = lend_in_turn(pool, 3)
        wait_until(lambda: len(connections) == 3)
        for websocket in connections:
            websocket.close()
        for websocket in idle:
            websocket.recv_events_thread.join(5)
        with pool.connection() as websocket:
            assert ask(websocket, "hello") == "hello"
        wait_for(pool, connections_lost=3, pool_size=1)


def test_unread_answer_reaches_no_other_borrower(echo_uri):
    with ConnectionPool(echo_uri, max_size=1) as pool:
        with pool.connection() as first:
            first.send("one")
            wait_until(lambda: has_unread(first))
        with pool.connection() as second:
            assert ask(second, "two") == "two"
        assert second is not first


def test_answer_that_comes_while_a_ping_is_answered_reaches_no_other_borrower(
    echo_uri, ping_always
):
    with Relay(echo_uri) as relay, ConnectionPool(relay.uri, max_size=1) as pool:
        with pool.connection() as first:
            relay.hold_back.clear()
            first.send("one")
        ping = first.ping

        def release_and_ping():
            relay.hold_back.set()
            wait_until(lambda: has_unread(first))
            return ping()

        first.ping = release_and_ping
        with pool.connection() as second:
            assert ask(second, "two") == "two"
        assert second is not first


def test_server_that_pings_costs_no_connection():
    def answer_and_ping(websocket):
        for message in websocket:
            websocket.send(message)
            websocket.ping()

    with serving(answer_and_ping) as uri, ConnectionPool(uri, max_size=1) as pool:
        for number in range(300):
            with pool.connection() as websocket:
                assert ask(websocket, str(number)) == str(number)
        assert pool.get_stats()["connections_num"] == 1


def test_max_size_is_kept_while_connections_are_ended(echo_uri, set_constants, clock):
    class Counting(ClientConnection):
        def __init__(self, *args, **kwargs):
            open_before.append(sum(w.protocol.state is not State.CLOSED for w in created))
            super().__init__(*args, **kwargs)
            created.append(self)

    set_constants(SEND_TIMEOUT=0.5)
    created, open_before = [], []
    with contextlib.ExitStack() as stack:
        relay = stack.enter_context(Relay(echo_uri))
        executor = stack.enter_context(ThreadPoolExecutor(8))
        pool = ConnectionPool(relay.uri, max_size=4, create_connection=Counting)
        stack.enter_context(pool)
        lend_in_turn(pool, 4)
        relay.swallowing.set()  # so that no close frame is answered
        pool.uri = echo_uri
        clock.advance(pool.max_lifetime)
        for future in [executor.submit(lend_in_turn, pool) for _ in range(8)]:
            future.result(10)
    assert max(open_before) < 4
    assert len(created) > 4


@pytest.mark.parametrize("timeout", [0, 0.2])
def test_connection_that_there_was_no_time_to_ask_is_kept(echo_uri, ping_always, timeout):
    with Relay(echo_uri) as relay, ConnectionPool(relay.uri, max_size=8) as pool:
        lend_in_turn(pool, 8)
        relay.hold_back.clear()
        with pytest.raises(PoolTimeout):
            pool.connection(timeout=timeout).__enter__()
        relay.hold_back.set()
        assert pool.get_stats()["pool_size"] == 8
        assert len(lend_in_turn(pool, 8)) == 8
        assert pool.get_stats()["connections_num"] == 8


def test_ping_that_waits_for_longer_than_the_borrower(echo_uri, ping_always):
    """It does, for close_timeout, if the peer begins to close at that moment."""

    def ping():
        release.wait(10)
        raise LookupError

    release = threading.Event()
    with ConnectionPool(echo_uri) as pool:
        [first] = lend_in_turn(pool)
        first.ping = ping
        with pool.connection(timeout=1) as second:
            assert second is not first
            assert not release.is_set()
        release.set()


@pytest.mark.parametrize(("limit", "arrives"), [(2**20, False), (2**21, True), (None, True)])
def test_max_message_size(limit, arrives):
    """max_size is the pool's own."""

    def send_much(websocket):
        for _ in websocket:
            websocket.send(bytes(2**20 + 1))

    with serving(send_much) as uri, ConnectionPool(uri, max_message_size=limit) as pool:
        expected = contextlib.nullcontext() if arrives else pytest.raises(ConnectionClosed)
        with expected, pool.connection() as websocket:
            assert len(ask(websocket, "much")) == 2**20 + 1


def read_half_a_message(websocket):
    websocket.send(["one", "two"])
    chunks = websocket.recv_streaming()
    assert next(chunks) == "one"
    return chunks


def send_half_a_message(websocket):
    def fragments():
        yield "one"
        raise LookupError

    with contextlib.suppress(Exception):  # LookupError, or what websockets makes of it
        websocket.send(fragments())


@pytest.mark.parametrize("leave_it", [read_half_a_message, send_half_a_message])
def test_connection_in_the_middle_of_a_message_is_not_lent_again(leave_it, impatient):
    def echo_fragments(websocket):
        with contextlib.suppress(Exception):
            while True:
                websocket.send(websocket.recv_streaming())

    with serving(echo_fragments) as uri, ConnectionPool(uri, max_size=1) as pool:
        with pool.connection() as first:
            left = leave_it(first)
        assert pool.get_stats()["returns_bad"] == 1
        with pool.connection() as second:
            assert ask(second, "hello") == "hello"
        assert second is not first
        assert ends(first.recv_events_thread)
        del left


def test_connection_that_another_thread_still_reads_is_not_lent_again(echo_uri):
    def read(websocket):
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=10)

    with ThreadPoolExecutor(1) as executor, ConnectionPool(echo_uri, max_size=1) as pool:
        with pool.connection() as first:
            reading = executor.submit(read, first)
            wait_until(lambda: first.recv_messages.get_in_progress)
        assert lend_in_turn(pool) != [first]
        reading.result(5)


def push(websocket):
    with contextlib.suppress(Exception):
        for _ in websocket:
            while True:
                websocket.send("more than is read" * 100)


@pytest.mark.parametrize("leave", [lend_in_turn, None])
def test_server_that_pushes_more_than_is_read(leave):
    """The reader thread is paused, or blocked; see issue 1555 of websockets."""

    def subscribe(websocket):
        websocket.send("subscribe")
        assert websocket.recv(timeout=5).startswith("more than")
        wait_until(lambda: has_unread(websocket))

    with serving(push) as uri:
        with ConnectionPool(uri, max_size=1, timeout=10) as pool:
            if leave is None:
                first = leave_with_an_exception(pool, subscribe)
                assert ends(first.recv_events_thread)
            else:
                with pool.connection() as first:
                    subscribe(first)
            with pool.connection() as second:
                subscribe(second)
            assert second is not first
        assert ends(first.recv_events_thread)
        assert ends(second.recv_events_thread)


def test_server_that_accepts_and_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        with ConnectionPool(uri, max_size=2, timeout=0.3) as pool:
            with ThreadPoolExecutor(6) as executor:
                waiting = [executor.submit(pool.connection().__enter__) for _ in range(6)]
                for future in waiting:
                    with pytest.raises(PoolTimeout):
                        future.result(10)
            assert pool.get_stats()["pool_size"] == 0


def test_peer_that_never_answers_a_close_frame(impatient):
    with peer(stay_silent) as uri, ConnectionPool(uri, close_timeout=300) as pool:
        websocket = leave_with_an_exception(pool, lambda websocket: None)
        assert ends(websocket.recv_events_thread)
        assert pool.get_stats()["pool_size"] == 0


def test_peer_of_a_discarded_connection_gets_a_normal_closure():
    closed = []

    def remember(websocket):
        with contextlib.suppress(Exception):
            websocket.recv()
        closed.append(websocket.protocol.close_rcvd.code)

    with serving(remember) as uri, ConnectionPool(uri) as pool:
        websocket = leave_with_an_exception(pool, lambda websocket: None)
        wait_until(lambda: closed)
    assert closed == [1000]
    assert websocket.protocol.close_code == 1000


@not_under_wine
def test_connection_that_another_thread_blocks_is_discarded_in_bounded_time(impatient):
    """It holds the mutex in sendall(), and close() would wait for that."""

    def send(websocket):
        with contextlib.suppress(Exception):
            websocket.send(bytes(2**26))

    def block(websocket):
        sending.append(executor.submit(send, websocket))
        wait_until(websocket.protocol_mutex.locked)
        assert not websocket.protocol_mutex.acquire(timeout=0.2)

    sending, done = [], threading.Event()
    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(peer(lambda sock: done.wait(20)))
        stack.callback(done.set)
        executor = stack.enter_context(ThreadPoolExecutor(1))
        pool = stack.enter_context(ConnectionPool(uri, compression=None))
        websocket = leave_with_an_exception(pool, block)
        sending[0].result(5)
        assert ends(websocket.recv_events_thread)


def test_max_idle(echo_uri, clock):
    with ConnectionPool(echo_uri) as pool:
        first, second = lend_in_turn(pool, 2)
        clock.advance(pool.max_idle)
        with pool.connection() as third:
            assert third not in (first, second)
            wait_for(pool, pool_size=1)
    assert {first.protocol.close_code, second.protocol.close_code} == {1000}


def test_connection_that_was_used_last_is_lent_first(echo_uri):
    """So that those which aren't needed any more grow old."""
    with ConnectionPool(echo_uri) as pool:
        with pool.connection() as first, pool.connection() as second:
            pass
        assert lend_in_turn(pool, 2) == [first, second]


def test_slot_is_free_before_the_frames_of_its_borrower_are_collected(echo_uri, clock):
    """Which PyPy does later."""
    frames = []
    with ConnectionPool(echo_uri, max_size=1, timeout=5) as pool:
        for _ in range(3):
            before = sys.getprofile()
            sys.setprofile(lambda frame, event, arg: frames.append(frame))
            try:
                lend_in_turn(pool)
            finally:
                sys.setprofile(before)
            clock.advance(pool.max_lifetime)
        assert pool.get_stats()["connections_num"] == 3
    frames.clear()


def test_max_lifetime_of_an_idle_connection(echo_uri, clock):
    with ConnectionPool(echo_uri) as pool:
        [first] = lend_in_turn(pool)
        clock.advance(pool.max_lifetime)
        assert lend_in_turn(pool) != [first]
        assert ends(first.recv_events_thread)


def test_max_lifetime_of_a_connection_that_is_never_idle(echo_uri, clock):
    with ConnectionPool(echo_uri) as pool:
        with pool.connection() as first:
            clock.advance(pool.max_lifetime)
        assert first.protocol.close_code == 1000
        assert pool.get_stats()["returns_bad"] == 1


def test_those_below_the_one_that_is_used_are_dropped_in_time(echo_uri, clock):
    """Although no borrower gets as far as that."""
    with ConnectionPool(echo_uri) as pool:
        _used, *_others = lend_in_turn(pool, 3)
        for _ in range(4):
            clock.advance(pool.max_idle / 3)
            assert len(lend_in_turn(pool)) == 1
        wait_for(pool, connections_lost=2, pool_size=1)


def test_unreadable_text_is_dropped_with_the_rest(impatient):
    """Unread invalid UTF-8 doesn't keep a connection from being ended."""

    def push_nonsense(websocket):
        for _ in websocket:
            with websocket.send_context():
                for _ in range(40):
                    websocket.protocol.send_text(b"\xff")

    def is_there(websocket):
        # 13.1 decodes, and fails, before the message is read.
        return has_unread(websocket) or not websocket.recv_events_thread.is_alive()

    def subscribe(websocket):
        websocket.send("go on")
        wait_until(lambda: is_there(websocket))

    with serving(push_nonsense) as uri, ConnectionPool(uri, timeout=5) as pool:
        websocket = leave_with_an_exception(pool, subscribe)
        assert ends(websocket.recv_events_thread)


def test_connection_that_another_thread_reads_is_ended_all_the_same(echo_uri):
    def read(websocket):
        with contextlib.suppress(Exception):
            websocket.recv()

    def start_reading(websocket):
        reading.append(executor.submit(read, websocket))
        wait_until(lambda: websocket.recv_messages.get_in_progress)

    reading = []
    with ThreadPoolExecutor(1) as executor, ConnectionPool(echo_uri) as pool:
        websocket = leave_with_an_exception(pool, start_reading)
        reading[0].result(5)
        assert ends(websocket.recv_events_thread)


def test_close_frame_that_cannot_be_sent(echo_uri):
    def stop_sending(websocket):
        websocket.socket.shutdown(socket.SHUT_WR)

    with ConnectionPool(echo_uri) as pool:
        websocket = leave_with_an_exception(pool, stop_sending)
        assert ends(websocket.recv_events_thread)


def test_reader_thread_is_not_joined(echo_uri, monkeypatch):
    """While another thread does that, in recv(), both may get an AssertionError up to 3.12."""

    def watch_join(websocket):
        monkeypatch.setattr(websocket.recv_events_thread, "join", joins.append)

    joins = []
    with ConnectionPool(echo_uri) as pool:
        websocket = leave_with_an_exception(pool, watch_join)
        assert websocket.protocol.close_code == 1000
        assert joins == []
    monkeypatch.undo()
    assert ends(websocket.recv_events_thread)
