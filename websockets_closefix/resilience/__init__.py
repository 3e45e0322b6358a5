"""
What an application does once a broken connection ends in ``ConnectionClosed``.

Three remedies in the form that websockets, or the field, settled on later. They need websockets
13.1 or later, work with the shim off, and aren't imported by it.

"""

try:
    from ._keepalive import keepalive
    from ._pool import ConnectionPool, PoolClosed, PoolTimeout
    from ._reconnect import reconnect
except ImportError as _exc:
    raise ImportError(
        "websockets_closefix.resilience needs websockets 13.1 or later: upgrade websockets"
    ) from _exc

__all__ = ["ConnectionPool", "PoolClosed", "PoolTimeout", "keepalive", "reconnect"]
