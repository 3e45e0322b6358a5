"""What the commands raise instead of a traceback."""


class Refused(Exception):
    """Says in one sentence what can't be done, and what to do instead."""
