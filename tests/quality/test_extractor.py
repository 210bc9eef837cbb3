import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from keras import layers
from keras_models import Shape, by_hand, plain_model, random_images, small_model, truncate

from tuner_gan import files
from tuner_gan.errors import ProjectError, QualityError
from tuner_gan.quality import extractor as module
from tuner_gan.quality.extractor import FeatureExtractor, make_extractor
from tuner_gan.quality.frozen import inference_batch

Array = npt.NDArray[Any]


# Features


def test_features_are_those_of_the_model() -> None:
    model, images = (
        small_model((8, 8, 3), layers.BatchNormalization(), layers.Flatten(), layers.Dropout(0.5)),
        random_images((8, 8, 3)),
    )
    model.layers[-3].set_weights([np.arange(5.0), np.ones(5), np.full(5, 0.2), np.full(5, 3.0)])
    extractor = FeatureExtractor(model, (8, 8, 3))
    features = extractor.features(images)
    assert extractor.kind == "features"
    assert extractor.image_shape == (8, 8, 3)
    assert features.dtype == np.float32
    assert features.shape == (10, extractor.feature_dim) == (10, 180)
    np.testing.assert_allclose(features, by_hand(model, images), rtol=1e-5, atol=1e-6)


def test_maps_are_averaged_over_the_places() -> None:
    model, images = small_model(), random_images((8, 8, 3))
    np.testing.assert_allclose(
        FeatureExtractor(model, (8, 8, 3)).features(images), by_hand(model, images).mean(axis=(1, 2)), rtol=1e-5
    )


def test_the_pixels_go_in_as_they_are() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    features = FeatureExtractor(plain_model(layers.Flatten(), shape=(8, 8, 1)), (8, 8, 1)).features(images)
    np.testing.assert_array_equal(features, images.reshape(4, 64))


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_the_model_may_take_another_dtype(dtype: str) -> None:
    image = keras.Input((8, 8, 1), dtype=dtype)
    images = random_images((8, 8, 1))
    features = FeatureExtractor(keras.Model(image, layers.Flatten()(image)), (8, 8, 1)).features(images)
    np.testing.assert_array_equal(features, images.reshape(10, 64))


def test_grey_images_become_three_equal_channels() -> None:
    images = random_images((8, 8, 1))
    features = FeatureExtractor(plain_model(layers.Flatten()), (8, 8, 1)).features(images)
    np.testing.assert_array_equal(features, np.repeat(images, 3, axis=-1).reshape(10, -1))


@pytest.mark.parametrize("shape", [(None, None, 3), (None, None, None), (8, None, 3)])
def test_open_sizes_take_the_images_as_they_are(shape: Shape) -> None:
    model, images = plain_model(layers.AveragePooling2D(2), shape=shape), random_images((8, 12, 3))
    np.testing.assert_allclose(
        FeatureExtractor(model, (8, 12, 3)).features(images), images.mean(axis=(1, 2)), rtol=1e-5
    )


def test_a_model_that_leaves_the_channels_open_gets_grey_images_grey() -> None:
    assert FeatureExtractor(plain_model(layers.ReLU(), shape=(None, None, None)), (8, 8, 1)).feature_dim == 1


@pytest.mark.parametrize(
    ("images", "shape", "size"),
    [
        (random_images((4, 6, 3)), (8, 9, 3), (8, 9)),
        (random_images((16, 12, 3)), (8, 6, 3), (8, 6)),
        (random_images((16, 12, 3)), (8, None, 3), (8, 12)),
        (random_images((4, 4, 3)), (None, 6, 3), (4, 6)),
    ],
)
def test_other_sizes_are_resized(images: Array, shape: Shape, size: tuple[int, int]) -> None:
    features = FeatureExtractor(plain_model(layers.Flatten(), shape=shape), images.shape[1:]).features(images)
    expected = tf.image.resize(images, size, "bilinear", antialias=True).numpy()
    np.testing.assert_allclose(features, expected.reshape(10, -1), atol=1e-3)


def test_shrinking_skips_no_pixel() -> None:
    """Of a fine chessboard, bilinear interpolation without averaging would take one colour or the other."""
    board = (np.indices((32, 32)).sum(axis=0) % 2 * 255).astype(np.uint8)[None, :, :, None]
    features = FeatureExtractor(plain_model(layers.Flatten(), shape=(4, 4, 1)), (32, 32, 1)).features(board)
    np.testing.assert_allclose(features, 127.5, atol=2.0)


def test_features_do_not_depend_on_the_batch_and_are_traced_once() -> None:
    extractor, images = FeatureExtractor(small_model(), (8, 8, 3)), random_images((8, 8, 3), 551)
    features = extractor.features(images)
    for rows in (slice(0, 1), slice(249, 252), slice(550, 551)):
        np.testing.assert_allclose(extractor.features(images[rows]), features[rows], atol=1e-6)
    assert extractor.features(images[:0]).shape == (0, 5)
    assert extractor._forward.experimental_get_tracing_count() == 1


def test_enlarged_images_go_through_in_small_batches() -> None:
    assert FeatureExtractor(small_model((256, 256, 3)), (8, 8, 3))._batch == inference_batch((256, 256, 3)) == 4
    assert FeatureExtractor(small_model((8, 8, 3)), (256, 256, 3))._batch == 4
    assert FeatureExtractor(small_model((8, 8, 3)), (8, 8, 3))._batch == 250


def test_half_precision_is_for_the_model_only() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        extractor = FeatureExtractor(plain_model(layers.Flatten(dtype="float32"), shape=(9, 9, 3)), (8, 8, 1))
        half = FeatureExtractor(small_model(), (8, 8, 3))
    finally:
        keras.config.set_dtype_policy("float32")
    images = random_images((8, 8, 1))
    expected = tf.image.resize(np.repeat(images, 3, axis=-1), (9, 9), "bilinear").numpy().reshape(10, -1)
    np.testing.assert_allclose(extractor.features(images), expected, atol=1e-3)
    assert half.features(random_images((8, 8, 3))).dtype == np.float32
    assert half.fingerprint != FeatureExtractor(small_model(), (8, 8, 3)).fingerprint


def test_training_the_model_further_changes_nothing() -> None:
    model, images = small_model(), random_images((8, 8, 3))
    extractor = FeatureExtractor(model, (8, 8, 3))
    before = extractor.features(images)
    model.set_weights([2 * weight + 1 for weight in model.get_weights()])
    np.testing.assert_array_equal(extractor.features(images), before)


def test_a_compiled_model_leaves_its_own_loss_behind() -> None:
    class Trained(keras.Model):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            raise NotImplementedError  # an extractor trains nothing, so it is never called

    def loss(expected: Any, got: Any) -> Any:
        return keras.ops.mean(got - expected)

    plain, images = small_model(), random_images((8, 8, 3))
    model = Trained(plain.inputs, plain.outputs)
    model.compile("sgd", loss=loss)
    np.testing.assert_array_equal(
        FeatureExtractor(model, (8, 8, 3)).features(images), FeatureExtractor(plain, (8, 8, 3)).features(images)
    )


def test_the_state_of_an_adapted_layer_is_copied() -> None:
    images, norm = random_images((8, 8, 3)), layers.Normalization()
    norm.adapt(images.astype(np.float32))
    model = plain_model(norm, layers.Flatten())
    features = FeatureExtractor(model, (8, 8, 3)).features(images)
    np.testing.assert_allclose(features, by_hand(model, images), rtol=1e-5, atol=1e-6)
    assert abs(features.mean()) < 0.1


# What is refused


@pytest.mark.parametrize(
    "change",
    [lambda x: x.astype(np.float32), lambda x: x[..., 0], lambda x: x[:, :7], lambda x: x[..., :1], lambda x: x[0]],
)
def test_other_images_are_refused(change: Callable[[Array], Array]) -> None:
    with pytest.raises(QualityError, match=r"images must be uint8 of shape \[N, 8, 8, 3\], got"):
        FeatureExtractor(small_model(), (8, 8, 3)).features(change(random_images((8, 8, 3))))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(value: float) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(5, 3)], name="broken")
    kernel, bias = model.get_weights()
    model.set_weights([kernel, np.full_like(bias, value)])
    extractor = FeatureExtractor(model, (8, 8, 3))
    with pytest.raises(QualityError, match=r"got NaN or infinity for 10 of 10 images: the feature extractor 'broken'"):
        extractor.features(random_images((8, 8, 3)))


def _several(inputs: int, outputs: int) -> keras.Model:
    sides = [keras.Input((8, 8, 3)) for _ in range(inputs)]
    joined = layers.Add()(sides) if inputs > 1 else sides[0]
    return keras.Model(sides, [layers.ReLU()(joined) for _ in range(outputs)])


def _one_long_row() -> keras.Model:
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.ops.reshape(image, (1, -1)))


class _Subclassed(keras.Model):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return inputs


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "model", "must be a keras.Model, got an object of type str"),
        (lambda: _several(2, 1), "2 inputs and 1 outputs"),
        (lambda: _several(1, 2), "1 inputs and 2 outputs"),
        (lambda: _Subclassed(), "a _Subclassed with 0 inputs and 0 outputs"),
        (lambda: keras.Sequential([layers.Flatten()]), "a Sequential with 0 inputs and 0 outputs"),
        (lambda: plain_model(layers.Dense(2), shape=(8,)), r"takes \[None, 8\]"),
        (lambda: plain_model(layers.Reshape((8, 24))), r"makes \[None, 8, 24\]"),
        (lambda: _one_long_row(), r"makes \[1, None\]"),
        (lambda: keras.Sequential([keras.Input(batch_shape=(2, 8, 8, 3)), layers.ReLU()]), "B open"),
        (lambda: small_model((8, 8, 1)), "take images of 3 channels, but .* takes 1: convert"),
        (lambda: small_model((8, 8, 4)), "take images of 3 channels, but .* takes 4"),
        (
            lambda: plain_model(layers.Conv2D(1, 9), shape=(None, None, 3)),
            r"cannot take images of shape \(8, 8, 3\): .*zero or negative",
        ),
    ],
)
def test_models_that_do_not_fit_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(QualityError, match=message) as caught:
        FeatureExtractor(make(), (8, 8, 3))
    assert "\x1b" not in str(caught.value)


def test_colour_is_not_made_of_two_channels() -> None:
    with pytest.raises(QualityError, match="take images of 2 channels"):
        FeatureExtractor(small_model(), (8, 8, 2))


class _Unregistered(layers.Layer):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return 2 * inputs


def _twice(inputs: Any) -> Any:
    return 2 * inputs


@keras.saving.register_keras_serializable("tuner_gan_tests")
class _Registered(layers.Layer):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return 2 * inputs


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Lambda(lambda x: 2 * x), "has a Lambda layer, which Keras does not load in its safe mode"),
        (lambda: layers.Lambda(_twice), "has a Lambda layer"),
        (lambda: layers.TimeDistributed(layers.Lambda(lambda x: 2 * x)), "has a Lambda layer"),
        (lambda: layers.Conv2D(2, 3, activation=lambda x: 2 * x), "cannot be saved and loaded in Keras's safe mode"),
        (lambda: layers.Conv2D(2, 3, activation=_twice), "has '_twice', a function of your own"),
        (lambda: _Unregistered(), "has '_Unregistered', a class of your own"),
        (lambda: _Registered(), "has '_Registered', a class of your own"),
        (lambda: plain_model(_Registered()), "has '_Registered', a class of your own"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*lambda:UserWarning")  # Keras warns when such a layer is built
def test_what_could_not_be_loaded_again_is_refused(make: Callable[[], keras.Layer], message: str) -> None:
    with pytest.raises(
        QualityError, match=f"feature extractor 'mine' .*{message}.*: build it of Keras's own layers"
    ) as caught:
        FeatureExtractor(keras.Sequential([keras.Input((8, 8, 3)), make()], name="mine"), (8, 8, 3))
    assert "\n" not in str(caught.value)


def test_operations_of_keras_are_welcome(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    extractor = FeatureExtractor(
        keras.Model(image, keras.ops.mean(keras.ops.tanh(image / 9 - 1), axis=(1, 2))), (8, 8, 3)
    )
    images = random_images((8, 8, 3))
    np.testing.assert_allclose(
        extractor.features(images), np.tanh(images / 9 - 1).mean(axis=(1, 2)), rtol=1e-5, atol=1e-6
    )
    extractor.save(tmp_path)
    assert FeatureExtractor.load(tmp_path).fingerprint == extractor.fingerprint


# The fingerprint


def test_the_fingerprint_does_not_depend_on_the_names_that_keras_counts_up() -> None:
    def fingerprint() -> str:
        image = keras.Input((8, 8, 3))
        x = layers.Conv2D(3, 3, padding="same", kernel_initializer="ones")(image)
        return FeatureExtractor(keras.Model(image, layers.ReLU()(x + image) * 2), (8, 8, 3)).fingerprint

    keras.utils.clear_session()
    first = fingerprint()
    layers.Conv2D(3, 3), layers.Add(), layers.ReLU(), keras.Input((1,)) * 2
    assert fingerprint() == first
    assert len(first) == 64


def _branched(minuend: str, end: str = "relu") -> keras.Model:
    """Layers, weights and shapes are the same in all of them: what differs is what the layers are applied to."""
    image = keras.Input((8, 8, 3))
    a = layers.Conv2D(3, 1, kernel_initializer="ones", name="a")(image)
    b = layers.Conv2D(3, 1, kernel_initializer="ones", name="b")(a)
    x = layers.Subtract()([{"a": a, "b": b, "image": image}[minuend], a])
    relu = layers.ReLU()(x)
    return keras.Model(image, {"relu": layers.Add()([relu, b]), "b": layers.Add()([b, relu])}[end])


def _difference(swapped: bool) -> keras.Model:
    """A model within a model, whose inputs are given in one order or the other."""
    image = keras.Input((8, 8, 3))
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    inner = keras.Model([b, a] if swapped else [a, b], layers.Subtract()([a, b]))
    return keras.Model(image, inner([image, layers.ReLU()(image)]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: _difference(False), lambda: _difference(True)),
        (lambda: small_model(seed=0), lambda: small_model(seed=1)),
        (lambda: plain_model(layers.Rescaling(1.0)), lambda: plain_model(layers.Rescaling(2.0))),
        (lambda: plain_model(layers.Rescaling(1.0, offset=1)), lambda: plain_model(layers.Rescaling(1.0, offset=2))),
        (
            lambda: plain_model(layers.Normalization(mean=0, variance=1)),
            lambda: plain_model(layers.Normalization(mean=1, variance=1)),
        ),
        (lambda: plain_model(layers.LeakyReLU(0.1)), lambda: plain_model(layers.LeakyReLU(0.2))),
        (lambda: plain_model(layers.MaxPooling2D(2)), lambda: plain_model(layers.MaxPooling2D(3))),
        (lambda: plain_model(layers.MaxPooling2D(2)), lambda: plain_model(layers.AveragePooling2D(2))),
        (
            lambda: plain_model(layers.UpSampling2D(2)),
            lambda: plain_model(layers.UpSampling2D(2, interpolation="bilinear")),
        ),
        (lambda: plain_model(layers.Permute((1, 2, 3))), lambda: plain_model(layers.Permute((2, 1, 3)))),
        (lambda: plain_model(layers.ReLU(dtype="float32")), lambda: plain_model(layers.ReLU(dtype="float16"))),
        (lambda: plain_model(layers.ReLU(), shape=(8, 8, 3)), lambda: plain_model(layers.ReLU(), shape=(9, 9, 3))),
        (lambda: _branched("a"), lambda: _branched("b")),
        (lambda: _branched("a"), lambda: _branched("image")),
        (lambda: _branched("a"), lambda: _branched("a", "b")),
    ],
)
def test_the_fingerprint_tells_models_apart_nested_or_not(
    one: Callable[[], keras.Model], other: Callable[[], keras.Model]
) -> None:
    def nested(model: keras.Model) -> keras.Model:
        image = keras.Input(model.input_shape[1:])
        return keras.Model(image, model(image))

    a, same, b = (FeatureExtractor(make(), (8, 8, 3)).fingerprint for make in (one, one, other))
    assert a == same != b
    a, b = (FeatureExtractor(nested(make()), (8, 8, 3)).fingerprint for make in (one, other))
    assert a != b


def test_constants_of_operations_are_in_the_fingerprint() -> None:
    def fingerprint(factor: float) -> str:
        image = keras.Input((8, 8, 3))
        return FeatureExtractor(keras.Model(image, image * factor), (8, 8, 3)).fingerprint

    assert fingerprint(2.0) == fingerprint(2.0) != fingerprint(3.0)


def test_the_shape_of_the_images_is_in_the_fingerprint() -> None:
    model = small_model((None, None, 3))
    shapes = [(8, 8, 3), (8, 9, 3), (8, 8, 1)]
    assert len({FeatureExtractor(model, shape).fingerprint for shape in shapes}) == 3


def test_what_is_of_use_in_training_only_is_not_in_the_fingerprint() -> None:
    frozen, plain = small_model(), small_model()
    frozen.trainable = False
    frozen.layers[1].kernel_regularizer = keras.regularizers.L2(0.1)
    assert FeatureExtractor(frozen, (8, 8, 3)).fingerprint == FeatureExtractor(plain, (8, 8, 3)).fingerprint


# Saving and loading


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    images = random_images((12, 12, 1))
    extractor = FeatureExtractor(small_model((8, 8, 3), layers.Flatten(), name="mine"), (12, 12, 1))
    extractor.save(tmp_path / "new" / "folder", {"more": 1})
    loaded = FeatureExtractor.load(tmp_path / "new" / "folder")
    for name in ("fingerprint", "kind", "feature_dim", "image_shape", "_batch"):
        assert getattr(loaded, name) == getattr(extractor, name)
    np.testing.assert_array_equal(loaded.features(images), extractor.features(images))
    card = json.loads((tmp_path / "new" / "folder" / files.CARD).read_text())
    assert card == {**extractor.card(), "more": 1}
    assert card["network"] == "mine"
    assert card["kind"] == "features"
    assert card["classifier_fingerprint"] == extractor.fingerprint
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [files.CARD, files.CLASSIFIER_MODEL]
    loaded.save(tmp_path / "again")
    assert FeatureExtractor.load(tmp_path / "again").fingerprint == extractor.fingerprint


def test_the_saved_model_has_all_its_preprocessing(tmp_path: Path) -> None:
    extractor, images = FeatureExtractor(small_model(), (12, 12, 1)), random_images((12, 12, 1))
    extractor.save(tmp_path)
    model = keras.saving.load_model(tmp_path / files.CLASSIFIER_MODEL, safe_mode=True)
    np.testing.assert_allclose(model(images, training=False), extractor.features(images), atol=1e-5)


def _set(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / files.CLASSIFIER_MODEL).unlink(), "classifier.keras is missing"),
        (lambda d: truncate(d / files.CLASSIFIER_MODEL, 0.5), "classifier.keras cannot be loaded"),
        (lambda d: (d / files.CARD).unlink(), "card.json is missing"),
        (lambda d: truncate(d / files.CARD, 0.5), "card.json cannot be read"),
        (lambda d: (d / files.CARD).write_text("{}"), "is not the model that card.json describes"),
        (lambda d: _set(d / files.CARD, kind="rotation"), "is not the model that card.json describes"),
        (lambda d: _set(d / files.CARD, classifier_fingerprint=0), "is not the model that card.json describes"),
        (lambda d: small_model((8, 8, 3), seed=1).save(d / files.CLASSIFIER_MODEL), "is not the model that card.json"),
        (lambda d: _several(2, 2).save(d / files.CLASSIFIER_MODEL), "is not the model that card.json describes"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    FeatureExtractor(small_model(), (8, 8, 3)).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ProjectError, match=f"is damaged: .*{message}"):
        FeatureExtractor.load(tmp_path)


# Making one of whatever names it


def test_an_extractor_is_made_of_a_model_a_file_or_itself(tmp_path: Path) -> None:
    model = small_model()
    model.compile("adam", "mse")
    model.save(tmp_path / "mine.keras")
    extractor = make_extractor(model, (8, 8, 3))
    assert make_extractor(extractor, (8, 8, 3)) is extractor
    for path in (tmp_path / "mine.keras", str(tmp_path / "mine.keras")):
        assert make_extractor(path, (8, 8, 3)).fingerprint == extractor.fingerprint


def test_a_name_stands_for_the_imagenet_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "pretrained", lambda *args: small_model(name="-".join(args)))
    assert make_extractor("MobileNetV2", (8, 8, 3)).model.name == "MobileNetV2"


def test_an_extractor_for_images_of_another_shape_is_refused() -> None:
    with pytest.raises(QualityError, match=r"images of shape \(9, 8, 3\), but it was made for \(8, 8, 3\)"):
        make_extractor(FeatureExtractor(small_model(), (8, 8, 3)), (9, 8, 3))


def test_other_objects_are_refused() -> None:
    with pytest.raises(QualityError, match="got an object of type int"):
        make_extractor(3, (8, 8, 3))


@pytest.mark.filterwarnings("ignore:.*lambda:UserWarning")
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "is no file: expected a feature extractor saved as .keras"),
        (lambda path: path.mkdir(), "is no file"),
        (lambda path: path.write_bytes(b"nothing"), "cannot be loaded as a feature extractor: "),
        (
            lambda path: plain_model(layers.Lambda(lambda x: x)).save(path),
            "cannot be loaded as a feature extractor: .*lambda",
        ),
        (lambda path: plain_model(_Unregistered()).save(path), "cannot be loaded as a feature extractor: "),
    ],
)
def test_files_that_hold_no_extractor_are_refused(write: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    write(tmp_path / "mine.keras")
    with pytest.raises(ProjectError, match=message):
        make_extractor(tmp_path / "mine.keras", (8, 8, 3))


@pytest.mark.parametrize(("name", "near"), [("MobilNetV2", r" \(did you mean 'mobilenetv2'\?\)"), ("qqqq", "")])
def test_an_unknown_name_is_answered_with_the_closest(name: str, near: str) -> None:
    with pytest.raises(QualityError, match=rf"a network of keras.applications .*got '{name}'{near}\.$"):
        make_extractor(name, (8, 8, 3))
