from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers

from tuner_gan.errors import ConfigError
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec
from tuner_gan.gan.blocks import Block, find_block
from tuner_gan.gan.model import GAN
from tuner_gan.gan.networks import build_discriminator, build_generator
from tuner_gan.gan.parts import Parts

Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def same_weights() -> None:
    keras.utils.set_random_seed(0)


def _of_kind(model: keras.Model, kind: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


def _images(n: int, shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(1).uniform(-1, 1, (n, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", ["resnet", "sndcgan"])
@pytest.mark.parametrize("size", [(4, 4), (5, 3), (1, 7)])
def test_a_block_doubles_and_halves_a_map(name: str, size: tuple[int, int]) -> None:
    block = find_block(name)
    x = keras.Input((*size, 3))
    up = block.up(x, 6, Parts(GeneratorSpec(name, 4, (6,))))
    assert up.shape == (None, 2 * size[0], 2 * size[1], 6)
    down = block.down(x, 6, Parts(DiscriminatorSpec(name, (6,))))
    assert down.shape == (None, -(-size[0] // 2), -(-size[1] // 2), 6)
    for output in (up, down):
        assert np.isfinite(np.asarray(keras.Model(x, output)(_images(2, (*size, 3))))).all()


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (9, 13, 3), (40, 12, 3)], ids=str)
@pytest.mark.parametrize("name", ["resnet", "sndcgan"])
def test_networks_of_blocks_fit_any_image(name: str, shape: tuple[int, int, int]) -> None:
    generator = build_generator(GeneratorSpec(name, 5, (6, 4, 3), attention=True), shape)
    discriminator = build_discriminator(DiscriminatorSpec(name, (3, 4, 6), attention=True), shape)
    images = np.asarray(generator(np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)))
    assert images.shape == (3, *shape)
    assert np.abs(images).max() <= 1
    logits = np.asarray(discriminator(images))
    assert logits.shape == (3, 1)
    assert len(np.unique(logits)) == 3


def test_a_residual_block_adds_its_shortcut() -> None:
    """With the inner convolutions at zero only the 1 x 1 convolution of the averaged, or repeated, map is left."""
    parts = Parts(DiscriminatorSpec("resnet", (4,), normalization="none"))
    x = keras.Input((6, 4, 3))
    model = keras.Model(x, find_block("resnet").down(x, 4, parts))
    for layer in _of_kind(model, layers.Conv2D):
        if layer.kernel_size == (3, 3):
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    (shortcut,) = [layer for layer in _of_kind(model, layers.Conv2D) if layer.kernel_size == (1, 1)]
    images = _images(2, (6, 4, 3))
    averaged = images.reshape(2, 3, 2, 2, 2, 3).mean(axis=(2, 4))
    kernel, bias = shortcut.get_weights()
    np.testing.assert_allclose(np.asarray(model(images)), averaged @ kernel[0, 0] + bias, atol=1e-5)

    up = keras.Model(x, find_block("resnet").up(x, 4, Parts(GeneratorSpec("resnet", 5, (4,), normalization="none"))))
    for layer in _of_kind(up, layers.Conv2D):
        if layer.kernel_size == (3, 3):
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    (shortcut,) = [layer for layer in _of_kind(up, layers.Conv2D) if layer.kernel_size == (1, 1)]
    kernel, bias = shortcut.get_weights()
    repeated = images.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(np.asarray(up(images)), repeated @ kernel[0, 0] + bias, atol=1e-5)


def test_only_residual_blocks_have_a_shortcut() -> None:
    for name, count in (("resnet", 2), ("sndcgan", 0)):
        discriminator = build_discriminator(DiscriminatorSpec(name, (4, 5)), (8, 8, 1))
        generator = build_generator(GeneratorSpec(name, 5, (5, 4)), (8, 8, 1))
        assert len(_of_kind(discriminator, layers.Add)) == len(_of_kind(generator, layers.Add)) == count


# --- self-attention ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "depth", "place"),
    [((64, 64, 3), 3, (16, 16)), ((28, 28, 1), 2, (14, 14)), ((28, 28, 1), 1, (14, 14)), ((8, 8, 1), 2, (4, 4))],
    ids=str,
)
def test_attention_stands_on_the_largest_map_of_16_by_16(
    shape: tuple[int, int, int], depth: int, place: tuple[int, int]
) -> None:
    generator = build_generator(GeneratorSpec("resnet", 5, (8,) * depth, attention=True), shape)
    discriminator = build_discriminator(DiscriminatorSpec("resnet", (8,) * depth, attention=True), shape)
    for model in (generator, discriminator):
        (attention,) = _of_kind(model, layers.Attention)
        assert attention.input[0].shape[1] == place[0] * place[1]
    assert not _of_kind(build_generator(GeneratorSpec("resnet", 5, (8,) * depth), shape), layers.Attention)
    assert not _of_kind(build_discriminator(DiscriminatorSpec("resnet", (8,) * depth), shape), layers.Attention)


def test_attention_is_the_formula_of_sagan() -> None:
    parts = Parts(DiscriminatorSpec("resnet", (16,), normalization="none"))
    x = keras.Input((3, 5, 16))
    model = keras.Model(x, parts.attend(x))
    images = _images(2, (3, 5, 16))
    np.testing.assert_array_equal(np.asarray(model(images)), images)  # nothing, before training
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    in_order = sorted(_of_kind(model, layers.Conv2D), key=lambda layer: (len(layer.name), layer.name))
    query, key, value, last = in_order  # as they were made
    flat = images.reshape(2, 15, 16).astype(np.float64)

    def through(layer: Any, features: Array) -> Array:
        kernel, bias = layer.get_weights()
        result: Array = features @ kernel[0, 0] + bias
        return result

    scores = np.einsum("nic,njc->nij", through(query, flat), through(key, flat))
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    expected = flat + through(last, np.einsum("nij,njc->nic", weights, through(value, flat)))
    np.testing.assert_allclose(np.asarray(model(images)).reshape(2, 15, 16), expected, rtol=1e-4, atol=1e-4)
    assert (query.filters, key.filters, value.filters, last.filters) == (2, 2, 8, 16)


# --- blocks of one's own -------------------------------------------------------------------------------------


class Plain(Block):
    """The example of the documentation."""

    name = "plain of the tests"

    def up(self, x: Any, width: int, parts: Parts) -> Any:
        return parts.convolve(layers.UpSampling2D()(x), width, 3)

    def down(self, x: Any, width: int, parts: Parts) -> Any:
        return parts.convolve(x, width, 3, strides=2)


def test_a_block_of_one_s_own_trains_and_comes_back_from_json() -> None:
    name = Plain.name
    architecture = GANArchitecture((9, 13, 3), GeneratorSpec(name, 5, (6, 4)), DiscriminatorSpec(name, (4, 6)))
    assert GANArchitecture.from_json(architecture.to_json()) == architecture
    gan = GAN(architecture, seed=0)
    gan.compile()
    before = [np.array(variable) for variable in gan.trainable_variables]
    gan.fit(np.random.default_rng(0).integers(0, 256, (8, 9, 13, 3), dtype=np.uint8), batch_size=4, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(gan.trainable_variables, before, strict=True)]
    assert all(changed)
    assert len(_of_kind(gan.discriminator, layers.SpectralNormalization)) == 3


def test_a_block_that_nobody_imported_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Unknown family 'resnt' \(did you mean 'resnet'\?\): choose one of dense, "):
        build_generator(GeneratorSpec("resnt", 5, (4,)), (8, 8, 1))
    with pytest.raises(ConfigError, match=r"or import the module that defines your own Block of that name first\.$"):
        build_discriminator(DiscriminatorSpec("elsewhere", (4,)), (8, 8, 1))


@pytest.mark.parametrize("name", [None, "", 3])
def test_a_block_needs_a_name(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"^Nameless\.name must be the name that specs call the block by, but got "):
        type("Nameless", (Block,), {} if name is None else {"name": name})


@pytest.mark.parametrize("name", ["dense", "conv", "resnet", "plain of the tests"])
def test_a_block_takes_no_other_s_name(name: str) -> None:
    before = None if name in ("dense", "conv") else type(find_block(name))
    with pytest.raises(ConfigError, match=f"^Second.name must be a name of its own, but '{name}' is taken"):
        type("Second", (Block,), {"name": name})
    assert before is None or type(find_block(name)) is before


def test_a_class_that_is_defined_again_replaces_itself() -> None:
    """As when a notebook's cell is run twice."""
    first, second = (type("Again", (Block,), {"name": "again of the tests"}) for _ in range(2))
    assert first is not second
    assert isinstance(second, type)
