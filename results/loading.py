"""The lines of code that load an exported generator and make images with it."""

from __future__ import annotations

import json

from tuner_gan import files

BATCH = 256
"""Images that the program beside a generator makes at a time."""


def loading_code(path: str, classes: int = 0) -> list[str]:
    """Returns lines of Python that need Keras and NumPy only.

    Args:
        path: of the `.keras` file, as the code is to name it.
        classes: of a conditional generator; 0 for any other.
    """
    labels = [f"labels = np.arange(64, dtype=np.int32) % {classes}"] if classes else []
    return [
        "import keras, numpy as np",
        f"generator = keras.saving.load_model({json.dumps(path)})",
        *labels,
        f"latents = np.random.default_rng(0).standard_normal((64, {_size(classes)}), dtype=np.float32)",
        f"images = {_images(classes)}",
    ]


def generate_script(classes: int = 0) -> str:
    """Returns a program that lies beside a generator and makes images with it; it needs Keras and NumPy only.

    Args:
        classes: of a conditional generator; 0 for any other.
    """
    option = (
        f'parser.add_argument("--class", dest="label", type=int, choices=range({classes}), metavar="0..{classes - 1}", '
        'help="label of all images (default: every class in turn)")\n'
        if classes
        else ""
    )
    labels = (
        f"labels = np.arange(options.n, dtype=np.int32) % {classes}\n"
        "if options.label is not None:\n"
        "    labels[:] = options.label\n"
        if classes
        else ""
    )
    saved = "images=images, labels=labels" if classes else "images=images"
    return f'''"""Makes images with the generator beside it; pip install keras tensorflow."""

import argparse
from pathlib import Path

import keras
import numpy as np

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("-n", type=int, default=64, help="how many images (default: 64)")
parser.add_argument("--seed", type=int, help="integer from 0 that fixes the images")
parser.add_argument("-o", "--output", default="images.npz", help="where to write them (default: images.npz)")
{option}options = parser.parse_args()
if options.n < 1 or not options.output.endswith(".npz"):
    parser.error(f"expected 1 image or more and a file that ends in .npz, but got {{options.n}} and {{options.output}}")
if (options.seed or 0) < 0 or not Path(options.output).parent.is_dir():
    parser.error(f"expected a seed from 0 and a folder that is there, but got {{options.seed}} and {{options.output}}")

generator = keras.saving.load_model(Path(__file__).with_name("{files.GENERATOR}"), compile=False)
latents = np.random.default_rng(options.seed).standard_normal((options.n, {_size(classes)}), dtype=np.float32)
{labels}# All at once would take much memory.
batches = [slice(start, start + {BATCH}) for start in range(0, options.n, {BATCH})]
images = np.concatenate([{_images(classes, "[batch]")} for batch in batches])
np.savez_compressed(options.output, {saved})
print(f"{{len(images)}} images of {{images.shape[1:]}} in {{options.output}}")
'''


def _size(classes: int) -> str:
    """Where a generator tells the length of its latents."""
    return "generator.input_shape[0][-1]" if classes else "generator.input_shape[-1]"


def _images(classes: int, part: str = "") -> str:
    """What makes images of all latents, or of a part of them."""
    inputs = f"[latents{part}, labels{part}]" if classes else f"latents{part}"
    return f"np.rint((keras.ops.convert_to_numpy(generator({inputs})) + 1) * 127.5).astype(np.uint8)"
