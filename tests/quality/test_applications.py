import sys
import urllib.error
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from keras import layers
from keras_models import by_hand, plain_model, random_images, truncate

from tuner_gan.errors import QualityError
from tuner_gan.precision import precision
from tuner_gan.quality import applications as module
from tuner_gan.quality.applications import pretrained
from tuner_gan.quality.extractor import FeatureExtractor, make_extractor

Array = npt.NDArray[Any]


FAMILIES = [
    "VGG16",
    "ResNet50",
    "ResNet50V2",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "InceptionV3",
    "Xception",
]
FAMILIES += ["InceptionResNetV2", "DenseNet121", "NASNetMobile", "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny"]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_convolution_is_the_preprocessing_of_the_family(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network itself is replaced by one that returns every pixel that it is given."""
    seen = keras.Input((module.SIDE, module.SIDE, 3))
    monkeypatch.setattr(module, "_network", lambda build, weights: keras.Model(seen, layers.Flatten()(seen)))
    images = random_images((module.SIDE, module.SIDE, 3), 2)
    got = FeatureExtractor(pretrained(name), (module.SIDE, module.SIDE, 3)).features(images)
    preprocess = sys.modules[getattr(keras.applications, name).__module__].preprocess_input
    expected = preprocess(images.astype(np.float32))
    np.testing.assert_allclose(got.reshape(expected.shape), expected, rtol=1e-6, atol=2e-5)
    if name.startswith(("EfficientNet", "ConvNeXt", "MobileNetV3")):
        np.testing.assert_array_equal(got.reshape(images.shape), images)


@pytest.mark.parametrize(
    ("name", "matrix", "offset"),
    [
        ("MobileNetV2", np.eye(3) / 127.5, [-1, -1, -1]),
        ("ResNet50", np.eye(3)[::-1], [-103.939, -116.779, -123.68]),
        (
            "DenseNet121",
            np.diag([1 / 58.395, 1 / 57.12, 1 / 57.375]),
            [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
        ),
    ],
)
def test_reversed_channels_and_scales_are_seen_apart(name: str, matrix: Array, offset: list[float]) -> None:
    """Against the constants themselves, lest the expectation above be as wrong as the result."""
    got = module._affine(sys.modules[getattr(keras.applications, name).__module__].preprocess_input)
    np.testing.assert_allclose(got[0], matrix, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(got[1], offset, rtol=1e-6)


def test_any_affine_map_of_the_channels_is_found() -> None:
    rng = np.random.default_rng(0)
    matrix, offset = rng.standard_normal((3, 3)), rng.standard_normal(3)
    got = module._affine(lambda pixels, data_format: pixels @ matrix + offset)
    np.testing.assert_allclose(got[0], matrix, rtol=1e-5)
    np.testing.assert_allclose(got[1], offset, rtol=1e-5)


def _network(name: str) -> keras.Model:
    """A network of random weights whose features differ from image to image, which fresh ones hardly do."""
    keras.utils.set_random_seed(0)
    network = getattr(keras.applications, name)(weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3))
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            scale, offset, mean, variance = layer.get_weights()
            layer.set_weights([scale, offset + 0.05 * rng.random(offset.shape), mean, 0.1 * variance])
    return network


def _assert_same(features: Array, expected: Array) -> None:
    assert expected.std(axis=0).mean() > 1e-2
    np.testing.assert_allclose(features, expected, atol=2e-4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Path]:
    network, path = _network("MobileNetV2"), tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    network.save_weights(path)
    return network, path


@pytest.mark.parametrize("name", ["MobileNetV2", "mobilenet_v2", "MOBILENET-V2"])
def test_names_are_read_kindly(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_network", lambda build, weights: plain_model(layers.ReLU(), shape=(96, 96, 3)))
    assert pretrained(name).name == "MobileNetV2"


def test_a_pretrained_network_from_a_file(weights: tuple[keras.Model, Path]) -> None:
    network, path = weights
    model, images = pretrained("MobileNetV2", path), random_images((96, 96, 3), 3)
    assert model.input_shape == (None, module.SIDE, module.SIDE, 3) == (None, 96, 96, 3)
    _assert_same(by_hand(model, images), by_hand(network, images / 127.5 - 1))


def test_a_pretrained_network_computes_in_single_precision(weights: tuple[keras.Model, Path]) -> None:
    images = random_images((96, 96, 3), 3)
    expected = by_hand(pretrained("MobileNetV2", weights[1]), images)
    with precision("mixed_float16"):
        model = pretrained("MobileNetV2", weights[1])
        fingerprint = FeatureExtractor(model, (96, 96, 3)).fingerprint
    np.testing.assert_array_equal(by_hand(model, images), expected)
    assert fingerprint == FeatureExtractor(model, (96, 96, 3)).fingerprint


def test_an_extractor_of_a_pretrained_network(weights: tuple[keras.Model, Path], tmp_path: Path) -> None:
    network, path = weights
    images = random_images((28, 28, 1), 3)
    extractor = FeatureExtractor(pretrained("MobileNetV2", str(path)), (28, 28, 1))
    levels = tf.image.resize(np.repeat(images, 3, axis=-1), (96, 96), "bilinear").numpy()
    _assert_same(extractor.features(images), by_hand(network, levels / 127.5 - 1))
    assert extractor.feature_dim == 1280
    extractor.save(tmp_path)
    loaded = FeatureExtractor.load(tmp_path)
    assert loaded.fingerprint == extractor.fingerprint
    np.testing.assert_array_equal(loaded.features(images), extractor.features(images))


def test_a_downloaded_efficientnet_is_the_same_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = _network("EfficientNetB0")
    norm = next(layer for layer in network.layers if isinstance(layer, layers.Normalization))
    norm.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(0)])
    path = tmp_path / "efficientnetb0_notop.weights.h5"
    network.save_weights(path)
    application = sys.modules[keras.applications.EfficientNetB0.__module__]
    monkeypatch.setattr(application.file_utils, "get_file", lambda *args, **options: str(path))
    images = random_images((96, 96, 3), 2)
    expected = np.pad((images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], ((0, 0), (0, 1), (0, 1), (0, 0)))
    for where in ("imagenet", path):
        inner = pretrained("EfficientNetB0", where).layers[-1]
        stem = keras.Model(inner.inputs[0], inner.get_layer("stem_conv_pad").output)
        np.testing.assert_allclose(by_hand(stem, images), expected, atol=1e-5)
    stem = keras.Model(network.inputs[0], network.get_layer("stem_conv_pad").output)
    assert np.abs(by_hand(stem, images) - expected).max() > 0.5  # as Keras reads a file by its path


@pytest.mark.parametrize("variance", [[1.0, 1.0, 1.0], [0.229, 0.224, 0.3], [0.229**2, 0.224**2, 0.225**2]])
def test_other_variances_are_left_alone(variance: list[float]) -> None:
    norm = layers.Normalization()
    network = plain_model(layers.Normalization(mean=0.5, variance=0.229), norm)
    norm.set_weights([np.zeros(3), np.array(variance), np.array(0)])
    norm.finalize_state()
    before = by_hand(network, random_images((8, 8, 3)))
    module._correct_efficientnet(network)
    np.testing.assert_array_equal(by_hand(network, random_images((8, 8, 3))), before)


def _no_network(*args: Any, **options: Any) -> Any:
    raise urllib.error.URLError("no route to host")


@pytest.mark.parametrize(
    ("name", "make"), [("MobileNetV3Small", pretrained), ("MobileNetV2", lambda name: make_extractor(name, (8, 8, 3)))]
)
def test_weights_that_cannot_be_downloaded(
    name: str, make: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", _no_network)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(
        QualityError,
        match=rf"^the ImageNet weights of {name} cannot be downloaded .*https://\S+_no_top\S*\.h5.*no route to host.*: "
        rf"get this file .*pretrained\('{name}', weights=PATH\)\.$",
    ) as caught:
        make(name)
    assert "\n" not in str(caught.value)


def test_the_warning_about_the_size_of_the_images_is_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = _network("MobileNetV3Small")
    network.save_weights(tmp_path / "small.weights.h5")
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *a, **k: str(tmp_path / "small.weights.h5"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = pretrained("MobileNetV3Small")
    images = random_images((96, 96, 3), 2)
    _assert_same(by_hand(model, images), by_hand(network, images))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "no.weights.h5", "weights must be 'imagenet' or the path of a .h5 file, but .* is no file"),
        (b"nothing", "bad.weights.h5", "must hold the weights of MobileNetV2 .* cannot be read"),
        (b"nothing", "bad.h5", "must hold the weights of MobileNetV2 .* cannot be read"),
        (b"nothing", "bad.txt", "must hold the weights of MobileNetV2 .* cannot be read .*format"),
        (0.5, "half.weights.h5", "must hold the weights of MobileNetV2 .* cannot be read .*truncated"),
    ],
)
def test_damaged_weights_are_refused(
    content: bytes | float | None, name: str, message: str, weights: tuple[keras.Model, Path], tmp_path: Path
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_bytes(weights[1].read_bytes())
        truncate(path, content)
    with pytest.raises(QualityError, match=message):
        pretrained("MobileNetV2", path)


def test_weights_of_another_network_are_refused(weights: tuple[keras.Model, Path]) -> None:
    with pytest.raises(QualityError, match=r"weights of MobileNetV3Small without its top, .*could not be loaded"):
        pretrained("MobileNetV3Small", weights[1])
