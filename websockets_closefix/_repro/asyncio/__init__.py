"""Reproduces the bugs of ``websockets.asyncio``."""
