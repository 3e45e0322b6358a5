"""Builds of websockets that nobody has released, for what must be left alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import websockets.version

INIT = {
    "flawed": """
        self.recv_events_thread.start()
        self.recv_exc = None
""",
    "cured": """
        self.recv_exc = None
        self.recv_events_thread.start()
""",
}

RECV = {
    "flawed": """
        raise self.protocol.close_exc from self.recv_exc
""",
    "cured": """
        self.recv_events_thread.join()
        raise self.protocol.close_exc from self.recv_exc
""",
}

CLOSE_SOCKET = {
    "11.0": """
        self.socket.shutdown()
        self.socket.close()
""",
    "11.0.2": """
        self.socket.shutdown()
        self.recv_messages.close()
""",
    "13.1": """
        self.socket.shutdown()
        self.protocol.receive_eof()
        assert self.protocol.state is CLOSED
        self.recv_messages.close()
""",
    "14.2": """
        self.socket.shutdown()
        with self.protocol_mutex:
            self.protocol.receive_eof()
            assert self.protocol.state is CLOSED
        self.recv_messages.close()
""",
    "15.0": """
        self.socket.shutdown()
        with self.protocol_mutex:
            self.protocol.receive_eof()
            assert self.protocol.state is CLOSED
        self.recv_messages.close()
        self.acknowledge_pending_pings()
""",
    "16.0": """
        self.socket.shutdown()
        with self.protocol_mutex:
            self.protocol.receive_eof()
            assert self.protocol.state is CLOSED
            self.recv_messages.close()
            self.terminate_pending_pings()
""",
}

ASSEMBLER_CLOSE = {
    "11.0": """
        self.closed = True
""",
    "14.0": """
        self.closed = True
        self.frames.put(None)
""",
    "14.2": """
        self.closed = True
        self.frames.put(None)
        if self.paused:
            self.resume()
""",
}


def build(init, recv, close_socket, assembler_close):
    """Return the source of a websockets.sync.connection."""
    return f"""
class Connection:
    def __init__(self):{INIT[init]}
    def recv(self):{RECV[recv]}
    def recv_streaming(self):{RECV[recv]}
    def process_event(self, event):
        self.recv_messages.put(event)
    def set_recv_exc(self, exc):
        self.recv_exc = exc
    def close_socket(self):{CLOSE_SOCKET[close_socket]}
class Assembler:
    def close(self):{ASSEMBLER_CLOSE[assembler_close]}
"""


CODE = {
    "11.0": build("flawed", "flawed", "11.0", "11.0"),
    "11.0.2": build("flawed", "flawed", "11.0.2", "11.0"),
    "13.1": build("flawed", "cured", "13.1", "11.0"),
    "14.0": build("cured", "cured", "13.1", "14.0"),
    "14.2": build("cured", "cured", "14.2", "14.2"),
    "15.0": build("cured", "cured", "15.0", "14.2"),
    "16.0": build("cured", "cured", "16.0", "14.2"),
}
"""The code of the release named, and of those after it, as far as six of the fixes look."""

FLAWED = CODE["14.0"]
FIXED = CODE["14.2"]


def write_build(folder, version, connection):
    """Write a package called websockets to ``folder``, which is to come first on sys.path."""
    package = folder / "websockets"
    (package / "sync").mkdir(parents=True)
    (package / "__init__.py").write_text("from .version import version as __version__\n")
    (package / "version.py").write_text(f"version = {version!r}\n")
    (package / "sync" / "__init__.py").write_text("")
    (package / "sync" / "connection.py").write_text(connection)
    return folder


def copy_build(folder, version, prologue=""):
    """Copy the installed websockets to ``folder``, under another version, with code before its."""
    source = Path(websockets.version.__file__).parent
    package = folder / "websockets"
    shutil.copytree(source, package)
    (package / "version.py").write_text(f"version = {version!r}\n")
    connection = package / "sync" / "connection.py"
    # Imports from __future__ have to come first.
    future, separator, rest = connection.read_text().partition("import annotations\n")
    connection.write_text(f"{future}{separator}{prologue}{rest}")
    return folder
