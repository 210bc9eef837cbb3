import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import scipy.spatial
import scipy.special
import scipy.stats

from tuner_gan import datasets, files
from tuner_gan.datasets import DataSplits
from tuner_gan.errors import ProjectError, QualityError
from tuner_gan.quality import QualityEvaluator
from tuner_gan.quality import classifier as classifier_module

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def digits() -> DataSplits:
    return datasets.load("digits").split(seed=0)


@pytest.fixture(scope="module")
def project(digits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with a classifier that had a short training."""
    directory = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier_module, "STEPS", (200, 200))
        QualityEvaluator.fit(digits, directory, seed=3)
    return directory


@pytest.fixture(scope="module")
def quality(project: Path) -> QualityEvaluator:
    return QualityEvaluator.load(project)


@pytest.fixture
def copy(quality: QualityEvaluator, tmp_path: Path) -> Path:
    """The classifier in a project folder of its own, to be damaged."""
    quality.save(tmp_path)
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_module, "STEPS", (3, 3))


class Replay:
    """Stands in for a generator: gives prepared images and keeps what it was called with."""

    def __init__(self, images: Array, latent_dim: int = 16) -> None:
        self.output = images.astype(np.float32) / 127.5 - 1
        self.input_shape = (None, latent_dim)
        self.latents: list[Array] = []
        self.training: set[bool | None] = set()

    def __call__(self, latents: Any, training: bool | None = None) -> Any:
        start = sum(len(x) for x in self.latents)
        self.latents.append(np.array(latents))
        self.training.add(training)
        return keras.ops.convert_to_tensor(self.output[np.arange(start, start + len(latents)) % len(self.output)])


def test_what_a_search_reads(quality: QualityEvaluator, digits: DataSplits) -> None:
    assert (quality.objective, quality.direction) == ("fcd", "min")
    assert quality.metrics == ("fcd", "classifier_score", "class_kl", "coverage")
    assert tuple(quality.floor) == quality.metrics
    assert quality.image_shape == digits.image_shape == (8, 8, 1)
    assert quality.samples == 500  # 359 reference images, and at least 500
    assert quality.seed == 3


def test_the_card_records_how_good_the_classifier_is(
    quality: QualityEvaluator, project: Path, digits: DataSplits
) -> None:
    card = json.loads((project / files.CLASSIFIER_DIR / files.CARD).read_text())
    assert card == quality.card
    features, logits = quality.classifier.predict(digits.reference.images)
    accuracy = np.mean(quality.classifier.predict(digits.holdout.images)[1].argmax(axis=1) == digits.holdout.labels)
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
    assert (card["seed"], card["samples"], card["floor"]) == (3, 500, quality.floor)
    d = card["feature_dim"]
    assert 0 < card["sampling_bias"] < (1 / len(features) + 1 / 500) * (d + d * (d + 1) / 4) / d


def test_scores_equal_independent_computations(quality: QualityEvaluator, digits: DataSplits) -> None:
    real, real_logits = quality.classifier.predict(digits.reference.images)
    fake, fake_logits = quality.classifier.predict(digits.holdout.images)
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
    assert quality.evaluate(digits.holdout.images) == pytest.approx(expected, rel=1e-4)
    assert quality.floor == pytest.approx(expected, rel=1e-4)


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
    generator = Replay(digits.holdout.images)
    expected = quality.evaluate(np.concatenate([digits.holdout.images] * 2)[: quality.samples])
    assert quality.score(generator) == expected
    assert generator.training == {False}


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


def test_the_last_batch_may_be_smaller_and_is_scored(project: Path, digits: DataSplits) -> None:
    quality = QualityEvaluator.load(project)
    quality.samples = 333
    generator = Replay(digits.holdout.images)
    scores = quality.score(generator)
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
    assert set(scores) == set(quality.metrics)
    assert all(math.isfinite(value) for value in scores.values())


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.full((1, 8, 8, 1), np.nan), "must be finite, got NaN"),
        (np.zeros((1, 8, 8, 1)), "all 500 images are the same: the generator has collapsed to a constant"),
        (np.random.default_rng(0).random((5, 8, 9, 1)), r"images must be uint8 of shape \[N, 8, 8, 1\], got"),
    ],
)
def test_a_degenerate_generator_has_no_score(quality: QualityEvaluator, output: Array, message: str) -> None:
    with pytest.raises(QualityError, match=message):
        quality.score(Replay(output))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((9, 8, 8, 1), 7, np.uint8), "all 9 images are the same"),
        (np.zeros((9, 8, 8, 1)), "got float64 of shape"),
        (np.zeros((9, 8, 8, 3), np.uint8), r"got uint8 of shape \[9, 8, 8, 3\]"),
        (np.zeros((1, 8, 8, 1), np.uint8), "at least 2 samples, got 1"),
        (np.zeros((0, 8, 8, 1), np.uint8), "at least 2 samples, got 0"),
    ],
)
def test_unusable_images_have_no_score(quality: QualityEvaluator, images: Any, message: str) -> None:
    with pytest.raises(QualityError, match=message):
        quality.evaluate(images)


def test_a_project_trains_its_classifier_once(
    project: Path, digits: DataSplits, quality: QualityEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(classifier_module.ReferenceClassifier, "fit", fail)
    again = QualityEvaluator.fit(digits, str(project), seed=3)
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
        QualityEvaluator.fit(other, project, seed=3)
    with pytest.raises(ProjectError, match="of seed 3, asked for seed 4: choose another project folder"):
        QualityEvaluator.fit(digits, project, seed=4)


def test_an_interrupted_write_is_trained_again(copy: Path, digits: DataSplits, quick: None) -> None:
    (copy / files.CLASSIFIER_DIR / files.CARD).unlink()
    fresh = QualityEvaluator.fit(digits, copy, seed=0)
    assert QualityEvaluator.load(copy).fingerprint == fresh.fingerprint


def test_copied_to_another_project_it_is_the_same(copy: Path, quality: QualityEvaluator, digits: DataSplits) -> None:
    loaded = QualityEvaluator.load(copy)
    assert loaded.fingerprint == quality.fingerprint
    assert loaded.card == quality.card
    assert loaded.evaluate(digits.holdout.images) == quality.evaluate(digits.holdout.images)


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _set(path: Path, **entries: Any) -> None:
    card = {**json.loads(path.read_text()), **entries}
    path.write_text(json.dumps({key: value for key, value in card.items() if value is not None}))


def _nudge_reference(path: Path) -> None:
    with np.load(path) as arrays:
        features, class_counts = arrays["features"].copy(), arrays["class_counts"]
    features[0, 0] += 1e-3
    np.savez(path, features=features, class_counts=class_counts)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: _truncate(d / files.CLASSIFIER_MODEL), "classifier.keras cannot be loaded"),
        (lambda d: (d / files.CLASSIFIER_MODEL).unlink(), "classifier.keras is missing"),
        (lambda d: _truncate(d / files.CARD), "card.json cannot be read"),
        (lambda d: _truncate(d / files.REFERENCE), "reference.npz is missing or cannot be read"),
        (lambda d: (d / files.REFERENCE).unlink(), "reference.npz is missing or cannot be read"),
        (lambda d: (d / files.REFERENCE).write_bytes(b""), "reference.npz is missing or cannot be read"),
        (lambda d: _nudge_reference(d / files.REFERENCE), "reference.npz and card.json do not belong together"),
        (lambda d: np.savez(d / files.REFERENCE, features=np.ones((9, 3)), class_counts=np.ones(10)), "does not fit"),
        (lambda d: _set(d / files.CARD, floor=None), "card.json lacks entries"),
        (lambda d: _set(d / files.CARD, samples=None), "card.json lacks entries"),
        (lambda d: _set(d / files.CARD, samples=999), "do not belong together"),
        (lambda d: _set(d / files.CARD, sampling_bias="much"), "card.json lacks entries"),
    ],
)
def test_a_damaged_classifier_says_what_to_do(
    copy: Path, digits: DataSplits, damage: Callable[[Path], Any], message: str
) -> None:
    damage(copy / files.CLASSIFIER_DIR)
    for open_ in (QualityEvaluator.load, lambda folder: QualityEvaluator.fit(digits, folder, seed=3)):
        with pytest.raises(ProjectError, match=rf"is damaged: .*{message}.*; delete the folder to train it again\.$"):
            open_(copy)


def test_loading_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"card\.json is missing"):
        QualityEvaluator.load(tmp_path / "nothing")


def test_a_folder_that_cannot_be_written_is_refused_before_training(digits: DataSplits, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="cannot be written"):
        QualityEvaluator.fit(digits, tmp_path / "file")


def test_without_labels_class_metrics_are_left_out(digits: DataSplits, tmp_path: Path, quick: None) -> None:
    splits = datasets.from_arrays(datasets.load("digits").images).split(seed=0)
    quality = QualityEvaluator.fit(splits, tmp_path)
    assert quality.metrics == ("fcd", "coverage")
    assert tuple(quality.floor) == tuple(quality.evaluate(splits.holdout.images)) == ("fcd", "coverage")
    assert quality.card["kind"] == "rotation"
    assert QualityEvaluator.load(tmp_path).metrics == ("fcd", "coverage")


def test_few_images_warn(tmp_path: Path, quick: None) -> None:
    source = datasets.load("digits")
    assert source.labels is not None
    splits = datasets.from_arrays(source.images[:60], source.labels[:60]).split(seed=0)
    for _ in range(2):  # trained, then read
        with pytest.warns(UserWarning, match="12 reference images are few: a perfect generator is expected to score"):
            quality = QualityEvaluator.fit(splits, tmp_path)
    assert quality.samples == 500
    assert quality.card["sampling_bias"] > 0.1


def test_many_images_cap_the_samples(tmp_path: Path, quick: None) -> None:
    images = np.random.default_rng(0).integers(0, 256, (11_000, 8, 8, 1), dtype=np.uint8)
    splits = datasets.from_arrays(images, np.arange(11_000) % 2).split(seed=0)
    quality = QualityEvaluator.fit(splits, tmp_path)
    assert quality.samples == 2000
    # Holdout and coverage use as many images as a generator gives, so the floor is near the value of equal sizes.
    assert quality.floor["coverage"] == pytest.approx(0.969, abs=0.03)


def test_importing_the_package_loads_neither_tensorflow_nor_scipy() -> None:
    code = (
        "import sys, tuner_gan.quality as q; heavy = {'tensorflow', 'keras', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy; assert q.metrics.coverage; assert not {'keras', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    import tuner_gan.quality

    assert tuner_gan.quality.QualityEvaluator is QualityEvaluator
    assert set(dir(tuner_gan.quality)) >= {"QualityEvaluator", "ReferenceClassifier", "metrics"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tuner_gan.quality.nothing
