"""The commands on a conditional search: 8x8 digits, a trial and its finalist, made once for all tests of this file."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_runs import Run, call, digits, run
from PIL import Image

from tuner_gan import files, results
from tuner_gan.quality.catalogue import LABELLED, METRICS, SECOND
from tuner_gan.results.export import load_generator

Capture = pytest.CaptureFixture[str]

SEARCH = (
    *("search", "--conditional", "--data", "digits", "--max-trials", "1", "--epochs", "3", "--baselines", "none"),
    *("--name", "demo", "--finalists", "1", "--finalist-seeds", "1"),
)


@functools.cache
def search_once(base: Path) -> tuple[Path, Run]:
    # Some 25 s: the only test of the whole way with real classifiers, three of which are trained.
    folder = base / "conditional-search"
    folder.mkdir()
    return folder, run(*SEARCH, folder=folder)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    return search_once(tmp_path_factory.getbasetemp())


@pytest.fixture
def project(once: tuple[Path, Run], monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test changes it."""
    monkeypatch.chdir(once[0])
    monkeypatch.setenv("COLUMNS", "160")
    return Path("runs/demo")


def refused(capsys: Capture, *arguments: str) -> str:
    found = call(capsys, *arguments)
    assert found.code == 2
    return found.error()


def grid_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_conditional_search_has_the_scores_of_labels(once: tuple[Path, Run], project: Path) -> None:
    found = once[1]
    assert (found.code, found.err) == (0, "")
    searched = results.load(project)
    metrics = [str(name).removeprefix("metric.") for name in searched.trials() if str(name).startswith("metric.")]
    assert metrics == [*METRICS, *LABELLED, *SECOND, "cas"]
    finalist, trial = searched.records
    assert (finalist.trial_id, trial.trial_id) == ("final_0", "0")
    assert set(finalist.metrics) == set(metrics)
    assert set(trial.metrics) == set(metrics) - {*SECOND, "cas"}
    assert "finalists, trained again: 0\n" in found.out
    floor = searched.classifier["floor"]
    assert set(metrics) == set(floor)
    assert floor["label_accuracy"] > 0.95
    assert floor["cas"] == searched.classifier["accuracy"]
    assert list(searched.history()["metric.label_accuracy"].notna()) == [True] * 6
    assert searched.config["conditional"] is True


def test_the_scores_of_its_classes(project: Path, capsys: Capture, tmp_path: Path) -> None:
    found = call(capsys, "classes", str(project), "--format", "csv")
    assert (found.code, found.err) == (0, "")
    table = pd.read_csv(io.StringIO(found.out), dtype={"class": str, "trial_id": str})
    assert list(table) == ["trial_id", "class", "images", "fcd", "label_accuracy"]
    assert list(table["class"]) == list("0123456789")
    best = results.load(project).best
    assert table.fcd.mean() == pytest.approx(best.metrics["class_fcd"])
    weighted = (table.images * table.label_accuracy).sum() / table.images.sum()
    assert weighted == pytest.approx(best.metrics["label_accuracy"])
    target = tmp_path / "classes.md"
    assert call(capsys, "classes", str(project), "--trial", "0", "-o", str(target)).code == 0
    assert target.read_text().startswith("| trial_id | class | images | fcd | label_accuracy |")
    assert "There is no trial '9'" in refused(capsys, "classes", str(project), "--trial", "9")


def test_the_same_command_again_ends_at_once(project: Path, capsys: Capture) -> None:
    records = [project / trial / files.RECORD for trial in ("trial_0", "trial_final_0")]
    before = [record.read_bytes() for record in records]
    found = call(capsys, *SEARCH)
    assert (found.code, found.err) == (0, "")
    assert [record.read_bytes() for record in records] == before


def test_without_the_flag_the_project_is_refused(project: Path, capsys: Capture) -> None:
    said = refused(capsys, *(part for part in SEARCH if part != "--conditional"))
    assert f"{project} holds a search with another kind of GAN (conditional, not unconditional)" in said


def test_a_file_may_ask_for_it(project: Path, capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("conditional = true\n")
    arguments = [part for part in SEARCH if part != "--conditional"]
    assert call(capsys, *arguments, "--config", str(tmp_path / "settings.toml")).code == 0


@pytest.mark.filterwarnings("default:All labels are:UserWarning")  # as it is outside of tests
def test_images_without_labels_are_refused_before_anything_is_trained(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("plain.npy", digits(100))
    said = refused(capsys, "search", "--conditional", "--data", "plain.npy")
    assert said == (
        "Conditional GANs need images labelled with two or more classes, but plain.npy has none: add labels or leave "
        "out --conditional."
    )
    np.savez("one.npz", x=digits(100), y=np.zeros(100, int))
    found = call(capsys, "search", "--conditional", "--data", "one.npz")
    assert found.code == 2
    warning, error = found.err.splitlines()
    assert "labels of a single class count as none" in warning
    assert "but one.npz has none" in error
    assert not Path("runs").exists()


# Images of a class.


def test_the_samples_have_a_row_for_each_class(project: Path) -> None:
    for path in (project / "trial_0" / files.SAMPLES, project / "best" / files.SAMPLES):
        step = 8 * round(500 / 64) + 1
        assert grid_pixels(path).shape == (10 * step - 1, 8 * step - 1)


def test_one_class_is_generated(project: Path, capsys: Capture, tmp_path: Path) -> None:
    model = project / "best" / files.GENERATOR
    target = tmp_path / "three.npz"
    found = call(capsys, "generate", str(model), "--class", "3", "-n", "5", "--seed", "1", "-o", str(target))
    assert (found.code, found.out) == (0, f"5 images of (8, 8, 1) in {target}\n")
    with np.load(target) as stored:
        assert stored["labels"].tolist() == [3] * 5
        images = stored["images"]
    from tuner_gan.images import generate_images

    np.testing.assert_array_equal(images, generate_images(load_generator(model), 5, seed=1, labels=3))
    call(capsys, "generate", str(model), "--class", "3", "-n", "16", "-o", str(tmp_path / "three.png"))
    step = 8 * round(500 / 64) + 1
    assert grid_pixels(tmp_path / "three.png").shape == (2 * step - 1, 8 * step - 1)


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (10, 1), (64, 7), (80, 8)])
def test_without_a_class_a_grid_has_one_row_each(
    project: Path, capsys: Capture, tmp_path: Path, n: int, columns: int
) -> None:
    target = tmp_path / "grid.png"
    model = project / "best" / files.GENERATOR
    found = call(capsys, "generate", str(model), "-n", str(n), "--seed", "0", "-o", str(target))
    assert found.out == f"{10 * columns} images of (8, 8, 1) in {target}\n"
    scale = max(1, round(500 / (8 * columns)))
    step = 8 * scale + 1
    pixels = grid_pixels(target)
    assert pixels.shape == (10 * step - 1, columns * step - 1)
    from tuner_gan.images import generate_images

    labels = np.repeat(np.arange(10), columns)
    images = generate_images(load_generator(model), len(labels), seed=0, labels=labels)
    shown = pixels[9 * step : 9 * step + 8 * scale : scale, : 8 * scale : scale]
    np.testing.assert_array_equal(shown, images[9 * columns, ..., 0])


def test_an_archive_has_every_class_in_turn(project: Path, capsys: Capture, tmp_path: Path) -> None:
    target = tmp_path / "all.npz"
    call(capsys, "generate", str(project / "best" / files.GENERATOR), "-n", "23", "-o", str(target))
    with np.load(target) as stored:
        assert stored["images"].shape == (23, 8, 8, 1)
        assert stored["labels"].tolist() == [index % 10 for index in range(23)]


def test_an_unknown_class_is_refused(project: Path, capsys: Capture, tmp_path: Path) -> None:
    model = str(project / "best" / files.GENERATOR)
    said = refused(capsys, "generate", model, "--class", "10", "-o", str(tmp_path / "x.npz"))
    assert said.startswith("There is no class '10': choose a label from 0 to 9, or one of 0, 1, 2")
    assert not list(tmp_path.iterdir())


def test_a_class_of_an_unconditional_generator_is_refused(capsys: Capture, tmp_path: Path) -> None:
    import keras

    model = tmp_path / "plain.keras"
    layers = keras.layers
    keras.Sequential([keras.Input((4,)), layers.Dense(64), layers.Reshape((8, 8, 1))]).save(model)
    said = refused(capsys, "generate", str(model), "--class", "3", "-o", str(tmp_path / "x.npz"))
    assert said == f"{model} is not conditional: leave out --class."
    call(capsys, "generate", str(model), "-n", "2", "-o", str(tmp_path / "x.npz"))
    with np.load(tmp_path / "x.npz") as stored:
        assert stored.files == ["images"]


def test_it_is_evaluated_with_the_scores_of_labels(
    project: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuner_gan.quality import classifier

    monkeypatch.setattr(classifier, "STEPS", (30, 30))
    found = call(capsys, "evaluate", str(project / "best" / files.GENERATOR), "--data", "digits")
    assert (found.code, found.err) == (0, "")
    shown = [line.split()[0] for line in found.out.splitlines() if line]
    assert [name for name in shown if name in (*LABELLED, "cas")] == [*LABELLED, "cas"]
