"""The interpreter that runs this command, and how it was started."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence

from .refused import Refused


def executable() -> str:
    """
    Return the path of the interpreter.

    Raises:
        Refused: If there is none, as in a program that PyInstaller has frozen.

    """
    if getattr(sys, "frozen", False) or not sys.executable:
        raise Refused(
            "there is no interpreter here, as in a frozen program, which only an import reaches: "
            "import websockets_closefix in the program, and print(websockets_closefix.status())"
        )
    return sys.executable


def options() -> list[str]:
    """Return the options that the interpreter was started with."""
    if sys.version_info >= (3, 10):
        return options_in(sys.orig_argv)
    count, arguments = ctypes.c_int(), ctypes.POINTER(ctypes.c_wchar_p)()
    ctypes.pythonapi.Py_GetArgcArgv(ctypes.byref(count), ctypes.byref(arguments))
    return options_in([str(argument) for argument in arguments[: count.value]])


def options_in(command_line: Sequence[str]) -> list[str]:
    """
    Return the interpreter's own options: those before a script, ``-c`` or ``-m``.

    They are read as Python reads them: ``-um program`` is ``-u -m program``, and what takes a
    value takes the rest of the word or the next one.

    """
    found: list[str] = []
    words = iter(command_line[1:])
    for word in words:
        if word == "--check-hash-based-pycs":
            found += [word, next(words)]
            continue
        if not word.startswith("-") or word in ("-", "--"):
            break
        for place, letter in enumerate(word[1:], 1):
            if letter in "cm":
                return found
            if letter in "WX":
                found += [f"-{letter}", word[place + 1 :] or next(words)]
                break
            found.append(f"-{letter}")
    return found
