from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tuner_gan.gan.penalties import PENALTIES

Array = npt.NDArray[Any]

N, SHAPE = 5, (3, 4, 2)
PIXELS = 24


def _images(seed: int, scale: float = 1.0) -> Array:
    return scale * np.random.default_rng(seed).normal(size=(N, *SHAPE))


def _penalty(name: str, discriminator: Any, real: Array, fake: Array, seed: int = 0) -> Any:
    def slope(images: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = discriminator(images)
        return tape.gradient(logits, images)

    images = tf.constant(real, tf.float32), tf.constant(fake, tf.float32)
    return PENALTIES[name](slope, *images, keras.random.SeedGenerator(seed))


@pytest.mark.parametrize("size", [0.0, 0.5, 1.0, 7.0])
def test_of_a_linear_discriminator_only_its_weights_count(size: float) -> None:
    """Its gradient is its weight vector, at whichever images it is taken."""
    weights = np.random.default_rng(0).normal(size=(PIXELS, 1))
    weights *= size / np.linalg.norm(weights)
    kernel = tf.constant(weights, tf.float32)

    def discriminator(images: Any) -> Any:
        return tf.reshape(images, (-1, PIXELS)) @ kernel

    expected = {
        "r1": size**2 / 2,
        "r2": size**2 / 2,
        "r1_r2": size**2,
        "gradient_penalty": (size - 1) ** 2,
        "dragan": (size - 1) ** 2,
    }
    assert expected.keys() == PENALTIES.keys()
    for name, value in expected.items():
        found = _penalty(name, discriminator, _images(1), _images(2))
        assert found.shape == ()
        assert float(found) == pytest.approx(value, rel=1e-4, abs=1e-5)


def _squares(images: Any) -> Any:
    """D(x) = |x|^2 / 2, whose gradient is the image itself: a penalty then shows where it was taken."""
    return tf.reduce_sum(images**2, axis=(1, 2, 3))[:, None] / 2


def test_each_is_taken_at_its_own_images() -> None:
    real, fake = _images(1), _images(2, scale=3.0)
    of_real, of_fake = (np.mean((images**2).sum(axis=(1, 2, 3))) / 2 for images in (real, fake))
    assert float(_penalty("r1", _squares, real, fake)) == pytest.approx(of_real, rel=1e-5)
    assert float(_penalty("r2", _squares, real, fake)) == pytest.approx(of_fake, rel=1e-5)
    assert float(_penalty("r1_r2", _squares, real, fake)) == pytest.approx(of_real + of_fake, rel=1e-5)


def _seen(name: str, real: Array, fake: Array, seed: int = 0) -> Array:
    """The images that a penalty looks at."""
    seen = []

    def discriminator(images: Any) -> Any:
        seen.append(np.asarray(images))
        return _squares(images)

    value = float(_penalty(name, discriminator, real, fake, seed))
    (images,) = seen
    norms = np.sqrt((images.astype(np.float64) ** 2).sum(axis=(1, 2, 3)))
    assert value == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-4)
    return images


def test_the_gradient_penalty_is_taken_between_pairs() -> None:
    real, fake = _images(1), _images(2, scale=3.0)
    shares = []
    for seed in range(40):
        images = _seen("gradient_penalty", real, fake, seed)
        share = (images - real) / (fake - real)
        # One share an image, the same for all of its pixels.
        np.testing.assert_allclose(share, share.mean(axis=(1, 2, 3), keepdims=True) * np.ones_like(share), atol=1e-3)
        shares.extend(share.mean(axis=(1, 2, 3)).tolist())
    assert 0 <= min(shares) < 0.05
    assert 0.95 < max(shares) <= 1
    assert np.mean(shares) == pytest.approx(0.5, abs=0.08)
    assert len(set(np.round(shares, 6))) == len(shares)


def test_dragan_is_taken_round_real_images() -> None:
    real, fake = _images(1, scale=2.0), _images(2)
    noise = np.stack([_seen("dragan", real, fake, seed) - real for seed in range(20)]) / real.std()
    assert np.abs(noise).max() <= 0.5 + 1e-5
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(1 / np.sqrt(12), rel=0.05)  # uniform over a width of 1
    assert len(np.unique(np.round(noise, 6))) > 0.9 * noise.size  # each pixel its own


def _logits(parameters: list[Array], images: Array) -> tuple[Array, Array]:
    """A network of one tanh layer in float64: logits, and their gradients by the pixels."""
    first, bias, last = parameters
    hidden = np.tanh(images.reshape(len(images), -1) @ first + bias)
    return hidden @ last, ((1 - hidden**2) * last[:, 0]) @ first.T


def _zero_centred(parameters: list[Array], images: Array) -> float:
    return float((_logits(parameters, images)[1] ** 2).sum(axis=1).mean() / 2)


@pytest.mark.parametrize("name", ["r1", "r2", "r1_r2"])
def test_derivatives_by_the_weights_are_those_of_differences(name: str) -> None:
    rng = np.random.default_rng(3)
    parameters = [rng.normal(size=shape) / 3 for shape in ((PIXELS, 6), (6,), (6, 1))]
    real, fake = _images(1), _images(2)
    sides = {"r1": [real], "r2": [fake], "r1_r2": [real, fake]}[name]
    variables = [tf.Variable(parameter, dtype=tf.float32) for parameter in parameters]

    def discriminator(images: Any) -> Any:
        return tf.tanh(tf.reshape(images, (-1, PIXELS)) @ variables[0] + variables[1]) @ variables[2]

    with tf.GradientTape() as tape:
        value = _penalty(name, discriminator, real, fake)
    assert float(value) == pytest.approx(sum(_zero_centred(parameters, side) for side in sides), rel=1e-4)
    for index, gradient in enumerate(tape.gradient(value, variables)):
        for place in list(np.ndindex(parameters[index].shape))[:10]:
            ends = []
            for step in (-1e-5, 1e-5):
                moved = [parameter.copy() for parameter in parameters]
                moved[index][place] += step
                ends.append(sum(_zero_centred(moved, side) for side in sides))
            assert float(gradient[place]) == pytest.approx((ends[1] - ends[0]) / 2e-5, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_dead_discriminator_has_finite_derivatives(name: str) -> None:
    kernel = tf.Variable(np.zeros((PIXELS, 1)), dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = _penalty(name, lambda images: tf.reshape(images, (-1, PIXELS)) @ kernel, _images(1), _images(2))
    assert np.isfinite(float(value))
    assert np.isfinite(np.asarray(tape.gradient(value, kernel))).all()
