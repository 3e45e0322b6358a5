"""As for ``websockets.asyncio``, each test runs on the standard event loop and on uvloop."""

from __future__ import annotations

import warnings

from ..asyncio.conftest import new_event_loop  # noqa: F401

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import websockets.legacy.client
    import websockets.legacy.server  # noqa: F401
