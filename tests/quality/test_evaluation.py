"""The whole suite for images and generators that no search has made."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from evaluators import SEED, extractor_model, generator_model, real_digits
from short_trainings import short_trainings

from tuner_gan import datasets
from tuner_gan.datasets import DataSplits, ImageDataset
from tuner_gan.errors import ConfigError, QualityError
from tuner_gan.quality import ReferenceClassifier, metrics
from tuner_gan.quality import evaluation as evaluation_module
from tuner_gan.quality.accuracy_score import classification_accuracy_score
from tuner_gan.quality.catalogue import EVERY, LABELLED, METRICS, SECOND
from tuner_gan.quality.evaluation import Evaluation, evaluate

Array = npt.NDArray[Any]

BY_ORDER = ("fcd_se", "fcd_infinity", "kid_se", "classifier_score_std")
"""Scores that depend on the order of the images, which `evaluate` shuffles."""

COLUMNS = {"metric": "string", "value": "Float64", "floor": "Float64", "better": "string", "meaning": "string"}


_short = pytest.fixture(short_trainings, scope="module", autouse=True)
digits = pytest.fixture(real_digits, scope="module")


def images_of(data: ImageDataset, count: int | None = None) -> ImageDataset:
    """The same images without labels."""
    return ImageDataset("images", data.images[:count], None)


def shuffled(images: Array) -> Array:
    """As `evaluate` shuffles the images of a source."""
    return images[np.random.default_rng([SEED, 1]).permutation(len(images))]


def without_labels(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if name not in (*LABELLED, "cas")}


@pytest.fixture(scope="module")
def real(digits: DataSplits) -> Evaluation:
    """The held-out images, with their labels."""
    return evaluate(digits.holdout, digits, seed=SEED)


def test_held_out_images_get_every_score_and_no_flag(real: Evaluation, digits: DataSplits) -> None:
    assert real.images == len(digits.holdout)
    assert tuple(real.scores) == (*METRICS, *LABELLED, *SECOND, "cas") == tuple(EVERY)
    assert (real.flags, real.message) == ((), None)
    assert real.quality.samples == len(digits.holdout)
    of_any_order = {name: value for name, value in real.scores.items() if name not in (*BY_ORDER, "cas")}
    assert of_any_order == pytest.approx({name: real.floor[name] for name in of_any_order})
    again = real.quality.evaluate(shuffled(digits.holdout.images))
    assert {name: real.scores[name] for name in BY_ORDER} == {name: again[name] for name in BY_ORDER}


def test_cas_is_the_accuracy_of_a_classifier_that_saw_these_images(real: Evaluation, digits: DataSplits) -> None:
    assert real.floor["cas"] == real.quality.card["accuracy"] > 0.9
    assert real.scores["cas"] == classification_accuracy_score(digits.holdout, digits.holdout, seed=SEED)


def test_mislabelled_images_have_a_low_cas_and_the_same_other_scores(real: Evaluation, digits: DataSplits) -> None:
    assert digits.holdout.labels is not None
    wrong = dataclasses.replace(digits.holdout, labels=(digits.holdout.labels + 1) % 10)
    found = evaluate(wrong, digits, seed=SEED)
    assert found.scores["cas"] < 0.1
    assert found.scores["label_accuracy"] < 0.1
    assert found.scores["class_fcd"] > 2 * real.scores["class_fcd"]
    assert without_labels(found.scores) == without_labels(real.scores)


def test_labels_of_other_classes_and_no_labels_have_no_scores_of_labels(real: Evaluation, digits: DataSplits) -> None:
    named = dataclasses.replace(digits.holdout, class_names=tuple("abcdefghij"))
    words = "The labels of digits are not those .* expected 0, 1, 2, 3, 4, ... or 0..9, but got a, b, c, d, e, ...\\.$"
    for source, warned in ((named, pytest.warns(UserWarning, match=words)), (images_of(digits.holdout), nullcontext())):
        with warned:
            found = evaluate(source, digits, seed=SEED)
        assert found.scores == without_labels(real.scores)
        assert found.to_json()["floor"].keys() == found.scores.keys()


def test_labels_may_be_the_numbers_of_classes_as_those_of_generated_images_are(
    real: Evaluation, digits: DataSplits
) -> None:
    named = {
        name: dataclasses.replace(getattr(digits, name), class_names=tuple("abcdefghij"))
        for name in ("train", "reference", "holdout")
    }
    found = evaluate(digits.holdout, dataclasses.replace(digits, **named), seed=SEED)
    assert found.scores == real.scores


def test_the_table_has_a_row_a_score(real: Evaluation) -> None:
    table = real.table()
    assert dict(table.dtypes.astype(str)) == COLUMNS
    assert list(table.metric) == list(real.scores)
    assert list(table.value) == list(real.scores.values())
    assert list(table.floor) == [real.floor[name] for name in real.scores]
    assert list(table.better) == [EVERY[name].better for name in real.scores]
    assert list(table.meaning) == [EVERY[name].meaning for name in real.scores]


def test_plain_data(real: Evaluation, digits: DataSplits) -> None:
    content = json.loads(json.dumps(real.to_json(), allow_nan=False))
    assert list(content) == ["images", "against", "flags", "message", "scores", "floor", "fingerprint", "evaluator"]
    assert content["scores"] == real.scores
    assert content["floor"] == real.floor
    assert (content["images"], content["flags"], content["message"]) == (359, [], None)
    assert content["fingerprint"] == content["evaluator"]["fingerprint"] == real.quality.fingerprint
    assert content["evaluator"]["data_fingerprint"] == digits.fingerprint
    assert not {"floor", "fit_s"} & content["evaluator"].keys()  # the time would differ in every run


def test_copies_of_the_training_set_are_found(digits: DataSplits) -> None:
    found = evaluate(images_of(digits.train, 359), digits, seed=SEED)
    assert found.flags == ("memorising",)
    assert found.scores["fcd"] < 0.05


def test_a_generator_is_asked_for_as_many_images_as_in_a_search(digits: DataSplits) -> None:
    found = evaluate(generator_model(), digits, seed=SEED)
    assert found.images == found.quality.samples == 500
    assert tuple(found.scores) == (*METRICS, *SECOND)
    assert found.scores["fcd"] > 20 * found.floor["fcd"]
    assert found.scores == found.quality.evaluate(generator_model(), second=True)


def test_a_generator_of_another_range_is_told(digits: DataSplits) -> None:
    layers = keras.layers
    of_0_to_1 = keras.Sequential([generator_model(), layers.Activation("sigmoid")])
    for wrong in (of_0_to_1, keras.Sequential([of_0_to_1, layers.Rescaling(255)])):
        with pytest.warns(
            UserWarning, match=r"nothing darker than the middle grey .* in \[0, 1\] or \[0, 255\]: if so,"
        ):
            evaluate(wrong, digits, seed=SEED)
    evaluate(keras.Sequential([of_0_to_1, layers.Rescaling(2, -1)]), digits, seed=SEED)
    bright = dataclasses.replace(digits.reference, images=255 - digits.reference.images // 4)
    evaluate(of_0_to_1, dataclasses.replace(digits, reference=bright), seed=SEED)  # so are the real ones


@pytest.mark.parametrize(
    ("level", "flag", "words"), [(-0.2, "constant", "all 500 images are the same"), (math.nan, "diverged", "NaN")]
)
def test_a_degenerate_generator_has_a_flag_and_no_score(
    digits: DataSplits, level: float, flag: str, words: str
) -> None:
    found = evaluate(generator_model(level), digits, seed=SEED)
    assert (found.flags, found.scores) == ((flag,), {})
    assert words in str(found.message)
    assert dict(found.table().dtypes.astype(str)) == COLUMNS
    assert len(found.table()) == 0
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (content["flags"], content["scores"], content["floor"]) == ([flag], {}, {})


def test_constant_images_are_a_flag_too(digits: DataSplits) -> None:
    constant = ImageDataset("constant", np.full((40, 8, 8, 1), 90, np.uint8), None)
    with pytest.warns(UserWarning, match="generated images are few"):  # compared with 40 images
        found = evaluate(constant, digits, seed=SEED)
    assert (found.images, found.flags, found.scores) == (40, ("constant",), {})
    assert "all 40 images are the same" in str(found.message)


def test_few_images_are_compared_with_as_many(digits: DataSplits) -> None:
    with pytest.warns(UserWarning, match="generated images are few"):
        found = evaluate(images_of(digits.holdout, 30), digits, seed=SEED)
    assert found.images == found.quality.samples == 30
    assert found.scores.keys() == {*METRICS, *SECOND} - {"fcd_infinity"} == found.to_json()["floor"].keys()
    assert found.scores["coverage"] > 0.5  # 30 images cover 30 others, but not 360
    assert found.flags == ()


def test_most_images_are_only_counted_in_the_distances_of_moments(
    real: Evaluation, digits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_module, "MOST_IMAGES", 100)
    found = evaluate(images_of(digits.holdout), digits, seed=SEED)
    assert (found.images, found.quality.samples) == (359, 100)
    assert found.scores["fcd"] == pytest.approx(real.scores["fcd"])
    classifier = ReferenceClassifier.fit(digits.train, digits.holdout, seed=SEED)
    compared = digits.reference.images[:100], shuffled(digits.holdout.images)[:100]
    a, b = map(classifier.features, compared)
    assert found.scores["kid"] == pytest.approx(metrics.kernel_distance(a, b), abs=1e-9)


def test_against_other_real_images(real: Evaluation, digits: DataSplits) -> None:
    against = images_of(digits.train, 300)
    found = evaluate(images_of(digits.holdout), digits, against=against, seed=SEED)
    classifier = ReferenceClassifier.fit(digits.train, digits.holdout, seed=SEED)
    a, b = classifier.features(against.images), classifier.features(digits.holdout.images)
    assert found.scores["fcd"] == pytest.approx(metrics.relative_frechet_distance(a, b), rel=1e-6)
    assert found.scores["fcd"] != real.scores["fcd"]
    assert found.quality.card["reference_images"] == 300
    assert found.quality.fingerprint != real.quality.fingerprint
    other = evaluate(images_of(digits.holdout), digits, against=images_of(digits.train, 299), seed=SEED)
    assert len({one.quality.card["data_fingerprint"] for one in (real, found, other)}) == 3


def test_images_that_come_class_by_class_are_compared_as_shuffled_ones(digits: DataSplits) -> None:
    """As a folder of them does; the first of 1,078 sorted images to compare with would be three of ten classes."""

    def by_class(data: ImageDataset) -> ImageDataset:
        assert data.labels is not None
        return images_of(data._take(np.argsort(data.labels, kind="stable")))

    mixed = evaluate(images_of(digits.holdout), digits, against=images_of(digits.train), seed=SEED)
    ordered = evaluate(by_class(digits.holdout), digits, against=by_class(digits.train), seed=SEED)
    assert ordered.quality.samples == 359  # of each
    assert ordered.scores["fcd"] == pytest.approx(mixed.scores["fcd"])
    for name in ("precision", "recall", "coverage", "nn_accuracy", "nn_real", "nn_fake"):
        assert ordered.scores[name] == pytest.approx(mixed.scores[name], abs=0.05), name
        assert ordered.floor[name] == pytest.approx(mixed.floor[name], abs=0.05), name
    assert abs(ordered.scores["kid"]) < 4 * mixed.scores["kid_se"]
    assert ordered.scores["kid_se"] < 2 * mixed.scores["kid_se"]
    assert ordered.scores["classifier_score_std"] < 2 * mixed.scores["classifier_score_std"]
    assert abs(ordered.scores["fcd_infinity"] - mixed.scores["fcd_infinity"]) < 4 * mixed.scores["fcd_se"]


def test_features_of_the_users_own(digits: DataSplits) -> None:
    found = evaluate(digits.holdout, digits, seed=SEED, features=extractor_model())
    assert found.quality.card["kind"] == "features"
    without = {name for name, metric in EVERY.items() if not metric.needs_classes}
    assert set(found.scores) == without
    assert found.scores["cas"] > 0.5
    assert "cas" not in found.floor  # there is no accuracy on real images to compare with
    assert found.table().floor.isna().sum() == 1
    assert json.loads(json.dumps(found.to_json()))["evaluator"]["kind"] == "features"


def test_images_of_another_shape_are_refused(digits: DataSplits) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 10, 8, 1), dtype=np.uint8)
    larger = datasets.from_arrays(images)
    for arguments in ({"source": larger}, {"source": images_of(digits.holdout), "against": larger}):
        with pytest.raises(QualityError, match=r"shape of the data, \(8, 8, 1\), but arrays has \(10, 8, 1\)"):
            evaluate(**{"data": digits, "seed": SEED} | arguments)  # type: ignore[arg-type]


def coloured(data: ImageDataset, red: int = 0) -> ImageDataset:
    """The same images as RGB, the first pixel of the last one redder by so much."""
    images = data.images.repeat(3, axis=-1)
    images[-1, 0, 0, 0] += red
    return dataclasses.replace(data, images=images)


def test_grey_images_that_were_written_as_rgb_are_grey(real: Evaluation, digits: DataSplits) -> None:
    found = evaluate(coloured(digits.holdout), digits, seed=SEED)
    assert found.to_json() == real.to_json()
    against = images_of(digits.train, 300)
    ones = [evaluate(digits.holdout, digits, against=one, seed=SEED).to_json() for one in (against, coloured(against))]
    assert ones[0] == ones[1]


def test_images_of_other_channels_are_refused(digits: DataSplits) -> None:
    grey, rgb = digits.holdout, coloured(digits.holdout, red=1)
    in_rgb = dataclasses.replace(digits, train=coloured(digits.train))
    large = dataclasses.replace(rgb, images=rgb.images.repeat(2, axis=1))
    layers = [keras.Input((16,)), keras.layers.Dense(192), keras.layers.Reshape((8, 8, 3))]
    network = keras.Sequential(layers)
    shapes = "(8, 8, 1), but digits has (8, 8, 3)", "(8, 8, 3), but digits has (8, 8, 1)"
    flat = keras.Sequential(layers[:2])
    for data, images, against, said in (
        (digits, flat, None, f"but {flat.name} has (192,): evaluate a generator of images."),
        (digits, rgb, None, f"{shapes[0]}: convert them to grey."),
        (digits, grey, rgb, f"{shapes[0]}: convert them to grey."),
        (in_rgb, grey, None, f"{shapes[1]}: convert them to RGB."),
        (digits, large, None, "(16, 8, 3): convert them to grey and resize them (--image-size HxW)."),
        (digits, network, None, f"but {network.name} has (8, 8, 3): choose data of 3 channels."),
    ):
        with pytest.raises(QualityError) as raised:
            evaluate(images, data, against=against, seed=SEED)
        assert str(raised.value).startswith("all images must have the shape of the data, ")
        assert str(raised.value).endswith(said)


@pytest.mark.parametrize("count", [0, 5, 29])
def test_too_few_images_are_refused(digits: DataSplits, count: int) -> None:
    with pytest.raises(QualityError, match="30"):
        evaluate(images_of(digits.holdout, count), digits, seed=SEED)


def test_a_seed_that_cannot_be_is_refused(digits: DataSplits) -> None:
    with pytest.raises(ConfigError, match=r"^seed must be an integer from 0, but got -1\.$"):
        evaluate(digits.holdout, digits, against=digits.reference, seed=-1)
    with pytest.raises(ConfigError, match=r"^seed must be an integer from 0, but got 2\.5\.$"):
        ReferenceClassifier.fit(digits.train, digits.holdout, seed=2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [lambda digits: digits.holdout.images, lambda digits: "generator.keras"])
def test_what_is_neither_a_set_of_images_nor_a_generator_is_refused(digits: DataSplits, make: Any) -> None:
    source = make(digits)
    message = rf"^expected an ImageDataset, or a generator, .* got {type(source).__name__}: .* datasets\.from_arrays\("
    with pytest.raises(QualityError, match=message):
        evaluate(source, digits)
