"""Ctrl-C at a moment of our choosing."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class InterruptGuard:
    """Holds back Ctrl-C within a `with` block until `check` is called.

    Python raises KeyboardInterrupt wherever it happens to be. Inside a destructor, and a training runs many, it is
    printed and forgotten; inside a write it tears. A second Ctrl-C raises at once, for a process that hangs.

    Outside the main thread, and where SIGINT is ignored or handled by somebody else, nothing is changed.
    """

    def __init__(self) -> None:
        self._pending = False
        self._previous: Any = None

    def __enter__(self) -> InterruptGuard:
        self._pending = False
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None  # the next block may be in another thread, which may not set a handler

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._pending:
            raise KeyboardInterrupt
        self._pending = True

    def check(self) -> None:
        """Raises the KeyboardInterrupt that was held back, if there was one."""
        if self._pending:
            raise KeyboardInterrupt
