"""Fixes for ``websockets.asyncio``, where all of a connection happens in one event loop."""
