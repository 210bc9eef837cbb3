"""Keras's setting for channels first, which Keras reads from the user's ~/.keras/keras.json, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tuner_gan.datasets import ImageDataset
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec
from tuner_gan.gan.model import GAN
from tuner_gan.layout import channels_last
from tuner_gan.quality import classifier
from tuner_gan.quality.applications import pretrained
from tuner_gan.quality.classifier import ReferenceClassifier


@pytest.fixture(autouse=True)
def _channels_first() -> Iterator[None]:
    keras.config.set_image_data_format("channels_first")
    yield
    assert keras.config.image_data_format() == "channels_first"
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("generator", "discriminator"),
    [
        (
            GeneratorSpec("conv", 4, (8,), upsampling="nearest"),
            DiscriminatorSpec("conv", (4,), downsampling="max_pool"),
        ),
        (GeneratorSpec("resnet", 4, (4,)), DiscriminatorSpec("resnet", (4,))),
    ],
    ids=["conv", "resnet"],
)
def test_a_gan_is_for_channels_last_whatever_keras_s_setting(
    generator: GeneratorSpec, discriminator: DiscriminatorSpec
) -> None:
    shape = (9, 8, 1)
    architecture = GANArchitecture(shape, generator, discriminator, TrainingSpec(batch_size=4))
    images = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)

    def trained() -> tuple[Any, Any]:
        keras.utils.set_random_seed(0)
        gan = GAN(architecture, seed=0)
        gan.compile(run_eagerly=True)
        gan.fit(images, verbose=0)
        return gan.get_weights(), gan.generate(2, seed=0)

    found = trained()
    with channels_last():
        expected = trained()
    for weights, wanted in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(weights, wanted)
    np.testing.assert_array_equal(found[1], expected[1])


def test_a_classifier_is_for_channels_last_whatever_keras_s_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", (2, 2))
    images = np.random.default_rng(0).integers(0, 256, (60, 9, 8, 3), dtype=np.uint8)
    data = ImageDataset("noise", images, np.arange(60) % 2, ("a", "b"))
    found = ReferenceClassifier.fit(data, data)
    with channels_last():
        expected = ReferenceClassifier.fit(data, data)
    assert found.fingerprint == expected.fingerprint


def test_a_pretrained_network_is_for_channels_last_whatever_keras_s_setting(tmp_path: Path) -> None:
    with channels_last():
        options = {"include_top": False, "weights": None, "input_shape": (96, 96, 3)}
        keras.applications.MobileNet(**options).save_weights(tmp_path / "mobile.weights.h5")
    model = pretrained("MobileNet", tmp_path / "mobile.weights.h5")
    assert model.output_shape == (None, 1024)


def test_keras_s_setting_is_put_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="the printer"), channels_last():
        raise ValueError("the printer is on fire")
