"""Gives a process another release of websockets than the one that is installed."""

from __future__ import annotations

import os


def release_in(directory):
    """Return the environment variables of a process that gets its websockets from there."""
    return {"PYTHONPATH": os.pathsep.join([directory, os.getcwd()])}
