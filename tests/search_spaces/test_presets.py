import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tuner_gan.errors import ConfigError
from tuner_gan.gan.architecture import GANArchitecture, TrainingSpec
from tuner_gan.gan.model import GAN
from tuner_gan.gan.networks import build_discriminator
from tuner_gan.search_spaces.presets import PRESETS, preset

SHAPES = [(28, 28, 1), (8, 8, 1), (32, 32, 3), (9, 13, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_trains(name: str, shape: tuple[int, int, int]) -> None:
    architecture = preset(name, shape)
    assert architecture.image_shape == shape
    assert GANArchitecture.from_json(architecture.to_json()) == architecture
    gan = GAN(architecture, seed=0)
    gan.compile()
    before = [np.array(variable) for variable in gan.trainable_variables]
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8))
    for _ in range(2):
        logs = gan.train_step(images)
    assert np.isfinite([float(value) for value in logs.values()]).all()
    assert all(not np.array_equal(a, b) for a, b in zip(gan.trainable_variables, before, strict=True))
    made = gan.generate(3, seed=0)
    assert made.dtype == np.uint8
    assert made.shape == (3, *shape)
    assert np.ptp(made) > 0


def _layers(network: keras.Model) -> list[tuple[str, object]]:
    """Kind of each layer that computes, with what matters about it."""
    found: list[tuple[str, object]] = []
    for layer in network.layers:
        detail: object = None
        if isinstance(layer, layers.Dense):
            detail = layer.units
        elif isinstance(layer, layers.Conv2D | layers.Conv2DTranspose):
            detail = (layer.filters, *layer.kernel_size, *layer.strides)
        elif isinstance(layer, layers.LeakyReLU):
            detail = layer.negative_slope
        elif isinstance(layer, layers.Reshape):
            detail = tuple(layer.target_shape)
        elif isinstance(layer, layers.MaxPooling2D):
            detail = tuple(layer.pool_size)
        if not isinstance(layer, layers.InputLayer):
            found.append((type(layer).__name__, detail))
    return found


def test_the_layers_and_the_recipe_of_the_dense_tutorial() -> None:
    gan = GAN(preset("tutorial_dense", (28, 28, 1)), seed=0)
    assert gan.ema_generator.input_shape == (None, 100)
    assert _layers(gan.ema_generator) == [
        ("Dense", 256),
        ("BatchNormalization", None),
        ("LeakyReLU", 0.2),
        ("Dense", 512),
        ("BatchNormalization", None),
        ("LeakyReLU", 0.2),
        ("Dense", 784),
        ("Reshape", (28, 28, 1)),
        ("Activation", None),
    ]
    assert gan.ema_generator.layers[-1].activation is keras.activations.tanh
    assert _layers(build_discriminator(gan.architecture.discriminator, (28, 28, 1))) == [
        *(
            step
            for channels in (32, 64, 128)
            for step in (("Conv2D", (channels, 5, 5, 1, 1)), ("LeakyReLU", 0.2), ("MaxPooling2D", (2, 2)))
        ),
        ("Flatten", None),
        ("Dense", 1),
    ]
    assert gan.architecture.training == TrainingSpec(
        generator_lr=2e-4, lr_ratio=1.0, beta1=0.9, beta2=0.999, batch_size=32, instance_noise=0.1
    )


def test_the_layers_and_the_recipe_of_the_convolutional_tutorial() -> None:
    gan = GAN(preset("tutorial_conv", (28, 28, 1)), seed=0)
    assert gan.ema_generator.input_shape == (None, 100)
    assert _layers(gan.ema_generator) == [
        ("Dense", 512),
        ("Reshape", (4, 4, 32)),
        ("ReLU", None),
        ("Conv2DTranspose", (32, 5, 5, 2, 2)),
        ("ReLU", None),
        ("Conv2DTranspose", (32, 5, 5, 2, 2)),
        ("ReLU", None),
        ("Conv2DTranspose", (1, 5, 5, 2, 2)),
        ("Cropping2D", None),
        ("Activation", None),
    ]
    assert _layers(build_discriminator(gan.architecture.discriminator, (28, 28, 1))) == [
        ("Conv2D", (32, 5, 5, 2, 2)),
        ("LeakyReLU", 0.2),
        ("Conv2D", (32, 5, 5, 2, 2)),
        ("LeakyReLU", 0.2),
        ("Flatten", None),
        ("Dense", 1),
    ]
    assert gan.architecture.training == TrainingSpec(
        generator_lr=1e-3, lr_ratio=1.0, beta1=0.9, beta2=0.999, batch_size=100, instance_noise=0.0
    )


@pytest.mark.parametrize(
    ("shape", "base", "doublings"), [((8, 8, 1), (4, 4), 1), ((32, 32, 3), (4, 4), 3), ((9, 13, 3), (3, 4), 2)]
)
def test_the_convolutional_tutorial_doubles_up_to_other_images(
    shape: tuple[int, int, int], base: tuple[int, int], doublings: int
) -> None:
    found = _layers(GAN(preset("tutorial_conv", shape), seed=0).ema_generator)
    assert ("Reshape", (*base, 32)) in found
    assert [kind for kind, _ in found].count("Conv2DTranspose") == doublings


@pytest.mark.parametrize(("name", "near"), [("tutorial_dens", "tutorial_dense"), ("Tutorial_Conv", "tutorial_conv")])
def test_an_unknown_preset_is_refused(name: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        preset(name, (28, 28, 1))
    assert str(caught.value) == (
        f"Unknown preset {name!r} (did you mean {near!r}?): choose one of tutorial_dense, tutorial_conv."
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_conditional_preset_differs_in_its_classes_only(name: str) -> None:
    conditional = preset(name, (28, 28, 1), classes=7)
    assert conditional == dataclasses.replace(preset(name, (28, 28, 1)), classes=7)
    assert GAN(conditional, seed=0).generate(14, seed=0, labels=np.arange(14) % 7).shape == (14, 28, 28, 1)


def test_an_image_shape_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"image_shape must be height and width from 8 to 256"):
        preset("tutorial_dense", (4, 4, 1))
