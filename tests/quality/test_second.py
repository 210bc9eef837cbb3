"""The second opinion: another classifier, trained once for a project and only when somebody asks."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.linalg
import scipy.special
import scipy.stats
from evaluators import (
    SEED,
    extractor_model,
    few_digits,
    generator_model,
    real_digits,
    refuse_to_train,
)
from short_trainings import short_trainings, trained_once

from tuner_gan import files
from tuner_gan.datasets import DataSplits
from tuner_gan.errors import ProjectError, QualityError
from tuner_gan.quality import QualityEvaluator, ReferenceClassifier
from tuner_gan.quality.second import SecondOpinion

Array = npt.NDArray[Any]
Scores = dict[str, float]

FILES = [files.CARD, files.CLASSIFIER_MODEL, files.REFERENCE]


_short = pytest.fixture(short_trainings, scope="module", autouse=True)
digits = pytest.fixture(real_digits, scope="module")


@pytest.fixture(scope="module")
def opinion(digits: DataSplits) -> SecondOpinion:
    return SecondOpinion.fit(digits, digits.holdout.images, SEED + 1)


@pytest.fixture(scope="module")
def asked(digits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scores]:
    """A project whose second classifier was asked about the held-out images, and what it said."""
    folder = tmp_path_factory.mktemp("asked")
    quality = QualityEvaluator.fit(digits, folder, seed=SEED)
    return folder, quality.evaluate(digits.holdout.images, second=True)


@pytest.fixture
def copy(asked: tuple[Path, Scores], tmp_path: Path) -> Path:
    """A copy of that project, to be changed."""
    shutil.copytree(asked[0], tmp_path / "project")
    return tmp_path / "project"


def _second(project: Path) -> Path:
    return project / files.CLASSIFIER_DIR / files.SECOND_DIR


# On its own.


def test_its_scores_are_those_of_its_classifier(opinion: SecondOpinion, digits: DataSplits) -> None:
    images = digits.holdout.images[:200]
    classifier = ReferenceClassifier.fit(digits.train, digits.holdout, seed=SEED + 1)
    real = classifier.features(digits.reference.images).astype(float)
    fake, logits = (x.astype(float) for x in classifier.predict(images))
    s, t = np.cov(real.T), np.cov(fake.T)
    root = np.real(np.trace(scipy.linalg.sqrtm(s @ t)))
    distance = np.sum((real.mean(0) - fake.mean(0)) ** 2) + np.trace(s) + np.trace(t) - 2 * root
    p = scipy.special.softmax(logits, axis=1)
    expected = {
        "second_fcd": distance / np.trace(s),
        "second_classifier_score": math.exp(scipy.special.rel_entr(p, p.mean(0)).sum(axis=1).mean()),
    }
    assert opinion.score(images) == pytest.approx(expected, rel=1e-4)
    assert opinion.floor == opinion.score(digits.holdout.images)


def test_saved_and_loaded_it_says_the_same(opinion: SecondOpinion, digits: DataSplits, tmp_path: Path) -> None:
    opinion.save(tmp_path / "new")
    loaded = SecondOpinion.load(tmp_path / "new")
    assert loaded.floor == opinion.floor
    assert loaded.classifier.fingerprint == opinion.classifier.fingerprint
    assert loaded.score(digits.holdout.images) == opinion.score(digits.holdout.images)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == FILES


def test_without_labels_it_has_a_distance_only() -> None:
    with trained_once((3, 3)):
        data = few_digits(labelled=False)
        opinion = SecondOpinion.fit(data, data.holdout.images, 1)
    assert set(opinion.floor) == set(opinion.score(data.train.images)) == {"second_fcd"}


# In a project.


def test_it_is_stored_and_its_floor_is_on_the_card(asked: tuple[Path, Scores], digits: DataSplits) -> None:
    folder, scores = asked
    assert sorted(path.name for path in _second(folder).iterdir()) == FILES
    card, second = (json.loads((part / files.CARD).read_text()) for part in (_second(folder).parent, _second(folder)))
    quality = QualityEvaluator.load(folder)
    assert second["seed"] == card["seed"] + 1 == SEED + 1
    assert second["classifier_fingerprint"] != card["classifier_fingerprint"]
    assert tuple(scores) == (*quality.metrics, *quality.second_metrics)
    assert tuple(card["floor"]) == (*quality.metrics, *quality.label_metrics, "cas", *quality.second_metrics)
    assert scores == pytest.approx({name: quality.floor[name] for name in scores})  # all held-out images
    assert scores["second_fcd"] == second["floor"]["second_fcd"] < 0.05
    assert quality.flags(scores, len(digits.holdout)) == ()


def test_without_being_asked_it_is_not_trained(digits: DataSplits, tmp_path: Path) -> None:
    quality = QualityEvaluator.fit(digits, tmp_path, seed=SEED)
    assert not set(quality.evaluate(digits.holdout.images)) & set(quality.second_metrics)
    assert not _second(tmp_path).exists()
    assert not set(quality.floor) & set(quality.second_metrics)


def test_it_is_trained_once_for_a_project(
    asked: tuple[Path, Scores], digits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, scores = asked
    monkeypatch.setattr(ReferenceClassifier, "fit", refuse_to_train)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    for quality in (QualityEvaluator.fit(digits, folder, seed=SEED), QualityEvaluator.load(folder)):
        assert quality.evaluate(digits.holdout.images, second=True) == scores
        assert quality.evaluate(digits.holdout.images, second=True) == scores
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_what_it_still_costs(asked: tuple[Path, Scores], digits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    quality = QualityEvaluator.load(asked[0])
    quality.card["fit_s"] = 7.5
    assert quality.second_fit_s == 0.0  # it is stored
    alone = QualityEvaluator.fit(digits, seed=SEED)
    alone.card["fit_s"] = 7.5
    assert alone.second_fit_s == 7.5
    alone.evaluate(digits.holdout.images, second=True)
    assert alone.second_fit_s == 0.0


def test_without_images_there_is_no_end_to_it(asked: tuple[Path, Scores], tmp_path: Path) -> None:
    shutil.copytree(asked[0], tmp_path, dirs_exist_ok=True)
    quality = QualityEvaluator.load(tmp_path)
    assert (quality.second_fit_s, quality.cas_s) == (0.0, math.inf)
    shutil.rmtree(tmp_path / files.CLASSIFIER_DIR / files.SECOND_DIR)
    assert quality.second_fit_s == math.inf
    with pytest.raises(QualityError, match="loaded without images"):
        quality.evaluate(generator_model(), second=True)


def test_beside_features_of_the_users_own_it_costs_a_training(digits: DataSplits) -> None:
    quality = QualityEvaluator.fit(digits, seed=SEED, features=extractor_model())
    assert quality.second_fit_s > 1.0  # making the extractor took next to nothing


def test_without_a_folder_it_is_kept_in_memory(digits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    quality = QualityEvaluator.fit(digits, seed=SEED)
    images = digits.holdout.images
    scores = quality.evaluate(images, second=True)
    monkeypatch.setattr(ReferenceClassifier, "fit", refuse_to_train)
    assert quality.evaluate(images, second=True) == scores
    assert set(quality.second_metrics) <= set(quality.floor)


def test_a_generator_can_be_asked_about_too(asked: tuple[Path, Scores]) -> None:
    quality = QualityEvaluator.load(asked[0])
    scores = quality.evaluate(generator_model(), second=True)
    assert tuple(scores) == (*quality.metrics, *quality.second_metrics)
    assert scores["second_fcd"] > 10 * quality.floor["second_fcd"]


def test_loaded_without_images_nothing_can_be_trained(copy: Path, digits: DataSplits) -> None:
    shutil.rmtree(_second(copy))
    quality = QualityEvaluator.load(copy)
    with pytest.raises(QualityError, match=r"was loaded without images: make it with QualityEvaluator\.fit\."):
        quality.evaluate(digits.holdout.images, second=True)
    assert set(quality.evaluate(digits.holdout.images)) == set(quality.metrics)
    QualityEvaluator.fit(digits, copy, seed=SEED).evaluate(digits.holdout.images, second=True)
    assert set(quality.evaluate(digits.holdout.images, second=True)) > set(quality.metrics)  # now it is there


def test_killed_before_its_floor_was_on_the_card(copy: Path, digits: DataSplits) -> None:
    card = copy / files.CLASSIFIER_DIR / files.CARD
    content = json.loads(card.read_text())
    content["floor"] = {name: value for name, value in content["floor"].items() if not name.startswith("second_")}
    card.write_text(json.dumps(content))
    quality = QualityEvaluator.fit(digits, copy, seed=SEED)
    scores = quality.evaluate(digits.holdout.images, second=True)
    assert quality.flags(scores, len(digits.holdout)) == ()
    assert scores == pytest.approx({name: quality.floor[name] for name in scores})


def test_killed_before_its_card_was_written_it_is_trained_again(copy: Path, digits: DataSplits) -> None:
    whole = (_second(copy) / files.CARD).read_text()
    (_second(copy) / files.CARD).unlink()
    quality = QualityEvaluator.fit(digits, copy, seed=SEED)
    assert set(quality.evaluate(digits.holdout.images, second=True)) > set(quality.metrics)
    assert json.loads((_second(copy) / files.CARD).read_text()) == json.loads(whole)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _change(path: Path, **entries: Any) -> None:
    card = {**json.loads(path.read_text()), **entries}
    path.write_text(json.dumps({name: value for name, value in card.items() if value is not None}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: _truncate(d / files.CLASSIFIER_MODEL), "classifier.keras cannot be loaded"),
        (lambda d: (d / files.CLASSIFIER_MODEL).unlink(), "classifier.keras is missing"),
        (lambda d: _truncate(d / files.CARD), "card.json cannot be read"),
        (lambda d: _change(d / files.CARD, floor=None), "reference.npz or card.json cannot be read"),
        (lambda d: _change(d / files.CARD, floor=[1.0]), "reference.npz or card.json cannot be read"),
        (lambda d: _change(d / files.CARD, floor={"second_fcd": "low"}), "reference.npz or card.json cannot be read"),
        (lambda d: _change(d / files.CARD, classifier_fingerprint="0" * 64), "is not the model that card.json"),
        (lambda d: _truncate(d / files.REFERENCE), "reference.npz or card.json cannot be read"),
        (lambda d: (d / files.REFERENCE).unlink(), "reference.npz or card.json cannot be read"),
        (lambda d: (d / files.REFERENCE).write_bytes(b""), "reference.npz or card.json cannot be read"),
        (lambda d: np.savez(d / files.REFERENCE, other=np.ones(3)), "reference.npz or card.json cannot be read"),
    ],
)
def test_a_damaged_one_says_what_to_do(
    copy: Path, digits: DataSplits, damage: Callable[[Path], Any], message: str
) -> None:
    damage(_second(copy))
    quality = QualityEvaluator.load(copy)
    with pytest.raises(
        ProjectError, match=rf"second is damaged: .*{message}.*; delete the folder to train it again\.$"
    ):
        quality.evaluate(digits.holdout.images[:20], second=True)
    assert set(quality.evaluate(digits.holdout.images[:20])) <= set(quality.metrics)  # nobody else is hurt


def test_copied_to_another_project_the_evaluator_leaves_it_behind(
    asked: tuple[Path, Scores], digits: DataSplits, tmp_path: Path
) -> None:
    QualityEvaluator.load(asked[0]).save(tmp_path)
    assert not _second(tmp_path).exists()
    again = QualityEvaluator.fit(digits, tmp_path, seed=SEED)
    assert again.evaluate(digits.holdout.images, second=True) == asked[1]
    assert _second(tmp_path).exists()
