"""Upstream's fix of issue 1558: in the source of an affected release, and the fixed release."""

from __future__ import annotations

import inspect
import os
import textwrap

from websockets.sync import connection as connection_module

FLAWED = """\
    self.protocol.receive_eof()
    assert self.protocol.state is CLOSED
"""

FIXED = """\
    with self.protocol_mutex:
        self.protocol.receive_eof()
        assert self.protocol.state is CLOSED
"""


def fix(connection_class):
    """Give close_socket the two lines of 14.2 in the place of those of 13.1 to 14.1."""
    source = textwrap.dedent(inspect.getsource(connection_class.close_socket))
    assert FLAWED in source
    namespace = {}
    code = compile(source.replace(FLAWED, FIXED), connection_module.__file__, "exec")
    exec(code, vars(connection_module), namespace)
    connection_class.close_socket = namespace["close_socket"]


def first_fixed(directory):
    """Return the environment variables of a process that gets its websockets from there."""
    return {"PYTHONPATH": os.pathsep.join([directory, os.getcwd()])}
