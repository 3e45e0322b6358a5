"""websockets.asyncio itself: a server that has to stop on SIGTERM, with a client that stalls."""

import asyncio
import os
import signal
import socket

import forcing
from _repro.asyncio._ends import client_of
from _repro.asyncio._running import observe
from websockets.asyncio.server import serve

A_LOT = bytes(2**24)  # more than the buffers of both ends take in

socket.create_connection = forcing.create_connection  # the client is ours


async def stop_on_sigterm(listener, uri):
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    connections = []

    async def handle(websocket):
        connections.append(websocket)
        os.kill(os.getpid(), signal.SIGTERM)  # the event loop finds it once send() waits
        await websocket.send(A_LOT)

    server = await serve(handle, sock=listener, close_timeout=forcing.CLOSE_TIMEOUT)
    async with client_of(uri, lambda sock, over: over.wait()):
        await terminated.wait()
        server.close()
        return forcing.Outcome(await observe(*connections, server.wait_closed()), None)


def stop_with_a_stalled_client():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        return asyncio.run(stop_on_sigterm(listener, uri))


forcing.report(stop_with_a_stalled_client)
