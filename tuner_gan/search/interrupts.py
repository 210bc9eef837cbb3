"""Ctrl-C, and SIGTERM, at a moment of our choosing."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM: whoever stops at Ctrl-C stops at this, too."""


RAISED: dict[int, tuple[Any, type[KeyboardInterrupt]]] = {
    signal.SIGINT: (signal.default_int_handler, KeyboardInterrupt),
    signal.SIGTERM: (signal.SIG_DFL, Terminated),
}
"""Signals that are held back, Python's own handler of each, and what is raised for it."""


class InterruptGuard:
    """Holds back Ctrl-C and SIGTERM within a `with` block until `check` is called.

    Python raises KeyboardInterrupt wherever it happens to be. Inside a destructor, and a training runs many, it is
    printed and forgotten; inside a write it tears. SIGTERM would end the process without a word. A second signal
    raises at once, for a process that hangs.

    Outside the main thread, and where a signal is ignored or handled by somebody else, nothing is changed.
    """

    def __init__(self) -> None:
        self._pending: type[KeyboardInterrupt] | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> InterruptGuard:
        self._pending = None
        if threading.current_thread() is threading.main_thread():
            for number, (usual, _) in RAISED.items():
                if signal.getsignal(number) is usual:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}  # the next block may be in another thread, which may not set a handler

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self._pending = self._pending is not None, RAISED[number][1]
        if again:
            self.check()

    def check(self) -> None:
        """Raises the KeyboardInterrupt or `Terminated` that was held back, if there was one."""
        if self._pending is not None:
            raise self._pending
