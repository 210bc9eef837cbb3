"""What a search may spend: time, and epochs of all its trials."""

from __future__ import annotations

import math
import time
from pathlib import Path

from tuner_gan import files
from tuner_gan.search.callbacks import count_epochs
from tuner_gan.search.finalists import WORTH_STARTING

FINALISTS_SHARE = 0.5
"""Share of a search's time, and of its epochs, that is kept for its finalists, at most."""
LEAST_SHARE = 1 / 16
"""Share of a search's time that is enough to begin a trial in, however long a trial may take."""


class Budget:
    """The time and the epochs of a search, of which a share is kept for its finalists.

    They get no more than they can use: of the epochs those of all their trainings, and of the time what `keep` is told.

    Args:
        folder: of the project, whose histories tell what epochs were trained, by any process.
        max_time: seconds of the whole search; None for no limit.
        max_total_epochs: epochs of all trials; None for no limit.
        max_trial_time: seconds that one training may take; None for no limit.
        spent: seconds of `max_time` that are gone.
        finalist_epochs: that the trainings of the finalists have together; 0 where there are none.

    Attributes:
        started: `time.monotonic()` at which the search began, or would have, if it had been one run.
        deadline: the same at which it ends; None for never.
        stop_at: the same at which its trials end, and then the trainings of its finalists.
        max_trial_time: seconds that a training may take, those of finalists in the end.
        most_kept_s: seconds that may be kept for finalists.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_time: float | None = None,
        max_total_epochs: int | None = None,
        max_trial_time: float | None = None,
        spent: float = 0.0,
        finalist_epochs: int = 0,
    ) -> None:
        self._folder = folder
        self.started = time.monotonic() - spent
        self.deadline = self.stop_at = None if max_time is None else self.started + max_time
        self.max_trial_time = max_trial_time
        self._max_epochs, self._trial_epochs = max_total_epochs, None
        self.most_kept_s = FINALISTS_SHARE * max_time if finalist_epochs and max_time is not None else 0.0
        self.keep(self.most_kept_s)
        if max_total_epochs is not None:
            half = math.ceil((1 - FINALISTS_SHARE) * max_total_epochs)
            self._trial_epochs = max(half, max_total_epochs - finalist_epochs)

    def keep(self, seconds: float) -> None:
        """Keeps so much time for finalists."""
        self.stop_at = None if self.deadline is None else self.deadline - seconds

    def turn_to_finalists(self, kept_s: float) -> None:
        """Gives all epochs that are left, and all time but `kept_s` seconds, to finalists."""
        self._trial_epochs = None
        self.keep(kept_s)

    def is_over(self) -> bool:
        """Tells whether the time of the whole search is."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def may_begin(self) -> bool:
        """Tells whether there are epochs, and enough time, for another trial."""
        has_time = True
        if self.stop_at is not None and self.deadline is not None:
            # A limit for trials that is long beside the search's own says little about how long one takes.
            whole = LEAST_SHARE * (self.deadline - self.started)
            least = min(whole, WORTH_STARTING * (self.max_trial_time or 0.0))
            has_time = time.monotonic() + least < self.stop_at
        return has_time and self.epochs_left() != 0

    def epochs_left(self) -> int | None:
        """Returns what is left of the epochs, of all trials or of those that are no finalists; None for no limit."""
        if self._max_epochs is None:
            return None
        trained = {path: count_epochs(path) for path in files.trial_files(self._folder, files.HISTORY)}
        left = self._max_epochs - sum(trained.values())
        if self._trial_epochs is not None:
            of_others = (epochs for path, epochs in trained.items() if not files.is_of_finalist(path))
            left = min(left, self._trial_epochs - sum(of_others))
        return max(0, left)


def until(moment: float | None) -> float | None:
    """Returns the seconds from now to a moment of the monotonic clock; None for never."""
    return None if moment is None else moment - time.monotonic()
