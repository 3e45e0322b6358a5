"""Reproduces the bugs of ``websockets.legacy``."""
