"""Whether a GAN is about to be trained on the images that it is to be compared with."""

from __future__ import annotations

import numpy as np

from tuner_gan.datasets import DataSplits
from tuner_gan.quality.frozen import Images

RUNS, RUN = 100, 20
"""Training images that are looked up among the reference images: so many runs of so many, spread evenly. Of a mapped
file of any size few places are read."""
PIXELS = 2_000
"""Values of an image, about, by which it is known."""


def holds_reference(images: Images, data: DataSplits) -> bool:
    """Tells whether most reference images are among training images, by a sample of those.

    The training images of the same splits hold none of them, whatever copies of its images a dataset has.

    Args:
        images: to be trained on, uint8 `[N, H, W, C]`.
        data: with the reference images.
    """
    count = len(images)
    starts = np.linspace(0, max(0, count - RUN), RUNS).astype(int)
    rows = np.unique(np.minimum(starts[:, None] + np.arange(RUN), count - 1))
    found = _keys(images, rows)
    if count == len(data.train) and found == _keys(data.train.images, rows):
        return False
    real = set(_keys(data.reference.images, np.arange(len(data.reference))))
    # Each reference image once, however often a dataset has it: an empty one, say.
    return len(real.intersection(found)) > len(real) * len(rows) / count / 2


def _keys(images: Images, rows: np.ndarray) -> list[bytes]:
    step = max(1, images[0].size // PIXELS)
    return [images[row].reshape(-1)[::step].tobytes() for row in rows]
