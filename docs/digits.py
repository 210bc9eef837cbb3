"""Draws docs/digits.png: real images beside those that a search's best generator makes.

python docs/digits.py runs/mnist5k-dcgan docs/digits.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tuner_gan import datasets, results
from tuner_gan.images import generate_images, save_grid
from tuner_gan.results.export import load_generator

GAP = 16


def main(project: str, output: str) -> None:
    """Draws 64 held-out real images on the left and 64 generated ones on the right."""
    search = results.load(project)
    data = datasets.load(search.config["data"]["name"]).split(seed=search.config["seed"])
    generator = load_generator(search.best.folder / "generator.keras")
    sides = []
    for name, images in (("real", data.holdout.images[:64]), ("generated", generate_images(generator, 64, seed=0))):
        path = Path(output).with_suffix(f".{name}.png")
        save_grid(images, path)
        sides.append(np.asarray(Image.open(path).convert("RGB")))
        path.unlink()
    between = np.full((sides[0].shape[0], GAP, 3), 255, np.uint8)
    Image.fromarray(np.concatenate([sides[0], between, sides[1]], axis=1)).save(output, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
