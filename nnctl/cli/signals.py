"""Handle the wish to stop: at once in most commands, after the step under way while a network is trained."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
ALARM = getattr(signal, "SIGALRM", None)
SOON = 0.01  # seconds
ONE_WISH = 1.0  # seconds: a terminal, a wrapper and an impatient hand may each send a signal and mean one wish

received: list[int] = []
"""The signals that asked to leave at once. What they raise can be lost on its way, where a library catches it."""


@dataclass
class State:
    """How far the wish to stop has come.

    Attributes:
        heard: when a signal last had an effect, in seconds.
        leaving: whether the exit code is settled; from then on nothing would catch what a signal raises.
        usual_hook: what Python calls with an exception that it drops, outside nnctl.
    """

    heard: float = -math.inf
    leaving: bool = False
    usual_hook: Callable[[sys.UnraisableHookArgs], object] = sys.__unraisablehook__


state = State()


def leave_at_once() -> None:
    """From now on, leave through every `finally` on SIGINT, SIGTERM and SIGHUP, but on none that is ignored."""
    state.leaving, state.heard = False, -math.inf
    state.usual_hook, sys.unraisablehook = sys.unraisablehook, _dropped
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def ignore() -> None:
    """From now on, let no signal disturb the end of the program, nor change its exit code."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
    if ALARM is not None and signal.getsignal(ALARM) is _once_more:
        signal.signal(ALARM, signal.SIG_IGN)
    sys.unraisablehook = state.usual_hook
    state.leaving = False  # nothing will come


def _leave(number: int, _: FrameType | None) -> None:
    if not _is_repeated():
        received.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _dropped(unraisable: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised in a callback, such as those of its imports: send the signal again soon after."""
    if state.leaving:  # "signal ignored due to race condition"
        return
    if not received or not isinstance(unraisable.exc_value, KeyboardInterrupt | SystemExit):
        state.usual_hook(unraisable)
        return
    state.heard = -math.inf
    if ALARM is not None:
        signal.signal(ALARM, _once_more)
        signal.setitimer(signal.ITIMER_REAL, SOON)


def _once_more(_: int, __: FrameType | None) -> None:
    signal.raise_signal(received[-1])


def _is_repeated() -> bool:
    """Whether a signal only says once more what has been understood already."""
    if state.leaving or time.monotonic() < state.heard + ONE_WISH:
        return True
    state.heard = time.monotonic()
    return False


@contextlib.contextmanager
def stop_asked() -> Iterator[Callable[[], int | None]]:
    """Take SIGINT, SIGTERM and SIGHUP as a wish to save and stop; give a function that returns the signal, or None.

    A second signal of the kind, if it does not come at the heels of the first, has its usual effect, for those who
    cannot wait; one that is ignored, as by nohup, has none.
    """
    lost, asked = list(received), list[int]()
    state.heard = -math.inf
    usual = {number: signal.getsignal(number) for number in NUMBERS}
    usual = {number: handler for number, handler in usual.items() if handler is not signal.SIG_IGN}

    def note(number: int, _: FrameType | None) -> None:
        if _is_repeated():
            return
        if number in asked:
            have_usual_effect(number)
        asked.append(number)

    def have_usual_effect(number: int) -> None:
        state.heard = -math.inf
        signal.signal(number, usual[signal.Signals(number)])
        signal.raise_signal(number)

    for number in usual:
        signal.signal(number, note)
    try:
        yield lambda: (lost or asked or (None,))[0]
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    if lost + asked:  # too late for the last step to see
        have_usual_effect((lost + asked)[0])
