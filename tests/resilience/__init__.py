"""Tests of the application layer, which needs websockets 13.1 or later."""
