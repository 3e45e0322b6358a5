"""Every example of docs/resilience.md works."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .peers import HAS_ITS_OWN_KEEPALIVE, echo, reset_on_close, serving, wait_until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "resilience.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
PROGRAMS = {
    title: block
    for title, text in SECTIONS.items()
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
}


def start(title, uri):
    """Run the program of a section; return it, and what it prints, line by line."""
    program = PROGRAMS[title]
    if not HAS_ITS_OWN_KEEPALIVE:  # as it says
        program = program.replace(", ping_interval=None", "")
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "WEBSOCKET_URI": uri,
            "WEBSOCKETS_BACKOFF_INITIAL_DELAY": "0.1",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = queue.SimpleQueue()
    thread = threading.Thread(target=lambda: [lines.put(line.strip()) for line in process.stdout])
    thread.start()
    return process, lines, thread


@contextlib.contextmanager
def running(title, uri):
    """Run the program of a section until the block ends; yield it, and a function for its lines."""
    process, lines, thread = start(title, uri)
    try:
        yield process, lambda: lines.get(timeout=20)
    finally:
        process.kill()
        process.wait(5)
        thread.join(5)
        process.stdin.close()
        process.stdout.close()


def drop(websocket):
    """End a connection as a crash does."""
    reset_on_close(websocket.socket)
    websocket.close_socket()


def test_every_program_is_tested_here():
    tested = re.findall(r'^    title = "(.+)"$', Path(__file__).read_text(), re.MULTILINE)
    assert sorted(tested) == sorted(PROGRAMS)
    assert len([language for language, _ in BLOCKS if language == "python"]) == len(PROGRAMS)


def test_every_section_is_listed():
    links = re.findall(r"^- \[.+\]\(#(.+)\)$", PAGE, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in SECTIONS]
    assert links == anchors


def test_variable_is_introduced_before_it_is_used():
    [introduction] = [text for language, text in BLOCKS if language == "sh"]
    assert re.fullmatch(r"export WEBSOCKET_URI=ws://127\.0\.0\.1:\d+\n", introduction)
    assert all("WEBSOCKET_URI" in program for program in PROGRAMS.values())


def test_what_an_example_needs_besides_is_installed_as_it_says():
    imported = set(
        re.findall(r"^(?:import|from) (\w+)", "\n".join(PROGRAMS.values()), re.MULTILINE)
    )
    others = {"stamina"}
    assert others <= imported
    assert others == set(re.findall(r"`python -m pip install (\w+)`", PAGE))


def test_slow_reader():
    title = "My reader is slow, and I get 1011"
    with serving_normal_closures(echo) as (uri, codes):
        with running(title, uri) as (process, line):
            assert line() == "hello"
            assert line().endswith("from the latest ping to its pong")
            assert process.wait(10) == 0
        wait_until(lambda: codes == [1000])


@contextlib.contextmanager
def serving_normal_closures(handler):
    """Yield a URI, and the codes with which its connections were closed."""

    def remember(websocket):
        handler(websocket)
        codes.append(websocket.protocol.close_rcvd.code)

    codes = []
    with serving(remember) as uri:
        yield uri, codes


def test_subscribing_again():
    title = "Subscribe again after each reconnection"

    def confirm_and_drop(websocket):
        websocket.send(f"{websocket.recv()} {next(numbers)}")
        drop(websocket)

    numbers = itertools.count(1)
    with serving(confirm_and_drop) as uri, running(title, uri) as (_, line):
        assert [line(), line()] == ["subscribe 1", "subscribe 2"]


def test_going_on():
    title = "Go on from where I was"

    def send_three_and_drop(websocket):
        after = int(websocket.request.path.rpartition("=")[2])
        for number in range(after + 1, after + 4):
            websocket.send(str(number))
        websocket.recv(timeout=0.5) if number > 3 else websocket.close()

    with serving(send_three_and_drop) as uri, running(title, uri) as (_, line):
        assert [line() for _ in range(6)] == list("123456")


def test_token():
    title = "Use a new token for each connection"

    def show_and_drop(websocket):
        websocket.send(websocket.request.headers["Authorization"])
        websocket.close()

    with serving(show_and_drop) as uri, running(title, uri) as (_, line):
        tokens = {line(), line()}
    assert len(tokens) == 2
    assert all(token.startswith("Bearer ") for token in tokens)


def test_giving_up():
    title = "Give up after some attempts"
    with socket.create_server(("127.0.0.1", 0)) as sock:
        uri = f"ws://127.0.0.1:{sock.getsockname()[1]}"
    with running(title, uri) as (process, line):
        assert line().startswith("gave up: ")
        assert process.wait(10) == 0


@pytest.mark.parametrize("is_there", [True, False])
def test_stopping(is_there):
    title = "Stop a worker from outside"

    def greet(websocket):
        websocket.send("hello")
        with contextlib.suppress(Exception):
            websocket.recv()

    def attempt(connection, request):
        attempted.set()
        return None if is_there else connection.respond(503, "")

    attempted = threading.Event()
    with serving(greet, process_request=attempt) as uri, running(title, uri) as (process, line):
        assert attempted.wait(10)
        assert not is_there or line() == "hello"
        process.stdin.write("\n")
        process.stdin.flush()
        assert line() == "stopped"
        assert process.wait(10) == 0


def test_receiving_and_sending():
    title = "Receive in one thread, send in others"

    def echo_and_drop(websocket):
        connected.put(None)
        websocket.send(websocket.recv())
        websocket.close()

    connected = queue.SimpleQueue()
    with serving(echo_and_drop) as uri, running(title, uri) as (process, line):
        for message in ("one", "two"):
            connected.get(timeout=20)
            process.stdin.write(f"{message}\n")
            process.stdin.flush()
            assert line() == message


def test_signing_in():
    title = "Sign in once per pooled connection"

    def welcome(websocket):
        assert websocket.recv() == "sign in"
        websocket.send("welcome")
        echo(websocket)

    with serving_normal_closures(welcome) as (uri, codes):
        with running(title, uri) as (process, line):
            assert [line() for _ in range(3)] == [f"request {number}" for number in range(3)]
            assert process.wait(10) == 0
        wait_until(lambda: codes == [1000])


def test_retrying():
    title = "Retry a request"

    def answer_another_first(websocket):
        for message in websocket:
            wrong = next(attempts) == 0
            websocket.send(message.replace('"id": 0', '"id": 99') if wrong else message)

    attempts = itertools.count()
    with serving(answer_another_first) as uri, running(title, uri) as (process, line):
        assert line() == "{'id': 1, 'question': 'hello'}"
        assert "'returns_bad': 1" in line()
        assert process.wait(10) == 0
