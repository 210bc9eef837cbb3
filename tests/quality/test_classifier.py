import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from cli_runs import run_python

from tuner_gan import datasets, files
from tuner_gan.datasets import DataSplits
from tuner_gan.errors import ProjectError, QualityError
from tuner_gan.precision import precision
from tuner_gan.quality import classifier as module
from tuner_gan.quality.classifier import ReferenceClassifier
from tuner_gan.quality.frozen import inference_batch

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def digits() -> DataSplits:
    return datasets.load("digits").split(seed=0)


@pytest.fixture(scope="module")
def trained(digits: DataSplits) -> ReferenceClassifier:
    return ReferenceClassifier.fit(digits.train, digits.holdout, seed=0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps, where how well it learns does not matter."""
    monkeypatch.setattr(module, "STEPS", (3, 3))


def _noise(shape: tuple[int, int, int], classes: int | None = None, count: int = 60) -> DataSplits:
    rng = np.random.default_rng(0)
    labels = None if classes is None else np.arange(count) % classes
    return datasets.from_arrays(rng.integers(0, 256, (count, *shape)).astype(np.uint8), labels).split(seed=0)


def test_it_learns_the_digits(trained: ReferenceClassifier, digits: DataSplits) -> None:
    assert trained.kind == "classifier"
    assert trained.num_classes == 10
    assert trained.accuracy >= 0.97
    predicted = trained.predict(digits.holdout.images)[1].argmax(axis=1)
    assert trained.accuracy == pytest.approx(np.mean(predicted == digits.holdout.labels))


def test_features_are_few_bounded_and_alive(trained: ReferenceClassifier, digits: DataSplits) -> None:
    features, logits = trained.predict(digits.reference.images)
    assert features.shape == (len(digits.reference), trained.feature_dim)
    assert trained.feature_dim <= 64
    assert logits.shape == (len(digits.reference), 10)
    assert features.dtype == logits.dtype == np.float32
    assert np.abs(features).max() < 1.0
    assert features.std(axis=0).min() > 0.1
    np.testing.assert_array_equal(trained.features(digits.reference.images), features)


def test_prediction_does_not_depend_on_the_batch_and_traces_once(
    trained: ReferenceClassifier, digits: DataSplits
) -> None:
    images = np.concatenate([digits.train.images] * 2)[:751]
    features, logits = trained.predict(images)
    for rows in (slice(0, 1), slice(249, 252), slice(750, 751)):
        some_features, some_logits = trained.predict(images[rows])
        np.testing.assert_allclose(some_features, features[rows], atol=1e-5)
        np.testing.assert_allclose(some_logits, logits[rows], atol=1e-4)
    expected = trained.model(images[:10], training=False)
    np.testing.assert_allclose(features[:10], expected[0], atol=1e-5)
    assert trained.predict(images[:0])[0].shape == (0, trained.feature_dim)
    assert trained._forward.experimental_get_tracing_count() == 1


def test_same_seed_gives_the_same_weights_and_leaves_the_global_random_state(
    digits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEPS", (15, 15))
    before = random.getstate(), str(np.random.get_state())
    first, second, other = (
        ReferenceClassifier.fit(digits.train, digits.holdout, seed=seed) for seed in (2**32 + 5, 2**32 + 5, 6)
    )
    assert (random.getstate(), str(np.random.get_state())) == before
    for a, b in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert len(first.fingerprint) == 64


def test_a_global_half_precision_is_none_of_its_business(quick: None, digits: DataSplits, tmp_path: Path) -> None:
    single = ReferenceClassifier.fit(digits.train, digits.holdout)
    single.save(tmp_path)
    with precision("mixed_float16"):
        fitted, loaded = ReferenceClassifier.fit(digits.train, digits.holdout), ReferenceClassifier.load(tmp_path)
        for one in (fitted, loaded):
            assert one.fingerprint == single.fingerprint
            np.testing.assert_array_equal(one.features(digits.holdout.images), single.features(digits.holdout.images))
        assert keras.config.dtype_policy().name == "mixed_float16"


def test_other_data_gives_another_fingerprint(quick: None, digits: DataSplits) -> None:
    fingerprints = {
        ReferenceClassifier(
            keras.models.clone_model(model.model), kind="classifier", accuracy=1.0, data_fingerprint=data, seed=0
        ).fingerprint
        for model in [ReferenceClassifier.fit(digits.train, digits.holdout)]
        for data in ("a", "b")
    }
    assert len(fingerprints) == 2


@pytest.mark.parametrize("padding", [0, 2])
def test_without_labels_it_learns_how_images_are_turned(padding: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", (200, 200))
    images = np.pad(datasets.load("digits").images, ((0, 0), (0, 0), (padding, padding), (0, 0)))
    splits = datasets.from_arrays(images).split(seed=0)
    result = ReferenceClassifier.fit(splits.train, splits.holdout, seed=0)
    assert result.kind == "rotation"
    assert result.num_classes == 4
    assert result.accuracy > 0.6
    assert result.features(splits.reference.images).std(axis=0).min() > 0.05


@pytest.mark.parametrize("shape", [(4, 4, 1), (3, 5, 1)])
def test_the_four_turns_keep_the_shape_and_differ(shape: tuple[int, int, int]) -> None:
    images = np.arange(np.prod(shape), dtype=np.uint8).reshape(1, *shape)
    turned, labels = module._all_turns(images)
    assert turned.shape == (4, *shape)
    assert labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(turned[0], images[0])
    assert len({image.tobytes() for image in turned}) == 4
    assert all(sorted(image.ravel()) == sorted(images.ravel()) for image in turned)


@pytest.mark.parametrize("labels", [np.arange(100) % 10, None])
def test_training_batches_are_moved_images_with_their_labels(labels: Array | None) -> None:
    """Image i is grey except for one bright pixel in the middle, whose level is 100 + i."""
    images = np.full((100, 15, 15, 1), 50, np.uint8)
    images[:, 7, 7, 0] = 100 + np.arange(100)
    seen = set()
    for batch, targets in module._batches(images, labels, 4, seed=0):
        assert batch.shape == (64, 15, 15, 1)
        assert targets.dtype == np.int64
        levels = batch.max(axis=(1, 2, 3)).astype(int) - 100
        assert ((batch == 50).sum(axis=(1, 2, 3)) == 15 * 15 - 1).all()
        y, x = np.unravel_index(batch.reshape(64, -1).argmax(axis=1), (15, 15))
        assert set(y) == set(x) == {6, 7, 8}
        np.testing.assert_array_equal(targets, levels % 10 if labels is not None else np.arange(64) % 4)
        seen.update(levels)
    assert seen == set(range(100))


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 30, 3), (64, 16, 1), (33, 33, 3), (8, 256, 1), (256, 200, 3)])
def test_any_shape(shape: tuple[int, int, int], quick: None) -> None:
    splits = _noise(shape, classes=3)
    result = ReferenceClassifier.fit(splits.train, splits.holdout)
    height, width = result.model.get_layer("flatten").input.shape[1:3]
    assert 1 <= min(height, width) <= max(height, width) <= 8
    assert result.image_shape == shape
    features, logits = result.predict(splits.reference.images)
    assert features.shape == (len(splits.reference), 64)
    assert logits.shape == (len(splits.reference), 3)
    assert np.isfinite(features).all()


def test_large_images_go_through_in_small_batches() -> None:
    assert inference_batch((28, 28, 1)) == 250
    assert inference_batch((256, 256, 3)) == 4


@pytest.mark.parametrize(
    "change",
    [lambda x: x.astype(np.float32), lambda x: x[..., 0], lambda x: x[:, :7], lambda x: np.repeat(x, 3, axis=-1)],
)
def test_other_images_are_refused(
    trained: ReferenceClassifier, digits: DataSplits, change: Callable[[Array], Array]
) -> None:
    with pytest.raises(QualityError, match=r"images must be uint8 of shape \[N, 8, 8, 1\], got"):
        trained.predict(change(digits.holdout.images))


def test_train_and_holdout_must_fit(digits: DataSplits) -> None:
    with pytest.raises(QualityError, match=r"got \(8, 8, 1\) with labels and \(8, 8, 1\) without labels"):
        ReferenceClassifier.fit(digits.train, datasets.from_arrays(digits.holdout.images))
    with pytest.raises(QualityError, match=r"and \(9, 8, 1\) with labels"):
        ReferenceClassifier.fit(digits.train, _noise((9, 8, 1), classes=10).holdout)


def test_saved_and_loaded_it_is_the_same(trained: ReferenceClassifier, digits: DataSplits, tmp_path: Path) -> None:
    trained.save(tmp_path / "new" / "classifier", {"more": 1})
    loaded = ReferenceClassifier.load(tmp_path / "new" / "classifier")
    for name in ("fingerprint", "kind", "accuracy", "num_classes", "feature_dim", "data_fingerprint", "seed"):
        assert getattr(loaded, name) == getattr(trained, name)
    for got, expected in zip(
        loaded.predict(digits.holdout.images), trained.predict(digits.holdout.images), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    assert json.loads((tmp_path / "new" / "classifier" / files.CARD).read_text())["more"] == 1
    assert sorted(p.name for p in (tmp_path / "new" / "classifier").iterdir()) == [files.CARD, files.CLASSIFIER_MODEL]


def test_the_saved_model_needs_nothing_of_this_package(
    trained: ReferenceClassifier, digits: DataSplits, tmp_path: Path
) -> None:
    trained.save(tmp_path)
    model = keras.saving.load_model(tmp_path / files.CLASSIFIER_MODEL, safe_mode=True)
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    features, _ = model(digits.holdout.images[:5])  # uint8: scaling is inside
    np.testing.assert_allclose(features, trained.features(digits.holdout.images[:5]), atol=1e-5)


def _truncate(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def _set(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / files.CLASSIFIER_MODEL).unlink(), "classifier.keras is missing"),
        (lambda d: _truncate(d / files.CLASSIFIER_MODEL, 0.5), "classifier.keras cannot be loaded"),
        (lambda d: _truncate(d / files.CLASSIFIER_MODEL, 0.0), "classifier.keras cannot be loaded"),
        (lambda d: (d / files.CARD).unlink(), "card.json is missing"),
        (lambda d: _truncate(d / files.CARD, 0.5), "card.json cannot be read"),
        (lambda d: (d / files.CARD).write_text("{}"), "do not describe a classifier"),
        (lambda d: _set(d / files.CARD, accuracy=None), "do not describe a classifier"),
        (lambda d: _set(d / files.CARD, training_fingerprint="0"), "is not the model that card.json describes"),
        (lambda d: _set(d / files.CARD, kind="rotation"), "is not the model that card.json describes"),
    ],
)
def test_a_damaged_folder_says_what_to_do(
    trained: ReferenceClassifier, tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    trained.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ProjectError, match=rf"is damaged: .*{message}; delete the folder to train it again\.$"):
        ReferenceClassifier.load(tmp_path)


def test_a_model_with_other_weights_is_noticed(trained: ReferenceClassifier, tmp_path: Path) -> None:
    trained.save(tmp_path)
    model = keras.saving.load_model(tmp_path / files.CLASSIFIER_MODEL)
    weights = model.get_weights()
    weights[0][0] += 1e-3
    model.set_weights(weights)
    model.save(tmp_path / files.CLASSIFIER_MODEL)
    with pytest.raises(ProjectError, match="is not the model"):
        ReferenceClassifier.load(tmp_path)


def test_another_model_is_noticed(trained: ReferenceClassifier, tmp_path: Path) -> None:
    trained.save(tmp_path)
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]).save(tmp_path / files.CLASSIFIER_MODEL)
    with pytest.raises(ProjectError, match="is damaged"):
        ReferenceClassifier.load(tmp_path)


def test_a_card_of_a_newer_version_asks_for_that_version(trained: ReferenceClassifier, tmp_path: Path) -> None:
    trained.save(tmp_path)
    _set(tmp_path / files.CARD, schema=files.SCHEMA + 1)
    with pytest.raises(ProjectError, match="install a newer tuner_gan"):
        ReferenceClassifier.load(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults of glibc's allocator")
def test_training_it_leaves_the_allocator_able_to_keep_memory(tmp_path: Path) -> None:
    # `Dataset.from_generator` ends that on Python 3.11: each tensor's 2,000 pages were fetched anew at every operation.
    script = """
import resource
import numpy as np, tensorflow as tf
from tuner_gan import datasets
from tuner_gan.quality import classifier
classifier.STEPS = (1, 1)
images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1)).astype(np.uint8)
data = datasets.from_arrays(images, np.arange(64) % 2)
classifier.ReferenceClassifier.fit(data, data, seed=0)
image = tf.ones((2**21,))
for _ in range(20): image + 1.0
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): image + 1.0
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20)
"""
    ran = run_python("-c", script, folder=tmp_path)
    assert ran.code == 0, ran.err
    assert float(ran.out.split()[-1]) < 200
