"""Reproduces the bugs of ``websockets.sync``."""
