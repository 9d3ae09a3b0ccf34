"""Heed the wish to stop: at once in most commands, after the step under way while a network is trained."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

received: list[int] = []
"""The signals that asked to leave at once. What they raise can be lost on its way: in a callback, Python drops it."""


def leave_at_once() -> None:
    """From now on, leave through every `finally` on SIGINT, SIGTERM and SIGHUP, but on none that is ignored."""
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    received.append(number)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


@contextlib.contextmanager
def stop_asked() -> Iterator[Callable[[], int | None]]:
    """Take SIGINT, SIGTERM and SIGHUP as a wish to save and stop; give a function that returns the signal, or None.

    A second signal of the kind has its usual effect, for those who cannot wait; one that is ignored, as by nohup, has
    none.
    """
    asked = list(received)
    usual = {number: signal.getsignal(number) for number in NUMBERS}
    usual = {number: handler for number, handler in usual.items() if handler is not signal.SIG_IGN}

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, usual[signal.Signals(number)])

    for number in usual:
        signal.signal(number, note)
    try:
        yield lambda: asked[0] if asked else None
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    if asked:  # too late for the last step to see: it has its usual effect
        signal.raise_signal(asked[0])
