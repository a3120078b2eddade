"""Clocks that jump: the time of day, as Flower and the library read it; and the monotonic clock, forwards alone."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock


class Clock:
    """The time of day plus an offset.

    Attributes:
        offset: seconds.
    """

    def __init__(self) -> None:
        self.offset = 0.0
        self.paused = 0.0  # seconds by which the monotonic clock is ahead, as after a pause of the process
        self._time, self._monotonic = time.time, time.monotonic

    def jump(self, seconds: float) -> None:
        """Set the clock forwards or backwards; forwards, the monotonic clock jumps as well."""
        self.offset += seconds
        self.paused += max(seconds, 0.0)

    def time(self) -> float:
        """As time.time()."""
        return self._time() + self.offset

    def monotonic(self) -> float:
        """As time.monotonic()."""
        return self._monotonic() + self.paused

    def now(self) -> datetime.datetime:
        """As Flower's own now()."""
        return datetime.datetime.fromtimestamp(self.time(), tz=datetime.UTC)


@contextmanager
def patched() -> Iterator[Clock]:
    """Within the context, this process reads a clock that can jump."""
    clock = Clock()
    with ExitStack() as stack:
        stack.enter_context(mock.patch("time.time", clock.time))
        stack.enter_context(mock.patch("time.monotonic", clock.monotonic))
        for name, module in list(sys.modules.items()):
            if name.startswith("flwr.") and callable(getattr(module, "now", None)):
                stack.enter_context(mock.patch.object(module, "now", clock.now))
        yield clock
