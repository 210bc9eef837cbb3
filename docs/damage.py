"""Draws docs/damage.png: what each score catches and what it misses, on real digits that were damaged on purpose.

python docs/damage.py docs/damage.png
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tuner_gan import datasets
from tuner_gan.datasets import ImageDataset
from tuner_gan.images import draw_grid
from tuner_gan.quality.evaluation import evaluate

Images = npt.NDArray[np.uint8]
SHOWN = ("fcd", "kid", "precision", "recall", "coverage", "authenticity", "class_kl", "classifier_score")
COLUMNS, ROWS, WIDTH = 6, 4, 260
TEXT_HEIGHT = 190


def _blurred(real: ImageDataset) -> Images:
    pictures = (Image.fromarray(one[..., 0]).filter(ImageFilter.GaussianBlur(1.2)) for one in real.images)
    return np.stack([np.asarray(picture)[..., None] for picture in pictures])


def _noisy(real: ImageDataset) -> Images:
    noise = np.random.default_rng(0).normal(0, 48, real.images.shape)
    return np.clip(np.rint(real.images + noise), 0, 255).astype(np.uint8)


def _of_classes(real: ImageDataset) -> Images:
    assert real.labels is not None
    kept = np.flatnonzero(np.isin(real.labels, (0, 1, 7)))
    return real.images[np.resize(kept, len(real.images))]


def _prototypes(real: ImageDataset) -> Images:
    assert real.labels is not None
    first = [np.flatnonzero(real.labels == label)[:2] for label in range(10)]
    return real.images[np.resize(np.concatenate(first), len(real.images))]


DAMAGES: dict[str, Callable[[ImageDataset, ImageDataset], Images]] = {
    "real, held out": lambda real, train: real.images,
    "copies of training images": lambda real, train: train.images[: len(real.images)],
    "blurred": lambda real, train: _blurred(real),
    "noisy": lambda real, train: _noisy(real),
    "three classes of ten": lambda real, train: _of_classes(real),
    "two images a class": lambda real, train: _prototypes(real),
}


def main(output: str) -> None:
    """Draws a column for each damage: images, and their scores below."""
    splits = datasets.load("mnist5k").split(seed=0)
    font = ImageFont.load_default(14)
    columns = []
    for title, damage in DAMAGES.items():
        images = damage(splits.holdout, splits.train)
        found = evaluate(datasets.from_arrays(images), splits, seed=0)
        column = Image.new("RGB", (WIDTH, 28 + WIDTH * ROWS // COLUMNS + TEXT_HEIGHT), "white")
        pen = ImageDraw.Draw(column)
        pen.text((4, 6), title, "black", ImageFont.load_default(16))
        picked = images[np.random.default_rng(1).permutation(len(images))[: COLUMNS * ROWS]]
        column.paste(draw_grid(picked, COLUMNS).convert("RGB").resize((WIDTH - 10, WIDTH * ROWS // COLUMNS)), (0, 28))
        for row, name in enumerate(SHOWN):
            y = 36 + WIDTH * ROWS // COLUMNS + 18 * row
            pen.text((4, y), name, "black", font)
            pen.text((150, y), f"{found.scores[name]:.3g}", "black", font)
        flags = ", ".join(found.flags) or "no flag"
        pen.text((4, 40 + WIDTH * ROWS // COLUMNS + 18 * len(SHOWN)), flags, "#b02a37" if found.flags else "gray", font)
        columns.append(np.asarray(column))
    half = len(columns) // 2
    rows = [np.concatenate(columns[start : start + half], axis=1) for start in (0, half)]
    Image.fromarray(np.concatenate(rows)).save(output, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
