"""Builds of websockets that nobody has released, for what the gate must not touch."""

from __future__ import annotations

FLAWED = """
class Connection:
    def close_socket(self):
        self.protocol.receive_eof()
        assert self.protocol.state is CLOSED
        self.recv_messages.close()
"""

FIXED = """
class Connection:
    def close_socket(self):
        with self.protocol_mutex:
            self.protocol.receive_eof()
            assert self.protocol.state is CLOSED
        self.recv_messages.close()
"""

WITHOUT_PROTOCOL = """
class Connection:
    def close_socket(self):
        self.socket.close()
        self.recv_messages.close()
"""


def write_build(folder, version, connection):
    """Write a package called websockets to ``folder``, which is to come first on sys.path."""
    package = folder / "websockets"
    (package / "sync").mkdir(parents=True)
    (package / "__init__.py").write_text("from .version import version as __version__\n")
    (package / "version.py").write_text(f"version = {version!r}\n")
    (package / "sync" / "__init__.py").write_text("")
    (package / "sync" / "connection.py").write_text(connection)
    return folder
