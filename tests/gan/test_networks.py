import math
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers

from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec
from tuner_gan.gan.model import GAN
from tuner_gan.gan.networks import build_discriminator, build_generator

Array = npt.NDArray[Any]
Shape = tuple[int, int, int]
Family = Literal["dense", "conv"]

RUN: list[Shape] = [(8, 8, 1), (28, 28, 1), (9, 13, 3)]
BUILD: list[Shape] = [(32, 32, 3), (17, 64, 1), (256, 8, 3)]


@pytest.fixture(autouse=True)
def same_weights() -> None:
    keras.utils.set_random_seed(0)


def _latents(n: int, latent_dim: int, scale: float = 1.0) -> Array:
    return (scale * np.random.default_rng(0).standard_normal((n, latent_dim))).astype(np.float32)


def _images(n: int, shape: Shape) -> Array:
    return np.random.default_rng(1).uniform(-1, 1, (n, *shape)).astype(np.float32)


def _of_kind(model: keras.Model, kind: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("shape", RUN + BUILD, ids=str)
@pytest.mark.parametrize("normalization", ["batch", "layer", "none"])
@pytest.mark.parametrize("family", ["dense", "conv"])
def test_a_generator_makes_exactly_the_shape(
    family: Family, normalization: Literal["batch", "layer", "none"], shape: Shape
) -> None:
    generator = build_generator(GeneratorSpec(family, 5, (6, 4, 3), normalization=normalization), shape)
    assert generator.input_shape == (None, 5)
    assert generator.output_shape == (None, *shape)
    normalized = _of_kind(generator, layers.BatchNormalization) + _of_kind(generator, layers.LayerNormalization)
    assert len(normalized) == (0 if normalization == "none" else 3)
    expected = {"batch": layers.BatchNormalization, "layer": layers.LayerNormalization, "none": object}
    assert all(isinstance(layer, expected[normalization]) for layer in normalized)
    if shape in RUN:
        for scale in (1e4, 1.0):
            images = np.asarray(generator(_latents(3, 5, scale)))
            assert images.dtype == np.float32
            assert images.shape == (3, *shape)
            assert np.abs(images).max() <= 1
        assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize("shape", RUN + BUILD, ids=str)
@pytest.mark.parametrize("normalization", ["spectral", "layer", "none"])
@pytest.mark.parametrize("family", ["dense", "conv"])
def test_a_discriminator_gives_one_logit_an_image(
    family: Family, normalization: Literal["spectral", "layer", "none"], shape: Shape
) -> None:
    discriminator = build_discriminator(DiscriminatorSpec(family, (3, 4), normalization=normalization), shape)
    assert discriminator.input_shape == (None, *shape)
    assert discriminator.output_shape == (None, 1)
    # The layer of the logit is constrained too, or the bound on the Lipschitz constant would end before it.
    spectral = _of_kind(discriminator, layers.SpectralNormalization)
    assert len(spectral) == (3 if normalization == "spectral" else 0)
    layer_norms = _of_kind(discriminator, layers.LayerNormalization)
    assert len(layer_norms) == (2 if normalization == "layer" else 0)
    assert not _of_kind(discriminator, layers.BatchNormalization)
    if shape in RUN:
        logits = np.asarray(discriminator(_images(3, shape)))
        assert logits.dtype == np.float32
        assert logits.shape == (3, 1)
        assert len(np.unique(logits)) == 3


@pytest.mark.parametrize(
    ("shape", "depth", "base"),
    [((28, 28, 1), 2, (7, 7)), ((28, 28, 1), 3, (4, 4)), ((9, 13, 3), 2, (3, 4)), ((32, 32, 3), 3, (4, 4))],
)
def test_the_first_map_is_the_image_halved_and_rounded_up(shape: Shape, depth: int, base: tuple[int, int]) -> None:
    widths = tuple(range(8, 8 + depth))
    generator = build_generator(GeneratorSpec("conv", 5, widths), shape)
    (dense,), (reshape,) = _of_kind(generator, layers.Dense), _of_kind(generator, layers.Reshape)
    assert reshape.target_shape == (*base, widths[0])
    assert dense.units == math.prod(reshape.target_shape)
    convolutions = _of_kind(generator, layers.Conv2DTranspose)
    assert [layer.filters for layer in convolutions] == [*widths[1:], shape[2]]
    assert all(layer.strides == (2, 2) for layer in convolutions)


@pytest.mark.parametrize(("shape", "crop"), [((28, 28, 1), None), ((9, 13, 3), (3, 3)), ((25, 28, 1), (7, 4))])
def test_what_is_too_large_is_cropped_at_the_middle(shape: Shape, crop: tuple[int, int] | None) -> None:
    depth = 2 if crop is None else 3 if shape[2] == 1 else 2
    generator = build_generator(GeneratorSpec("conv", 5, (4,) * depth), shape)
    crops = _of_kind(generator, layers.Cropping2D)
    if crop is None:
        assert not crops
        return
    before = keras.Model(generator.input, crops[0].input)(_latents(2, 5))
    assert before.shape[1:3] == (shape[0] + crop[0], shape[1] + crop[1])
    top, left = crop[0] // 2, crop[1] // 2
    cropped = np.asarray(before)[:, top : top + shape[0], left : left + shape[1]]
    np.testing.assert_allclose(np.asarray(generator(_latents(2, 5))), np.tanh(cropped), atol=1e-6)


@pytest.mark.parametrize("kernel_size", [4, 5])
def test_kernel_size_is_that_of_every_convolution(kernel_size: int) -> None:
    generator = build_generator(GeneratorSpec("conv", 5, (4, 3), kernel_size=kernel_size), (12, 10, 3))
    discriminator = build_discriminator(
        DiscriminatorSpec("conv", (4, 3), kernel_size, normalization="none"), (12, 10, 3)
    )
    convolutions = _of_kind(generator, layers.Conv2DTranspose) + _of_kind(discriminator, layers.Conv2D)
    assert len(convolutions) == 4
    assert all(layer.kernel_size == (kernel_size, kernel_size) for layer in convolutions)
    assert generator(_latents(2, 5)).shape == (2, 12, 10, 3)
    assert discriminator(_images(2, (12, 10, 3))).shape == (2, 1)


@pytest.mark.parametrize("downsampling", ["stride", "max_pool"])
@pytest.mark.parametrize("depth", [2, 6])
def test_each_convolution_halves_the_map(downsampling: Literal["stride", "max_pool"], depth: int) -> None:
    """Six halvings of 8 x 13 pixels: a map of one pixel stays one pixel."""
    discriminator = build_discriminator(DiscriminatorSpec("conv", (3,) * depth, downsampling=downsampling), (8, 13, 1))
    pools = _of_kind(discriminator, layers.MaxPooling2D)
    assert len(pools) == (depth if downsampling == "max_pool" else 0)
    strides = {wrapper.layer.strides for wrapper in _of_kind(discriminator, layers.SpectralNormalization)[:-1]}
    assert strides == {(1, 1) if pools else (2, 2)}
    (flatten,) = _of_kind(discriminator, layers.Flatten)
    assert flatten.input.shape == (None, math.ceil(8 / 2**depth), math.ceil(13 / 2**depth), 3)
    assert discriminator(_images(2, (8, 13, 1))).shape == (2, 1)


def test_max_pooling_follows_the_activation() -> None:
    discriminator = build_discriminator(
        DiscriminatorSpec("conv", (3,), downsampling="max_pool", normalization="none"), (8, 8, 1)
    )
    names = [type(layer).__name__ for layer in discriminator.layers]
    assert names == ["InputLayer", "Conv2D", "LeakyReLU", "MaxPooling2D", "Flatten", "Dense"]


@pytest.mark.parametrize(("activation", "kind"), [("relu", layers.ReLU), ("leaky_relu", layers.LeakyReLU)])
def test_activation_and_bias_of_a_generator(activation: Literal["relu", "leaky_relu"], kind: type) -> None:
    for normalization, bias in (("batch", False), ("layer", False), ("none", True)):
        spec = GeneratorSpec("dense", 5, (7, 6), normalization=normalization, activation=activation)  # type: ignore[arg-type]
        generator = build_generator(spec, (8, 8, 1))
        activations = _of_kind(generator, kind)
        assert len(activations) == 2
        assert all(
            getattr(layer, "negative_slope", 0) == (0.2 if kind is layers.LeakyReLU else 0) for layer in activations
        )
        *hidden, last = _of_kind(generator, layers.Dense)
        assert [layer.units for layer in hidden] == [7, 6]
        # A shift that the normalisation would take away again is not learned; the images keep theirs.
        assert [layer.use_bias for layer in hidden] == [bias, bias]
        assert last.units == 64
        assert last.use_bias


def test_spectral_norm_brings_the_largest_singular_value_to_one() -> None:
    discriminator = build_discriminator(DiscriminatorSpec("dense", (16,)), (8, 8, 1))
    wrappers = _of_kind(discriminator, layers.SpectralNormalization)
    for wrapper in wrappers:
        wrapper.layer.kernel.assign(5 * wrapper.layer.kernel)
    images = _images(4, (8, 8, 1))
    for _ in range(60):
        discriminator(images, training=True)
    for wrapper in wrappers:
        kernel = np.asarray(wrapper.layer.kernel)
        assert np.linalg.svd(kernel, compute_uv=False)[0] == pytest.approx(1, rel=0.02)


LOADER = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tuner_gan":
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
import keras
import numpy as np

for name in ("dense", "conv"):
    generator = keras.saving.load_model(f"{name}.keras", safe_mode=True)
    np.save(f"{name}.loaded.npy", np.asarray(generator(np.load(f"{name}.latents.npy"), training=False)))
    assert generator.trainable and all(layer.trainable for layer in generator.layers)
    assert len(generator.trainable_variables) > 0
assert not [name for name in sys.modules if name.split(".")[0] == "tuner_gan"]
"""


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras 3.15 with NumPy 2.4, on saving
def test_a_saved_generator_loads_without_tuner_gan(tmp_path: Path) -> None:
    families: tuple[Family, ...] = ("dense", "conv")
    for family in families:
        gan = GAN(
            GANArchitecture(
                (9, 13, 3), GeneratorSpec(family, 5, (6, 4), activation="leaky_relu"), DiscriminatorSpec(family, (3,))
            ),
            seed=0,
        )
        for variable in gan.ema_generator.variables:  # moving statistics too must come back
            variable.assign(variable + 0.1)
        gan.save_generator(tmp_path / f"{family}.keras")
        np.save(tmp_path / f"{family}.latents.npy", _latents(4, 5))
        np.save(tmp_path / f"{family}.npy", np.asarray(gan.ema_generator(_latents(4, 5), training=False)))
    run = subprocess.run(
        [sys.executable, "-I", "-c", LOADER], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    for family in families:
        np.testing.assert_array_equal(np.load(tmp_path / f"{family}.loaded.npy"), np.load(tmp_path / f"{family}.npy"))
