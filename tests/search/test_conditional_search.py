"""Searches for conditional GANs: where the labels go, what they leave on disk, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from searches import QUIET, SHAPE, MeanQuality, TinySpace, blobs, make_tuner, repeatable

from tuner_gan import files
from tuner_gan.datasets import ImageDataset
from tuner_gan.errors import ConfigError, ProjectError
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.gan.model import GAN
from tuner_gan.quality.reference import ClassScore
from tuner_gan.results import load
from tuner_gan.search import tuner as tuner_module
from tuner_gan.search.hypermodel import GANHyperModel
from tuner_gan.search.tuner import GANTuner

pytestmark = QUIET

CLASSES = 3
LABELS = np.arange(96) % CLASSES
NAMES = ("circle", "square", "star")


class LabelledQuality(MeanQuality):
    """Knows three classes, of whose labels it makes what a test can foresee."""

    class_names: tuple[str, ...] = NAMES
    label_metrics: tuple[str, ...] = ("label_accuracy",)
    cas_s: float = 0.0

    def __init__(self, images: npt.NDArray[np.uint8] | None = None) -> None:
        super().__init__(blobs() if images is None else images)
        self.taught: list[keras.Model] = []

    def score(self, generator: keras.Model) -> dict[str, float]:
        accuracy = {"label_accuracy": 0.5} if len(generator.inputs) == 2 else {}
        return {**super().score(generator), **accuracy}

    def evaluate_classes(self, generator: keras.Model) -> tuple[ClassScore, ...]:
        assert len(generator.inputs) == 2
        return ClassScore(17, 0.25, 0.5), ClassScore(16, None, 0.25), ClassScore(0, None, None)

    def cas(self, generator: keras.Model) -> float:
        self.taught.append(generator)
        return 0.75


class Noting(GANHyperModel):
    """Trains without a graph, and keeps what it was given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fitted: list[tuple[Any, ...]] = []

    def build(self, hp: keras_tuner.HyperParameters) -> GAN:
        gan = super().build(hp)
        gan.run_eagerly = True
        return gan

    def fit(self, hp: keras_tuner.HyperParameters, model: GAN, *args: Any, **kwargs: Any) -> Any:
        self.fitted.append(args)
        return super().fit(hp, model, *args, **kwargs)


def conditional_tuner(directory: Path, **changes: Any) -> GANTuner:
    hypermodel = changes.pop("hypermodel", None) or Noting(SHAPE, TinySpace(classes=CLASSES), classes=CLASSES)
    arguments = {"quality": LabelledQuality(), "max_trials": 1, **changes}
    return make_tuner(directory, hypermodel=hypermodel, **arguments)


def labelled(labels: Any = LABELS, names: tuple[str, ...] = NAMES) -> ImageDataset:
    return ImageDataset("shapes", blobs(), labels, names)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> GANTuner:
    tuner = conditional_tuner(tmp_path_factory.mktemp("runs"), executions_per_trial=2)
    tuner.search(labelled(), epochs=2)
    return tuner


def test_images_and_labels_reach_the_training(searched: GANTuner) -> None:
    assert len(searched.hypermodel.fitted) == 2  # executions
    for images, labels in searched.hypermodel.fitted:
        np.testing.assert_array_equal(images, blobs())
        np.testing.assert_array_equal(labels, LABELS)


def test_a_trial_comes_out_the_same_again(searched: GANTuner) -> None:
    searched.rerun("best", labelled()).check()
    with pytest.raises(ProjectError, match="was searched with other training images or labels"):
        searched.rerun("best", labelled(labels=LABELS[::-1].copy()))
    searched.hypermodel.fitted.clear()


def test_what_the_project_says(searched: GANTuner) -> None:
    content = files.read_json(searched.folder / files.SEARCH)
    assert content["conditional"] is True
    assert content["data"]["class_names"] == list(NAMES)
    assert content["metrics"] == ["fcd", "brightness", "label_accuracy", "cas"]
    assert content["rung_metrics"] == ["fcd", "brightness", "label_accuracy"]
    architecture = GANArchitecture.from_json(files.read_json(searched.folder / "trial_0" / files.ARCHITECTURE))
    assert architecture.classes == CLASSES


def test_scores_of_labels_are_columns_and_those_of_classes_a_table(searched: GANTuner) -> None:
    results = searched.results()
    assert list(results.trials()["metric.label_accuracy"]) == [0.5]
    assert results.trials()["metric.cas"].isna().all()  # there are no finalists
    assert list(results.history()["metric.label_accuracy"]) == [0.5] * 4
    table = results.classes()
    assert list(table["class"]) == list(NAMES)
    assert list(table.images) == [17, 16, 0]
    assert table.fcd.tolist()[0] == 0.25
    assert table.isna().sum().tolist() == [0, 0, 0, 2, 1]


def test_the_grid_has_a_row_for_each_class(searched: GANTuner) -> None:
    with Image.open(searched.folder / "trial_0" / files.SAMPLES) as picture:
        pixels = np.asarray(picture)
    scale = round(500 / 64)
    step = 8 * scale + 1
    assert pixels.shape == (CLASSES * step - 1, 8 * step - 1)
    gan = searched.get_best_models()[0]
    labels = np.repeat(np.arange(CLASSES), 8)
    images = gan.generate(len(labels), seed=0, labels=labels)
    shown = [pixels[y * step : y * step + 8 * scale : scale, ::scale][:, :8] for y in range(CLASSES)]
    np.testing.assert_array_equal(shown, images[::8, ..., 0])


def test_the_best_model_makes_the_class_that_is_asked_for(searched: GANTuner) -> None:
    gan = searched.get_best_models()[0]
    np.testing.assert_array_equal(gan.generate(4, seed=1, labels=2), gan.generate(4, seed=1, labels=[2, 2, 2, 2]))
    assert (gan.generate(4, seed=1, labels=2) != gan.generate(4, seed=1, labels=0)).any()


def test_arrays_with_labels_are_the_same_search(searched: GANTuner, tmp_path: Path) -> None:
    tuner = conditional_tuner(tmp_path, executions_per_trial=2)
    tuner.search(blobs(), LABELS.astype(np.uint8), epochs=2)
    assert repeatable(tuner).equals(repeatable(searched))
    fingerprints = [one.results().config["data"]["train_fingerprint"] for one in (tuner, searched)]
    assert fingerprints[0] == fingerprints[1]


def test_it_goes_on_where_it_ended_and_with_the_same_labels_only(tmp_path: Path) -> None:
    conditional_tuner(tmp_path).search(labelled(), epochs=1)
    again = conditional_tuner(tmp_path, max_trials=2)
    with pytest.raises(ProjectError, match="holds a search with other training images or labels"):
        again.search(labelled(LABELS[::-1].copy()), epochs=1)
    again.search(labelled(), epochs=1)
    assert len(again.hypermodel.fitted) == 1  # the first trial is kept
    assert sorted(again.results().trials().trial_id) == ["0", "1"]


@pytest.mark.parametrize("before", [True, False])
def test_a_project_goes_on_as_the_kind_it_was(before: bool, tmp_path: Path) -> None:
    def tuner(conditional: bool) -> GANTuner:
        return conditional_tuner(tmp_path, hypermodel=None if conditional else Noting(SHAPE, TinySpace()))

    tuner(before).search(labelled(), epochs=1)
    kinds = "conditional, not unconditional" if before else "unconditional, not conditional"
    with pytest.raises(ProjectError, match=rf"holds a search with another kind of GAN \({kinds}\): choose another"):
        tuner(not before)


def test_a_project_of_an_earlier_version_was_unconditional(tmp_path: Path) -> None:
    conditional_tuner(tmp_path, hypermodel=Noting(SHAPE, TinySpace()))
    path = tmp_path / "search" / files.SEARCH
    content = json.loads(path.read_text())
    assert content.pop("conditional") is False
    assert "class_names" not in content["data"]
    path.write_text(json.dumps(content))
    conditional_tuner(tmp_path, hypermodel=Noting(SHAPE, TinySpace())).search(blobs(), epochs=1)
    with pytest.raises(ProjectError, match=r"kind of GAN \(unconditional, not conditional\)"):
        conditional_tuner(tmp_path)


def test_labels_are_of_no_concern_to_an_unconditional_search(tmp_path: Path) -> None:
    tuner = conditional_tuner(tmp_path, hypermodel=Noting(SHAPE, TinySpace()))
    tuner.search(labelled(), epochs=1)
    assert [len(args) for args in tuner.hypermodel.fitted] == [1]
    assert not {"metric.label_accuracy", "metric.cas"} & set(tuner.results().trials())
    assert tuner.results().classes().empty
    assert tuner.quality.taught == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (blobs(), None, "Expected labels of the training images, y, because the GANs are conditional"),
        (labelled(None, ()), None, "labelled with the 3 classes that quality knows, but got none"),
        (labelled(LABELS, ("a", "b", "c")), None, "but got 3 others: pass a split of the same data"),
        (labelled(), LABELS, "y must be None, because x has labels of its own, but got ndarray"),
        (blobs(), LABELS[:9], r"y must be 96 integer labels in 0\.\.2, one for each image, but got int64 \[9\]"),
        (blobs(), LABELS + 1, r"but got int64 \[96\] in 1\.\.3"),
        (blobs(), LABELS - 1, r"but got int64 \[96\] in -1\.\.1"),
        (blobs(), LABELS / 1, r"but got float64 \[96\]\."),
        (blobs(), LABELS[:, None], r"but got int64 \[96, 1\]\."),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_the_search(x: Any, y: Any, said: str, tmp_path: Path) -> None:
    tuner = conditional_tuner(tmp_path)
    with pytest.raises(ConfigError, match=said):
        tuner.search(x, y, epochs=1)
    assert tuner.hypermodel.fitted == []


def test_labels_for_an_unconditional_search_are_refused(tmp_path: Path) -> None:
    tuner = conditional_tuner(tmp_path, hypermodel=Noting(SHAPE, TinySpace()))
    with pytest.raises(ConfigError, match="y must be None, because the GANs have no classes, but got ndarray"):
        tuner.search(blobs(), LABELS)


def test_a_space_that_ignores_the_classes_is_refused(tmp_path: Path) -> None:
    for given, wanted in ((0, CLASSES), (CLASSES, 0)):
        with pytest.raises(ConfigError, match=rf"TinySpace must give a GANArchitecture with classes={wanted}, but it "):
            conditional_tuner(tmp_path, hypermodel=GANHyperModel(SHAPE, TinySpace(classes=given), classes=wanted))
    assert not (tmp_path / "search" / files.SEARCH).exists()


def test_other_classes_than_those_of_the_evaluator_are_refused(tmp_path: Path) -> None:
    four = GANHyperModel(SHAPE, TinySpace(classes=4), classes=4)
    with pytest.raises(ConfigError, match="hypermodel has 4 and quality knows 3"):
        conditional_tuner(tmp_path, hypermodel=four)

    class Unlabelled(LabelledQuality):
        class_names = ()

    with pytest.raises(ConfigError, match="hypermodel has 3 and quality was made of images without labels"):
        conditional_tuner(tmp_path, quality=Unlabelled())


@pytest.mark.parametrize("space", ["dcgan", "mlp", "resnet"])
def test_a_built_in_space_gets_the_classes(space: str) -> None:
    hypermodel = GANHyperModel(SHAPE, space, classes=CLASSES)
    assert hypermodel.architecture(keras_tuner.HyperParameters()).classes == CLASSES
    assert GANHyperModel(SHAPE, space).architecture(keras_tuner.HyperParameters()).classes == 0


def test_the_tutorials_are_conditional_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner_module, "PRESETS", ("tutorial_conv",))
    tuner = conditional_tuner(tmp_path, baselines="all")
    tuner.search(labelled(), epochs=1)
    folder = tuner.folder / "trial_tutorial_conv"
    assert GANArchitecture.from_json(files.read_json(folder / files.ARCHITECTURE)).classes == CLASSES
    assert len(load(tuner.folder).classes("tutorial_conv")) == CLASSES


# The classification accuracy score.


def test_finalists_teach_once(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"max_trials": 2, "finalist_seeds": 2}
    first = LabelledQuality()
    conditional_tuner(tmp_path, quality=first, finalists=1, **arguments).search(labelled(), epochs=1)
    assert len(first.taught) == 1
    again = LabelledQuality()
    tuner = conditional_tuner(tmp_path, quality=again, finalists=2, **arguments)
    tuner.search(labelled(), epochs=1)
    assert len(again.taught) == 1  # the other one
    assert list(tuner.results().trials()["metric.cas"].dropna()) == [0.75, 0.75]
    assert list(tuner.results().trials().origin) == ["finalist"] * 2 + ["search"] * 2
    assert all(len(record.classes) == CLASSES for record in tuner.results().records)  # kept


@pytest.mark.parametrize(("cas_s", "teaches"), [(0.3, True), (2.0, False)])
def test_it_is_left_out_where_it_takes_too_much_of_the_time(cas_s: float, teaches: bool, tmp_path: Path) -> None:
    quality = LabelledQuality()
    quality.second_metrics = ("brightness",)
    quality.cas_s = cas_s
    tuner = conditional_tuner(tmp_path, quality=quality, finalists=1, finalist_seeds=1)
    tuner.search(labelled(), epochs=1, max_time=30)  # a tenth are 3 s, of which the second opinion takes 1.5
    assert bool(quality.taught) == teaches
    expected = 30 - 1.5 - (cas_s if teaches else 0)
    assert tuner._budget.stop_at is not None
    assert tuner._budget.stop_at - tuner._budget.started == pytest.approx(expected, abs=0.01)
