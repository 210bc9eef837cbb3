"""Each flag is planted and must be raised; fresh real images raise none."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tuner_gan import datasets
from tuner_gan.datasets import DataSplits
from tuner_gan.errors import DegenerateError
from tuner_gan.quality import QualityEvaluator
from tuner_gan.quality.guards import FLAGS, find_flags
from tuner_gan.quality.metrics import class_kl

Images = npt.NDArray[np.uint8]

REAL = {
    "fcd": 0.01,
    "authenticity": 55.0,
    "memorisation": -0.5,
    "recall": 0.95,
    "coverage": 0.96,
    "class_kl": 0.0,
    "classifier_score": 9.0,
    "second_fcd": 0.01,
    "second_classifier_score": 9.0,
}


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, ()),
        ({"authenticity": 90.0, "memorisation": 35.0, "recall": 0.5, "coverage": 0.2, "fcd": 0.15}, ()),
        ({"authenticity": 50.0}, ()),  # nine in ten as authentic as real images
        ({"authenticity": 41.0}, ("memorising",)),
        ({"memorisation": -28.0}, ("memorising",)),
        ({"memorisation": -15.0}, ()),
        ({"recall": 0.05}, ("collapsed",)),
        ({"coverage": 0.05}, ("collapsed",)),
        ({"class_kl": 0.33}, ("collapsed",)),  # seven of ten classes
        ({"class_kl": 0.1}, ()),  # nine of ten
        ({"second_fcd": 0.2}, ("adversarial",)),
        ({"fcd": 0.3, "second_fcd": 0.45}, ()),
        ({"second_classifier_score": 6.5}, ("adversarial",)),
        ({"classifier_score": 1.2, "second_classifier_score": 1.0}, ()),
        ({"authenticity": 0.0, "recall": 0.0, "second_fcd": 9.0}, ("memorising", "collapsed", "adversarial")),
    ],
)
def test_flags_follow_from_the_scores(changes: dict[str, float], flags: tuple[str, ...]) -> None:
    assert find_flags({**REAL, **changes}, REAL, 1000, 1000, 1000) == flags


@pytest.mark.parametrize(
    ("good", "bad", "flag"),
    [
        ({"authenticity": 44.5}, {"authenticity": 43.5}, "memorising"),  # four fifths of 55
        ({"recall": 0.096}, {"recall": 0.094}, "collapsed"),
        ({"coverage": 0.097}, {"coverage": 0.095}, "collapsed"),
        ({"class_kl": 0.287}, {"class_kl": 0.289}, "collapsed"),
        ({"second_fcd": 0.039}, {"second_fcd": 0.041}, "adversarial"),
        ({"fcd": 0.0, "second_fcd": 0.039}, {"fcd": 0.0, "second_fcd": 0.041}, "adversarial"),
        ({"fcd": 0.11, "second_fcd": 0.289}, {"fcd": 0.11, "second_fcd": 0.291}, "adversarial"),
        ({"second_classifier_score": 7.21}, {"second_classifier_score": 7.19}, "adversarial"),
    ],
)
def test_where_each_flag_begins(good: dict[str, float], bad: dict[str, float], flag: str) -> None:
    assert find_flags({**REAL, **good}, REAL, 1000, 1000, 1000) == ()
    assert find_flags({**REAL, **bad}, REAL, 1000, 1000, 1000) == (flag,)


@pytest.mark.parametrize(
    ("counts", "flags"),
    [([100, 1], ()), ([90, 10], ()), ([50, 50], ("collapsed",)), ([1, 100], ("collapsed",))],
)
def test_one_class_only_is_as_collapsed_as_the_real_images_are_not_of_it(
    counts: list[int], flags: tuple[str, ...]
) -> None:
    scores = {**REAL, "class_kl": class_kl(np.zeros(500, int), np.array(counts) + 0.5)}
    assert find_flags(scores, REAL, 500, 100, 100) == flags


def test_few_images_can_be_near_the_training_set_by_chance() -> None:
    scores = {**REAL, "authenticity": 41.0}
    assert find_flags(scores, REAL, 40, 1000, 1000) == ()
    assert find_flags(scores, REAL, 1000, 1000, 1000) == ("memorising",)
    # 3.4 and 3.6 standard errors.
    assert find_flags(scores, REAL, 290, 1000, 290) == ()
    assert find_flags(scores, REAL, 324, 1000, 324) == ("memorising",)


def test_fewer_than_thirty_images_say_nothing_about_what_made_them() -> None:
    scores = {**REAL, "recall": 0.0, "second_fcd": 9.0}
    assert find_flags(scores, REAL, 29, 1000, 1000) == ()
    assert find_flags(scores, REAL, 30, 1000, 1000) == ("collapsed", "adversarial")


def _test_statistic(reference: int, count: int, nearer: float) -> float:
    """C_T when `nearer` of the images are nearer to the training set than every reference image, the others as far."""
    u = (1 - nearer) * reference * count / 2
    return (u - reference * count / 2 + 0.5) / math.sqrt(reference * count * (reference + count + 1) / 12)


@pytest.mark.parametrize("reference", [12, 100, 360, 2000])
@pytest.mark.parametrize("count", [60, 500, 2000])
@pytest.mark.parametrize("holdout", [12, 100, 2000])
def test_images_near_the_training_set_are_memorising_whatever_the_numbers(
    reference: int, count: int, holdout: int
) -> None:
    for unseen in (-0.3, 0.0, 0.3):
        floor = {**REAL, "memorisation": _test_statistic(reference, holdout, unseen)}
        for nearer, flags in ((1.0, ("memorising",)), (0.85, ("memorising",)), (0.55, ()), (unseen, ())):
            scores = {**REAL, "memorisation": _test_statistic(reference, count, nearer)}
            assert find_flags(scores, floor, count, reference, holdout) == flags


def test_few_held_out_images_can_be_authentic_by_chance() -> None:
    scores = {**REAL, "authenticity": 41.0}
    assert find_flags(scores, REAL, 1000, 1000, 60) == ()


def test_a_guard_without_its_scores_is_silent() -> None:
    assert find_flags({"fcd": 3.0}, REAL, 1000, 1000, 1000) == ()
    without_classes = {name: value for name, value in REAL.items() if not name.endswith(("kl", "classifier_score"))}
    assert find_flags(without_classes, without_classes, 1000, 1000, 1000) == ()
    assert find_flags({**without_classes, "second_fcd": 0.2}, without_classes, 1000, 1000, 1000) == ("adversarial",)
    for name in ("authenticity", "memorisation", "second_fcd"):
        assert find_flags({name: REAL[name]}, REAL, 1000, 1000, 1000) == ()
        without = {other: value for other, value in REAL.items() if other != name}
        for scores, floor in ((without, REAL), (REAL, without)):
            assert find_flags({**scores, "recall": 0.01}, floor, 1000, 1000, 1000) == ("collapsed",)


@pytest.fixture(scope="module")
def digits() -> DataSplits:
    """A third of the training images is kept from the classifier."""
    data = datasets.load("digits").split(seed=0)
    return dataclasses.replace(data, train=data.train._take(np.arange(360, len(data.train))))


@pytest.fixture(scope="module")
def fresh() -> datasets.ImageDataset:
    return datasets.load("digits").split(seed=0).train._take(np.arange(360))


@pytest.fixture(scope="module")
def quality(digits: DataSplits) -> QualityEvaluator:
    return QualityEvaluator.fit(digits, seed=0)


def _flags(quality: QualityEvaluator, images: Images) -> tuple[str, ...]:
    return quality.flags(quality.evaluate(images, second=True), len(images))


def test_fresh_real_images_raise_no_flag(
    quality: QualityEvaluator, digits: DataSplits, fresh: datasets.ImageDataset
) -> None:
    assert _flags(quality, fresh.images) == ()
    assert _flags(quality, digits.holdout.images) == ()


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_copies_of_the_training_set_are_memorising(
    quality: QualityEvaluator, digits: DataSplits, fresh: datasets.ImageDataset, share: float
) -> None:
    images = fresh.images.copy()
    copies = int(share * len(images))
    images[:copies] = digits.train.images[:copies]
    assert _flags(quality, images) == ("memorising",)


def test_two_prototypes_a_class_are_collapsed(quality: QualityEvaluator, fresh: datasets.ImageDataset) -> None:
    assert fresh.labels is not None
    prototypes = np.concatenate([np.flatnonzero(fresh.labels == digit)[:2] for digit in range(10)])
    images = fresh.images[np.resize(prototypes, 360)]
    assert _flags(quality, images) == ("collapsed",)
    assert quality.evaluate(images)["classifier_score"] > 8  # which would rank it among the best


def test_dropped_classes_are_collapsed(quality: QualityEvaluator, fresh: datasets.ImageDataset) -> None:
    assert fresh.labels is not None
    images = fresh.images[np.resize(np.flatnonzero(fresh.labels < 5), 360)]
    assert _flags(quality, images) == ("collapsed",)


def _ascend(quality: QualityEvaluator, real: Images, aim: str, steps: int) -> Images:
    """Noise that gradients change until the classifier is sure of a class, or sees the features of real images."""
    layers = quality.classifier.model.layers[1:]
    x = inputs = keras.Input(quality.image_shape)
    outputs: dict[str, Any] = {}
    for layer in layers:
        x = outputs[layer.name] = layer(x)
    network = keras.Model(inputs, [outputs["features"], outputs["logits"]])
    features = tf.constant(quality.classifier.features(real))
    classes = tf.range(len(real)) % 10
    images = tf.Variable(np.random.default_rng(0).uniform(64, 192, real.shape), dtype=tf.float32)
    optimizer = keras.optimizers.Adam(4.0)

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> None:
        with tf.GradientTape() as tape:
            found, logits = network(images, training=False)
            if aim == "class":
                loss = tf.reduce_sum(keras.losses.sparse_categorical_crossentropy(classes, logits, from_logits=True))
            else:
                loss = tf.reduce_sum(tf.square(found - features))
        optimizer.apply_gradients([(tape.gradient(loss, images), images)])
        images.assign(tf.clip_by_value(images, 0.0, 255.0))

    for _ in range(steps):
        step()
    levels: Images = np.rint(images.numpy()).astype(np.uint8)
    return levels


@pytest.mark.parametrize("aim", ["class", "features"])
def test_noise_that_fools_the_classifier_is_adversarial(
    quality: QualityEvaluator, digits: DataSplits, aim: str
) -> None:
    images = _ascend(quality, digits.reference.images, aim, steps=150)
    scores = quality.evaluate(images, second=True)
    assert "adversarial" in quality.flags(scores, len(images))
    # One classifier alone is fooled: its score, or its distance, says that these are digits.
    assert scores["classifier_score"] > 8
    assert aim == "class" or scores["fcd"] < 0.05


@pytest.mark.parametrize(("level", "flag"), [(0.2, "constant"), (np.nan, "diverged")])
def test_constant_and_diverged_images_have_no_score_but_a_flag(
    quality: QualityEvaluator, level: float, flag: str
) -> None:
    generator = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(64, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(level)),
            keras.layers.Reshape((8, 8, 1)),
        ]
    )
    for measure in (quality.score, quality.evaluate):
        with pytest.raises(DegenerateError) as caught:
            measure(generator)
        assert caught.value.flag == flag
        assert flag in FLAGS
