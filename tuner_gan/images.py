"""Generated images: from a generator's range to bytes, and from bytes to a picture."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tuner_gan import files
from tuner_gan.errors import DegenerateError, QualityError
from tuner_gan.image_labels import misfit
from tuner_gan.plain_numbers import check_limit

if TYPE_CHECKING:
    import keras
    from PIL import Image

SAMPLES = 64
"""Images of a grid of samples."""
SAMPLES_SEED = 0
SAMPLES_COLUMNS = 8
SAMPLED_CLASSES = 16
"""Classes that a grid of samples shows at most, the first ones."""
SPEED_BATCHES = 5
GRID_WIDTH = 500
"""Pixels that a grid of small images is scaled up to, about."""
GAP = 1
GREY = 128


def to_images(x: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Rounds generated values to the grid of 256 levels that real images have.

    Args:
        x: floats of any shape in [-1, 1]; values outside are clipped.

    Returns:
        uint8 of the same shape: `round((x + 1) * 127.5)`.

    Raises:
        DegenerateError: a value is NaN or infinite.
    """
    x = np.asarray(x, np.float32)
    if not np.isfinite(x).all():
        raise DegenerateError(
            f"generated images must be finite, got NaN or infinity in {np.count_nonzero(~np.isfinite(x))} of {x.size} "
            "values: the training has diverged.",
            "diverged",
        )
    levels: npt.NDArray[np.uint8] = np.rint(np.clip((x + 1.0) * 127.5, 0.0, 255.0)).astype(np.uint8)
    return levels


def draw_latents(n: int, size: int, seed: int | None) -> npt.NDArray[np.float32]:
    """Draws standard normal latents, float32 `[n, size]`; an integer seed gives the same ones each time.

    Raises:
        ConfigError: the seed is neither an integer from 0 nor None.
    """
    return np.random.default_rng(check_limit("seed", seed, least=0)).standard_normal((n, size), dtype=np.float32)


def images_from_latents(
    generator: keras.Model,
    latents: npt.NDArray[np.float32],
    batch_size: int = 256,
    labels: npt.NDArray[np.integer[Any]] | None = None,
) -> npt.NDArray[np.uint8]:
    """Runs a generator in inference mode.

    Args:
        generator: float32 `[B, latent_dim]` to `[B, H, W, C]` in [-1, 1]; or a conditional one, whose second input is
            int32 labels `[B]`.
        latents: float32 `[N, latent_dim]`, N >= 1.
        batch_size: images made at a time; the last batch may be smaller.
        labels: integers `[N]` in 0..K-1 for a conditional generator; None for every class in turn.

    Returns:
        uint8 `[N, H, W, C]`.

    Raises:
        DegenerateError: NaN or infinity in the output.
        QualityError: labels that the generator does not know, or for one that takes none.
    """
    inputs = [latents]
    classes = class_count(generator)
    if classes:
        given = np.arange(len(latents)) % classes if labels is None else np.asarray(labels)
        if misfit(given, len(latents), classes) is not None:
            raise QualityError(f"labels must be integers in 0..{classes - 1}, one for each image, but got {labels}.")
        inputs.append(given.astype(np.int32))
    elif labels is not None:
        raise QualityError("labels were given, but this generator takes none: it is not conditional.")
    outputs = []
    for start in range(0, len(latents), batch_size):
        batch = [array[start : start + batch_size] for array in inputs]
        outputs.append(to_images(np.asarray(generator(batch if classes else batch[0], training=False))))
    return np.concatenate(outputs)


def check_generator(model: object, instead: str = "", advice: str = "") -> None:
    """Refuses what is no generator, such as the path of one, or a whole GAN.

    Args:
        model: what was given.
        instead: what else would do, and `advice` how to come by it; for the message.

    Raises:
        QualityError: it has no inputs.
    """
    if not hasattr(model, "inputs"):
        raise QualityError(
            f"expected {instead and f'{instead}, or '}a generator, a Keras model of declared inputs, but got "
            f"{type(model).__name__}: the generator of a GAN is gan.ema_generator{advice and f', and {advice}'}."
        )


def class_count(generator: keras.Model) -> int:
    """Number of classes of a conditional generator, which is told in its embeddings; 0 for any other."""
    if len(generator.inputs) != 2:
        return 0
    return int(next((layer.input_dim for layer in generator.layers if hasattr(layer, "embeddings")), 0))


def latent_dim(generator: keras.Model) -> int:
    """Length of the latent vectors that a generator takes."""
    return int(generator.inputs[0].shape[-1])


def input_signature(generator: keras.Model) -> list[Any]:
    """A generator's inputs as Keras's exporters take them, who do not ask one for them that was not called yet."""
    import keras

    inputs = [keras.InputSpec(shape=one.shape, dtype=one.dtype, name=one.name) for one in generator.inputs]
    return [inputs] if len(inputs) > 1 else inputs


def generate_images(
    generator: keras.Model,
    n: int,
    seed: int | None = None,
    batch_size: int = 256,
    labels: npt.ArrayLike | None = None,
) -> npt.NDArray[np.uint8]:
    """Makes `n` images, uint8 `[n, H, W, C]`, from the latents that an integer seed fixes, or from new ones.

    Args:
        generator: as in `images_from_latents`.
        n: how many.
        seed: of the latents.
        batch_size: images made at a time.
        labels: for a conditional generator, one class for all images or integers `[n]`; None for every class in turn.

    Raises:
        QualityError: `n` or `batch_size` is less than 1, labels do not fit, or NaN or infinity in the output.
        ConfigError: the seed is neither an integer from 0 nor None.
    """
    if n < 1 or batch_size < 1:
        raise QualityError(f"n and batch_size must be at least 1, got n={n}, batch_size={batch_size}.")
    each = None if labels is None else np.asarray(labels)
    if each is not None and each.ndim == 0:
        each = np.full(n, each)
    return images_from_latents(generator, draw_latents(n, latent_dim(generator), seed), batch_size, each)


def sample_images(generator: keras.Model) -> npt.NDArray[np.uint8]:
    """Makes the images of a grid of 8 columns, from the same latents for every generator.

    Returns:
        uint8 `[64, H, W, C]`; of a conditional generator `[8 K, H, W, C]`, 8 of each of its K classes, 16 at most.

    Raises:
        QualityError: NaN or infinity in the output.
    """
    classes = min(class_count(generator), SAMPLED_CLASSES)
    if not classes:
        return generate_images(generator, SAMPLES, seed=SAMPLES_SEED)
    labels = np.repeat(np.arange(classes), SAMPLES_COLUMNS)
    return generate_images(generator, len(labels), seed=SAMPLES_SEED, labels=labels)


def measure_speed(run: Callable[[], object]) -> float:
    """Measures how many milliseconds an image takes: a median over 5 batches.

    Args:
        run: makes a batch of 64 images.
    """
    seconds = []
    for _ in range(SPEED_BATCHES + 1):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:]) * 1000 / SAMPLES  # the first one may have to set something up


def draw_grid(images: npt.NDArray[np.uint8], columns: int = SAMPLES_COLUMNS) -> Image.Image:
    """Draws images in one picture, row by row with a grey line between; small ones are enlarged by a whole factor.

    Args:
        images: uint8 `[N, H, W, C]`, N >= 1, C of 1 or 3.
        columns: images in a row, >= 1.

    Raises:
        QualityError: another shape or dtype, no image, or no column.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or len(images) == 0:
        raise QualityError(
            "images must be uint8 of shape [N, H, W, C] with N >= 1 and C of 1 or 3, "
            f"got {images.dtype} of shape {list(images.shape)}."
        )
    if columns < 1:
        raise QualityError(f"columns must be at least 1, got {columns}.")
    from PIL import Image

    count, height, width, channels = images.shape
    scale = max(1, round(GRID_WIDTH / (columns * width)))
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    columns = min(columns, count)
    step_y, step_x = height * scale + GAP, width * scale + GAP
    rows = -(-count // columns)
    canvas = np.full((rows * step_y - GAP, columns * step_x - GAP, channels), GREY, np.uint8)
    for index, image in enumerate(images):
        y, x = index // columns * step_y, index % columns * step_x
        canvas[y : y + height * scale, x : x + width * scale] = image
    return Image.fromarray(canvas[..., 0] if channels == 1 else canvas)


def save_grid(images: npt.NDArray[np.uint8], path: str | Path, columns: int = SAMPLES_COLUMNS) -> None:
    """Writes the picture of `draw_grid` as a PNG.

    Args:
        images: as in `draw_grid`.
        path: of the PNG, replaced at once or not at all.
        columns: as in `draw_grid`.

    Raises:
        QualityError: as in `draw_grid`.
    """
    picture = draw_grid(images, columns)
    with files.replacing(Path(path)) as temporary:
        picture.save(temporary, format="PNG")


def pick_images(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer[Any]] | None = None
) -> npt.NDArray[np.uint8]:
    """Picks real images for a grid that stands beside one of samples.

    Args:
        images: uint8 `[N, H, W, C]`, N >= 1.
        labels: integers `[N]` from 0, where each row of the grid is to show a class; None otherwise.

    Returns:
        The first 64; with labels the first 8 of each of the first 16 classes, whose rows repeat where they have fewer,
        and are black where they have none.
    """
    if labels is None:
        return images[:SAMPLES]
    classes = range(min(int(labels.max()) + 1, SAMPLED_CLASSES))
    rows = [images[np.flatnonzero(labels == label)[:SAMPLES_COLUMNS]] for label in classes]
    return np.concatenate([np.resize(row, (SAMPLES_COLUMNS, *images.shape[1:])) for row in rows])
