"""``python -m websockets_closefix``."""

from ._commands.command_line import main

if __name__ == "__main__":
    raise SystemExit(main())
