import itertools
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

from tuner_gan.gan.activations import FlatLeakyReLU
from tuner_gan.gan.architecture import (
    ACTIVATIONS,
    DISCRIMINATOR_NORMALIZATIONS,
    GENERATOR_NORMALIZATIONS,
    Activation,
    DiscriminatorSpec,
    GANArchitecture,
    GeneratorSpec,
)
from tuner_gan.gan.convolutions import ImageConvolution
from tuner_gan.gan.model import GAN
from tuner_gan.gan.networks import build_discriminator, build_generator
from tuner_gan.gan.normalization import FusedBatchNormalization

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


NORMALIZED = {
    "batch": layers.BatchNormalization,
    "layer": layers.LayerNormalization,
    "group": layers.GroupNormalization,
    "instance": layers.GroupNormalization,
}


def _fits(family: str, normalization: str) -> bool:
    return not (family == "dense" and normalization == "instance")


@pytest.mark.parametrize("shape", RUN + BUILD, ids=str)
@pytest.mark.parametrize(
    ("family", "normalization"),
    [pair for pair in itertools.product(("dense", "conv"), GENERATOR_NORMALIZATIONS) if _fits(*pair)],
)
def test_a_generator_makes_exactly_the_shape(family: Family, normalization: Any, shape: Shape) -> None:
    # Two widths where three would leave one pixel.
    widths = (6, 4) if (normalization, shape) == ("instance", (8, 8, 1)) else (6, 4, 3)
    generator = build_generator(GeneratorSpec(family, 5, widths, normalization=normalization), shape)
    assert generator.input_shape == (None, 5)
    assert generator.output_shape == (None, *shape)
    found = [layer for kind in set(NORMALIZED.values()) for layer in _of_kind(generator, kind)]
    assert len(found) == (0 if normalization == "none" else len(widths))
    assert all(isinstance(layer, NORMALIZED[normalization]) for layer in found)
    if shape in RUN:
        for scale in (1e4, 1.0):
            images = np.asarray(generator(_latents(3, 5, scale)))
            assert images.dtype == np.float32
            assert images.shape == (3, *shape)
            assert np.abs(images).max() <= 1
        assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize("shape", RUN + BUILD, ids=str)
@pytest.mark.parametrize(
    ("family", "normalization"),
    [pair for pair in itertools.product(("dense", "conv"), DISCRIMINATOR_NORMALIZATIONS) if _fits(*pair)],
)
def test_a_discriminator_gives_one_logit_an_image(family: Family, normalization: Any, shape: Shape) -> None:
    discriminator = build_discriminator(DiscriminatorSpec(family, (3, 4), normalization=normalization), shape)
    assert discriminator.input_shape == (None, *shape)
    assert discriminator.output_shape == (None, 1)
    # The layer of the logit is constrained too, or the bound on the Lipschitz constant would end before it.
    spectral = _of_kind(discriminator, layers.SpectralNormalization)
    assert len(spectral) == (3 if normalization == "spectral" else 0)
    found = [layer for kind in set(NORMALIZED.values()) for layer in _of_kind(discriminator, kind)]
    assert len(found) == (2 if normalization in NORMALIZED else 0)
    assert all(isinstance(layer, NORMALIZED[normalization]) for layer in found)
    if shape in RUN:
        logits = np.asarray(discriminator(_images(3, shape)))
        assert logits.dtype == np.float32
        assert logits.shape == (3, 1)
        assert len(np.unique(logits)) == 3


@pytest.mark.parametrize(
    ("width", "groups"), [(1, 1), (3, 1), (4, 1), (6, 1), (8, 2), (12, 3), (37, 1), (24, 6), (32, 8), (96, 8)]
)
def test_groups_divide_the_width_and_hold_some_channels(width: int, groups: int) -> None:
    generator = build_generator(GeneratorSpec("conv", 5, (width,), normalization="group"), (8, 8, 1))
    (layer,) = _of_kind(generator, layers.GroupNormalization)
    assert layer.groups == groups


def test_instance_normalisation_is_of_each_channel_of_each_image() -> None:
    generator = build_generator(GeneratorSpec("conv", 5, (6,), normalization="instance"), (8, 8, 1))
    (layer,) = _of_kind(generator, layers.GroupNormalization)
    before, after = keras.Model(generator.input, [layer.input, layer.output])(_latents(3, 5))
    before = np.asarray(before, np.float64)
    spread = before.std(axis=(1, 2), keepdims=True)
    expected = (before - before.mean(axis=(1, 2), keepdims=True)) / np.sqrt(spread**2 + layer.epsilon)
    np.testing.assert_allclose(after, expected, rtol=1e-3, atol=1e-4)


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


ACTIVATED = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * np.vectorize(lambda one: (1 + math.erf(one / math.sqrt(2))) / 2)(x),
}
"""By their formulas; GELU exactly, not by its approximation."""


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_and_bias_of_a_generator(activation: Activation) -> None:
    for normalization, bias in (("batch", False), ("layer", False), ("none", True)):
        spec = GeneratorSpec("dense", 5, (7, 6), normalization=normalization, activation=activation)  # type: ignore[arg-type]
        generator = build_generator(spec, (8, 8, 1))
        *hidden, last = _of_kind(generator, layers.Dense)
        assert [layer.units for layer in hidden] == [7, 6]
        # A shift that the normalisation would take away again is not learned; the images keep theirs.
        assert [layer.use_bias for layer in hidden] == [bias, bias]
        assert last.units == 64
        assert last.use_bias
    before, after = hidden[0].output, hidden[1].input
    values = keras.Model(generator.input, [before, after])(_latents(4, 5))
    np.testing.assert_allclose(values[1], ACTIVATED[activation](np.asarray(values[0], np.float64)), atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_of_a_discriminator(activation: Activation) -> None:
    spec = DiscriminatorSpec("dense", (7,), normalization="none", activation=activation)
    discriminator = build_discriminator(spec, (8, 8, 1))
    first, last = _of_kind(discriminator, layers.Dense)
    values = keras.Model(discriminator.input, [first.output, last.input])(_images(4, (8, 8, 1)))
    np.testing.assert_allclose(values[1], ACTIVATED[activation](np.asarray(values[0], np.float64)), atol=1e-5)


def test_repeated_pixels_and_a_convolution_double_a_map() -> None:
    generator = build_generator(GeneratorSpec("conv", 5, (4, 3), kernel_size=3, upsampling="nearest"), (12, 10, 3))
    assert not _of_kind(generator, layers.Conv2DTranspose)
    assert [(layer.filters, layer.strides) for layer in _of_kind(generator, layers.Conv2D)] == [
        (3, (1, 1)),
        (3, (1, 1)),
    ]
    ups = _of_kind(generator, layers.UpSampling2D)
    assert [layer.interpolation for layer in ups] == ["nearest", "nearest"]
    assert generator(_latents(2, 5)).shape == (2, 12, 10, 3)


def test_dropout_works_in_training_only() -> None:
    discriminator = build_discriminator(DiscriminatorSpec("conv", (3, 4), dropout=0.4), (8, 8, 1))
    drops = _of_kind(discriminator, layers.Dropout)
    assert [layer.rate for layer in drops] == [0.4, 0.4]
    images = _images(3, (8, 8, 1))
    still = [np.asarray(discriminator(images, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(still[0], still[1])
    moving = [np.asarray(discriminator(images, training=True)) for _ in range(2)]
    assert not np.array_equal(moving[0], moving[1])
    assert not _of_kind(build_discriminator(DiscriminatorSpec("conv", (3, 4)), (8, 8, 1)), layers.Dropout)


# --- classes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["dense", "conv", "resnet"])
@pytest.mark.parametrize("class_input", ["concatenation", "normalization"])
@pytest.mark.parametrize("normalization", ["batch", "layer", "group"])
def test_a_conditional_generator_makes_other_images_for_other_classes(
    family: str, class_input: Any, normalization: Any
) -> None:
    spec = GeneratorSpec(family, 5, (8, 4), normalization=normalization, class_input=class_input)
    generator = build_generator(spec, (9, 13, 3), classes=4)
    assert [tensor.name for tensor in generator.inputs] == ["latents", "labels"]
    embeddings = _of_kind(generator, layers.Embedding)
    assert {layer.input_dim for layer in embeddings} == {4}
    for layer in embeddings:  # scales and shifts start as none
        layer.embeddings.assign(np.random.default_rng(0).normal(size=layer.embeddings.shape))
    latents = np.repeat(_latents(1, 5), 4, axis=0)
    images = np.asarray(generator([latents, np.arange(4)]))
    assert images.shape == (4, 9, 13, 3)
    assert all(not np.allclose(images[0], other, atol=1e-4) for other in images[1:])
    np.testing.assert_allclose(np.asarray(generator([latents, np.zeros(4, np.int32)]))[3], images[0], atol=1e-5)


@pytest.mark.parametrize("normalization", ["batch", "layer", "group", "instance"])
def test_a_class_scales_and_shifts_what_is_normalised(normalization: Any) -> None:
    spec = GeneratorSpec("conv", 5, (8, 4), normalization=normalization, class_input="normalization")
    generator = build_generator(spec, (8, 8, 1), classes=3)
    norms = _of_kind(generator, layers.BatchNormalization)
    norms += _of_kind(generator, layers.LayerNormalization) + _of_kind(generator, layers.GroupNormalization)
    assert len(norms) == 2
    assert all(not layer.center and not layer.scale for layer in norms)
    for index, layer in enumerate(_of_kind(generator, layers.Embedding)):
        layer.embeddings.assign(np.random.default_rng(index).normal(size=layer.embeddings.shape))
    scale, shift = _of_kind(generator, layers.Embedding)[:2]
    (add,) = [layer for layer in _of_kind(generator, layers.Add) if layer.output.shape[1:] == (2, 2, 8)]
    values = keras.Model(generator.inputs, [norms[0].output, add.output])([_latents(6, 5), np.arange(6) % 3])
    scales, shifts = (np.asarray(layer.embeddings)[np.arange(6) % 3][:, None, None] for layer in (scale, shift))
    np.testing.assert_allclose(values[1], np.asarray(values[0]) * scales + shifts, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["dense", "conv", "resnet"])
@pytest.mark.parametrize("normalization", ["none", "spectral", "layer"])
def test_a_projection_is_the_product_of_features_and_class(family: str, normalization: Any) -> None:
    """Miyato and Koyama 2018, equation 3: a logit of the features, and one of their product with the embedding."""
    discriminator = build_discriminator(DiscriminatorSpec(family, (3, 4), normalization=normalization), (8, 9, 1), 5)
    assert [tensor.name for tensor in discriminator.inputs] == ["images", "labels"]
    (dot,), (add,) = _of_kind(discriminator, layers.Dot), _of_kind(discriminator, layers.Add)[-1:]
    features, classes = dot.input
    images, labels = _images(10, (8, 9, 1)), np.arange(10) % 5
    values = keras.Model(discriminator.inputs, [features, classes, add.input[0]])([images, labels])
    found, embedded, unconditional = (np.asarray(value) for value in values)
    assert embedded.shape == found.shape
    np.testing.assert_allclose(embedded[:5], embedded[5:], atol=1e-6)  # of the class alone
    assert len(np.unique(embedded[:, 0])) == 5
    expected = unconditional + (found * embedded).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(discriminator([images, labels])), expected, rtol=1e-4, atol=1e-5)
    spectral = _of_kind(discriminator, layers.SpectralNormalization)
    assert bool(spectral) == (normalization == "spectral")
    if spectral:  # the class is bounded like all other weights
        assert {layer.layer.units for layer in spectral[-2:] if isinstance(layer.layer, layers.Dense)} == {
            1,
            found.shape[1],
        }


def test_an_auxiliary_classifier_has_a_logit_a_class() -> None:
    discriminator = build_discriminator(DiscriminatorSpec("conv", (3, 4), class_output="auxiliary"), (8, 9, 1), 5)
    assert [tensor.name for tensor in discriminator.inputs] == ["images"]
    assert discriminator.output_shape == (None, 6)


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

for name in sys.argv[1:]:
    generator = keras.saving.load_model(f"{name}.keras", safe_mode=True)
    latents = np.load(f"{name}.latents.npy")
    inputs = latents if len(generator.inputs) == 1 else [latents, np.arange(4) % 3]
    np.save(f"{name}.loaded.npy", np.asarray(generator(inputs, training=False)))
    assert generator.trainable and all(layer.trainable for layer in generator.layers)
    assert len(generator.trainable_variables) > 0
assert not [name for name in sys.modules if name.split(".")[0] == "tuner_gan"]
"""


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras 3.15 with NumPy 2.4, on saving
def test_a_saved_generator_loads_without_tuner_gan(tmp_path: Path) -> None:
    specs = {
        "dense": (GeneratorSpec("dense", 5, (6, 4), activation="leaky_relu"), 0),
        "conv": (GeneratorSpec("conv", 5, (6, 4), upsampling="nearest", activation="gelu"), 0),
        "resnet": (GeneratorSpec("resnet", 5, (6, 4), normalization="group", attention=True), 0),
        "sndcgan": (GeneratorSpec("sndcgan", 5, (6, 4), normalization="instance", class_input="normalization"), 3),
        "conditional": (GeneratorSpec("conv", 5, (6, 4), normalization="layer", activation="silu"), 3),
    }
    for name, (spec, classes) in specs.items():
        gan = GAN(GANArchitecture((9, 13, 3), spec, DiscriminatorSpec("conv", (3,)), classes=classes), seed=0)
        for variable in gan.ema_generator.variables:  # moving statistics too must come back
            variable.assign(variable + 0.1)
        gan.save_generator(tmp_path / f"{name}.keras")
        inputs = [_latents(4, 5), np.arange(4) % 3] if classes else _latents(4, 5)
        np.save(tmp_path / f"{name}.latents.npy", _latents(4, 5))
        np.save(tmp_path / f"{name}.npy", np.asarray(gan.ema_generator(inputs, training=False)))
    run = subprocess.run(
        [sys.executable, "-I", "-c", LOADER, *specs],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for name in specs:
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.loaded.npy"), np.load(tmp_path / f"{name}.npy"))


@pytest.mark.parametrize("family", ["conv", "resnet", "sndcgan"])
@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_networks_for_training_map_alike(family: str, upsampling: Any) -> None:
    """Their layers of images, what is flat or normalises a batch, and no others, are tuner_gan's own."""
    shape = (8, 8, 3)
    specs = GeneratorSpec(family, 5, (8, 6), upsampling=upsampling), DiscriminatorSpec(family, (6, 8))
    inputs = _latents(4, 5), _images(4, shape)
    for build, spec, x in zip((build_generator, build_discriminator), specs, inputs, strict=True):
        plain, training = build(spec, shape), build(spec, shape, for_training=True)  # type: ignore[operator]
        training.set_weights(plain.get_weights())
        np.testing.assert_array_equal(training(x), plain(x))
        kinds = [type(layer) for layer in training._flatten_layers()]
        own = [kind for kind in kinds if kind.__module__.startswith("tuner_gan")]
        of_images = [kind for kind in own if issubclass(kind, ImageConvolution)]
        assert len(of_images) == (0 if family != "conv" and build is build_discriminator else 1)
        flat = [kind for kind in own if kind is FlatLeakyReLU]
        fused = [kind for kind in own if kind is FusedBatchNormalization]
        assert len(of_images) + len(flat) + len(fused) == len(own)
        assert bool(flat) == (build is build_discriminator)
        assert bool(fused) == (build is build_generator)
        assert all(type(layer).__module__.startswith("keras.") for layer in plain._flatten_layers())
