"""What a search without tuner_gan found and when, so that its best at any moment can be judged later."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tuner_gan.errors import DegenerateError

if TYPE_CHECKING:
    import keras

    from tuner_gan.quality import QualityEvaluator

LOG = "found.jsonl"
"""A line for each generator that was better than all before it."""
WORST = 10.0
"""Told to the search of images that have no score, such as NaN; untrained networks have about 6. To let such a trial
fail would be worse for the peer, because KerasTuner ends a search after three in a row."""


class Found:
    """Scores generators, prints each as a row of a Markdown table, and keeps those that are the best so far.

    Args:
        folder: where they go; it exists.
        quality: what scores them.
    """

    def __init__(self, folder: Path, quality: QualityEvaluator) -> None:
        self._folder = folder
        self._quality = quality
        self._count = 0
        self._best = float("inf")
        self._started = time.monotonic()
        print("| s | fcd | generator |\n|---|---|---|", flush=True)

    def score(self, generator: keras.Model, about: str) -> float:
        """Returns the relative Frechet distance.

        Args:
            generator: latents to images in [-1, 1].
            about: what it is, in a few words.
        """
        try:
            score = self._quality.score(generator)["fcd"]
        except DegenerateError:
            score = WORST
        if score < min(self._best, WORST):
            self._best = score
            path = self._folder / f"{self._count:04}.keras"
            generator.save(path)
            line = json.dumps({"time": time.time(), "score": score, "generator": path.name})
            with (self._folder / LOG).open("a", encoding="utf-8") as log:
                log.write(line + "\n")
        self._count += 1
        print(f"| {time.monotonic() - self._started:.1f} | {score:.4f} | {about} |", flush=True)
        return score


def best_at(folder: Path, moment: float) -> Path | None:
    """Returns the best generator that there was at a moment, seconds since the epoch; None when there was none yet."""
    path = folder / LOG
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    found = [line for line in map(json.loads, lines) if line["time"] <= moment]
    return folder / found[-1]["generator"] if found else None
