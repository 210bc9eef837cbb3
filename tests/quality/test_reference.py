"""Every score of a set of features against an independent computation, and the file of the reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.linalg
import scipy.spatial
import scipy.special
import scipy.stats

from tuner_gan import files
from tuner_gan.errors import QualityError
from tuner_gan.quality.metrics import Moments
from tuner_gan.quality.reference import Outputs, Reference

Array = npt.NDArray[Any]

D, K, SAMPLES = 6, 5, 70
CHEAP = {"fcd", "fcd_se", "kid", "mind", "coverage", "classifier_score", "class_kl", "modes"}


def _features(count: int, seed: int, shift: float = 0.0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    scales = np.linspace(0.5, 2.0, D)
    return (rng.standard_normal((count, D)) * scales + 1.0 + shift).astype(np.float32)


def _logits(count: int, seed: int) -> npt.NDArray[np.float32]:
    return (2 * np.random.default_rng(seed).standard_normal((count, K))).astype(np.float32)


REAL, TRAIN = _features(90, 0), _features(200, 1)
FAKE, LOGITS = _features(160, 2, shift=0.3), _logits(160, 3)
COUNTS = np.array([30, 20, 20, 20, 0])


@pytest.fixture
def reference() -> Reference:
    return Reference(REAL, TRAIN, COUNTS, SAMPLES)


def _outputs(features: Array = FAKE, logits: Array | None = LOGITS, kept: int = SAMPLES) -> Outputs:
    return Outputs(features[:kept], Moments.of(features), logits)


def _frechet(a: Array, b: Array) -> float:
    a, b = a.astype(float), b.astype(float)
    s, t = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(s @ t)
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(s) + np.trace(t) - 2 * np.trace(np.real(root)))


def _kernel_distance(a: Array, b: Array) -> float:
    n, m = len(a), len(b)
    within, other, between = ((x @ y.T / D + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    own = (within.sum() - np.trace(within)) / (n * (n - 1)) + (other.sum() - np.trace(other)) / (m * (m - 1))
    return float(own - 2 * between.mean())


def _distances(a: Array, b: Array) -> Array:
    return np.asarray(scipy.spatial.distance.cdist(a.astype(float), b.astype(float)))


def _expected() -> dict[str, float]:
    """Every score of FAKE, by definition."""
    real, fake = REAL[:SAMPLES].astype(float), FAKE[:SAMPLES].astype(float)
    trace = np.trace(np.cov(REAL.T.astype(float)))
    sizes = np.unique(np.linspace(max(D + 2, SAMPLES // 3), SAMPLES, 15).astype(int))
    line = np.polyfit(1 / sizes, [_frechet(REAL, fake[:size]) for size in sizes], 1)
    cuts = (np.array_split(x, SAMPLES // 3) for x in (real, fake))  # about 20 blocks
    blocks = [_kernel_distance(x, y) for x, y in zip(*cuts, strict=True)]
    directions = np.random.default_rng(0).standard_normal((128, D))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    sorted_real, sorted_fake = (np.sort(x @ directions.T, axis=0) for x in (real, fake))

    rr, ff, rf = _distances(real, real), _distances(fake, fake), _distances(real, fake)
    radius_real, radius_fake = np.sort(rr, axis=1)[:, 5], np.sort(ff, axis=1)[:, 5]
    np.fill_diagonal(rr, np.inf)
    np.fill_diagonal(ff, np.inf)
    right_real, right_fake = rr.min(1) < rf.min(1), ff.min(1) < rf.min(0)

    unit = fake / np.linalg.norm(fake, axis=1, keepdims=True)
    weights = np.maximum(np.linalg.eigvalsh(unit @ unit.T / len(unit)), 0)

    tf, tt = _distances(TRAIN, fake), _distances(TRAIN, TRAIN)
    np.fill_diagonal(tt, np.inf)
    nearest = tf.argmin(0)
    u = scipy.stats.mannwhitneyu(tf.min(0), _distances(TRAIN, real).min(0)).statistic
    n = SAMPLES

    p = scipy.special.softmax(LOGITS.astype(float), axis=1)
    predicted = LOGITS.argmax(1)
    divergence = scipy.special.rel_entr(p[:, None], p[None]).sum(axis=2)
    balance = (COUNTS + 0.5) / (COUNTS + 0.5).sum()
    return {
        "fcd": _frechet(REAL, FAKE) / trace,
        "fcd_infinity": line[1] / trace,
        "kid": _kernel_distance(real, fake),
        "kid_se": float(np.std(blocks, ddof=1) / math.sqrt(len(blocks))),
        "mind": 3 * D * float(np.mean((sorted_real - sorted_fake) ** 2)),
        "precision": float(np.mean((rf < radius_real[:, None]).any(0))),
        "recall": float(np.mean((rf < radius_fake).any(1))),
        "density": float((rf < radius_real[:, None]).sum() / (5 * n)),
        "coverage": float(np.mean(rf.min(1) < radius_real)),
        "vendi": math.exp(scipy.stats.entropy(weights)),
        "nn_accuracy": float(np.concatenate([right_real, right_fake]).mean()),
        "nn_real": float(right_real.mean()),
        "nn_fake": float(right_fake.mean()),
        "authenticity": 100 * float(np.mean(tf.min(0) > tt[nearest].min(1))),
        "memorisation": (u - n * n / 2 + 0.5) / math.sqrt(n * n * (2 * n + 1) / 12),
        "classifier_score": _score(p),
        "classifier_score_std": float(np.std([_score(part) for part in np.array_split(p, 10)])),
        "modified_classifier_score": float(
            np.mean([math.exp(divergence[np.ix_(predicted == c, predicted == c)].mean()) for c in set(predicted)])
        ),
        "class_kl": scipy.stats.entropy(np.bincount(predicted, minlength=K), balance) - (K - 1) / (2 * len(p)),
        "modes": float(len(set(predicted))),
    }


def _score(p: Array) -> float:
    return math.exp(np.mean([scipy.stats.entropy(row, p.mean(0)) for row in p]))


def test_every_score_equals_its_definition(reference: Reference) -> None:
    scores = reference.evaluate(_outputs())
    expected = _expected()
    error = scores.pop("fcd_se")
    assert tuple(scores) == tuple(name for name in reference.names if name != "fcd_se")
    assert scores == pytest.approx(expected, rel=1e-5)
    assert all(type(value) is float for value in scores.values())

    rng = np.random.default_rng(5)
    trace = np.trace(np.cov(REAL.T.astype(float)))
    drawn = [_frechet(REAL, FAKE[rng.integers(0, SAMPLES, SAMPLES)]) / trace for _ in range(300)]
    # 50 resamples know it to 10 %, and 300 to 4 %.
    assert error == pytest.approx(np.std(drawn, ddof=1) * math.sqrt(SAMPLES / len(FAKE)), rel=0.35)


def test_the_cheap_scores_are_the_same_numbers(reference: Reference) -> None:
    cheap, every = reference.score(_outputs()), reference.evaluate(_outputs())
    assert set(cheap) == set(reference.cheap_names) == CHEAP
    assert cheap == pytest.approx({name: every[name] for name in cheap}, rel=1e-12)


def test_the_standard_error_is_the_spread_over_fresh_images() -> None:
    real = _features(400, 0)
    reference = Reference(real, real, None, samples=400)
    for count in (400, 1200):  # all kept, and a third of them
        scores = [reference.score(_outputs(_features(count, 10 + i, 0.4), None, 400)) for i in range(60)]
        spread = np.std([score["fcd"] for score in scores], ddof=1)
        # Sixty draws know the spread to 9 %.
        assert np.mean([score["fcd_se"] for score in scores]) == pytest.approx(spread, rel=0.3)


def test_without_classes_their_scores_are_left_out() -> None:
    reference = Reference(REAL, TRAIN, None, SAMPLES)
    expected = {name: value for name, value in _expected().items() if "class" not in name and name != "modes"}
    scores = reference.evaluate(_outputs(logits=None))
    assert tuple(scores) == reference.names
    assert {name: value for name, value in scores.items() if name != "fcd_se"} == pytest.approx(expected, rel=1e-5)
    assert set(reference.score(_outputs(logits=None))) == CHEAP - {"classifier_score", "class_kl", "modes"}


@pytest.mark.parametrize("count", [6, 7, 8, 9, 19, 20, 21])
def test_few_images_lack_only_the_extrapolation(reference: Reference, count: int) -> None:
    fewer = Reference(REAL, TRAIN, COUNTS, count)
    left_out = {"fcd_infinity"} if count < D + 3 else set()
    for one in (reference, fewer):
        scores = one.evaluate(_outputs(FAKE[:count], LOGITS[:count], count))
        assert set(scores) == set(reference.names) - left_out
        assert np.isfinite(list(scores.values())).all()
    assert set(fewer.names) == set(reference.names) - left_out


@pytest.mark.parametrize("zeros", [1, 30, SAMPLES])
def test_images_without_any_feature_are_alike_and_unlike_all_others(reference: Reference, zeros: int) -> None:
    """As a ReLU may leave them: they have no direction, but the other scores, and the other images, must not suffer."""
    fake = FAKE[:SAMPLES].copy()
    fake[:zeros] = 0.0
    scores = reference.evaluate(_outputs(fake))
    assert tuple(scores) == reference.names
    assert np.isfinite(list(scores.values())).all()
    alike = np.zeros((SAMPLES, SAMPLES))
    alike[:zeros, :zeros] = 1.0
    unit = fake[zeros:] / np.linalg.norm(fake[zeros:], axis=1, keepdims=True)
    alike[zeros:, zeros:] = unit @ unit.T
    weights = np.maximum(np.linalg.eigvalsh(alike / SAMPLES), 0)
    assert scores["vendi"] == pytest.approx(math.exp(scipy.stats.entropy(weights)), rel=1e-5)


def test_fewer_than_six_images_have_no_neighbours(reference: Reference) -> None:
    with pytest.raises(QualityError, match=r"\(5\)"):
        reference.evaluate(_outputs(FAKE[:5], LOGITS[:5]))


# Labels. Class 0 is the larger half of the real images, class 4 has one, class 5 none.

REAL_LABELS = np.repeat([0, 1, 2, 3, 4], [46, 20, 13, 10, 1])
FAKE_LABELS = np.random.default_rng(6).permutation(np.repeat([0, 1, 2, 4, 5], [70, 40, 29, 20, 1]))


@pytest.fixture
def labelled() -> Reference:
    return Reference(REAL, TRAIN, COUNTS, SAMPLES, REAL_LABELS)


def _within(label: int, fake: Array = FAKE[:SAMPLES], labels: Array = FAKE_LABELS[:SAMPLES]) -> float:
    """Frechet distance within a class, over the variance of its real images."""
    real = REAL[label == REAL_LABELS]
    return _frechet(real, fake[labels == label]) / float(np.trace(np.cov(real.T.astype(float))))


def test_the_scores_of_labels_equal_their_definitions(labelled: Reference) -> None:
    outputs = _outputs()._replace(labels=FAKE_LABELS)
    expected = {
        "label_accuracy": sum(LOGITS[i].argmax() == FAKE_LABELS[i] for i in range(160)) / 160,
        "class_fcd": float(np.mean([_within(label) for label in (0, 1, 2)])),
    }
    for measure in (labelled.score, labelled.evaluate):
        scores, without = measure(outputs), measure(_outputs())
        assert {name: scores[name] for name in labelled.label_names} == pytest.approx(expected, rel=1e-4)
        assert {name: scores[name] for name in without} == without  # nothing else changes
        assert scores.keys() - without.keys() == set(labelled.label_names)


def test_the_scores_of_one_class(labelled: Reference) -> None:
    outputs = _outputs()._replace(labels=FAKE_LABELS)
    for label in (0, 1, 2):
        score = labelled.class_score(outputs, label)
        of_class = np.flatnonzero(np.equal(FAKE_LABELS, label))
        assert score.images == len(of_class)
        assert score.label_accuracy == pytest.approx(np.mean(LOGITS[of_class].argmax(1) == label))
        assert score.fcd == pytest.approx(_within(label), rel=1e-4)
    nothing_made, one_real, one_made = (labelled.class_score(outputs, label) for label in (3, 4, 5))
    assert nothing_made == (0, None, None)
    assert (one_real.images, one_real.fcd) == (20, None)
    assert one_real.label_accuracy == pytest.approx(np.mean(LOGITS[FAKE_LABELS == 4].argmax(1) == 4))
    assert one_made == (1, None, 0.0)


def test_real_images_that_are_all_alike_have_no_distance_within_their_class() -> None:
    alike = np.where(REAL_LABELS[:, None] == 1, REAL[0], REAL)
    reference = Reference(alike, TRAIN, COUNTS, SAMPLES, REAL_LABELS)
    outputs = _outputs()._replace(labels=FAKE_LABELS)
    assert reference.class_score(outputs, 1).fcd is None
    assert reference.score(outputs)["class_fcd"] == pytest.approx(np.mean([_within(0), _within(2)]), rel=1e-4)


def test_no_class_with_two_images_on_both_sides_has_no_class_fcd(labelled: Reference) -> None:
    scores = labelled.score(_outputs()._replace(labels=np.full(len(FAKE), 4)))
    assert "class_fcd" not in scores
    assert scores["label_accuracy"] == pytest.approx(np.mean(LOGITS.argmax(1) == 4))


def test_labels_without_a_classifier_of_them_have_the_distance_only() -> None:
    reference = Reference(REAL, TRAIN, None, SAMPLES, REAL_LABELS)
    outputs = _outputs(logits=None)._replace(labels=FAKE_LABELS)
    assert reference.label_names == ("class_fcd",)
    assert reference.score(outputs)["class_fcd"] == pytest.approx(np.mean([_within(c) for c in (0, 1, 2)]), rel=1e-4)
    assert "label_accuracy" not in reference.evaluate(outputs)
    assert reference.class_score(outputs, 0).label_accuracy is None


def test_labels_are_saved_and_a_file_without_them_is_read(labelled: Reference, tmp_path: Path) -> None:
    labelled.save(tmp_path)
    np.testing.assert_array_equal(Reference.load(tmp_path, SAMPLES).labels, REAL_LABELS)
    np.savez(tmp_path / files.REFERENCE, features=REAL, train=TRAIN, class_counts=COUNTS)  # of an earlier version
    assert Reference.load(tmp_path, SAMPLES).labels is None


@pytest.mark.parametrize("counts", [COUNTS, None], ids=["classes", "no classes"])
def test_saved_and_loaded_it_is_the_same(counts: Array | None, tmp_path: Path) -> None:
    Reference(REAL, TRAIN, counts, SAMPLES).save(tmp_path)
    loaded = Reference.load(tmp_path, SAMPLES)
    np.testing.assert_array_equal(loaded.features, REAL)
    np.testing.assert_array_equal(loaded.train, TRAIN)
    assert loaded.samples == SAMPLES
    if counts is None:
        assert loaded.class_counts is None
    else:
        np.testing.assert_array_equal(loaded.class_counts, counts)
    assert [path.name for path in tmp_path.iterdir()] == [files.REFERENCE]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no archive"),
        lambda path: np.savez(path, features=REAL, train=TRAIN),
        lambda path: np.savez(path, features=np.array([None]), train=TRAIN, class_counts=COUNTS),
    ],
    ids=["cut off", "missing", "empty", "text", "no counts", "objects"],
)
def test_a_damaged_file_raises_what_is_promised(
    damage: Callable[[Path], Any], reference: Reference, tmp_path: Path
) -> None:
    reference.save(tmp_path)
    damage(tmp_path / files.REFERENCE)
    with pytest.raises((OSError, ValueError, KeyError)):
        Reference.load(tmp_path, SAMPLES)
