"""Fixes for ``websockets.legacy``."""
