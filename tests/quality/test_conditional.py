"""The evaluator asked about conditional generators: which classes it asks for, and what it makes of the images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from evaluators import (
    SEED,
    extractor_model,
    few_digits,
    fitted_project,
    generator_model,
    real_digits,
    refuse_to_train,
)
from short_trainings import short_trainings

from tuner_gan import files
from tuner_gan.datasets import DataSplits, ImageDataset
from tuner_gan.errors import ProjectError, QualityError
from tuner_gan.images import generate_images
from tuner_gan.quality import QualityEvaluator, ReferenceClassifier
from tuner_gan.quality import evaluator as evaluator_module
from tuner_gan.quality.accuracy_score import classification_accuracy_score
from tuner_gan.quality.evaluation import evaluate

Array = npt.NDArray[Any]


_short = pytest.fixture(short_trainings, scope="module", autouse=True)
digits = pytest.fixture(real_digits, scope="module")
project = pytest.fixture(fitted_project, scope="module")


@pytest.fixture(scope="module")
def quality(project: Path) -> QualityEvaluator:
    return QualityEvaluator.load(project)


def conditional_model(data: DataSplits, shift: int = 0, classes: int = 10) -> keras.Model:
    """The mean image of each class with noise; shifted, each class gets the images of another."""
    assert data.train.labels is not None
    means = np.stack([data.train.images[data.train.labels == c % 10].mean(axis=0) for c in range(classes)])
    inside = np.arctanh(np.clip(np.roll(means, shift, axis=0) / 127.5 - 1, -0.99, 0.99)).reshape(classes, -1)
    latents, labels = keras.Input((16,), name="latents"), keras.Input((), dtype="int32", name="labels")
    layers, initializers = keras.layers, keras.initializers
    x = layers.Embedding(classes, 64, initializers.Constant(inside))(labels)
    noise = layers.Dense(64, kernel_initializer=initializers.RandomNormal(stddev=0.04, seed=1))(latents)
    x = layers.Activation("tanh")(layers.Add()([x, noise]))
    return keras.Model([latents, labels], layers.Reshape((8, 8, 1))(x))


def asked_for(quality: QualityEvaluator, model: keras.Model) -> tuple[Array, Array]:
    """The latents and the labels that a generator is called with."""
    calls: list[Any] = []

    class Noted:
        inputs, layers = model.inputs, model.layers

        def __call__(self, inputs: Any, training: bool | None = None) -> Any:
            calls.append([np.asarray(part) for part in inputs])
            return model(inputs, training=training)

    quality.score(Noted())
    latents, labels = (np.concatenate(parts) for parts in zip(*calls, strict=True))
    return latents, labels


def test_the_classes_asked_for_have_the_frequencies_of_the_reference(
    quality: QualityEvaluator, project: Path, digits: DataSplits
) -> None:
    model = conditional_model(digits)
    latents, labels = asked_for(quality, model)
    assert (latents.shape, labels.shape) == ((500, 16), (500,))
    assert labels.dtype == np.int32
    assert digits.reference.labels is not None
    shares = np.bincount(digits.reference.labels) * 500 / len(digits.reference)
    assert np.abs(np.bincount(labels) - shares).max() < 1
    # As before in every trial, and in another process that has no images.
    for again in (quality, QualityEvaluator.load(project)):
        for one, other in zip((latents, labels), asked_for(again, model), strict=True):
            np.testing.assert_array_equal(one, other)


def test_its_scores_are_those_of_its_images_with_their_labels(quality: QualityEvaluator, digits: DataSplits) -> None:
    model = conditional_model(digits)
    latents, labels = asked_for(quality, model)
    images = np.rint((np.asarray(model([latents, labels])) + 1) * 127.5).astype(np.uint8)
    expected = quality.evaluate(images, labels)
    assert tuple(expected) == (*quality.metrics, *quality.label_metrics)
    assert quality.evaluate(model) == pytest.approx(expected, rel=1e-6)
    score = quality.score(model)
    assert tuple(score) == (*quality.rung_metrics, *quality.label_metrics)
    assert score == pytest.approx({name: expected[name] for name in score}, rel=1e-6)
    without = quality.evaluate(images)
    assert without == {name: expected[name] for name in quality.metrics}


def test_a_generator_that_ignores_what_it_is_asked_for_is_seen(quality: QualityEvaluator, digits: DataSplits) -> None:
    right, wrong = (quality.evaluate(conditional_model(digits, shift)) for shift in (0, 1))
    assert right["label_accuracy"] > 0.8  # a mean digit is blurred
    assert wrong["label_accuracy"] < 0.2
    assert wrong["class_fcd"] > 1.5 * right["class_fcd"]
    assert wrong["fcd"] == pytest.approx(right["fcd"], abs=0.05)  # the mixture of classes is nearly the same
    assert quality.floor["class_fcd"] < right["class_fcd"]
    assert 0.9 < quality.floor["label_accuracy"] <= 1


def test_the_floor_is_that_of_held_out_images_by_their_labels(quality: QualityEvaluator, digits: DataSplits) -> None:
    assert digits.holdout.labels is not None
    scores = quality.evaluate(digits.holdout.images, digits.holdout.labels)
    assert scores == pytest.approx({name: quality.floor[name] for name in scores}, rel=1e-9)
    assert scores["label_accuracy"] == quality.floor["cas"] == quality.card["accuracy"]


def test_the_scores_of_each_class(quality: QualityEvaluator, digits: DataSplits) -> None:
    model = conditional_model(digits)
    scores, every = quality.evaluate_classes(model), quality.evaluate(model)
    assert len(scores) == len(quality.class_names) == 10
    assert sum(score.images for score in scores) == quality.samples
    right = sum(score.images * (score.label_accuracy or 0.0) for score in scores)
    assert right / quality.samples == pytest.approx(every["label_accuracy"])
    assert np.mean([score.fcd for score in scores if score.fcd is not None]) == pytest.approx(every["class_fcd"])
    assert quality.evaluate_classes(generator_model()) == ()


def test_an_unconditional_generator_has_none_of_these_scores(quality: QualityEvaluator) -> None:
    assert tuple(quality.score(generator_model())) == quality.rung_metrics
    assert tuple(quality.evaluate(generator_model())) == quality.metrics


@pytest.mark.parametrize(
    "labels", [np.zeros(9, int), np.zeros(359), np.full(359, 10), np.full(359, -1), np.zeros((359, 1), int)]
)
def test_labels_that_do_not_fit_are_refused(quality: QualityEvaluator, digits: DataSplits, labels: Array) -> None:
    with pytest.raises(QualityError, match=r"labels must be 359 integers in 0\.\.9, one for each image, but got"):
        quality.evaluate(digits.holdout.images, labels)


def test_a_generator_of_other_classes_is_refused(quality: QualityEvaluator, digits: DataSplits) -> None:
    with pytest.raises(QualityError, match="for the 10 classes of the real images, but it is for 7"):
        quality.score(conditional_model(digits, classes=7))


def test_without_labels_no_conditional_generator_can_be_scored(digits: DataSplits) -> None:
    few = few_digits(labelled=False)
    with pytest.warns(UserWarning, match="few"):
        quality = QualityEvaluator.fit(few, seed=SEED)
    assert (quality.class_names, quality.label_metrics) == ((), ())
    assert not {"cas", "label_accuracy", "class_fcd"} & set(quality.floor)
    with pytest.raises(QualityError, match="needs reference images labelled"):
        quality.score(conditional_model(digits))
    with pytest.raises(QualityError, match="the reference images have none"):
        quality.evaluate(few.holdout.images, np.zeros(len(few.holdout), int))


def test_a_folder_of_an_earlier_version_goes_on_without(project: Path, digits: DataSplits, tmp_path: Path) -> None:
    QualityEvaluator.load(project).save(tmp_path)
    folder = tmp_path / files.CLASSIFIER_DIR
    with np.load(folder / files.REFERENCE) as stored:
        arrays = {name: stored[name] for name in ("features", "train", "class_counts")}
    np.savez(folder / files.REFERENCE, **arrays)
    card = json.loads((folder / files.CARD).read_text())
    del card["class_names"]
    card["floor"] = {name: card["floor"][name] for name in QualityEvaluator.load(project).metrics}
    reference = QualityEvaluator.load(project)._reference
    reference.labels = None
    old = QualityEvaluator(QualityEvaluator.load(project).classifier, reference, card)
    (folder / files.CARD).write_text(json.dumps(card | {"fingerprint": old.fingerprint}))
    loaded = QualityEvaluator.fit(digits, tmp_path, seed=SEED)
    assert (loaded.class_names, loaded.fingerprint) == ((), old.fingerprint)
    assert loaded.evaluate(generator_model()) == QualityEvaluator.load(project).evaluate(generator_model())


@pytest.mark.parametrize(
    "names", [None, "0123456789", list("012345678"), list(range(10))], ids=["none", "text", "too few", "numbers"]
)
def test_a_card_without_the_names_of_the_classes_is_damaged(project: Path, tmp_path: Path, names: Any) -> None:
    QualityEvaluator.load(project).save(tmp_path)
    path = tmp_path / files.CLASSIFIER_DIR / files.CARD
    path.write_text(json.dumps({**json.loads(path.read_text()), "class_names": names}))
    with pytest.raises(ProjectError, match="does not fit the classifier"):
        QualityEvaluator.load(tmp_path)


def test_features_of_the_users_own_have_no_label_accuracy(digits: DataSplits) -> None:
    quality = QualityEvaluator.fit(digits, seed=SEED, features=extractor_model())
    assert quality.label_metrics == ("class_fcd",)
    model = conditional_model(digits)
    assert tuple(quality.score(model)) == (*quality.rung_metrics, "class_fcd")
    assert {score.label_accuracy for score in quality.evaluate_classes(model)} == {None}
    assert "class_fcd" in quality.floor
    assert "cas" not in quality.floor


# The classification accuracy score.


def test_cas_learns_from_an_image_for_each_training_image(digits: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    quality = QualityEvaluator.fit(digits, seed=SEED)
    taught: list[ImageDataset] = []

    def noted(fake: ImageDataset, real: ImageDataset, *, seed: int) -> float:
        taught.append(fake)
        assert (real, seed) == (digits.holdout, SEED)
        return classification_accuracy_score(fake, real, seed=seed)

    monkeypatch.setattr(evaluator_module, "classification_accuracy_score", noted)
    right, wrong = (quality.cas(conditional_model(digits, shift)) for shift in (0, 1))
    assert wrong < 0.2 < 0.6 < right <= 1
    assert digits.train.labels is not None
    for one in taught:
        assert len(one) == len(digits.train)
        assert one.labels is not None
        np.testing.assert_array_equal(np.bincount(one.labels), np.bincount(digits.train.labels))
    monkeypatch.setattr(evaluator_module, "MOST_TAUGHT", 100)
    quality.cas(conditional_model(digits))
    assert len(taught[-1]) == 100


def test_cas_needs_images_and_a_conditional_generator(
    quality: QualityEvaluator, digits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(QualityError, match=r"was loaded without: make it with QualityEvaluator\.fit\."):
        quality.cas(conditional_model(digits))
    fitted = QualityEvaluator.fit(digits, seed=SEED)
    monkeypatch.setattr(ReferenceClassifier, "fit", refuse_to_train)
    with pytest.raises(QualityError, match="for the 10 classes of the real images, but it is not conditional"):
        fitted.cas(generator_model())
    with pytest.raises(QualityError, match=r"^expected a generator, .* but got Model: .* is gan\.ema_generator\.$"):
        fitted.cas(keras.Model())
    fitted.card["fit_s"] = 7.5
    assert fitted.cas_s == 7.5


# The whole suite in one call.


def test_evaluating_a_conditional_generator_gives_every_score(digits: DataSplits) -> None:
    model = conditional_model(digits)
    found = evaluate(model, digits, seed=SEED)
    quality = found.quality
    assert tuple(found.scores) == (*quality.metrics, *quality.label_metrics, *quality.second_metrics, "cas")
    assert found.scores["cas"] == quality.cas(model)
    assert found.floor["cas"] == quality.card["accuracy"]
    assert found.table().floor.notna().all()


def test_unlabelled_images_to_compare_a_conditional_generator_with_are_refused(digits: DataSplits) -> None:
    against = ImageDataset("images", digits.holdout.images, None)
    with pytest.raises(QualityError, match="needs reference images labelled"):
        evaluate(conditional_model(digits), digits, against=against, seed=SEED)


def test_images_with_the_labels_that_they_were_made_for(digits: DataSplits) -> None:
    labels = np.arange(200) % 10
    images = generate_images(conditional_model(digits), 200, seed=0, labels=labels)
    made = ImageDataset("made", images, labels, digits.train.class_names)
    found = evaluate(made, digits, seed=SEED)
    assert found.scores["label_accuracy"] > 0.8
    assert found.scores["cas"] > 0.6
