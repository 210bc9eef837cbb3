"""The GAN as a Keras model.

Where Keras itself loses something, a stock model stands beside ours, so that the test shows the difference.
"""

import copy
import gc
import json
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from keras import layers
from keras_tuner.src.engine.tuner import maybe_compute_model_size

from tuner_gan.datasets import ImageDataset
from tuner_gan.errors import ConfigError
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec
from tuner_gan.gan.arithmetic import step_flops
from tuner_gan.gan.convolutions import ImageConvolution
from tuner_gan.gan.losses import LOSSES
from tuner_gan.gan.model import GAN
from tuner_gan.gan.normalization import FusedBatchNormalization

Array = npt.NDArray[Any]


SHAPE = (8, 9, 1)
LATENT = 4


@pytest.fixture(autouse=True)
def same_weights() -> None:
    keras.utils.set_random_seed(0)


def _architecture(**training: Any) -> GANArchitecture:
    return GANArchitecture(
        SHAPE,
        GeneratorSpec("conv", LATENT, (5, 3)),
        DiscriminatorSpec("conv", (3, 4), normalization="none"),
        TrainingSpec(**{"batch_size": 4, **training}),
    )


def _compiled(**training: Any) -> GAN:
    gan = GAN(_architecture(**training), seed=3)
    gan.compile()
    return gan


def _images(n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (n, *SHAPE), dtype=np.uint8)


def _step(gan: GAN, images: Array) -> dict[str, float]:
    return {name: float(value) for name, value in gan.train_step(tf.constant(images)).items()}


def _values(variables: Any) -> list[Array]:
    return [np.array(variable) for variable in variables]


def _state(gan: GAN) -> dict[str, list[Array]]:
    return {
        "generator": gan.generator.get_weights(),
        "discriminator": gan.discriminator.get_weights(),
        "average": gan.ema_generator.get_weights(),
        "generator optimizer": _values(gan.generator_optimizer.variables),
        "discriminator optimizer": _values(gan.discriminator_optimizer.variables),
        "steps": _values([gan.steps]),
        "seed generator": _values([gan.seed_generator.state]),
    }


def _assert_same(one: dict[str, list[Array]], other: dict[str, list[Array]]) -> None:
    assert one.keys() == other.keys()
    for name, arrays in one.items():
        assert len(arrays) == len(other[name]) > 0
        for a, b in zip(arrays, other[name], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


class StockGAN(keras.Model):  # type: ignore[misc]
    """A GAN as the Keras guides write it: a subclass with two optimizers and no `build`."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential([layers.Dense(6, activation="tanh")])
        self.discriminator = keras.Sequential([layers.Dense(1)])

    def compile(self) -> None:
        super().compile()
        self.g_optimizer = keras.optimizers.Adam()
        self.d_optimizer = keras.optimizers.Adam()

    def train_step(self, real: Any) -> dict[str, Any]:
        with tf.GradientTape(persistent=True) as tape:
            fake = self.generator(tf.ones((2, 3)))
            d_loss = tf.reduce_mean(self.discriminator(fake)) - tf.reduce_mean(self.discriminator(real))
            g_loss = -tf.reduce_mean(self.discriminator(fake))
        for optimizer, network, loss in (
            (self.d_optimizer, self.discriminator, d_loss),
            (self.g_optimizer, self.generator, g_loss),
        ):
            optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return {"d_loss": d_loss}


# --- one step ------------------------------------------------------------------------------------------------


_mean = tf.reduce_mean


def _cross_entropy(label: float, logits: Any) -> Any:
    return keras.losses.BinaryCrossentropy(from_logits=True)(label * np.ones((len(logits), 1)), logits)


TEXTBOOK: dict[str, tuple[Any, Any]] = {
    "non_saturating": (lambda r, f: _cross_entropy(1, r) + _cross_entropy(0, f), lambda r, f: _cross_entropy(1, f)),
    "minimax": (lambda r, f: _cross_entropy(1, r) + _cross_entropy(0, f), lambda r, f: -_cross_entropy(0, f)),
    "least_squares": (lambda r, f: _mean((r - 1) ** 2 + f**2) / 2, lambda r, f: _mean((f - 1) ** 2) / 2),
    "hinge": (
        lambda r, f: keras.losses.Hinge()(np.ones(r.shape), r) + keras.losses.Hinge()(-np.ones(f.shape), f),
        lambda r, f: -_mean(f),
    ),
    "wasserstein": (lambda r, f: _mean(f) - _mean(r), lambda r, f: -_mean(f)),
    "relativistic": (lambda r, f: _cross_entropy(1, r - f), lambda r, f: _cross_entropy(1, f - r)),
}
"""The discriminator's and the generator's loss of the logits of real and fake images, by Keras's own functions."""


def _two_tape_step(gan: GAN, images: Array, latents: Any) -> tuple[float, float, list[Any], list[Any]]:
    """A textbook step: a tape and a forward pass a network."""
    real = images.astype(np.float32) / 127.5 - 1
    generator, discriminator = gan.generator, gan.discriminator
    of_discriminator, of_generator = TEXTBOOK[gan.architecture.training.loss]
    with tf.GradientTape() as d_tape:
        fake = generator(latents, training=True)
        d_loss = of_discriminator(discriminator(real, training=True), discriminator(fake, training=True))
    with tf.GradientTape() as g_tape:
        fake = generator(latents, training=True)
        g_loss = of_generator(discriminator(real, training=True), discriminator(fake, training=True))
    d_gradients = d_tape.gradient(d_loss, discriminator.trainable_variables, unconnected_gradients="zero")
    g_gradients = g_tape.gradient(g_loss, generator.trainable_variables)
    return float(d_loss), float(g_loss), _values(d_gradients), _values(g_gradients)


def _first_adam_step(weight: Array, gradient: Array, rate: float, beta1: float, beta2: float) -> Array:
    first = (1 - beta1) * gradient / (1 - beta1)
    second = (1 - beta2) * gradient**2
    # Keras adds its epsilon before the correction of the second moment.
    step: Array = rate * first * np.sqrt(1 - beta2) / (np.sqrt(second) + 1e-7)
    return weight - step


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_one_step_is_the_textbook_step(optimizer: str, loss: str) -> None:
    gan = GAN(_architecture(loss=loss, generator_lr=1e-3, lr_ratio=3.0, beta1=0.4, beta2=0.9), seed=3)
    if optimizer == "sgd":  # shows the size of a gradient too, which Adam's first step hides
        gan.compile(keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.25))
    else:
        gan.compile()
    images = _images(6)
    g_before, d_before = _values(gan.generator.trainable_variables), _values(gan.discriminator.trainable_variables)

    reference = GAN(gan.architecture, seed=3)
    reference.set_weights(gan.get_weights())
    latents = keras.random.normal((6, LATENT), seed=keras.random.SeedGenerator(3))
    d_loss, g_loss, d_gradients, g_gradients = _two_tape_step(reference, images, latents)

    logs = _step(gan, images)
    assert logs == pytest.approx({"d_loss": d_loss, "g_loss": g_loss}, rel=1e-5)
    for variables, before, gradients, adam_rate, sgd_rate in (
        (gan.generator.trainable_variables, g_before, g_gradients, 1e-3, 0.5),
        (gan.discriminator.trainable_variables, d_before, d_gradients, 3e-3, 0.25),
    ):
        assert len(variables) == len(gradients) > 0
        for variable, weight, gradient in zip(variables, before, gradients, strict=True):
            if optimizer == "sgd":
                expected = weight - sgd_rate * gradient
            else:
                expected = _first_adam_step(weight.astype(np.float64), gradient.astype(np.float64), adam_rate, 0.4, 0.9)
            # The last bias cancels in differences of logits, and in the hinge loss of images within the margin.
            is_last_bias = variable is gan.discriminator.trainable_variables[-1]
            stays = is_last_bias and loss in ("hinge", "wasserstein", "relativistic")
            assert np.array_equal(np.asarray(variable), weight) == stays
            np.testing.assert_allclose(np.asarray(variable), expected, rtol=1e-5, atol=1e-6)


def _gradients_of_a_step(gan: GAN, images: Array) -> tuple[list[Array], list[Array]]:
    """By plain gradient descent of rate 1, which subtracts them: the discriminator's, then the generator's."""
    gan.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0), run_eagerly=True)
    networks = gan.discriminator, gan.generator
    before = [_values(network.trainable_variables) for network in networks]
    _step(gan, images)
    after = [_values(network.trainable_variables) for network in networks]
    d_gradients, g_gradients = ([a - b for a, b in zip(*pair, strict=True)] for pair in zip(before, after, strict=True))
    return d_gradients, g_gradients


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("logit", [-60.0, -20.0, 0.0, 20.0, 60.0])
def test_one_backward_pass_serves_both_networks_however_sure_the_discriminator_is(logit: float, loss: str) -> None:
    """The generator's gradient is the discriminator's, divided by a derivative that is e^-60 when it is sure.

    By the hinge loss it is zero.
    """
    gan = GAN(_architecture(loss=loss), seed=3)
    gan.discriminator.layers[-1].bias.assign([logit])
    images = _images(6)
    reference = GAN(gan.architecture, seed=3)
    reference.set_weights(gan.get_weights())
    latents = keras.random.normal((6, LATENT), seed=keras.random.SeedGenerator(3))
    _, _, *expected = _two_tape_step(reference, images, latents)
    for ours, theirs in zip(_gradients_of_a_step(gan, images), expected, strict=True):
        scale = max(np.abs(one).max() for one in theirs)
        for one, other in zip(ours, theirs, strict=True):
            # Weights of about 1 carry the differences, to 6e-8 of themselves.
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * scale + 2e-7)


@pytest.mark.parametrize(
    ("normalization", "loss"),
    [
        *[(normalization, "non_saturating") for normalization in ("none", "layer", "spectral")],
        ("none", "hinge"),
        ("none", "relativistic"),
    ],
)
def test_compiled_by_xla_the_step_is_the_same(normalization: Any, loss: Any) -> None:
    architecture = GANArchitecture(
        SHAPE,
        GeneratorSpec("conv", LATENT, (5, 3)),
        DiscriminatorSpec("conv", (3, 4), normalization=normalization),
        TrainingSpec(loss=loss, batch_size=4),
    )
    plain, compiled = GAN(architecture, seed=3), GAN(architecture, seed=3)
    compiled.set_weights(plain.get_weights())
    plain.compile(jit_compile=False)
    compiled.compile(jit_compile=True)
    histories = [gan.fit(_images(12), epochs=2, verbose=0).history for gan in (plain, compiled)]
    assert compiled.jit_compile is True
    for name in ("d_loss", "g_loss"):
        assert histories[0][name] == pytest.approx(histories[1][name], rel=1e-4)
    for one, other in zip(plain.get_weights(), compiled.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_layers_are_computed_as_is_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = GANArchitecture(SHAPE, GeneratorSpec("conv", LATENT, (8, 6)), DiscriminatorSpec("conv", (6, 8)))
    gan = GAN(architecture, seed=0)
    monkeypatch.setattr("tuner_gan.gan.model.uses_onednn", lambda: True)

    def ways() -> list[str]:
        return [layer.way for layer in gan._flatten_layers() if isinstance(layer, ImageConvolution)]

    def fused() -> list[bool]:
        return [layer.is_fused for layer in gan._flatten_layers() if isinstance(layer, FusedBatchNormalization)]

    assert ways() == ["keras", "keras"]
    assert fused() == [False, False]
    gan.compile()
    assert ways() == ["blocks", "blocks"]
    assert fused() == [True, True]
    gan._set_xla(True)
    assert ways() == ["products", "products"]
    assert fused() == [False, False]
    gan._set_xla(False)
    assert ways() == ["blocks", "blocks"]
    gan.compile(jit_compile=True)
    assert ways() == ["products", "products"]
    monkeypatch.setattr("tuner_gan.gan.model.uses_onednn", lambda: False)
    gan.compile(jit_compile=False)
    assert ways() == ["keras", "keras"]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["one"])
    gan.compile(jit_compile=True)
    assert ways() == ["keras", "keras"]
    averaged = {type(layer).__module__.split(".")[0] for layer in gan.ema_generator._flatten_layers()}
    assert averaged == {"keras"}


@pytest.mark.parametrize("onednn", [False, True])
def test_nothing_of_a_gan_that_has_trained_is_kept(onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner_gan.gan.model.uses_onednn", lambda: onednn)
    gan = _compiled(penalty="r1", penalty_weight=0.1)
    gan.fit(_images(8), verbose=0)
    left = weakref.ref(gan), weakref.ref(gan.generator.layers[-1]), weakref.ref(gan.generator_optimizer)
    del gan
    keras.backend.clear_session()
    gc.collect()
    assert [one() for one in left] == [None] * 3


@pytest.mark.parametrize(("onednn", "least"), [(False, 600), (True, 2000)])
def test_only_long_trainings_of_what_xla_makes_faster_are_compiled(
    onednn: bool, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner_gan.gan.model.uses_onednn", lambda: onednn)
    assert _compiled()._xla_pays(least, 4)
    assert not _compiled()._xla_pays(least - 1, 4)
    assert not _compiled(instance_noise=0.1)._xla_pays(least, 4)
    for slow in ({"downsampling": "max_pool"}, {"dropout": 0.1}):
        gan = GAN(replace(_architecture(), discriminator=replace(_architecture().discriminator, **slow)))
        gan.compile()
        assert not gan._xla_pays(least, 4)
    gan = _compiled()
    enough = int(1e9 / step_flops(gan.generator, gan.discriminator, 1)) + 1
    assert gan._xla_pays(least, enough) is not onednn  # oneDNN is faster with much to compute
    assert gan._xla_pays(least, enough - 1)
    repeating = GAN(replace(_architecture(), generator=replace(_architecture().generator, upsampling="nearest")))
    repeating.compile()
    assert repeating._xla_pays(least, 10 * enough)
    for generator in (_architecture().generator, GeneratorSpec("dense", latent_dim=4, widths=(8,))):
        coloured = GAN(replace(_architecture(), generator=generator, image_shape=(8, 8, 3)))
        coloured.compile()
        # oneDNN is faster where convolutions make colour images.
        assert coloured._xla_pays(least, 4) is not (onednn and generator.family == "conv")
    gan.fit(_images(8), verbose=0)
    assert gan.jit_compile is False
    gan.compile(jit_compile=True)
    gan.fit(_images(8), verbose=0)
    assert gan.jit_compile is True


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 0.01), ("mixed_bfloat16", 0.05)])
@pytest.mark.parametrize(("normalization", "classes"), [("none", 0), ("spectral", 0), ("none", 3), ("spectral", 3)])
def test_half_precision_trains_like_single_precision(
    normalization: Any, classes: int, policy: str, tolerance: float, tmp_path: Path
) -> None:
    architecture = replace(
        _architecture(),
        discriminator=DiscriminatorSpec("conv", (3, 4), normalization=normalization),
        classes=classes,
    )
    single, half = GAN(architecture, seed=3), GAN(architecture, seed=3, dtype=policy)
    half.set_weights(single.get_weights())
    for gan in (single, half):
        gan.compile()
    batch = {"images": tf.constant(_images(16))}
    if classes:
        batch["labels"] = tf.constant(np.arange(16) % classes)
    before = _values(half.trainable_variables)
    expected, found = ({name: float(loss) for name, loss in gan.train_step(batch).items()} for gan in (single, half))
    compute_dtype = policy.removeprefix("mixed_")
    for network in (half.generator, half.discriminator):
        weighted = [getattr(layer, "layer", layer) for layer in network.layers if layer.trainable_variables]
        assert weighted[0].compute_dtype == weighted[1].compute_dtype == compute_dtype
        assert network.output.dtype == "float32"
    assert half._judge(tf.zeros((2, *SHAPE)), tf.zeros(2, tf.int32)).dtype == tf.float32
    # What is scored and leaves the house is in single precision.
    half.save_generator(tmp_path / "generator.keras")
    for generator in (half.ema_generator, keras.saving.load_model(tmp_path / "generator.keras")):
        assert {layer.compute_dtype for layer in generator.layers} == {"float32"}
    assert found == pytest.approx(expected, rel=tolerance)
    assert all(variable.dtype == "float32" for variable in half.trainable_variables)
    after = _values(half.trainable_variables)
    assert all(np.isfinite(one).all() for one in after)
    assert sum(not np.array_equal(a, b) for a, b in zip(after, before, strict=True)) > len(after) // 2


def test_half_precision_does_not_round_weights_that_spectral_normalisation_divides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It writes them anew at each look: of steps smaller than bfloat16's 0.4 %, none would be left."""
    architecture = replace(_architecture(), discriminator=DiscriminatorSpec("conv", (3, 4)))
    single, half = GAN(architecture, seed=3), GAN(architecture, seed=3, dtype="mixed_bfloat16")
    half.set_weights(single.get_weights())
    seen = []
    convolve = layers.Conv2D.call

    def watched(self: Any, inputs: Any) -> Any:
        made = convolve(self, inputs)
        seen.append((inputs.dtype, made.dtype))
        return made

    monkeypatch.setattr(layers.Conv2D, "call", watched)
    images = tf.zeros((2, *SHAPE))
    for gan in (half, single):
        gan.discriminator(images, training=True)
    assert seen == [(tf.bfloat16, tf.bfloat16)] * 2 + [(tf.float32, tf.float32)] * 2
    for one, other in zip(half.discriminator.weights, single.discriminator.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_weights_in_another_precision_are_refused(dtype: str) -> None:
    with pytest.raises(ConfigError, match=rf"^dtype must be a policy with weights in float32 .*, but got {dtype}\.$"):
        GAN(_architecture(), dtype=dtype)


@pytest.mark.parametrize("seed", [-1, 1.0, True, "7"])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^seed must be an integer from 0 or None, but got {seed!r}\.$"):
        GAN(_architecture(), seed=seed)
    assert GAN(_architecture(), seed=np.int64(0)).get_config()["seed"] == 0  # type: ignore[arg-type]


def test_in_half_precision_keras_s_optimizer_is_the_generator_s() -> None:
    """Keras wraps it there in one that takes the gradients of a scaled loss, unless it is told not to."""
    gan = GAN(_architecture(), dtype="mixed_float16")
    gan.compile()
    assert gan.optimizer is gan.generator_optimizer


def test_losses_are_means_over_the_epoch() -> None:
    gan, twin = _compiled(), _compiled()
    twin.set_weights(gan.get_weights())
    batches = [_images(4, seed=seed) for seed in range(3)]
    running = [_step(gan, batch) for batch in batches]
    single = []
    for batch in batches:
        twin.reset_metrics()
        single.append(_step(twin, batch))
    for name in ("d_loss", "g_loss"):
        values = [logs[name] for logs in single]
        assert len(set(values)) == 3
        assert [logs[name] for logs in running] == pytest.approx([np.mean(values[: i + 1]) for i in range(3)], rel=1e-5)


def test_learning_rates_and_betas_are_the_architecture_s() -> None:
    gan = _compiled(generator_lr=2e-3, lr_ratio=0.5, beta1=0.25, beta2=0.75)
    for optimizer, rate in ((gan.generator_optimizer, 2e-3), (gan.discriminator_optimizer, 1e-3)):
        assert float(optimizer.learning_rate) == pytest.approx(rate)
        assert (optimizer.beta_1, optimizer.beta_2) == (0.25, 0.75)


def test_an_optimizer_may_be_a_name() -> None:
    gan = GAN(_architecture())
    gan.compile("sgd", "rmsprop")
    kinds = [type(optimizer) for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer)]
    assert kinds == [keras.optimizers.SGD, keras.optimizers.RMSprop]
    with pytest.raises(ValueError, match="Could not interpret optimizer identifier: adman"):
        gan.compile("adman")


@pytest.mark.parametrize(
    "optimizer",
    [keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), keras.optimizers.Adam(loss_scale_factor=1024.0)],
    ids=["dynamic", "constant"],
)
def test_optimizers_that_scale_the_loss_are_refused(optimizer: keras.optimizers.Optimizer) -> None:
    """They divide gradients that the training step has not multiplied."""
    gan = GAN(_architecture())
    for arguments in ((optimizer,), (None, optimizer)):
        with pytest.raises(ConfigError, match=r"^An optimizer must not take the gradients of a scaled loss, because "):
            gan.compile(*arguments)
    assert not gan.compiled


def test_one_optimizer_for_both_networks_is_refused() -> None:
    gan, optimizer = GAN(_architecture()), keras.optimizers.Adam(name="mine")
    with pytest.raises(ConfigError, match=r"^Each network needs an optimizer of its own, but got mine for both: pass "):
        gan.compile(optimizer, optimizer)
    assert not gan.compiled


@pytest.mark.parametrize("name", ["loss", "optimizer", "metrics"])
def test_compile_refuses_what_a_gan_has_of_its_own(name: str) -> None:
    arguments: dict[str, Any] = {name: "mse"}
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        GAN(_architecture()).compile(**arguments)


def test_the_discriminator_trains_and_stays_trainable() -> None:
    gan = _compiled()
    before = _values(gan.discriminator.trainable_variables)
    gan.fit(_images(8), verbose=0)
    assert gan.discriminator.trainable
    assert all(layer.trainable for layer in gan.discriminator.layers)
    after = _values(gan.discriminator.trainable_variables)
    assert len(after) == len(before) == 6
    assert all(not np.array_equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
def test_the_stock_stack_of_the_tutorials_never_trains_its_discriminator() -> None:
    """Compiled, frozen, stacked: what worked in Keras 2, and what our training step avoids."""
    discriminator = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
    discriminator.compile(keras.optimizers.Adam(), keras.losses.BinaryCrossentropy(from_logits=True), run_eagerly=True)
    discriminator.trainable = False
    stack = keras.Sequential([keras.Input((3,)), layers.Dense(6), discriminator])
    stack.compile(keras.optimizers.Adam(), keras.losses.BinaryCrossentropy(from_logits=True), run_eagerly=True)
    before = discriminator.get_weights()
    discriminator.train_on_batch(np.ones((4, 6)), np.ones((4, 1)))
    for a, b in zip(discriminator.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


# --- the average and the noise -------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 2000])
def test_the_average_follows_with_a_warm_up(start: int) -> None:
    gan = _compiled(ema_decay=0.9)
    for average, current in zip(gan.ema_generator.weights, gan.generator.weights, strict=True):
        np.testing.assert_array_equal(average, current)
    gan.steps.assign(start)
    expected = [weight.astype(np.float64) for weight in gan.ema_generator.get_weights()]
    decays = []
    for t in range(start + 1, start + 4):
        _step(gan, _images(4, seed=t))
        decays.append(min(0.9, (1 + t) / (10 + t)))
        expected = [
            decays[-1] * average + (1 - decays[-1]) * current
            for average, current in zip(expected, gan.generator.get_weights(), strict=True)
        ]
    assert decays == (pytest.approx([2 / 11, 3 / 12, 4 / 13]) if start == 0 else [0.9, 0.9, 0.9])
    assert int(gan.steps) == start + 3
    for average, weight in zip(gan.ema_generator.get_weights(), expected, strict=True):
        np.testing.assert_allclose(average, weight, rtol=1e-5, atol=1e-6)


def test_moving_statistics_are_averaged_too() -> None:
    gan = _compiled()
    norm, average = (
        next(layer for layer in network.layers if isinstance(layer, layers.BatchNormalization))
        for network in (gan.generator, gan.ema_generator)
    )
    latents = np.asarray(keras.random.normal((4, LATENT), seed=keras.random.SeedGenerator(3)))
    maps = np.asarray(keras.Model(gan.generator.input, norm.input)(latents)).astype(np.float64)
    _step(gan, _images(4))
    # The fakes are made once a step, so the statistics move once.
    np.testing.assert_allclose(norm.moving_mean, 0.1 * maps.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(average.moving_mean, 9 / 11 * np.asarray(norm.moving_mean), rtol=1e-5, atol=1e-7)
    variance = 2 / 11 * 1 + 9 / 11 * np.asarray(norm.moving_variance)
    np.testing.assert_allclose(average.moving_variance, variance, rtol=1e-5)
    assert not np.array_equal(average.moving_variance, np.ones(5))


@pytest.mark.parametrize(("step", "left"), [(0, 1.0), (5, 0.5), (30, 0.0)])
def test_noise_is_on_real_and_fake_images_and_fades(monkeypatch: pytest.MonkeyPatch, step: int, left: float) -> None:
    gan = _compiled(instance_noise=0.2, instance_noise_steps=10)
    gan.steps.assign(step)
    made: list[Array] = []
    judged: list[Array] = []

    def spy(network: Any, seen: list[Array], of_output: bool) -> None:
        call = network.call

        def spying(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            output = call(inputs, *args, **kwargs)
            seen.append(np.array(output if of_output else inputs))
            return output

        monkeypatch.setattr(network, "call", spying)

    spy(gan.generator, made, of_output=True)
    spy(gan.discriminator, judged, of_output=False)
    images = _images(40)
    _step(gan, images)
    (fake,), (noisy_real, noisy_fake) = made, judged
    real_noise, fake_noise = noisy_real - (images / 127.5 - 1), noisy_fake - fake
    for noise in (real_noise, fake_noise):
        assert noise.shape == (40, *SHAPE)
        assert noise.std() == pytest.approx(0.2 * left, rel=0.06, abs=1e-6)
        assert noise.mean() == pytest.approx(0, abs=0.02)
    if left:
        assert abs(np.corrcoef(real_noise.ravel(), fake_noise.ravel())[0, 1]) < 0.1


# --- fit -----------------------------------------------------------------------------------------------------


class Counter(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.batches, self.epochs, self.logs = 0, 0, list[set[str]]()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs += 1
        self.logs.append(set(logs))


@pytest.mark.parametrize(("steps", "calls"), [(None, 2), (1, 4)])
def test_fit_takes_bytes_and_runs_the_user_s_callbacks(steps: int | None, calls: int) -> None:
    gan = GAN(_architecture(), seed=3)
    gan.compile(steps_per_execution=steps)
    counter = Counter()
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
    history = gan.fit(_images(11), epochs=2, callbacks=[counter, schedule], verbose=0)
    # Three images of each epoch are left over.
    assert (counter.batches, counter.epochs, int(gan.steps)) == (calls, 2, 4)
    assert counter.logs[0] >= {"d_loss", "g_loss"}
    assert [len(history.history[name]) for name in ("d_loss", "g_loss")] == [2, 2]
    assert np.isfinite(history.history["d_loss"] + history.history["g_loss"]).all()
    assert gan.optimizer is gan.generator_optimizer
    assert float(gan.generator_optimizer.learning_rate) == pytest.approx(5e-4 / 4)
    assert float(gan.discriminator_optimizer.learning_rate) == pytest.approx(5e-4)
    # Fewer images than a batch are a batch.
    gan.fit(_images(3), epochs=1, verbose=0)
    assert int(gan.steps) == 5


@pytest.mark.parametrize(("steps_per_epoch", "per_call"), [(10, 5), (11, 1)])
def test_an_epoch_has_as_many_steps_as_the_user_wants(steps_per_epoch: int, per_call: int) -> None:
    """Keras takes whole calls of several steps: with 8 in each it would train 8 or 16."""
    gan = _compiled()
    counter = Counter()
    batches = tf.data.Dataset.from_tensor_slices(_images(8)).batch(4).repeat()
    gan.fit(batches, steps_per_epoch=steps_per_epoch, epochs=2, callbacks=[counter], verbose=0)
    assert int(gan.steps) == 2 * steps_per_epoch
    assert counter.batches == 2 * steps_per_epoch / per_call


@pytest.mark.parametrize("steps_per_epoch", [None, 8])
def test_an_epoch_has_no_more_steps_than_keras_allows(steps_per_epoch: int | None) -> None:
    gan = _compiled()
    keras.config.set_max_steps_per_epoch(3)
    try:
        with pytest.warns(UserWarning, match="Limiting steps_per_epoch to 3"):
            gan.fit(_images(40), steps_per_epoch=steps_per_epoch, verbose=0)
    finally:
        keras.config.set_max_steps_per_epoch(None)
    assert int(gan.steps) == 3


def test_steps_in_a_call_are_of_one_fit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    gan = _compiled()
    images, latents = _images(40), np.zeros((96, LATENT), np.float32)
    planned: list[int] = []

    def pays(steps: int, batch_size: int) -> bool:
        planned.append(steps)
        return False

    monkeypatch.setattr(gan, "_xla_pays", pays)
    gan.fit(images, steps_per_epoch=7, verbose=0)
    assert (gan.steps_per_execution, int(gan.steps)) == (7, 7)
    gan._set_steps_per_call(11)
    assert len(gan.predict(latents, verbose=0)) == 96
    gan.fit(images, verbose=0)
    assert (gan.steps_per_execution, int(gan.steps)) == (8, 17)
    assert len(gan.predict(latents, verbose=0)) == 96  # as it was made for one batch a call, it would lose the others
    assert planned == [7, 10]
    gan.compile(steps_per_execution=2)
    gan._set_steps_per_call(7)
    assert gan.steps_per_execution == 2  # the user's own


def test_floats_are_taken_as_they_are() -> None:
    """The same images as bytes and as floats in [-1, 1], which NumPy makes of double precision."""
    images = _images(4)
    by_bytes, by_floats = _compiled(instance_noise=0.1), _compiled(instance_noise=0.1)
    by_floats.set_weights(by_bytes.get_weights())
    expected = _step(by_bytes, images)
    assert _step(by_floats, images / 127.5 - 1) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "use",
    [
        lambda gan: gan.fit(_images(8), verbose=0),
        lambda gan: gan.get_state(),
        lambda gan: gan.set_state(_compiled().get_state()),
        lambda gan: gan.restart_as(_compiled()),
        lambda gan: _compiled().restart_as(gan),
    ],
    ids=["fit", "get_state", "set_state", "restart_as", "restart_as it"],
)
def test_what_needs_optimizers_wants_a_compiled_gan(use: Callable[[GAN], Any]) -> None:
    with pytest.raises(ValueError, match=r"You must call `compile\(\)`"):
        use(GAN(_architecture()))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"validation_data": _images(4)}, "a GAN has no loss of images that it is not trained on"),
        ({"validation_split": 0.5}, "a GAN has no loss of images that it is not trained on"),
        ({"class_weight": {0: 1.0}}, "every image counts alike in the losses of a GAN"),
        ({"sample_weight": np.ones(8)}, "every image counts alike in the losses of a GAN"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_fit_refuses_what_a_gan_has_no_use_for(arguments: dict[str, Any], reason: str) -> None:
    gan = _compiled()
    images = tf.data.Dataset.from_tensor_slices(_images(8)).batch(4)
    for x in (_images(8), images):
        with pytest.raises(ConfigError, match=f"^{next(iter(arguments))} must be left out, because {reason}: "):
            gan.fit(x, verbose=0, **arguments)
    assert int(gan.steps) == 0


def test_fit_takes_keras_s_defaults() -> None:
    gan = _compiled()
    gan.fit(_images(4), validation_data=None, validation_split=0.0, class_weight=None, sample_weight=None, verbose=0)
    assert int(gan.steps) == 1


def test_weights_in_a_dataset_are_refused() -> None:
    gan = _compiled()
    weighted = tf.data.Dataset.from_tensor_slices((_images(8), np.zeros(8), np.ones(8))).batch(4)
    with pytest.raises(ConfigError, match="sample_weight must be left out, because every image counts alike"):
        gan.fit(weighted, verbose=0)
    assert int(gan.steps) == 0


def test_images_are_not_evaluated() -> None:
    gan = _compiled()
    for evaluate in (gan.evaluate, gan.test_on_batch):
        with pytest.raises(ConfigError, match="A GAN has no loss to evaluate: score the images that it generates"):
            evaluate(_images(4))


@pytest.mark.parametrize("shape", [(12, 9, 8, 1), (12, 8, 9, 3), (12, 8, 9), (12, 72), (0, 8, 9, 1)])
def test_fit_refuses_images_of_another_shape(shape: tuple[int, ...]) -> None:
    gan = _compiled()
    with pytest.raises(ConfigError) as caught:
        gan.fit(np.zeros(shape, np.uint8))
    expected = "images must be uint8, or float in [-1, 1], of shape [N, 8, 9, 1]"
    assert str(caught.value) == f"{expected}, but got uint8 {list(shape)}."
    with pytest.raises(ConfigError) as caught:
        gan.fit(tf.zeros(shape))
    assert str(caught.value) == f"{expected}, but got float32 {list(shape)}."
    assert int(gan.steps) == 0


def test_fit_refuses_a_list_that_is_no_array() -> None:
    pair = _images(8), np.zeros(8)
    with pytest.raises(ConfigError, match=r"of shape \[N, 8, 9, 1\], but got a tuple of different shapes\."):
        _compiled().fit(pair, verbose=0)


def test_fit_refuses_a_data_set_of_ours() -> None:
    data = ImageDataset("numbers", _images(8), None)
    with pytest.raises(ConfigError, match=r"^x must be images, but got ImageDataset: pass its images, and for a cond"):
        _compiled().fit(data, verbose=0)


@pytest.mark.parametrize("kind", ["array", "tensor", "list", "dataset"])
def test_fit_refuses_integers_that_are_no_bytes(kind: str) -> None:
    # They would pass as floats, as if 255 lay in [-1, 1].
    gan, integers = _compiled(), _images(8).astype(np.int64)
    batches = tf.data.Dataset.from_tensor_slices(integers).batch(4)
    x = {"array": integers, "tensor": tf.constant(integers), "list": integers.tolist(), "dataset": batches}[kind]
    with pytest.raises(ConfigError, match=r"uint8, or float in \[-1, 1\].*but got int64"):
        gan.fit(x, epochs=1, verbose=0)
    assert int(gan.steps) == 0


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "8"])
def test_fit_refuses_a_batch_size_that_is_none(batch_size: Any) -> None:
    with pytest.raises(ConfigError, match=f"^batch_size must be an integer from 1, but got {batch_size!r}"):
        _compiled().fit(_images(8), batch_size=batch_size, verbose=0)


@pytest.mark.parametrize("kind", ["array", "dataset"])
def test_fit_refuses_floats_of_another_range(kind: str) -> None:
    """Such as those of `keras.utils.image_dataset_from_directory`."""
    gan, floats = _compiled(), _images(8).astype(np.float32)
    x = floats if kind == "array" else tf.data.Dataset.from_tensor_slices(floats).batch(4)
    with pytest.raises(ConfigError, match=r"^Float images must lie in \[-1, 1\], but got values from 0 to 255: pass "):
        gan.fit(x, verbose=0)
    assert int(gan.steps) == 0


def test_fit_warns_of_floats_without_a_negative_value() -> None:
    gan = _compiled()
    gan.compile(run_eagerly=True)
    with pytest.warns(
        UserWarning, match=r"the first 4 have no negative value: if they lie in \[0, 1\], pass"
    ) as caught:
        gan.fit(_images(4) / 255, verbose=0)
    # Keras reads a variable in a way that NumPy deprecates.
    assert [warning.filename for warning in caught if warning.category is UserWarning] == [__file__]
    gan.fit(np.zeros((4, *SHAPE)), verbose=0)  # grey


@pytest.mark.parametrize("dtype", [">f4", np.longdouble, np.float16, ml_dtypes.bfloat16])
def test_floats_of_any_kind_train_as_those_of_single_precision(dtype: Any) -> None:
    images = (_images(4) / 127.5 - 1).astype(dtype)
    histories = []
    for kind in (images, images.astype(np.float32)):
        keras.utils.set_random_seed(0)
        gan = _compiled()
        gan.compile(run_eagerly=True)
        histories.append(gan.fit(kind, verbose=0).history)
    assert histories[0] == histories[1]


def test_a_dictionary_of_arrays_trains_as_they_do() -> None:
    histories = []
    for arguments in ((_images(11),), ({"images": _images(11)},)):
        keras.utils.set_random_seed(0)
        gan = _compiled(critic_steps=2)
        gan.compile(run_eagerly=True)
        histories.append(gan.fit(*arguments, verbose=0).history)
        assert int(gan.steps) == 1  # what is left over, less than two batches, waits
    assert histories[0] == histories[1]
    with pytest.raises(
        ConfigError, match="x must hold images and, for a conditional GAN, labels, but got latents and x:"
    ):
        gan.fit({"latents": np.zeros(11), "x": _images(11)}, verbose=0)


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Array]:
        return (_images(4, seed=index),)


def test_fit_takes_what_makes_batches() -> None:
    gan = _compiled()
    gan.fit(_Batches(), epochs=2, verbose=0)
    assert int(gan.steps) == 6
    batches = (({"images": _images(4, seed)},) for seed in range(8))
    gan.fit(batches, steps_per_epoch=2, epochs=3, verbose=0)
    assert int(gan.steps) == 12
    gan.fit(((_images(4, seed),) for seed in range(8)), steps_per_epoch=3, verbose=0)
    assert int(gan.steps) == 15
    with pytest.raises(ValueError, match=r"^When passing a Python generator .* must return a tuple, either "):
        gan.fit((_images(4, seed) for seed in range(3)), verbose=0)


def _generated(images: Array) -> Iterator[tuple[Array]]:
    yield (images,)


class _Same(_Batches):
    def __init__(self, images: Array) -> None:
        super().__init__()
        self.images = images

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[Array]:
        return (self.images,)


@pytest.mark.parametrize("source", [_Same, _generated])
def test_the_first_batch_of_other_sources_is_looked_at_like_that_of_a_data_set(source: Callable[[Array], Any]) -> None:
    gan = _compiled(critic_steps=2)
    floats = _images(4).astype(np.float32)
    for images, message in (
        (_images(3), r"^A batch must be a multiple of critic_steps=2 images, but got 3\.$"),
        (floats, r"^Float images must lie in \[-1, 1\], but got values from "),
    ):
        with pytest.raises(ConfigError, match=message):
            gan.fit(source(images), verbose=0)
    with pytest.warns(UserWarning, match="have no negative value"):
        gan.fit(source(floats / 255), steps_per_epoch=1, verbose=0)
    assert int(gan.steps) == 1


def test_a_generator_s_first_batch_is_trained_on_once() -> None:
    gan = _compiled()
    gan.fit(((_images(4, seed),) for seed in range(3)), steps_per_epoch=3, verbose=0)
    assert int(gan.steps) == 3
    with pytest.raises(ValueError, match="must yield at least one batch"):
        gan.fit(((_images(4),) for _ in range(0)), verbose=0)


def test_what_makes_batches_may_call_its_images_so() -> None:
    gan, batches = _compiled(), _Batches()
    batches.images = _images(12)
    gan.fit(batches, verbose=0)
    assert int(gan.steps) == 3


def test_the_last_batch_of_a_data_set_may_be_of_any_size() -> None:
    gan = _compiled(critic_steps=2)
    gan.compile(run_eagerly=True)
    images = _images(9)
    for batches in (images, (images,), {"images": images}):
        gan.fit(tf.data.Dataset.from_tensor_slices(batches).batch(4), verbose=0)
    assert int(gan.steps) == 9


def test_a_batch_that_cannot_be_shared_out_is_refused() -> None:
    gan = _compiled(critic_steps=2)
    batches = tf.data.Dataset.from_tensor_slices(_images(6)).batch(3)
    with pytest.raises(ConfigError, match=r"^A batch must be a multiple of critic_steps=2 images, but got 3\.$"):
        gan.fit(batches, verbose=0)
    assert int(gan.steps) == 0


def test_each_epoch_sees_each_image_once_in_another_order() -> None:
    gan = _compiled()
    images = np.arange(20, dtype=np.uint8)[:, None, None, None] + np.zeros((1, *SHAPE), np.uint8)
    batches = gan._batches(images, None, 4)

    def order(batches: Any) -> Array:
        order: Array = np.concatenate([batch["images"] for batch in batches.as_numpy_iterator()])[:, 0, 0, 0]
        return order

    first = order(batches)
    gan.steps.assign(5)
    second = order(batches)
    assert sorted(first) == sorted(second) == list(range(20))
    assert list(first) != list(second) != list(range(20))
    np.testing.assert_array_equal(order(gan._batches(images, None, 4)), second)
    gan.steps.assign(0)
    np.testing.assert_array_equal(order(gan._batches(images, None, 4)), first)


def test_each_step_of_each_epoch_has_its_own_normal_latents() -> None:
    gan = _compiled()
    batches = gan._batches(_images(80), None, 40)
    epochs = []
    for epoch in range(3):
        gan.steps.assign(2 * epoch)
        epochs.append([batch["latents"] for batch in batches.as_numpy_iterator()])
    every = np.concatenate([latents for epoch in epochs for latents in epoch])
    assert every.shape == (240, LATENT)
    assert every.dtype == np.float32
    assert len(np.unique(every)) == every.size
    assert every.mean() == pytest.approx(0, abs=0.1)
    assert every.std() == pytest.approx(1, abs=0.1)
    for latents, again in zip(epochs[2], gan._batches(_images(80), None, 40).as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(again["latents"], latents)


def _fresh(seed: int = 4, **training: Any) -> GAN:
    keras.utils.set_random_seed(seed)
    gan = GAN(_architecture(**training), seed=seed)
    gan.compile()
    return gan


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_gan_that_restarts_trains_like_a_new_one_without_being_traced_again(
    jit_compile: bool, traced: list[GAN]
) -> None:
    images = _images(14)
    used = _fresh(3)
    twin, fresh = (_fresh(4, generator_lr=3e-3, lr_ratio=2.0) for _ in range(2))
    for gan in (used, twin, fresh):
        gan.compile(jit_compile=jit_compile)
    used.fit(images, epochs=2, verbose=0)
    for variable in used.generator.trainable_variables:
        variable.assign(variable * np.nan)  # as a training that diverged leaves it
    keras.backend.clear_session()
    assert used.restart_as(fresh)
    assert (used.architecture, used.seed) == (twin.architecture, 4)
    _assert_same(_state(used), _state(twin))
    histories = [gan.fit(images, epochs=2, verbose=0).history for gan in (used, twin)]
    assert traced == [used, twin]
    assert histories[0] == histories[1]
    _assert_same(_state(used), _state(twin))


class _OtherGAN(GAN):
    """Of another type, so that its step may be another one, too."""


def test_only_a_gan_with_the_same_step_restarts() -> None:
    used = _fresh(3)
    before = _state(used)
    other_optimizer, frozen, eager = _fresh(), _fresh(), _fresh()
    other_optimizer.compile(keras.optimizers.SGD())
    frozen.generator.layers[-3].trainable = False
    eager.compile(run_eagerly=True)
    subclass = _OtherGAN(_architecture(), seed=4)
    subclass.compile()
    wider = GAN(GANArchitecture(SHAPE, GeneratorSpec("conv", LATENT, (6, 3)), used.architecture.discriminator), seed=4)
    wider.compile()
    for fresh in (
        _fresh(beta1=0.1),
        _fresh(batch_size=5),
        _fresh(loss="hinge"),
        other_optimizer,
        frozen,
        eager,
        subclass,
        wider,
    ):
        assert not used.restart_as(fresh)
        assert not fresh.restart_as(used)
    assert used.seed == 3
    _assert_same(_state(used), before)


# --- images --------------------------------------------------------------------------------------------------


def test_generate_gives_bytes_that_a_seed_fixes() -> None:
    gan = GAN(_architecture(), seed=0)
    for variable in gan.ema_generator.weights:  # contrast, so that a changed latent shows
        variable.assign(4 * variable)
    images = gan.generate(10, seed=5)
    assert images.dtype == np.uint8
    assert images.shape == (10, *SHAPE)
    assert images.max() > 150 > 100 > images.min()
    np.testing.assert_array_equal(gan.generate(10, seed=5), images)
    for batch_size in (1, 3, 10, 256):
        other = gan.generate(10, seed=5, batch_size=batch_size)
        assert np.abs(other.astype(int) - images).max() <= 1
    assert np.abs(gan.generate(4, seed=5).astype(int) - images[:4]).max() <= 1
    assert not np.array_equal(gan.generate(10, seed=0), images)
    assert not np.array_equal(gan.generate(10), gan.generate(10))
    for seed in (-1, 1.5):
        with pytest.raises(ConfigError, match=rf"^seed must be an integer from 0 or None, but got {seed}\.$"):
            gan.generate(1, seed=seed)  # type: ignore[arg-type]
    np.testing.assert_array_equal(gan.generate(3, seed=0), gan.generate(3, seed=0))


def test_images_come_from_the_averaged_generator() -> None:
    gan = GAN(_architecture(), seed=0)
    latents = np.random.default_rng(7).standard_normal((5, LATENT), dtype=np.float32)
    expected = np.asarray(gan.ema_generator(latents, training=False))
    for variable in gan.generator.weights:
        variable.assign(0 * variable)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_array_equal(gan(latents), expected)
    np.testing.assert_array_equal(gan(latents, training=True), expected)
    np.testing.assert_allclose(gan.predict(latents, verbose=0), expected, atol=1e-6)
    levels = np.rint((expected.astype(np.float64) + 1) * 127.5)
    assert np.abs(gan.generate(5, seed=7) - levels).max() <= 1


def test_the_averaged_generator_is_exported(tmp_path: Path) -> None:
    gan = _compiled()
    gan.fit(_images(8), verbose=0)
    gan.export(tmp_path / "served", verbose=False)
    latents = np.random.default_rng(7).standard_normal((5, LATENT), dtype=np.float32)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(latents), np.asarray(gan.ema_generator(latents)), atol=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # Keras 3.15 asks NumPy for names that it gave up
@pytest.mark.parametrize("classes", [0, 3])
def test_a_gan_that_was_not_called_is_exported_as_onnx(classes: int, tmp_path: Path) -> None:
    session = pytest.importorskip("onnxruntime").InferenceSession
    gan = GAN(replace(_architecture(), classes=classes), seed=0)
    gan.export(tmp_path / "generator.onnx", format="onnx", verbose=False)
    given: list[Array] = [np.random.default_rng(7).standard_normal((5, LATENT), dtype=np.float32)]
    given += [np.array([0, 1, 2, 1, 0], np.int32)] if classes else []
    served = session(tmp_path / "generator.onnx")
    names = [entry.name for entry in served.get_inputs()]
    (images,) = served.run(None, dict(zip(names, given, strict=True)))
    np.testing.assert_allclose(images, np.asarray(gan.ema_generator(given if classes else given[0])), atol=1e-5)


def test_latents_are_not_rounded_to_half_precision(tmp_path: Path) -> None:
    """Which the averaged generator, in single precision, does not do either."""
    gan = GAN(_architecture(), seed=0, dtype="mixed_bfloat16")
    gan.save(tmp_path / "gan.keras")
    latents = np.random.default_rng(7).standard_normal((5, LATENT), dtype=np.float32)
    expected = np.asarray(gan.ema_generator(latents))
    for one in (gan, GAN.load(tmp_path / "gan.keras")):
        np.testing.assert_array_equal(one(latents), expected)
        np.testing.assert_array_equal(one(latents.astype(np.float64)), expected)
    np.testing.assert_allclose(gan.predict(latents, verbose=0), expected, atol=1e-6)


# --- saving --------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable(package="test_model")
class _WiderGAN(GAN):
    """A user's own, with a metric, layers and a weight beside those of a GAN."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gap = keras.metrics.Mean(name="gap")
        self.encoder = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(2)])
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")

    def train_step(self, data: Any) -> dict[str, Any]:
        logs: dict[str, Any] = super().train_step(data)
        self.gap.update_state(self.seen)
        self.seen.assign_add(1.0)
        return logs


def test_a_subclass_has_layers_weights_and_metrics_of_its_own(tmp_path: Path) -> None:
    gan = _WiderGAN(_architecture(), seed=3)
    gan.compile()
    history = gan.fit(_images(16), epochs=2, verbose=0).history
    assert list(history) == ["d_loss", "g_loss", "gap"]
    assert history["gap"] == [1.5, 5.5]  # of 0 to 3, and of 4 to 7: reset at each epoch
    gan.save(tmp_path / "gan.keras")
    gan.save_weights(tmp_path / "gan.weights.h5")
    loaded, fresh = _WiderGAN.load(tmp_path / "gan.keras"), _WiderGAN(_architecture(), seed=4)
    fresh.compile()
    fresh.load_weights(tmp_path / "gan.weights.h5")
    for one in (loaded, fresh):
        assert isinstance(one, _WiderGAN)
        _assert_same(_state(one), _state(gan))
        assert float(one.seen) == 8.0
        for weight, expected in zip(one.encoder.get_weights(), gan.encoder.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_training_goes_on_after_loading_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    images = _images(14)
    gan = _compiled(instance_noise=0.1, instance_noise_steps=20)
    gan.fit(images, epochs=2, verbose=0)
    gan.save(tmp_path / "gan.keras")
    loaded = GAN.load(tmp_path / "gan.keras")
    assert loaded is not gan
    assert loaded.architecture == gan.architecture
    assert loaded.seed == gan.seed == 3
    assert not loaded.ema_generator.trainable
    _assert_same(_state(loaded), _state(gan))
    assert int(loaded.generator_optimizer.iterations) == int(loaded.discriminator_optimizer.iterations) == 6
    assert int(loaded.steps) == 6

    gan.fit(images, verbose=0)
    loaded.fit(images, verbose=0)
    assert int(loaded.steps) == 9
    _assert_same(_state(loaded), _state(gan))
    np.testing.assert_array_equal(loaded.generate(4, seed=0), gan.generate(4, seed=0))


HARD = GANArchitecture(
    SHAPE,
    GeneratorSpec("conv", LATENT, (5, 3)),
    DiscriminatorSpec("conv", (3, 4), normalization="spectral", dropout=0.3),
    TrainingSpec(
        batch_size=4,
        critic_steps=2,
        instance_noise=0.1,
        instance_noise_steps=20,
        augmentation=("translation",),
        adaptive_augmentation=True,
    ),
    classes=2,
)
"""All that draws random numbers in a training, and all that it remembers."""


def _built(architecture: GANArchitecture, seed: int) -> GAN:
    keras.utils.set_random_seed(seed)
    gan = GAN(architecture, seed=3)
    gan.compile()
    if gan.augmentation_share is not None:
        gan.augmentation_share.assign(0.5)
    return gan


@pytest.mark.parametrize(
    ("architecture", "jit_compile"), [(HARD, False), (_architecture(), True)], ids=["all that is random", "XLA"]
)
def test_a_training_that_goes_on_is_that_of_one_go_to_the_last_bit(
    architecture: GANArchitecture, jit_compile: bool
) -> None:
    images, labels = _images(26), np.arange(26) % 2 if architecture.classes else None
    whole, rest = _built(architecture, 0), _built(architecture, 9)  # the second one as in another process
    states = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: states.append(whole.get_state()))
    for gan in (whole, rest):
        gan.compile(jit_compile=jit_compile)
    expected = whole.fit(images, labels, epochs=4, callbacks=[note], verbose=0).history
    rest.set_state(states[1])
    found = rest.fit(images, labels, epochs=4, initial_epoch=2, verbose=0).history
    assert len(found["d_loss"]) == 2
    assert {name: losses[2:] for name, losses in expected.items()} == found
    for one, other in zip(states[3], rest.get_state(), strict=True):
        np.testing.assert_array_equal(one, other)
    if rest.augmentation_share is not None:
        assert np.array(rest.augmentation_share) not in (0.0, 0.5)


def test_a_state_is_more_than_keras_s_weights() -> None:
    """Which leave out the random numbers of dropout."""
    first, second = _built(HARD, 0), _built(HARD, 9)
    second.set_weights(first.get_weights())
    dropped = [[v for v in gan.discriminator.variables if "seed_generator" in v.path] for gan in (first, second)]
    assert len(dropped[0]) == len(dropped[1]) == 2
    assert all(not np.array_equal(np.array(a), np.array(b)) for a, b in zip(*dropped, strict=True))
    second.set_state(first.get_state())
    assert all(np.array_equal(np.array(a), np.array(b)) for a, b in zip(*dropped, strict=True))


def test_files_of_weights_have_every_random_state(tmp_path: Path) -> None:
    first, second = _built(HARD, 0), _built(HARD, 9)
    first.save_weights(tmp_path / "state.weights.h5")
    second.load_weights(tmp_path / "state.weights.h5")
    assert sum(variable.name == "seed_generator_state" for variable in first.variables) == 3
    for one, other in zip(first.get_state(), second.get_state(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_state_of_another_gan_is_refused() -> None:
    gan, other = _compiled(), _built(HARD, 0)
    before = gan.get_state()
    with pytest.raises(ValueError, match="the state is of another GAN"):
        gan.set_state(other.get_state())
    for one, same in zip(before, gan.get_state(), strict=True):
        np.testing.assert_array_equal(one, same)


def test_xla_is_chosen_by_the_whole_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner_gan.gan.model.XLA_PAYS_AFTER", 6)
    monkeypatch.setattr("tuner_gan.gan.model.uses_onednn", lambda: False)
    gan = _compiled()
    gan.fit(_images(8), epochs=3, initial_epoch=2, verbose=0)
    assert gan.jit_compile is True


def test_other_optimizers_are_saved_too(tmp_path: Path) -> None:
    gan = GAN(_architecture(), seed=3)
    gan.compile(keras.optimizers.SGD(0.1, momentum=0.5), keras.optimizers.RMSprop(0.02))
    _step(gan, _images(4))
    gan.save(tmp_path / "gan.keras")
    loaded = GAN.load(tmp_path / "gan.keras")
    assert isinstance(loaded.generator_optimizer, keras.optimizers.SGD)
    assert isinstance(loaded.discriminator_optimizer, keras.optimizers.RMSprop)
    assert loaded.generator_optimizer.momentum == 0.5
    _assert_same(_state(loaded), _state(gan))


def test_a_loaded_gan_is_compiled_as_it_was(tmp_path: Path) -> None:
    for chosen in ({}, {"jit_compile": True}, {"jit_compile": False, "steps_per_execution": 3, "run_eagerly": True}):
        gan = GAN(_architecture(), seed=3)
        gan.compile("sgd", **chosen)
        gan.save(tmp_path / "gan.keras")
        loaded = GAN.load(tmp_path / "gan.keras")
        assert loaded._step_constants() == gan._step_constants()
        assert loaded.get_compile_config() == gan.get_compile_config()
        assert (loaded.jit_compile, loaded.run_eagerly) == (gan.jit_compile, gan.run_eagerly)


def test_a_gan_that_is_not_compiled_is_saved_and_loaded(tmp_path: Path) -> None:
    gan = GAN(_architecture(), seed=3)
    gan.save(tmp_path / "gan.keras")
    _step(gan := _compiled(), _images(4))
    gan.save(tmp_path / "compiled.keras")
    keras.saving.load_model(tmp_path / "compiled.keras", compile=False).save(tmp_path / "again.keras")
    for name, steps in (("gan", 0), ("again", 1)):
        loaded = GAN.load(tmp_path / f"{name}.keras")
        assert not loaded.compiled
        assert int(loaded.steps) == steps
    for one, other in zip(gan.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    loaded.compile()
    loaded.fit(_images(4), verbose=0)


@pytest.mark.parametrize("name", ["gan.h5", "gan.hdf5", "gan.weights.h5"])
def test_save_refuses_what_holds_one_network_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^A GAN is saved as a \.keras file, but got .*5: choose that ending, or "):
        _compiled().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_load_refuses_another_kind_of_model(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((2,)), layers.Dense(1)]).save(tmp_path / "dense.keras")
    with pytest.raises(ConfigError, match=r"dense\.keras must hold a GAN, but it holds a Sequential"):
        GAN.load(tmp_path / "dense.keras")


def test_weights_bring_both_optimizers_back(tmp_path: Path) -> None:
    gan = _compiled()
    for step in range(3):
        _step(gan, _images(4, seed=step))
    gan.save_weights(tmp_path / "state.weights.h5")
    fresh = GAN(_architecture(), seed=99)
    fresh.compile()
    fresh.load_weights(tmp_path / "state.weights.h5")
    assert int(fresh.generator_optimizer.iterations) == int(fresh.discriminator_optimizer.iterations) == 3
    _assert_same(_state(fresh), _state(gan))
    assert any(np.abs(moment).max() > 0 for moment in _values(fresh.discriminator_optimizer.variables)[2:])


def test_a_stock_gan_loses_its_optimizers_with_only_a_warning(tmp_path: Path) -> None:
    real = tf.ones((2, 6))
    stock = StockGAN()
    stock.compile()
    for _ in range(3):
        stock.train_step(real)
    assert int(stock.g_optimizer.iterations) == int(stock.d_optimizer.iterations) == 3
    with pytest.raises(ValueError, match="not yet been built"):
        stock.save_weights(tmp_path / "stock.weights.h5")
    stock.built = True  # what the guides advise against that error
    stock.save_weights(tmp_path / "stock.weights.h5")
    fresh = StockGAN()
    fresh.compile()
    fresh.generator.build((None, 3))
    fresh.discriminator.build((None, 6))
    fresh.built = True
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
        fresh.load_weights(tmp_path / "stock.weights.h5")
    assert int(fresh.g_optimizer.iterations) == int(fresh.d_optimizer.iterations) == 0


def test_a_gan_is_built_and_counted_at_once() -> None:
    gan = GAN(_architecture())
    assert gan.built
    networks = gan.generator.count_params() + gan.discriminator.count_params() + gan.ema_generator.count_params()
    assert gan.count_params() == networks + 1  # and the count of its steps
    trained = sum(np.prod(v.shape) for n in (gan.generator, gan.discriminator) for v in n.trainable_variables)
    # What `max_model_size` of a KerasTuner search compares.
    assert maybe_compute_model_size(gan) == trained > 0

    stock = StockGAN()
    stock.compile()
    assert not stock.built
    assert maybe_compute_model_size(stock) == 0


def test_save_generator_leaves_the_gan_as_it_was(tmp_path: Path) -> None:
    gan = _compiled()
    names = [variable.path for variable in gan.trainable_variables]
    assert len(names) == len(gan.generator.trainable_variables) + len(gan.discriminator.trainable_variables)
    gan.save_generator(tmp_path / "generator.keras")
    assert [variable.path for variable in gan.trainable_variables] == names
    assert not gan.ema_generator.trainable_variables
    saved = keras.saving.load_model(tmp_path / "generator.keras")
    assert len(saved.trainable_variables) == len(gan.generator.trainable_variables)
    for weight, expected in zip(saved.get_weights(), gan.ema_generator.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    with pytest.raises((OSError, ValueError)):
        gan.save_generator(tmp_path / "no such folder" / "generator.keras")
    assert [variable.path for variable in gan.trainable_variables] == names


def test_save_discriminator_needs_no_layer_of_ours(tmp_path: Path) -> None:
    gan = GAN(_architecture(), seed=0)
    gan.save_discriminator(tmp_path / "discriminator.keras")
    saved = keras.saving.load_model(tmp_path / "discriminator.keras")
    assert "LeakyReLU" in [type(layer).__name__ for layer in saved.layers]
    assert "tuner_gan" not in json.dumps(saved.get_config())
    images = _images(5) / 127.5 - 1
    np.testing.assert_array_equal(saved(images), gan.discriminator(images))


# --- seeds ---------------------------------------------------------------------------------------------------


def _trained(seed: int) -> dict[str, list[Array]]:
    keras.utils.set_random_seed(seed)
    gan = GAN(_architecture())
    gan.compile()
    for step in range(2):
        _step(gan, _images(4, seed=step))
    return _state(gan)


def test_a_global_seed_fixes_everything() -> None:
    first = _trained(1)
    _assert_same(_trained(1), first)
    other = _trained(2)
    for name in ("generator", "discriminator", "seed generator"):
        assert not np.array_equal(other[name][0], first[name][0]), name


def test_a_seed_of_zero_is_kept() -> None:
    gan = GAN(_architecture(), seed=0)
    assert gan.seed == 0
    assert gan.get_config()["seed"] == 0
    assert GAN.from_config(copy.deepcopy(gan.get_config())).seed == 0
    assert int(np.asarray(gan.seed_generator.state)[0]) == 0
    # KerasTuner's own oracles draw another one instead.
    assert keras_tuner.oracles.RandomSearchOracle(seed=0).seed != 0
