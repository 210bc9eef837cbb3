"""The evaluator: which scores it gives, that they are the right ones, what it stores, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pytest
import scipy.spatial
import scipy.special
import scipy.stats
from evaluators import (
    SEED,
    Replay,
    extractor_model,
    few_digits,
    fitted_project,
    generator_model,
    real_digits,
    refuse_to_train,
)
from short_trainings import short_trainings
from short_trainings import trained_once as once

from tuner_gan import datasets, files
from tuner_gan.datasets import DataSplits
from tuner_gan.errors import ConfigError, DegenerateError, ProjectError, QualityError
from tuner_gan.quality import QualityEvaluator, ReferenceClassifier, metrics
from tuner_gan.quality import evaluator as evaluator_module
from tuner_gan.quality.catalogue import METRICS, OBJECTIVES
from tuner_gan.quality.extractor import FeatureExtractor
from tuner_gan.quality.reference import Reference

Array = npt.NDArray[Any]

CHEAP = ("fcd", "fcd_se", "kid", "mind", "coverage", "classifier_score", "class_kl", "modes")
OF_CLASSES = ("classifier_score", "classifier_score_std", "modified_classifier_score", "class_kl", "modes")
WITHOUT_CLASSES = tuple(name for name in METRICS if name not in OF_CLASSES)


_short = pytest.fixture(short_trainings, scope="module", autouse=True)
digits = pytest.fixture(real_digits, scope="module")
project = pytest.fixture(fitted_project, scope="module")


@pytest.fixture(scope="module")
def quality(project: Path) -> QualityEvaluator:
    return QualityEvaluator.load(project)


@pytest.fixture(scope="module")
def classifier(quality: QualityEvaluator) -> ReferenceClassifier:
    assert isinstance(quality.classifier, ReferenceClassifier)
    return quality.classifier


@pytest.fixture
def copy(quality: QualityEvaluator, tmp_path: Path) -> Path:
    """The classifier in a project folder of its own, to be damaged."""
    quality.save(tmp_path)
    return tmp_path


@pytest.fixture
def quick() -> Iterator[None]:
    """Trainings that are only begun."""
    with once((3, 3)):
        yield


# What it gives.


def test_what_a_search_reads(quality: QualityEvaluator, digits: DataSplits) -> None:
    assert (quality.objective, quality.direction) == ("fcd", "min")
    assert quality.metrics == tuple(METRICS)
    assert quality.rung_metrics == CHEAP
    assert quality.second_metrics == ("second_fcd", "second_classifier_score")
    assert quality.label_metrics == ("label_accuracy", "class_fcd")
    assert quality.class_names == tuple("0123456789")
    assert tuple(quality.floor) == (*quality.metrics, *quality.label_metrics, "cas")
    assert quality.image_shape == digits.image_shape == (8, 8, 1)
    assert quality.samples == 500  # 360 reference images, and at least 500
    assert quality.seed == SEED


def test_its_repr_says_what_it_compares_with(quality: QualityEvaluator) -> None:
    floor = f"{quality.floor['fcd']:.4g}"
    assert repr(quality) == (
        f"QualityEvaluator('digits': objective fcd with floor {floor}, samples 500, images (8, 8, 1), "
        "ReferenceClassifier, seed 3)"
    )


def test_the_card_records_how_good_the_classifier_is(
    quality: QualityEvaluator, classifier: ReferenceClassifier, project: Path, digits: DataSplits
) -> None:
    card = json.loads((project / files.CLASSIFIER_DIR / files.CARD).read_text())
    assert card == quality.card
    features, logits = classifier.predict(digits.reference.images)
    accuracy = np.mean(classifier.predict(digits.holdout.images)[1].argmax(axis=1) == digits.holdout.labels)
    spectrum = np.linalg.eigvalsh(np.cov(features.T.astype(float)))
    assert card["schema"] == files.SCHEMA
    assert card["fingerprint"] == quality.fingerprint
    assert card["classifier_fingerprint"] == quality.classifier.fingerprint
    assert card["kind"] == "classifier"
    assert card["accuracy"] == pytest.approx(accuracy)
    assert card["accuracy"] > 0.9
    assert card["effective_rank"] == pytest.approx(math.exp(scipy.stats.entropy(np.maximum(spectrum, 0))), rel=1e-4)
    assert card["dead_units"] == 0
    assert (card["num_classes"], card["feature_dim"]) == (logits.shape[1], features.shape[1]) == (10, 64)
    assert (card["data_name"], card["data_fingerprint"]) == ("digits", digits.fingerprint)
    assert card["data_licence"] == digits.train.licence
    assert (card["seed"], card["samples"], card["floor"]) == (3, 500, quality.floor)
    d = card["feature_dim"]
    assert 0 < card["sampling_bias"] < (1 / len(features) + 1 / 500) * (d + d * (d + 1) / 4) / d
    assert (card["reference_images"], card["image_shape"]) == (len(features), [8, 8, 1])
    assert card["holdout_images"] == len(digits.holdout)  # fewer than a generator makes
    assert card["fit_s"] >= 0


def test_scores_equal_independent_computations(
    quality: QualityEvaluator, classifier: ReferenceClassifier, digits: DataSplits
) -> None:
    real, real_logits = classifier.predict(digits.reference.images)
    fake, fake_logits = classifier.predict(digits.holdout.images)
    s1, s2 = np.cov(real.T.astype(float)), np.cov(fake.T.astype(float))
    root = np.sqrt(np.maximum(np.linalg.eigvals(s1 @ s2).real, 0)).sum()
    distance = np.sum((real.mean(0) - fake.mean(0)) ** 2) + np.trace(s1) + np.trace(s2) - 2 * root
    p = scipy.special.softmax(fake_logits.astype(float), axis=1)
    own, other = scipy.spatial.distance.cdist(real, real), scipy.spatial.distance.cdist(real, fake)
    generated, balance = (np.bincount(x.argmax(1), minlength=10) for x in (fake_logits, real_logits))
    expected = {
        "fcd": distance / np.trace(s1),
        "classifier_score": math.exp(np.mean(scipy.stats.entropy(p, np.broadcast_to(p.mean(0), p.shape), axis=1))),
        "class_kl": scipy.stats.entropy(generated, balance + 0.5) - 9 / (2 * len(fake)),
        "coverage": np.mean(other.min(axis=1) < np.sort(own, axis=1)[:, 5]),
    }
    scores = quality.evaluate(digits.holdout.images)
    assert tuple(scores) == quality.metrics
    assert {name: scores[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    floor = {name: quality.floor[name] for name in scores}
    assert scores == pytest.approx(floor, rel=1e-9)  # the floor is that of all held-out images

    train = classifier.features(digits.train.images)
    near, between = (scipy.spatial.distance.cdist(train, x) for x in (fake, train))
    np.fill_diagonal(between, np.inf)
    own = between.min(axis=1)[near.argmin(axis=0)]
    assert scores["authenticity"] == pytest.approx(100 * np.mean(near.min(axis=0) > own))
    unseen = scipy.spatial.distance.cdist(train, real).min(axis=0)
    u = scipy.stats.mannwhitneyu(near.min(axis=0), unseen)
    n, m = len(real), len(fake)
    expected_z = (u.statistic - n * m / 2 + 0.5) / math.sqrt(n * m * (n + m + 1) / 12)
    assert scores["memorisation"] == pytest.approx(expected_z, abs=1e-6)


def test_worse_images_score_worse(quality: QualityEvaluator, digits: DataSplits) -> None:
    images = digits.holdout.images
    assert digits.holdout.labels is not None
    rng = np.random.default_rng(0)
    speckled = np.where(rng.random(images.shape) < 0.05, 255, images).astype(np.uint8)
    noise = rng.integers(0, 256, images.shape, dtype=np.uint8)
    half = images[digits.holdout.labels < 5]
    floor, worse, bad, missing = (quality.evaluate(x) for x in (images, speckled, noise, half))
    assert floor["fcd"] < 0.05
    assert floor["fcd"] < worse["fcd"] < missing["fcd"] < bad["fcd"]
    assert bad["fcd"] > 20 * floor["fcd"]
    assert bad["coverage"] < missing["coverage"] < floor["coverage"]
    assert missing["class_kl"] == pytest.approx(math.log(2), abs=0.15)
    assert abs(floor["class_kl"]) < 0.05
    assert missing["classifier_score"] < floor["classifier_score"]


def test_a_generator_of_real_images_gets_their_score(quality: QualityEvaluator, digits: DataSplits) -> None:
    generator, again = Replay(digits.holdout.images), Replay(digits.holdout.images)
    expected = quality.evaluate(np.concatenate([digits.holdout.images] * 2)[: quality.samples])
    scores = quality.score(generator)
    assert tuple(scores) == quality.rung_metrics
    assert scores == pytest.approx({name: expected[name] for name in scores}, rel=1e-12)
    assert quality.evaluate(again) == expected
    assert generator.training == again.training == {False}


def test_latents_are_the_same_in_every_trial_and_process(
    quality: QualityEvaluator, project: Path, digits: DataSplits
) -> None:
    first, second, third, other = (Replay(digits.holdout.images, size) for size in (16, 16, 16, 32))
    for generator in (first, other, second):
        quality.score(generator)
    QualityEvaluator.load(project).score(third)
    latents = np.concatenate(first.latents)
    assert latents.shape == (quality.samples, 16)
    assert latents.dtype == np.float32
    assert np.std(latents) == pytest.approx(1.0, abs=0.05)
    np.testing.assert_array_equal(latents, np.concatenate(second.latents))
    np.testing.assert_array_equal(latents, np.concatenate(third.latents))
    assert np.concatenate(other.latents).shape == (quality.samples, 32)


def test_the_last_batch_may_be_smaller_and_is_scored(digits: DataSplits) -> None:
    quality = QualityEvaluator.fit(digits, seed=SEED, samples=333)
    generator = Replay(digits.holdout.images)
    scores = quality.evaluate(generator)
    assert [len(x) for x in generator.latents] == [250, 83]
    assert scores == quality.evaluate(digits.holdout.images[:333])


def test_a_keras_generator_runs_in_inference_mode(quality: QualityEvaluator) -> None:
    layers = keras.layers
    generator = keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(64, kernel_initializer=keras.initializers.RandomNormal(seed=1)),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=1),
            layers.Activation("tanh"),
            layers.Reshape((8, 8, 1)),
        ]
    )
    scores = quality.score(generator)
    assert scores == quality.score(generator)
    assert set(scores) == set(quality.rung_metrics)
    assert all(math.isfinite(value) for value in scores.values())


def test_many_images_are_taken_in_chunks(
    quality: QualityEvaluator, classifier: ReferenceClassifier, digits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    images = digits.train.images[rng.integers(0, len(digits.train), 10_000)]
    images = np.where(rng.random(images.shape) < 0.02, 255, images).astype(np.uint8)
    monkeypatch.setattr(evaluator_module, "CHUNK", 10_000)
    whole = quality.evaluate(images)
    largest = 0
    features_of = ReferenceClassifier.predict

    def watched(self: ReferenceClassifier, part: Array) -> Any:
        nonlocal largest
        largest = max(largest, len(part))
        return features_of(self, part)

    monkeypatch.setattr(ReferenceClassifier, "predict", watched)
    monkeypatch.setattr(evaluator_module, "CHUNK", 300)  # the 500 that are kept come from two chunks
    assert quality.evaluate(images) == pytest.approx(whole, rel=1e-5)
    assert largest == 300

    real, (fake, logits) = classifier.features(digits.reference.images), features_of(classifier, images)
    assert whole["fcd"] == pytest.approx(metrics.relative_frechet_distance(real, fake), rel=1e-5)
    assert whole["kid"] == pytest.approx(metrics.kernel_distance(real, fake[:500]), rel=1e-5)
    assert whole["classifier_score"] == pytest.approx(metrics.classifier_score(logits), rel=1e-5)


def test_many_images_take_little_memory_beside_them(quality: QualityEvaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(_: object, part: Array) -> Any:
        return part[:, :2, 0, 0].astype(np.float32), None

    monkeypatch.setattr(evaluator_module, "_predict", predict)
    images = np.full((100_000, 8, 8, 1), 7, np.uint8)
    images[-1, 0, 0, 0] = 8  # else they would be all the same
    tracemalloc.start()
    assert quality._outputs(images).moments.count == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * images.nbytes


@pytest.mark.parametrize("count", [6, 7, 20, 65, 66, 67])
def test_few_images_lack_only_the_extrapolation(quality: QualityEvaluator, digits: DataSplits, count: int) -> None:
    scores = quality.evaluate(digits.holdout.images[:count])
    assert set(quality.metrics) - scores.keys() == ({"fcd_infinity"} if count < 64 + 3 else set())
    assert all(math.isfinite(value) for value in scores.values())


# What has no score.


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.full((1, 8, 8, 1), np.nan), "must be finite, got NaN"),
        (np.zeros((1, 8, 8, 1)), "all 500 images are the same: the generator has collapsed to a constant"),
        (np.random.default_rng(0).random((5, 8, 9, 1)), r"images must be uint8 of shape \[N, 8, 8, 1\], got"),
    ],
)
def test_a_degenerate_generator_has_no_score(quality: QualityEvaluator, output: Array, message: str) -> None:
    for measure in (quality.score, quality.evaluate):
        with pytest.raises(QualityError, match=message):
            measure(Replay(output))


@pytest.mark.parametrize(("level", "flag"), [(math.nan, "diverged"), (0.2, "constant")])
def test_a_degenerate_generator_has_a_flag(quality: QualityEvaluator, level: float, flag: str) -> None:
    with pytest.raises(DegenerateError) as caught:
        quality.score(generator_model(level))
    assert caught.value.flag == flag


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((9, 8, 8, 1), 7, np.uint8), "all 9 images are the same"),
        (np.zeros((9, 8, 8, 1)), r"got float64 of shape \[9, 8, 8, 1\]: datasets\.from_arrays\(images\)\.images makes"),
        (np.zeros((9, 8, 8, 3), np.uint8), r"got uint8 of shape \[9, 8, 8, 3\]"),
        (np.zeros((1, 8, 8, 1), np.uint8), "at least 2, got 1"),
        (np.zeros((0, 8, 8, 1), np.uint8), "at least 2, got 0"),
        (np.eye(5, 64, dtype=np.uint8).reshape(5, 8, 8, 1), r"images must be at least 6 for every score, got 5\."),
    ],
)
def test_unusable_images_have_no_score(quality: QualityEvaluator, images: Any, message: str) -> None:
    with pytest.raises(QualityError, match=message):
        quality.evaluate(images)


@pytest.mark.parametrize(
    "make",
    [
        lambda digits: digits.holdout,
        lambda digits: keras.ops.convert_to_tensor(digits.holdout.images),
        lambda digits: digits.holdout.images.tolist(),
        lambda digits: keras.Model(),
    ],
)
def test_what_is_neither_images_nor_a_generator_is_refused(
    quality: QualityEvaluator, digits: DataSplits, make: Any
) -> None:
    other = make(digits)
    message = (
        rf"expected images, a uint8 array \[N, 8, 8, 1\], or a generator, .* but got {type(other).__name__}: the "
        r"generator of a GAN is gan\.ema_generator, and datasets\.from_arrays\(images\)\.images makes"
    )
    for measure in (quality.evaluate, quality.score):
        with pytest.raises(QualityError, match=message):
            measure(other)


@pytest.mark.parametrize("make", [lambda digits: digits.train, lambda digits: digits.train.images])
def test_data_without_splits_are_refused(digits: DataSplits, tmp_path: Path, make: Any) -> None:
    data = make(digits)
    with pytest.raises(ConfigError, match=rf"\.split\(seed=0\), but got {type(data).__name__}\.$"):
        QualityEvaluator.fit(data, tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *(("seed", value, "0") for value in (-1, 2.5, "0", None, True)),
        *(("samples", value, "6 or None") for value in (2.5, 500.0, 0, 1, -1, 5, "500", True)),
    ],
)
def test_a_seed_or_samples_that_cannot_be_are_refused_before_training(
    digits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, expected: str
) -> None:
    monkeypatch.setattr(ReferenceClassifier, "fit", refuse_to_train)
    message = f"{name} must be an integer from {expected}, but got {value!r}."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        QualityEvaluator.fit(digits, tmp_path, **{name: value})
    assert not list(tmp_path.iterdir())


def test_a_project_trains_its_classifier_once(
    project: Path, digits: DataSplits, quality: QualityEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReferenceClassifier, "fit", refuse_to_train)
    again = QualityEvaluator.fit(digits, str(project), seed=SEED)
    assert again.fingerprint == quality.fingerprint
    assert again.evaluate(digits.holdout.images) == quality.evaluate(digits.holdout.images)
    assert [p.name for p in sorted((project / files.CLASSIFIER_DIR).iterdir())] == [
        files.CARD,
        files.CLASSIFIER_MODEL,
        files.REFERENCE,
    ]


def test_a_project_of_other_data_or_seed_is_refused(project: Path, digits: DataSplits) -> None:
    other = datasets.load("digits").split(seed=1)
    with pytest.raises(ProjectError, match=rf"other data.*{digits.fingerprint[:12]}.*{other.fingerprint[:12]}"):
        QualityEvaluator.fit(other, project, seed=SEED)
    with pytest.raises(ProjectError, match="of seed 3, asked for seed 4: choose another project folder"):
        QualityEvaluator.fit(digits, project, seed=4)
    with pytest.raises(ProjectError, match="compares 500 images, asked for 333: choose another project folder"):
        QualityEvaluator.fit(digits, project, seed=SEED, samples=333)
    assert QualityEvaluator.fit(digits, project, seed=SEED, samples=500).samples == 500


def test_the_seed_may_be_one_of_numpy(digits: DataSplits, tmp_path: Path, quick: None) -> None:
    seed, samples = np.int64(SEED), np.int64(333)
    QualityEvaluator.fit(digits, tmp_path, seed=seed, samples=samples)  # type: ignore[arg-type]
    assert QualityEvaluator.fit(digits, tmp_path, seed=SEED, samples=333).seed == SEED


def test_an_interrupted_write_is_trained_again(copy: Path, quick: None) -> None:
    (copy / files.CLASSIFIER_DIR / files.CARD).unlink()
    fresh = QualityEvaluator.fit(few_digits(), copy, objective="kid")
    loaded = QualityEvaluator.load(copy)
    assert loaded.fingerprint == fresh.fingerprint
    assert loaded.card["data_fingerprint"] == few_digits().fingerprint


def test_copied_to_another_project_it_is_the_same(copy: Path, quality: QualityEvaluator, digits: DataSplits) -> None:
    loaded = QualityEvaluator.load(copy)
    assert loaded.fingerprint == quality.fingerprint
    assert loaded.card == quality.card
    assert loaded.evaluate(digits.holdout.images) == quality.evaluate(digits.holdout.images)


def test_a_card_that_does_not_say_how_many_images_the_floor_is_of(
    copy: Path, quality: QualityEvaluator, digits: DataSplits
) -> None:
    """As earlier versions wrote it."""
    _set(copy / files.CLASSIFIER_DIR / files.CARD, holdout_images=None)
    loaded = QualityEvaluator.load(copy)
    assert loaded.fingerprint == quality.fingerprint
    assert abs(loaded.card["holdout_images"] - len(digits.holdout)) <= 1
    copies = quality.evaluate(digits.train.images[:100])
    assert loaded.flags(copies, 100) == quality.flags(copies, 100) == ("memorising",)


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _set(path: Path, **entries: Any) -> None:
    card = {**json.loads(path.read_text()), **entries}
    path.write_text(json.dumps({key: value for key, value in card.items() if value is not None}))


def _edit(path: Path, **changes: Callable[[Array], Array]) -> None:
    """Rewrites arrays of an archive; what becomes empty is left out."""
    with np.load(path) as archive:
        arrays = {name: changes.get(name, np.copy)(archive[name].copy()) for name in archive}
    np.savez(path, **{name: array for name, array in arrays.items() if array.size})


def _nudged(array: Array) -> Array:
    array[0, 0] += 1e-3
    return array


def _emptied(array: Array) -> Array:
    return array[:0]


def _narrowed(array: Array) -> Array:
    return array[:, :3]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: _truncate(d / files.CLASSIFIER_MODEL), "classifier.keras cannot be loaded"),
        (lambda d: (d / files.CLASSIFIER_MODEL).unlink(), "classifier.keras is missing"),
        (lambda d: _truncate(d / files.CARD), "card.json cannot be read"),
        (lambda d: _truncate(d / files.REFERENCE), "reference.npz is missing or cannot be read"),
        (lambda d: (d / files.REFERENCE).unlink(), "reference.npz is missing or cannot be read"),
        (lambda d: (d / files.REFERENCE).write_bytes(b""), "reference.npz is missing or cannot be read"),
        (lambda d: _edit(d / files.REFERENCE, features=_nudged), "reference.npz and card.json do not belong together"),
        (lambda d: _edit(d / files.REFERENCE, train=_nudged), "reference.npz and card.json do not belong together"),
        (lambda d: _edit(d / files.REFERENCE, train=_emptied), "reference.npz is missing or cannot be read"),
        (lambda d: _edit(d / files.REFERENCE, features=_narrowed), "reference.npz does not fit the classifier"),
        (lambda d: _edit(d / files.REFERENCE, train=_narrowed), "reference.npz"),
        (lambda d: _edit(d / files.REFERENCE, train=np.ravel), "reference.npz does not fit the classifier"),
        (lambda d: _set(d / files.CARD, floor=None), "card.json lacks entries"),
        (lambda d: _set(d / files.CARD, samples=None), "card.json lacks entries"),
        (lambda d: _set(d / files.CARD, samples=999), "do not belong together"),
        (lambda d: _set(d / files.CARD, floor={"fcd": 0.0}), "do not belong together"),
        (lambda d: _set(d / files.CARD, seed=None), "card.json"),
        (lambda d: _set(d / files.CARD, kind="features"), "classifier.keras is not the model that card.json describes"),
        (lambda d: _set(d / files.CARD, sampling_bias="much"), "card.json lacks entries"),
        (lambda d: _set(d / files.CARD, holdout_images="few"), "card.json lacks entries"),
    ],
)
def test_a_damaged_classifier_says_what_to_do(
    copy: Path, digits: DataSplits, damage: Callable[[Path], Any], message: str
) -> None:
    damage(copy / files.CLASSIFIER_DIR)
    for open_ in (QualityEvaluator.load, lambda folder: QualityEvaluator.fit(digits, folder, seed=SEED)):
        with pytest.raises(ProjectError, match=rf"is damaged: .*{message}.*; delete the folder to train it again\.$"):
            open_(copy)


def test_loading_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"card\.json is missing"):
        QualityEvaluator.load(tmp_path / "nothing")


def test_a_folder_that_cannot_be_written_is_refused_before_training(digits: DataSplits, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="cannot be written"):
        QualityEvaluator.fit(digits, tmp_path / "file")


def test_without_labels_class_metrics_are_left_out(tmp_path: Path, quick: None) -> None:
    data = few_digits(labelled=False)
    quality = QualityEvaluator.fit(data, tmp_path, objective="kid", samples=60)
    expected = tuple(name for name in WITHOUT_CLASSES if name != "fcd_infinity")  # of 60 images with 64 features
    for one in (quality, QualityEvaluator.load(tmp_path)):
        assert one.metrics == expected
        assert one.rung_metrics == ("fcd", "fcd_se", "kid", "mind", "coverage")
        assert one.second_metrics == ("second_fcd",)
        assert tuple(one.floor) == tuple(one.evaluate(data.holdout.images)) == expected
        assert one.card["kind"] == "rotation"
    scores = quality.evaluate(data.holdout.images, second=True)
    assert tuple(scores) == tuple(quality.floor) == (*expected, "second_fcd")
    with pytest.raises(ConfigError, match="objective 'classifier_score' needs labels"):
        QualityEvaluator.fit(data, objective="classifier_score")
    with pytest.raises(ConfigError, match="objective 'classifier_score' needs labels"):
        QualityEvaluator.load(tmp_path, objective="classifier_score")


@pytest.mark.parametrize("labelled", [True, False])
def test_few_images_warn(labelled: bool, tmp_path: Path, quick: None) -> None:
    data = few_digits(labelled=labelled)
    message = "12 reference images are few: a perfect generator is expected to score fcd 0"
    for _ in range(2):  # trained, then read
        with pytest.warns(UserWarning, match=message) as caught:
            quality = QualityEvaluator.fit(data, tmp_path)
        assert {one.filename for one in caught if "are few" in str(one.message)} == {__file__}
    bias, floor = quality.card["sampling_bias"], quality.floor["fcd"]
    # The floor has more of that bias, for it is of fewer images.
    said = f"fcd {bias:.2f} with 500 images, not 0; compare scores with that, not with the floor {floor:.2f} of only 12"
    assert f" {said} images, " in str(caught[-1].message)
    assert quality.samples == 500
    assert quality.card["sampling_bias"] > 0.1
    # 12 held-out images have no extrapolation, which 500 generated ones have.
    assert set(quality.metrics) - set(quality.floor) == {"fcd_infinity"}
    assert set(quality.evaluate(generator_model())) == set(quality.metrics)


def test_a_floor_of_as_many_images_is_what_to_compare_with(quick: None) -> None:
    with pytest.warns(UserWarning, match=r" with 12 images, not 0; compare scores with the floor \d\.\d\d, add "):
        QualityEvaluator.fit(few_digits(), samples=12)


@pytest.mark.parametrize("objective", ["kid", "coverage"])
def test_few_images_do_not_warn_where_that_is_no_bias(objective: str, quick: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quality = QualityEvaluator.fit(few_digits(), objective=objective)
    assert quality.card["sampling_bias"] > 0.1


# Objectives.


@pytest.mark.parametrize(
    ("objective", "direction"), [("fcd", "min"), ("kid", "min"), ("mind", "min"), ("coverage", "max")]
)
def test_the_objective_and_its_direction(project: Path, digits: DataSplits, objective: str, direction: str) -> None:
    fitted = QualityEvaluator.fit(digits, project, seed=SEED, objective=objective)
    for quality in (fitted, QualityEvaluator.load(project, objective=objective)):
        assert (quality.objective, quality.direction) == (objective, direction)
        assert quality.objective in quality.rung_metrics
        assert quality.card["floor"] == QualityEvaluator.load(project).card["floor"]  # one classifier for them all


def test_the_classifier_score_warns_of_what_it_cannot_see(project: Path, digits: DataSplits) -> None:
    with pytest.warns(UserWarning, match="blind to copies of training images.*noise that fools the classifier") as w:
        quality = QualityEvaluator.fit(digits, project, seed=SEED, objective="classifier_score")
    assert [warning.filename for warning in w] == [__file__]
    assert (quality.objective, quality.direction) == ("classifier_score", "max")


@pytest.mark.parametrize("objective", [keras_tuner.Objective("fcd", "min"), None, ["fcd"]])
def test_an_objective_that_is_no_name_is_refused(project: Path, digits: DataSplits, objective: Any) -> None:
    message = f"^objective must be a name, one of fcd, .*, but got {re.escape(repr(objective))}.$"
    with pytest.raises(ConfigError, match=message):
        QualityEvaluator.fit(digits, objective=objective)
    with pytest.raises(ConfigError, match=message):
        QualityEvaluator.load(project, objective=objective)


@pytest.mark.parametrize(
    ("objective", "words"),
    [("fdc", "did you mean 'fcd'?"), ("Coverage", "did you mean 'coverage'?"), ("precision", ""), ("fcd_se", "")],
)
def test_an_unknown_objective_is_refused_before_training(
    objective: str, words: str, digits: DataSplits, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReferenceClassifier, "fit", refuse_to_train)
    makers: list[Callable[[], QualityEvaluator]] = [
        lambda: QualityEvaluator.fit(digits, objective=objective),
        lambda: QualityEvaluator.load(project, objective=objective),
    ]
    for make in makers:
        with pytest.raises(ConfigError) as caught:
            make()
        assert f"Unknown objective {objective!r}" in str(caught.value)
        assert words in str(caught.value)
        assert all(name in str(caught.value) for name in OBJECTIVES)


# Features of the user's own.


@pytest.fixture(scope="module")
def own(digits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that compares the features of a Keras model."""
    directory = tmp_path_factory.mktemp("own")
    QualityEvaluator.fit(digits, directory, seed=SEED, features=extractor_model())
    return directory


def test_features_of_the_users_own_need_no_training_and_have_no_classes(
    own: Path, digits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReferenceClassifier, "fit", refuse_to_train)
    quality = QualityEvaluator.fit(digits, seed=SEED, features=extractor_model())
    assert quality.card["kind"] == "features"
    assert "accuracy" not in quality.card
    assert quality.metrics == WITHOUT_CLASSES
    assert quality.rung_metrics == ("fcd", "fcd_se", "kid", "mind", "coverage")
    assert quality.second_metrics == ("second_fcd",)
    model = extractor_model()
    real, fake = (model.predict(x.images.astype(np.float32), verbose=0) for x in (digits.reference, digits.holdout))
    scores = quality.evaluate(digits.holdout.images)
    assert scores["fcd"] == pytest.approx(metrics.relative_frechet_distance(real, fake), rel=1e-3)
    assert scores["coverage"] == pytest.approx(metrics.coverage(real, fake), abs=0.01)

    loaded = QualityEvaluator.load(own)
    again = QualityEvaluator.fit(digits, own, seed=SEED, features=extractor_model())
    assert loaded.fingerprint == again.fingerprint == quality.fingerprint
    assert isinstance(loaded.classifier, FeatureExtractor)
    assert loaded.evaluate(digits.holdout.images) == pytest.approx(scores, rel=1e-6)


def test_images_that_a_relu_leaves_no_feature_of_are_scored(digits: DataSplits, tmp_path: Path) -> None:
    kernel = keras.initializers.GlorotUniform(seed=1)
    last = keras.layers.Dense(8, "relu", kernel_initializer=kernel, bias_initializer=keras.initializers.Constant(-0.5))
    features = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), last])
    quality = QualityEvaluator.fit(digits, tmp_path, seed=SEED, features=features)
    found = quality.classifier.features(digits.holdout.images)
    assert 0 < np.count_nonzero(found.any(axis=1)) < len(found)
    assert tuple(quality.floor) == (*quality.metrics, "class_fcd")
    assert QualityEvaluator.load(tmp_path).floor == quality.floor


def test_other_features_in_the_same_folder_are_refused(own: Path, project: Path, digits: DataSplits) -> None:
    for folder, features in ((own, extractor_model(seed=2)), (own, None), (project, extractor_model())):
        with pytest.raises(ProjectError, match="holds another feature extractor than the one asked for: choose"):
            QualityEvaluator.fit(digits, folder, seed=SEED, features=features)


def test_the_classifier_score_needs_a_classifier(own: Path, digits: DataSplits) -> None:
    with pytest.raises(ConfigError, match="objective 'classifier_score' needs labels, and a classifier of them"):
        QualityEvaluator.fit(digits, seed=SEED, features=extractor_model(), objective="classifier_score")


def test_a_second_opinion_beside_features_of_the_users_own(own: Path, digits: DataSplits, tmp_path: Path) -> None:
    shutil.copytree(own, tmp_path / "own")
    quality = QualityEvaluator.fit(digits, tmp_path / "own", seed=SEED, features=extractor_model())
    images = digits.holdout.images
    scores = quality.evaluate(images, second=True)
    assert tuple(scores) == (*quality.metrics, *quality.second_metrics)
    assert quality.flags(scores, len(images)) == ()


# The fingerprint.


def test_the_fingerprint_follows_everything_that_a_score_depends_on(quality: QualityEvaluator, own: Path) -> None:
    reference = quality._reference
    counts, labels = reference.class_counts, reference.labels
    assert counts is not None
    assert labels is not None

    def made(classifier: Any = None, samples: int = 500, card: Any = None, **arrays: Any) -> str:
        kept = ("features", "train", "class_counts", "labels")
        parts = {**{name: getattr(reference, name) for name in kept}, **arrays}
        changed = {**quality.card, **(card or {})}
        return QualityEvaluator(
            classifier or quality.classifier, Reference(samples=samples, **parts), changed
        ).fingerprint

    assert made() == quality.fingerprint
    others = [
        made(samples=501),
        made(card={"seed": 4}),
        made(card={"data_fingerprint": "0" * 64}),
        made(features=_nudged(reference.features.copy())),
        made(train=_nudged(reference.train.copy())),
        made(class_counts=counts[::-1]),
        made(class_counts=None),
        made(labels=labels[::-1]),
        made(labels=None),
        made(card={"class_names": [*"0123456789", "none"]}),
        made(classifier=QualityEvaluator.load(own).classifier),
    ]
    assert len({quality.fingerprint, *others}) == len(others) + 1
    # What is only told about the data does not count.
    assert made(card={"data_name": "other", "floor": {}, "fit_s": 9.0}) == quality.fingerprint


def test_other_data_or_samples_have_another_fingerprint(quick: None) -> None:
    few = few_digits()
    turned = dataclasses.replace(few, reference=few.holdout, holdout=few.reference, fingerprint="1" * 64)
    made = [
        QualityEvaluator.fit(data, objective="kid", samples=samples).fingerprint
        for data, samples in ((few, None), (few, None), (few, 60), (turned, None))
    ]
    assert made[0] == made[1]
    assert len(set(made)) == 3


def test_many_images_cap_the_samples(tmp_path: Path, quick: None) -> None:
    images = np.random.default_rng(0).integers(0, 256, (11_000, 8, 8, 1), dtype=np.uint8)
    splits = datasets.from_arrays(images, np.arange(11_000) % 2).split(seed=0)
    quality = QualityEvaluator.fit(splits, tmp_path)
    assert quality.samples == 2000
    assert quality.card["holdout_images"] == 2000
    # Holdout and coverage use as many images as a generator gives, so the floor is near the value of equal sizes.
    assert quality.floor["coverage"] == pytest.approx(0.969, abs=0.03)


def test_importing_the_package_loads_neither_tensorflow_nor_scipy() -> None:
    code = (
        "import sys, tuner_gan.quality as q; heavy = {'tensorflow', 'keras', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy; assert q.metrics.coverage; assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    import tuner_gan.quality

    assert tuner_gan.quality.QualityEvaluator is QualityEvaluator
    assert set(dir(tuner_gan.quality)) >= {"QualityEvaluator", "ReferenceClassifier", "metrics"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tuner_gan.quality.nothing
