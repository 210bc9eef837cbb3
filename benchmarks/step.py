"""Measures a training step through `fit`, against a textbook Keras GAN of the same networks.

    python benchmarks/step.py

prints a Markdown table. The textbook makes fakes for the discriminator and new ones for the generator, with a tape for
each, on a tf.data pipeline, without XLA (Keras's own choice for TensorFlow). Ours is `GAN.fit`; the ratios are of what
it chooses for long trainings, with or without XLA, which is in bold. All run in turns, and a ratio is the median over
pairs; give it a quiet computer all the same. It takes about five minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from textbook import TextbookGAN, pipeline

from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec
from tuner_gan.gan.arithmetic import step_flops
from tuner_gan.gan.model import GAN
from tuner_gan.gan.networks import build_discriminator, build_generator

Images = npt.NDArray[np.uint8]

BATCH = 64
LEARNING_RATE = 5e-4
SHAPES = ((28, 28, 1), (32, 32, 3))
LONG = 10_000
"""Steps of a training that is long enough to be compiled."""
SECONDS = 0.8
"""That one run of each side takes, about."""
SIDES = ("textbook", "textbook, no autotuning", "ours, no XLA", "ours, XLA")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="runs of each side, in turns")
    parser.add_argument("--widths", type=int, nargs="+", default=(16, 32, 64), help="of both networks' first blocks")
    options = parser.parse_args()
    peak = _matmul_gflops()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; matrix product {peak:.0f} GFLOP/s\n")
    print(f"| images | width | {' | '.join(f'{side}, ms' for side in SIDES)} | ", end="")
    print("textbook / ours | no autotuning / ours | ours, share of a matrix product |")
    print("|---" * (len(SIDES) + 5) + "|")
    for shape in SHAPES:
        for width in options.widths:
            gan = architecture(shape, width)
            times = measure(gan, options.repeats)
            chosen = 3 if chooses_xla(gan) else 2
            ms = [f"{1e3 * np.median(times[:, side]):.1f}" for side in range(len(SIDES))]
            ms[chosen] = f"**{ms[chosen]}**"
            ratios = [f"{np.median(times[:, side] / times[:, chosen]):.2f}" for side in (0, 1)]
            ratios[0] = f"**{ratios[0]}**"
            share = flops(gan) / np.median(times[:, chosen]) / peak / 1e9
            name = "x".join(map(str, shape))
            print(f"| {name} | {width} | {' | '.join([*ms, *ratios])} | {share:.0%} |", flush=True)
    print(f"\nLoad {os.getloadavg()[0]:.1f} after")


def architecture(image_shape: tuple[int, int, int], width: int) -> GANArchitecture:
    """A DCGAN without normalisation in its discriminator: two blocks for grey images, three for colour."""
    widths = tuple(width * 2**block for block in range(2 if image_shape[2] == 1 else 3))
    return GANArchitecture(
        image_shape,
        GeneratorSpec("conv", latent_dim=64, widths=widths[::-1]),
        DiscriminatorSpec("conv", widths=widths, normalization="none"),
        TrainingSpec(batch_size=BATCH),
    )


def measure(gan: GANArchitecture, repeats: int) -> npt.NDArray[np.float64]:
    """Seconds a step, `[repeats, sides]`, in turns."""
    steps = _steps(gan)
    images = np.random.default_rng(0).integers(0, 256, (BATCH * steps, *gan.image_shape), np.uint8)
    runs = [
        textbook(gan, images, autotune=True),
        textbook(gan, images, autotune=False),
        ours(gan, images, xla=False),
        ours(gan, images, xla=True),
    ]
    for run in runs:
        run()  # traces and compiles
    times = np.empty((repeats, len(runs)))
    for row in times:
        for side, run in enumerate(runs):
            started = time.perf_counter()
            run()
            row[side] = (time.perf_counter() - started) / steps
    return times


def _steps(gan: GANArchitecture) -> int:
    """As many whole calls as fill about `SECONDS`, by the work of a step."""
    return 8 * max(1, round(SECONDS * 30e9 / flops(gan) / 8))


def ours(gan: GANArchitecture, images: Images, xla: bool) -> Callable[[], object]:
    """An epoch of `GAN.fit`."""
    model = GAN(gan, seed=0)
    model.compile(jit_compile=xla)
    return lambda: model.fit(images, epochs=1, verbose=0)


def chooses_xla(gan: GANArchitecture) -> bool:
    """What `GAN.fit` chooses for a long training."""
    model = GAN(gan, seed=0)
    model.compile()
    return model._xla_pays(LONG, BATCH)


def textbook(gan: GANArchitecture, images: Images, autotune: bool) -> Callable[[], object]:
    """An epoch of the textbook's `fit`."""
    generator = build_generator(gan.generator, gan.image_shape)
    model = TextbookGAN(generator, build_discriminator(gan.discriminator, gan.image_shape))
    model.compile(LEARNING_RATE, LEARNING_RATE)
    batches = pipeline(images, BATCH, autotune=autotune)
    return lambda: model.fit(batches, epochs=1, verbose=0, shuffle=False)


def flops(gan: GANArchitecture) -> float:
    """Floating-point operations of the products in one of our steps."""
    networks = (
        build_generator(gan.generator, gan.image_shape),
        build_discriminator(gan.discriminator, gan.image_shape),
    )
    return step_flops(*networks, BATCH)


def _matmul_gflops(side: int = 1024) -> float:
    """What a float32 matrix product of TensorFlow reaches, in GFLOP/s: the median of nine."""
    a = tf.random.normal((side, side))
    times = []
    for _ in range(10):
        started = time.perf_counter()
        tf.linalg.matmul(a, a).numpy()
        times.append(time.perf_counter() - started)
    return float(2.0 * side**3 / np.median(times[1:]) / 1e9)


if __name__ == "__main__":
    main()
