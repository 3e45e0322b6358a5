"""
Ends connections of ``websockets.asyncio`` in many ways, and tells which ends are wrong.

The counterpart of ``tests.faults``, which does so with ``websockets.sync``.

"""
