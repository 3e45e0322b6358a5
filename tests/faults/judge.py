"""Compares what was seen in a cell with what ought to be seen there."""

from __future__ import annotations

# What has to be seen on every release, whatever the yardstick shows.
ALWAYS = {"hangs": "", "late": False, "state": "CLOSED", "left over": ""}

A_BROKEN_NETWORK = {
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "NoneType",
    "BrokenPipeError",
    "ConnectionResetError",
    "OSError",  # bad file descriptor: the other thread has closed the socket
    "SSLEOFError",
    "SSLError",
    "TimeoutError",
}

# What each release calls an opening handshake that isn't answered.
NO_ANSWER = {"ConnectionError", "EOFError", "InvalidMessage"}


def faults_of(outcomes):
    """Yield what must not be, whatever the yardstick shows."""
    for aspect, good in ALWAYS.items():
        bad = seen(outcomes, aspect) - {good}
        # A machine may be busy once, but not each time.
        if bad and not (aspect == "late" and len(seen(outcomes, aspect)) > 1):
            yield f"{aspect}: {', '.join(map(str, sorted(bad)))}"


def differences(cell, outcomes, reference):
    """Yield each aspect in which the outcomes aren't those of the reference, or explained."""
    for aspect in sorted(aspects(outcomes) | aspects(reference)):
        if aspect in ALWAYS:
            continue
        one, other = seen(outcomes, aspect), seen(reference, aspect)
        unexplained = {text for text in one - other if not is_explained(cell, aspect, text)}
        if one != other if is_settled(cell, aspect) else unexplained:
            yield aspect, one, other


def contradictions(outcomes, documented):
    """Yield each aspect in which the outcomes aren't what the documentation says."""
    for aspect, allowed in documented.items():
        wrong = {
            text for text in seen(outcomes, aspect) if not {text, text.partition(" ")[0]} & allowed
        }
        if wrong:
            yield aspect, wrong, allowed


def is_settled(cell, aspect):
    """Tell whether there is one outcome, whichever thread comes first."""
    fault, _, activity, meanwhile = cell.split(" | ")
    caller_is_passive = activity in ("idle", "receiving", "connecting")
    somebody_else_is_sending = fault.startswith("peer stops reading")
    if aspect == "internal errors" or meanwhile == "another thread closes":
        return False
    if activity == "connecting":
        return fault not in ("RST at once", "RST after the request")
    if aspect.startswith("cause of "):
        return caller_is_passive and not somebody_else_is_sending
    if aspect == "recv() afterwards":
        return not (activity == "closing" and somebody_else_is_sending)
    return True


def is_explained(cell, aspect, text):
    """Tell whether a broken network may end in this exception, or be caused by it."""
    if aspect == "internal errors":
        # Data that come in while another thread closes; from 14.0 to the newest release.
        late_data = cell.startswith("messages nobody reads")
        return not text or (late_data and text == "unexpected internal error: EOFError")
    kind, *_ = text.split()
    return kind in A_BROKEN_NETWORK or (kind in NO_ANSWER and "| connecting |" in cell)


def seen(outcomes, aspect):
    return {outcome[aspect] for outcome in outcomes if aspect in outcome}


def aspects(outcomes):
    return set().union(*outcomes)
