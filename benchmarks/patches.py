"""Cuts scikit-learn's two photographs, a temple and a flower, into overlapping patches: real colour images of any size.

    python benchmarks/patches.py patches.npz
    tuner-gan search --data patches.npz --max-time 20m

The labels say which photograph a patch is from, so that the classifier has something to learn.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.datasets import load_sample_images


def main() -> None:
    """Writes the patches as uint8 `images` [N, size, size, 3] with `labels` [N], the photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="of the .npz file")
    parser.add_argument("--size", type=int, default=64, help="side of a patch in pixels")
    parser.add_argument("--stride", type=int, default=12, help="pixels between two patches")
    options = parser.parse_args()
    patches, labels = [], []
    for label, photograph in enumerate(load_sample_images().images):
        height, width, _ = photograph.shape
        for top in range(0, height - options.size + 1, options.stride):
            for left in range(0, width - options.size + 1, options.stride):
                patches.append(photograph[top : top + options.size, left : left + options.size])
                labels.append(label)
    np.savez_compressed(options.output, images=np.stack(patches), labels=labels)
    print(f"{len(patches)} patches of {options.size} x {options.size} in {options.output}")


if __name__ == "__main__":
    main()
