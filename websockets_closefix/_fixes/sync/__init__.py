"""Fixes for ``websockets.sync``, where a reader thread runs beside those of the application."""
