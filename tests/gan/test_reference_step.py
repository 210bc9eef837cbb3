"""One step of ours beside a plain one: a tape and a forward pass for each network, the penalty differentiated twice.

Gradients are compared as they reach the optimizers, so that no weight hides their last digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec
from tuner_gan.gan.losses import LOSSES
from tuner_gan.gan.model import GAN
from tuner_gan.gan.penalties import PENALTIES

Array = npt.NDArray[Any]

SHAPE, LATENT, COUNT, WEIGHT = (8, 9, 1), 4, 6, 3.0
RATE = 1e-3
EPSILON = float(np.finfo(np.float32).eps)


def softplus(x: Any) -> Any:
    return tf.math.softplus(x)


TEXTBOOK: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "non_saturating": (lambda r, f: softplus(-r) + softplus(f), lambda r, f: softplus(-f)),
    "minimax": (lambda r, f: softplus(-r) + softplus(f), lambda r, f: -softplus(f)),
    "least_squares": (lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda r, f: (f - 1) ** 2 / 2),
    "hinge": (lambda r, f: tf.nn.relu(1 - r) + tf.nn.relu(1 + f), lambda r, f: -f),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
    "relativistic": (lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
}
"""The losses of the discriminator and of the generator, image by image."""


def slopes(discriminator: keras.Model, images: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = discriminator(images, training=True)
    return tf.sqrt(tf.reduce_sum(tape.gradient(logits, images) ** 2, axis=(1, 2, 3)) + 1e-12)


def penalty_of(name: str, gan: GAN, real: Any, fake: Any) -> Any:
    d, seed = gan.discriminator, gan.seed_generator
    if name == "gradient_penalty":
        share = keras.random.uniform((COUNT, 1, 1, 1), seed=seed)
        return tf.reduce_mean((slopes(d, (1 - share) * real + share * fake) - 1) ** 2)
    if name == "dragan":
        noise = keras.random.uniform(real.shape, minval=-0.5, maxval=0.5, seed=seed)
        return tf.reduce_mean((slopes(d, real + tf.math.reduce_std(real) * noise) - 1) ** 2)
    on = {"r1": [real], "r2": [fake], "r1_r2": [real, fake]}[name]
    return tf.add_n([tf.reduce_mean(slopes(d, images) ** 2) / 2 for images in on])


def plain_step(gan: GAN, batch: dict[str, Any]) -> tuple[list[float], list[Any]]:
    """Both losses, and the gradients of each network's loss by its own weights."""
    training = gan.architecture.training
    of_d, of_g = TEXTBOOK[training.loss]
    real, d = batch["images"], gan.discriminator
    with tf.GradientTape() as tape:
        fake = tf.stop_gradient(gan.generator(batch["latents"], training=True))
        d_loss = total = tf.reduce_mean(of_d(d(real, training=True), d(fake, training=True)))
        if training.penalty != "none":
            total = d_loss + WEIGHT * penalty_of(training.penalty, gan, real, fake)
    d_gradients = tape.gradient(total, d.trainable_variables, unconnected_gradients="zero")
    with tf.GradientTape() as tape:
        fake = gan.generator(batch["latents"], training=True)
        g_loss = tf.reduce_mean(of_g(d(real, training=True), d(fake, training=True)))
    g_gradients = tape.gradient(g_loss, gan.generator.trainable_variables)
    return [float(d_loss), float(g_loss)], [d_gradients, g_gradients]


class Recording(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam that keeps what it was last given."""

    def apply(self, gradients: Any, variables: Any = None) -> Any:
        self.given = [np.array(one) for one in gradients]
        return super().apply(gradients, variables)


def draw() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "images": tf.constant(rng.uniform(-1, 1, (COUNT, *SHAPE)), tf.float32),
        "latents": tf.constant(rng.normal(size=(COUNT, LATENT)), tf.float32),
    }


def build(loss: str, penalty: str, normalization: str, dtype: str = "float32") -> GAN:
    keras.utils.set_random_seed(0)
    gan = GAN(
        GANArchitecture(
            SHAPE,
            GeneratorSpec("conv", LATENT, (5, 3)),
            DiscriminatorSpec("conv", (4, 4), normalization=normalization, activation="silu"),  # type: ignore[arg-type]
            TrainingSpec(loss=loss, penalty=penalty, penalty_weight=WEIGHT),  # type: ignore[arg-type]
        ),
        seed=3,
        dtype=dtype,
    )
    gan.compile(Recording(RATE), Recording(RATE), run_eagerly=True)
    return gan


CASES = [
    *[(loss, penalty, "none") for loss in LOSSES for penalty in ("none", *PENALTIES)],
    *[
        ("non_saturating", penalty, normalization)
        for penalty in ("none", *PENALTIES)
        for normalization in ("spectral", "layer", "group", "instance")
    ],
]


@pytest.mark.parametrize(("loss", "penalty", "normalization"), CASES)
def test_losses_gradients_and_weights_are_those_of_a_plain_step(loss: str, penalty: str, normalization: str) -> None:
    gan, twin = build(loss, penalty, normalization), build(loss, penalty, normalization)
    batch = draw()
    if normalization == "spectral":  # whose estimate moves on with each look, of which a plain step takes more
        for _ in range(60):
            gan.discriminator(batch["images"], training=True)
        twin.discriminator.set_weights(gan.discriminator.get_weights())
    before = [
        [np.array(one) for one in network.trainable_variables] for network in (twin.discriminator, twin.generator)
    ]
    losses, gradients = plain_step(twin, batch)
    logs = gan.train_step(batch)
    assert [float(logs[name]) for name in ("d_loss", "g_loss")] == pytest.approx(losses, rel=1e-5)
    for network, optimizer, expected, weights in zip(
        (gan.discriminator, gan.generator),
        (gan.discriminator_optimizer, gan.generator_optimizer),
        gradients,
        before,
        strict=True,
    ):
        wanted = [np.asarray(tf.convert_to_tensor(one)) for one in expected]
        largest = max(np.linalg.norm(one) for one in wanted)
        assert largest > 1e-4
        for found, one in zip(optimizer.given, wanted, strict=True):
            # A bias's gradient is a sum of what nearly cancels out, with the rounding of what is summed.
            assert np.linalg.norm(found - one) <= 1e-5 * np.linalg.norm(one) + 2 * EPSILON * largest
        for variable, weight, gradient in zip(network.trainable_variables, weights, optimizer.given, strict=True):
            # Adam's first step; Keras adds its epsilon before the correction of the second moment.
            moved = RATE * gradient * np.sqrt(1e-3) / (np.sqrt(1e-3 * gradient.astype(np.float64) ** 2) + 1e-7)
            np.testing.assert_allclose(np.asarray(variable), weight - moved, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("penalty", "normalization"), [("none", "none"), ("r1", "none"), ("dragan", "none"), ("r1", "spectral")]
)
def test_small_derivatives_are_not_lost_in_float16(penalty: str, normalization: str) -> None:
    """Float16 has no number below 6e-8, and a discriminator that is sure of an image a derivative of e^-9 for it."""
    given = {}
    for dtype in ("float32", "mixed_float16"):
        gan = build("non_saturating", penalty, normalization, dtype)
        last = getattr(gan.discriminator.layers[-1], "layer", gan.discriminator.layers[-1])
        last.kernel.assign(last.kernel / 30)
        last.bias.assign([9.0])
        gan.train_step(draw())
        given[dtype] = gan.generator_optimizer.given
    for half, single in zip(given["mixed_float16"], given["float32"], strict=True):
        assert np.linalg.norm(half - single) <= 0.02 * np.linalg.norm(single)
