"""uvicorn with websockets.legacy: two tasks of an application send to a slow client."""

import asyncio
import socket
import threading

import forcing
import uvicorn

MESSAGE = bytes(2**18)
socket.create_connection = forcing.create_connection  # the client is ours


def two_tasks_send():
    raised = []

    async def application(scope, receive, send):
        if scope["type"] != "websocket":
            return
        await send({"type": "websocket.accept"})
        tasks = [asyncio.ensure_future(keep_sending(send)) for _ in range(2)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.wait(tasks)
        raised.extend(task.exception() for task in done)

    async def keep_sending(send):
        while True:
            await send({"type": "websocket.send", "bytes": MESSAGE})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(application, ws="websockets", lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        with forcing.peers.silent_client(uri) as sock:
            threading.Event().wait(1)  # it doesn't read, then goes
            forcing.peers.reset_on_close(sock)
        forcing.wait_until(lambda: raised)
        server.should_exit = True
        thread.join()
    return forcing.Outcome(raised[0], None)


forcing.report(two_tasks_send)
